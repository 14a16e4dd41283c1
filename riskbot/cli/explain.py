"""riskbot explain: why a rule says what it says, or nothing. What is known; `explained.py` shows it to people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from riskbot.cli import names, stored, times
from riskbot.cli.common import config_option, echo_json, fail, json_option, load_plugins, mistakes_told

if TYPE_CHECKING:
    from riskbot.model import Alert, Alerts, Event, Quiet, Reading
    from riskbot.replay.evidence import Evidence
    from riskbot.rules import Ladder, Rule, Rung
    from riskbot.store.peek import Look


@click.command("explain")
@click.argument("rule")
@config_option
@click.option("--account", help="Of which account; default: the first one that the rule watches.")
@click.option("--ccy", help="About this currency only.")
@click.option("--at", "moment", callback=times.point, help="As of then: 2026-03-01T14:30:00, UTC. Default: now.")
@json_option
def command(
    rule: str, path: Path, account: str | None, ccy: str | None, moment: float | None, *, as_json: bool
) -> None:
    """Say why RULE fires or does not: its value, how far each tier is, what runs, who was told.

    From what riskbot has written down: the journal, judged again by the rules that were in force; the alerts; every
    try to send a message. Nothing is asked of the exchange. Whom a message is for is as the file has it now, and what
    was acknowledged in the past is not remembered.

    Exit codes: 0 shown, 1 nothing is known of that time, 2 usage, or the rules file is wrong.
    """
    from riskbot.cli import explained  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store.outbox import STATES  # noqa: PLC0415 - see cli/__init__.py

    db, found, file = stored.database(path), _rules(path, rule), stored.document(path)
    watched = stored.accounts_in(file)
    if account not in (None, *watched):
        _unknown("account", str(account), watched)
    if not watched:
        fail(f"{path}: no account is watched: add [[accounts]]", 2)
    name = account or next((known for known in watched if found[rule].watches(known)), next(iter(watched)))
    seen = stored.look_into(db, STATES)
    at, past = (stored.now(), False) if moment is None else (moment, True)
    evidence = _evidence(db, name, found[rule], path, at, past=past)
    rows = _Case(found[rule], name, evidence, seen, at, file, past=past).rows()
    if ccy is not None and not (rows := [row for row in rows if row["subject"] == ccy.upper()]):
        fail(f"{rule} had nothing to say about {ccy.upper()} then", 1)
    if as_json:
        echo_json(rows)
    else:
        explained.show(rows, at, seen.pid, past=past)


def _rules(path: Path, wanted: str) -> dict[str, Rule]:
    """All of the file that are right; ends the command if that one is not among them."""
    from riskbot.settings.model import tables  # noqa: PLC0415 - see cli/__init__.py

    with mistakes_told():
        load_plugins(path)
    found = stored.rules_in(path)
    if wanted not in found:
        if any(entry.get("name") == wanted for _, entry in tables(stored.document(path), "rules")):
            fail(f'the rule "{wanted}" is wrong in the file; riskbot check says where', 2)
        _unknown("rule", wanted, found)
    return found


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> NoReturn:
    from riskbot.settings.mistakes import no_such  # noqa: PLC0415 - see cli/__init__.py

    fail(no_such(what, name, known), 2)


def _evidence(db: Path, account: str, rule: Rule, path: Path, at: float, *, past: bool) -> Evidence:
    """Of the past only the journal knows; what is open now is known without it."""
    from riskbot.replay.evidence import Evidence, at_moment  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.replies import BadInput  # noqa: PLC0415 - see cli/__init__.py

    try:
        return at_moment(db, account, rule, load_plugins(path).kinds, at)
    except BadInput as error:
        if past:
            fail(str(error), 1)
        return Evidence(rule, trouble=str(error))


class _Case:
    """All that is known of one rule about one account, at one moment."""

    def __init__(
        self,
        rule: Rule,
        account: str,
        evidence: Evidence,
        seen: Look,
        at: float,
        file: dict[str, Any],
        *,
        past: bool,
    ) -> None:
        """rule: as the file has it; the evidence has it as it was in force."""
        from riskbot.delivery import ongoing  # noqa: PLC0415 - see cli/__init__.py
        from riskbot.replay.evidence import last_changes  # noqa: PLC0415 - see cli/__init__.py

        self.account, self.evidence, self.seen, self.at, self.past = account, evidence, seen, at, past
        self.rule, self.ladder = evidence.rule, evidence.rule.ladder()
        self.changed = rule.compiled.ladder.mark != evidence.rule.compiled.ladder.mark
        self.file = file
        self.all: Alerts = evidence.alerts if past else seen.alerts.get(account, evidence.alerts)
        self.alerts = self.all.alerts.get(self.rule.name, {})
        self.events = {event.subject: event for event in ongoing(account, self.all, at) if event.rule == self.rule.name}
        self.changes = last_changes(seen.events, account, self.rule.name, at)
        answer = evidence.answer
        self.readings = {reading.ccy: reading for reading in (answer.readings if answer else ())}

    def rows(self) -> list[dict[str, Any]]:
        """One for each subject, worst first; one in all where the rule said nothing."""
        opened = {subject for subject, event in self.events.items() if event.after}
        return [self._row(subject) for subject in sorted({*self.readings, *opened} or {""}, key=self._calmness)]

    def _calmness(self, subject: str) -> tuple[int, float]:
        """What is open first, then what is nearest to its mildest tier."""
        event, value = self.events.get(subject), _number(self.readings.get(subject))
        shown = event.after if event else 0
        if value is None:
            return -shown, float("inf")
        met = max((rung.severity for rung in self.ladder.rungs if self.ladder.met(value, rung.enter)), default=0)
        return -max(met, shown), float(abs(value - self.ladder.rungs[0].enter))

    def _row(self, subject: str) -> dict[str, Any]:
        event = self.events.get(subject)
        return {
            "account": self.account,
            "rule": self.rule.name,
            "subject": subject,
            **self._value(subject),
            **self._course(event, self.changes.get(subject)),
            "tiers": [self._tier(rung, subject) for rung in self.ladder.rungs],
            **_timers(self.alerts.get(subject), self.ladder),
            **_quiet(event or self._nothing(subject), self._quiet_then(), self.ladder),
            "receivers": list(self._receivers(subject, event)),
            "blind": self._blind(),
            "rule_changed": self.changed,
            "trouble": self.evidence.trouble,
        }

    # What was measured.

    def _value(self, subject: str) -> dict[str, Any]:
        """value: None where there is none; note: why, or what it was made of. as_of: when it was so; None: never."""
        from riskbot.setup.tiers import unit  # noqa: PLC0415 - see cli/__init__.py

        known, reading, last = self.evidence, self.readings.get(subject), self.changes.get(subject)
        as_of = known.at if self.rule.SEES_OUTAGE else known.seen
        found = {"value": None, "unit": unit(self.rule), "note": "no such number", "as_of": as_of or None}
        if not self.ladder.plain:
            found["unit"] = "severity"
        if reading is not None:
            value = _number(reading)
            word = "missing" if reading.is_missing else "does not apply"
            note = reading.note if value is not None else f"{word}{f': {reading.note}' if reading.note else ''}"
            return {**found, "value": None if value is None else f"{value:f}", "note": note}
        if known.answer is None and last is not None and last.value is not None:  # all that is known
            return {**found, "value": f"{last.value:f}", "note": last.note, "as_of": last.at}
        return found

    def _blind(self) -> dict[str, Any] | None:
        """Since when nothing is seen, and why."""
        known, mine = self.evidence, self.all.blind.get(self.rule.name)
        if known.outage is not None and not self.rule.SEES_OUTAGE:
            return {"since": known.outage.since, "why": f"the account can't be seen: {known.outage.why}"}
        if mine is not None:
            return {"since": mine.since, "why": mine.why}
        if known.answer is not None and known.answer.missing:
            return {"since": known.at, "why": known.answer.missing}
        return None

    def _tier(self, rung: Rung, subject: str) -> dict[str, Any]:
        """Met or not, how far away, and what runs. held: told, since it is neither met nor left."""
        ladder, alert, value = self.ladder, self.alerts.get(subject), _number(self.readings.get(subject))
        up = alert.up.get(rung.severity) if alert else None
        down = alert.down.get(rung.severity) if alert else None
        met = None if value is None else ladder.met(value, rung.enter)
        below = alert is not None and rung.severity <= alert.level
        away = None if value is None or not ladder.plain else abs(value - rung.enter)
        return {
            "severity": rung.severity.label,
            "enter": f"{rung.enter:f}",
            "exit": f"{rung.exit:f}",
            "met": met,
            "away": None if away is None else f"{away:f}",
            "share": float(away / abs(value)) if away is not None and value else None,
            "met_since": up,
            "rises_at": up + ladder.hold if up is not None and not below else None,
            "held": below and met is False and down is None,
            "left_since": down,
            "falls_at": None if down is None else down + ladder.keep,
            "for": ladder.hold,
            "keep_firing_for": ladder.keep,
        }

    # What came of it.

    def _course(self, event: Event | None, change: Event | None) -> dict[str, Any]:
        """The present course of the alert, or its last one. ended: None while it is open."""
        if event is None or not event.opened:
            return {"severity": "ok", "peak": "", "since": None, "ended": None}
        ended = change.at if change and not event.after and change.episode == event.episode else None
        return {"severity": event.after.label, "peak": event.peak.label, "since": event.opened, "ended": ended}

    def _nothing(self, subject: str) -> Event:
        """What stands in for an alert that never was."""
        from riskbot.model import Cause, Event, Severity  # noqa: PLC0415 - see cli/__init__.py

        ok = Severity.OK
        return Event(self.account, self.rule.name, subject, 0, 0, ok, ok, ok, self.at, self.at, Cause.ONGOING)

    def _quiet_then(self) -> Quiet:
        """What was not to be told at that moment, as far as it is remembered."""
        from msgspec.structs import replace  # noqa: PLC0415 - see cli/__init__.py

        quiet = self.seen.quiet.at(self.at)
        begun = tuple(silence for silence in quiet.silences if silence.since <= self.at)
        return replace(quiet, silences=begun, acks=() if self.past else quiet.acks)

    def _receivers(self, subject: str, event: Event | None) -> Iterator[dict[str, Any]]:
        """Who is told of it, from which severity on; and of that course of the alert each message with each try."""
        from riskbot.settings.model import named  # noqa: PLC0415 - see cli/__init__.py

        for name, entry in named(self.file, "receivers").items():
            told = self.all.told.get(name, {}).get(f"{self.rule.name}/{subject}")
            yield {
                "receiver": name,
                "told": self.rule.receivers is None or name in self.rule.receivers,
                "from": entry.get("min_severity", "info"),
                "fallback": list(entry.get("fallback", [])),
                "in_place_of": told.via if told and event and event.after else "",
                "messages": self._messages(name, subject, event) if event else [],
            }

    def _messages(self, receiver: str, subject: str, event: Event) -> list[dict[str, Any]]:
        """Oldest first."""
        key = (receiver, f"{self.account}/{self.rule.name}/{subject}", event.episode)
        return [
            stored.as_row(state, message, names.digest(message.id))
            for state, message in reversed(self.seen.rows)
            if (message.receiver, message.alert, message.episode) == key and message.at <= self.at
        ]


def _number(reading: Reading | None) -> Any:
    """Its value, if that is a number."""
    return reading.value if reading is not None and reading.value.is_finite() else None


def _timers(alert: Alert | None, ladder: Ladder) -> dict[str, Any]:
    """Of the alert as a whole. calm_at: when it stops to flap, ends_at: when it ends, if all stays as it is."""
    from riskbot.engine import NA_HOLD  # noqa: PLC0415 - see cli/__init__.py

    flaps, na_since = bool(alert and alert.flapping), alert.na_since if alert else 0.0
    return {
        "flapping": flaps,
        "calm_at": alert.calm_since + ladder.flap.calm if alert and flaps else None,
        "not_applicable_since": na_since or None,
        "ends_at": na_since + NA_HOLD if na_since else None,
    }


def _quiet(event: Event, quiet: Quiet, ladder: Ladder) -> dict[str, Any]:
    """Until when it is held back; of a quiet rule: until when it would be. silenced_up_to: what is worse is told."""
    from msgspec.structs import replace  # noqa: PLC0415 - see cli/__init__.py

    would_be = event if event.after else replace(event, after=ladder.rungs[0].severity)
    silence = max((s for s in quiet.silences if s.hides(would_be)), key=lambda s: s.until, default=None)
    return {
        "acknowledged": max((ack.until for ack in quiet.acks if event.after and ack.quiets(event)), default=None),
        "silenced": silence.until if silence else None,
        "silenced_up_to": silence.most.label if silence else "",
        "silenced_why": silence.why if silence else "",
    }
