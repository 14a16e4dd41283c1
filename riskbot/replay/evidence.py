"""What the rules made of an account at one moment: its journal, played up to then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from riskbot.model import Alerts, Event, Severity
from riskbot.playback import Player, at_once, moment_of
from riskbot.replay.journal import Journal
from riskbot.replay.replies import BadInput
from riskbot.rules import Measured, Rule, longest_window

LEAD = 900.0
"""Seconds that are played before that moment, besides the rules' windows: for states and timers."""


class Evidence(Struct, frozen=True):
    """at: when the account was looked at last, seconds since 1970; 0: never. blind: at that look nothing was seen.

    measured: what each rule said then. alerts: what came of it.
    """

    at: float
    blind: bool
    measured: dict[str, Measured]
    alerts: Alerts


def at_moment(db: Path, account: str, rules: Sequence[Rule], poll_every: float, at: float) -> Evidence:
    """As of the last look not later than `at`. Raises BadInput where the journal has nothing of that time."""
    start = at - longest_window(rules) - LEAD
    journal = Journal(db, account, start, at)
    player = Player(account, rules, (), poll_every=poll_every)
    last = 0.0
    at_once(player.seed(journal.past(longest_window(rules)), 0.0))
    for entry in journal.entries(_damaged):
        if moment_of(entry) > at:
            break
        at_once(player.play(entry))
        last = moment_of(entry)
    if not last:
        raise BadInput(f"{db}: nothing was recorded of {account} until then")
    return Evidence(last, player.blind, dict(player.judge.measured), player.judge.alerts)


def _damaged(error: BadInput) -> None:
    raise error


def as_of(events: Sequence[Event], at: float) -> dict[tuple[str, str, str], Event]:
    """The last change of each alert (account, rule, subject) up to then; what ended is left out."""
    last = {(e.account, e.rule, e.subject): e for e in sorted(events, key=lambda e: (e.at, e.seq)) if e.at <= at}
    return {key: event for key, event in last.items() if event.after > Severity.OK}
