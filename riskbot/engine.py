"""The alert state machine: from what rules measured to what the world should be told. Pure.

Two laws. All that changes an alert's state is in this file. This file knows no I/O, no clock, no receiver: the same
call with the same arguments gives the same answer, tonight, in a test and in a replay.

One alert for each rule and subject (currency), and it climbs tiers:

               a tier met for `for`                a worse tier: at once, tiers may be skipped
    OK ──────────▶ PENDING ──────────▶ FIRING warning ──────────▶ FIRING critical
     ▲                                   │        ▲                     │
     └── left for `keep_firing_for` ─────┘        └─────────────────────┘ left for `keep_firing_for`

- A rise is told in the tick that saw it. **Unobserved time may raise, never clear**: while a value is missing nothing
  moves; after a hole longer than `max_gap` all that speaks for a fall begins anew.
- A fall needs the tier to be left (hysteresis) for `keep_firing_for`, and seen so at least twice.
- "Does not apply" ends an alert only when it lasts: a closed position must not leave it hanging, one empty field must
  not end it. One alone does not even drop what is on its way up: it takes two odd answers to believe in good luck.
- A rule that was changed judges what it finds open by the next value, at once: the course goes on, nothing is told
  but what is different now. What was only on its way up starts anew.
- An alert that changes too often flaps: rises pass, falls wait until it is calm.
- From nothing told to something told opens an episode; back to nothing closes it. An episode is numbered by the second
  it opened, so that no number is ever used twice, whatever becomes of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from riskbot.model import Alert, Alerts, Blind, Cause, Event, Reading, Severity
from riskbot.rules import Flap, Ladder, Measured, Rule, keeps

NA_HOLD, NA_COUNT = 60.0, 3
"""An alert whose number does not apply any more ends after so many seconds, seen at least so often."""


GOOD_WEIGHT, MOST_WEIGHT = 3, 9
"""A good answer of a rule weighs as much as so many without a number: it is blind if more than three in four fail, and
three good ones in a row end it however long it was.
"""


class Step(Struct, frozen=True):
    """The outcome of one tick. `alerts` is the very same object if nothing changed."""

    alerts: Alerts
    events: tuple[Event, ...] = ()


def step(
    account: str,
    rules: Iterable[Rule],
    alerts: Alerts,
    measured: Mapping[str, Measured],
    now: float,
    max_gap: float = 10.0,
) -> Step:
    """Judge one tick of one account. A rule that was not asked (no entry in `measured`) does not move.

    max_gap: seconds without an observation that count as a hole.
    """
    events: list[Event] = []
    moved: dict[str, dict[str, Alert]] = {}
    for rule in rules:
        answer = measured.get(rule.name)
        if answer is None:
            continue
        before = alerts.alerts.get(rule.name, _NONE)
        if answer.calm and not before:
            continue  # at rest, and nothing to say: the usual case
        after = _judge(rule.compiled.ladder, before, answer, now, max_gap)
        if after is not before:
            moved[rule.name] = after
            events += _events(account, rule.name, before, after, answer, now)
    blind = _blindness(alerts.blind, measured, now)
    if not moved and blind is alerts.blind:
        return Step(alerts)
    return Step(replace(alerts, alerts={**alerts.alerts, **moved}, blind=blind), tuple(events))


_NONE: dict[str, Alert] = {}
_REST = Alert()


def _judge(ladder: Ladder, before: dict[str, Alert], answer: Measured, now: float, max_gap: float) -> dict[str, Alert]:
    """All subjects of one rule; the very same dict if none of them moved."""
    mildest, met = ladder.rungs[0].enter, ladder.met
    moved: dict[str, Alert] = {}
    for reading in answer.readings:
        value, subject = reading.value, reading.ccy
        alert = before.get(subject, _REST)
        if alert is _REST and (value.is_nan() or not met(value, mildest)):
            continue
        after = advance(ladder, alert, reading, now, max_gap)
        if after != alert:
            moved[subject] = after
    if before and answer.complete:
        seen = {reading.ccy for reading in answer.readings}
        for subject in before.keys() - seen:  # no row for that currency: it does not apply
            after = advance(ladder, before[subject], Reading.not_applicable("no longer listed", subject), now, max_gap)
            if after != before[subject]:
                moved[subject] = after
    return {**before, **moved} if moved else before


def advance(ladder: Ladder, alert: Alert, reading: Reading, now: float, max_gap: float) -> Alert:
    """One observation of one alert. Equal to `alert` if nothing moved."""
    if reading.is_missing:
        return alert
    if _timed(alert) and now - alert.fresh > max_gap:  # a hole: what speaks for a fall begins anew
        alert = replace(alert, down={}, na_since=0.0, na_count=0, calm_since=now)
    if alert.mark not in ("", ladder.mark) and not (alert.shown and reading.value.is_nan()):
        refitted = _refit(ladder, alert, now)
        if alert.shown and not _was_left(alert, now) and _timers(ladder, refitted, reading.value, now)[0] < alert.level:
            return replace(alert, down={_ODD: now}, na_since=0.0, na_count=0, fresh=now)  # the next decides
        alert = refitted
    if reading.value.is_nan():
        level, alert = _not_applicable(alert, now)
    else:
        level, alert = _timers(ladder, alert, reading.value, now)
    alert = _latch(ladder.flap, alert, level, now)
    return replace(alert, fresh=now if _timed(alert) else 0.0, mark=alert.mark or ladder.mark)


def _refit(ladder: Ladder, alert: Alert, now: float) -> Alert:
    """The rule was changed. An open alert's timers have run out, so that the value decides at once; hysteresis stays.

    What was only on its way up starts anew. Without a value an open alert waits for one, and nobody calls this.
    """
    level = max((rung.severity for rung in ladder.rungs if rung.severity <= alert.level), default=Severity.OK)
    over = now - max(ladder.hold, ladder.keep) - 1.0
    timers: dict[int, float] = {rung.severity: over for rung in ladder.rungs} if alert.shown else {}
    return replace(alert, level=level, up=timers, down=timers, changes=(), flapping=False, mark=ladder.mark)


_ODD = 0
"""In place of a tier: by the changed rule the alert was seen to be lower, once."""


def _was_left(alert: Alert, now: float) -> bool:
    """Did an earlier observation speak for a fall, too?"""
    return alert.down.get(_ODD, now) < now


def _timed(alert: Alert) -> bool:
    """Does something run that a hole would falsify?"""
    return bool(alert.down or alert.na_count or alert.flapping)


def _not_applicable(alert: Alert, now: float) -> tuple[Severity, Alert]:
    """It counts towards the end. The first drops what speaks for a fall, the second what was on its way up."""
    if alert.na_count and now <= alert.fresh:  # the same answer, looked at again
        return alert.level, alert
    since, count = alert.na_since or now, alert.na_count + 1
    up = alert.up if count == 1 else {}
    if not (alert.level or alert.flapping or up):
        return Severity.OK, replace(alert, up={}, down={}, na_since=0.0, na_count=0)
    alert = replace(alert, up=up, down={}, na_since=since, na_count=count)
    over = count >= NA_COUNT and now - since >= NA_HOLD
    return (Severity.OK if over else alert.level), alert


def _timers(ladder: Ladder, alert: Alert, value: Decimal, now: float) -> tuple[Severity, Alert]:
    """The level that the value has earned: rises by `hold`, falls by `keep`."""
    up: dict[int, float] = {
        r.severity: alert.up.get(r.severity, now) for r in ladder.rungs if ladder.met(value, r.enter)
    }
    down: dict[int, float] = {
        r.severity: alert.down.get(r.severity, now)
        for r in ladder.rungs
        if r.severity <= alert.level and ladder.passed(value, r.exit)
    }
    level = max((Severity(s) for s, since in up.items() if now - since >= ladder.hold), default=Severity.OK)
    if level < alert.level:
        level = _fall(ladder, alert.level, level, down, now)
        down = {severity: since for severity, since in down.items() if severity <= level}
    return level, replace(alert, up=up, down=down, na_since=0.0, na_count=0)


def _fall(ladder: Ladder, level: Severity, target: Severity, down: Mapping[int, float], now: float) -> Severity:
    """Step down from the present tier while it has been left long enough, and seen so twice."""
    while level > target and now > down.get(level, now) <= now - ladder.keep:
        level = ladder.lower(level)
    return level


def _latch(flap: Flap, alert: Alert, level: Severity, now: float) -> Alert:
    """What the world is told: the level, but for an alert that flaps the worst of it until it is calm."""
    changes, flapping, calm_since = alert.changes, alert.flapping, alert.calm_since
    if level != alert.level:
        changes = (*(at for at in changes if now - at < flap.within), now)[-flap.changes :]
        flapping = flapping or len(changes) >= flap.changes
        calm_since = now
    elif flapping and now - calm_since >= flap.calm:
        changes, flapping = (), False
    shown = max(alert.shown, level) if flapping else level
    return _episode(replace(alert, level=level, changes=changes, flapping=flapping, calm_since=calm_since), shown, now)


def _episode(alert: Alert, shown: Severity, now: float) -> Alert:
    """Count the change within its episode; from nothing to something opens a new one."""
    if shown == alert.shown:
        return alert
    if not alert.shown:
        return replace(alert, shown=shown, episode=max(alert.episode + 1, int(now)), seq=1, peak=shown, opened=now)
    return replace(alert, shown=shown, seq=alert.seq + 1, peak=max(alert.peak, shown))


def _events(
    account: str, rule: str, before: dict[str, Alert], after: dict[str, Alert], answer: Measured, now: float
) -> list[Event]:
    """What changed in what the world should be told; worst first."""
    readings = {reading.ccy: reading for reading in answer.readings}
    found = []
    for subject, alert in after.items():
        old = before.get(subject, _REST)
        if alert.shown != old.shown:
            found.append(_event(account, rule, subject, old, alert, readings.get(subject), now))
    return sorted(found, key=lambda event: -event.after)


def _event(account: str, rule: str, subject: str, old: Alert, new: Alert, reading: Reading | None, now: float) -> Event:
    value = None if reading is None or reading.value.is_nan() else reading.value
    cause = Cause.NOT_APPLICABLE if value is None else Cause.RECOVERED
    if old.shown and old.mark not in ("", new.mark):
        cause = Cause.RULE_CHANGED
    elif new.shown > old.shown:
        cause = Cause.BREACH
    elif old.flapping and not new.flapping:
        cause = Cause.CALM
    note = reading.note if reading else ""
    return Event(
        account,
        rule,
        subject,
        new.episode,
        new.seq,
        old.shown,
        new.shown,
        new.peak,
        now,
        new.opened,
        cause,
        value,
        note,
    )


def _blindness(blind: dict[str, Blind], measured: Mapping[str, Measured], now: float) -> dict[str, Blind]:
    """Since when each rule has missed a number; the very same dict if nothing changed.

    A rule that fails nearly always is blind too: one good answer among many bad ones does not end it.
    """
    moved = {
        name: _weighed(blind.get(name), answer.missing, now)
        for name, answer in measured.items()
        if answer.missing or name in blind
    }
    if not moved:
        return blind
    after = {name: found for name, found in {**blind, **moved}.items() if found.weight > 0}
    return blind if after == blind else after


def _weighed(before: Blind | None, missing: str, now: float) -> Blind:
    if before is None:
        return Blind(now, missing)
    weight = before.weight + 1 if missing else before.weight - GOOD_WEIGHT
    return replace(before, weight=min(weight, MOST_WEIGHT))


def adopt(account: str, rules: Iterable[Rule], alerts: Alerts, now: float) -> Step:
    """Fit remembered alerts to the rules as they are now: at start, or after a change of the file.

    Alerts move along with a rule that was renamed. One that has lost its rule, or that its rule is no longer about,
    is closed. All else waits for the next value: see `advance`. Episodes that are over keep their numbers.
    """
    mine = {rule.name: rule for rule in rules if rule.watches(account)}
    alerts = _renamed(mine, alerts)
    kept, events = dict(alerts.alerts), list[Event]()
    for name, subject, alert in alerts.each():
        if _busy(alert) and (name not in mine or not keeps(mine[name], subject, mine)):
            over = _over(alert, now)
            kept[name] = {**kept[name], subject: over}
            if alert.shown:
                event = _event(account, name, subject, alert, over, None, now)
                events.append(replace(event, cause=Cause.RULE_CHANGED if name in mine else Cause.RULE_REMOVED))
    blind = {name: since for name, since in alerts.blind.items() if name in mine}
    if kept == alerts.alerts and blind == alerts.blind:
        return Step(alerts)
    return Step(replace(alerts, alerts=kept, blind=blind), tuple(events))


def _renamed(rules: Mapping[str, Rule], alerts: Alerts) -> Alerts:
    """What is remembered under a rule's former name, under its new one; a rule of that name keeps its own."""
    names = renames(rules.values(), alerts)
    if not names:
        return alerts
    keys = {f"{old}/{s}": f"{new}/{s}" for old, new in names.items() for s in alerts.alerts.get(old, ())}
    moved = {new: {**alerts.alerts.get(new, {}), **alerts.alerts.get(old, {})} for old, new in names.items()}
    kept = {name: subjects for name, subjects in alerts.alerts.items() if name not in names} | moved
    for rule in rules.values():
        if rule.SEES_OUTAGE and rule.name in kept:  # its subjects are the names of rules
            kept[rule.name] = {names.get(subject, subject): alert for subject, alert in kept[rule.name].items()}
            keys |= {f"{rule.name}/{old}": f"{rule.name}/{new}" for old, new in names.items()}
    return replace(
        alerts,
        alerts=kept,
        blind={names.get(name, name): blind for name, blind in alerts.blind.items()},
        told={who: {keys.get(key, key): word for key, word in told.items()} for who, told in alerts.told.items()},
    )


