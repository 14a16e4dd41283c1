"""What was known of an account at one moment: its journal, judged again up to then by the rules that were in force."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from riskbot.model import Alerts, Event, Observation, Outage
from riskbot.recording import Adopted, Again, Entry, Look, moment_of
from riskbot.replay.journal import Journal
from riskbot.replay.replies import BadInput
from riskbot.rules import Measured, Rule, longest_window
from riskbot.store import StoreError, archive
from riskbot.verify import Rerun, rules_kept


class Evidence(Struct, frozen=True):
    """All of it about one rule.

    rule: as it was in force. at: of the last look, seconds since 1970; 0: there is none. seen: of the last reply; 0:
    there was none. outage: at that look nothing was seen. answer: what the rule said last; None: nothing. alerts: what
    came of it. trouble: why something of this is not known, or is older than it should be.
    """

    rule: Rule
    at: float = 0.0
    seen: float = 0.0
    outage: Outage | None = None
    answer: Measured | None = None
    alerts: Alerts = Alerts()
    trouble: str = ""


def at_moment(db: Path, account: str, rule: Rule, kinds: Mapping[str, type[Rule]], at: float) -> Evidence:
    """As of the last look not later than `at`. Raises BadInput where the journal has nothing of that time.

    rule: as it is in the file now; another one of that name may have judged. kinds: those of all rules.
    """
    troubles: list[BadInput] = []
    try:
        rules = rules_kept(db, account, kinds)
        journal = _journal(db, account, rule, at)
        rerun = Rerun(account, rules, journal.past(longest_window([rule])))
        last = _play(rerun, journal.entries(troubles.append), at)
    except (StoreError, ValueError) as error:
        raise BadInput(str(error)) from None
    judge, seen = rerun.judge, rerun.observer.snapshot.fetched_at
    in_force = next((known for known in judge.rules if known.name == rule.name), None)
    if in_force is None:
        raise BadInput(f'{db}: {account} was not judged by "{rule.name}" then')
    answer, trouble = judge.measured.get(rule.name), "; ".join(map(str, troubles))
    looked, outage = (last.at, last.outage) if last else (0.0, None)
    return Evidence(in_force, looked, seen, outage, answer, judge.alerts, trouble)


def _journal(db: Path, account: str, rule: Rule, at: float) -> Journal:
    """The last part of it that begins before then, with what fills the rule's windows."""
    begun = [segment.first for segment in archive.segments(db, account) if segment.first <= at]
    if not begun:
        raise BadInput(f"{db}: nothing was recorded of {account} until then")
    return Journal(db, account, begun[-1] - longest_window([rule]), at)


def _play(rerun: Rerun, entries: Iterable[Entry], at: float) -> Observation | None:
    """Up to that moment; gives the last look."""
    last = None
    for entry in entries:
        if moment_of(entry) > at:
            break
        rerun.play(entry)
        if isinstance(entry, Look | Again | Adopted):
            last = entry.seen
    return last


def last_changes(events: Sequence[Event], account: str, rule: str, at: float) -> dict[str, Event]:
    """The last change until then of each alert of a rule, by subject; it may be its end."""
    mine = (e for e in events if (e.account, e.rule) == (account, rule) and e.at <= at)
    return {event.subject: event for event in sorted(mine, key=lambda event: (event.at, event.seq))}