def renames(rules: Iterable[Rule], alerts: Alerts) -> dict[str, str]:
    """The rules that have a new name and left something under the old one: new names by old ones."""
    names = {rule.name for rule in rules}
    return {
        rule.renamed_from: rule.name
        for rule in rules
        if rule.renamed_from
        and rule.renamed_from not in names
        and (rule.renamed_from in alerts.alerts or rule.renamed_from in alerts.blind)
        and not any(_busy(alert) for alert in alerts.alerts.get(rule.name, {}).values())
    }


def shifted(alerts: Alerts, seconds: float) -> Alerts:
    """The clock was set ahead by so much, and no time passed: what runs moves along."""
    moved = {r: {s: _shifted(alert, seconds) for s, alert in subjects.items()} for r, subjects in alerts.alerts.items()}
    told = {who: {k: replace(t, at=t.at + seconds) for k, t in keys.items()} for who, keys in alerts.told.items()}
    blind = {rule: replace(b, since=b.since + seconds) for rule, b in alerts.blind.items()}
    return replace(alerts, alerts=moved, told=told, blind=blind, seen=alerts.seen + seconds)


def _shifted(alert: Alert, by: float) -> Alert:
    moments = {name: at + by for name in ("fresh", "na_since", "calm_since") if (at := getattr(alert, name))}
    return replace(
        alert,
        up={severity: at + by for severity, at in alert.up.items()},
        down={severity: at + by for severity, at in alert.down.items()},
        changes=tuple(at + by for at in alert.changes),
        opened=alert.opened + by,
        **moments,
    )


def _busy(alert: Alert) -> bool:
    """Is it open, or on its way?"""
    return bool(alert.level or alert.shown or alert.up)


def _over(alert: Alert, now: float) -> Alert:
    """The alert without its rule: only the numbers of its last episode are kept."""
    rest = Alert(shown=alert.shown, episode=alert.episode, seq=alert.seq, peak=alert.peak, opened=alert.opened)
    return _episode(rest, Severity.OK, now)
