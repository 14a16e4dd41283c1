"""riskbot status: is all well? One line for each thing, worst first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import stored
from riskbot.cli.common import config_option, echo_json, json_option
from riskbot.cli.things import ALERT, OK, WRONG, show, thing, worst_first

if TYPE_CHECKING:
    from riskbot.model import Alerts
    from riskbot.store import Message
    from riskbot.store.peek import Look

LAG = 25.0
"""Seconds by which the database is behind: it is told every ten when an account was last seen."""


@click.command("status")
@config_option
@json_option
def command(path: Path, *, as_json: bool) -> None:
    """Show whether all is well: riskbot itself, each account, each receiver, the store.

    No key is needed: of the rules file only [store] and the names are looked at.

    Wrong is what keeps riskbot from its work: it does not run, an account is blind, a receiver fails, a message was
    given up, the store fails. An open alert is not.

    Exit codes: 0 all is well, 1 something is wrong, 2 usage, or the rules file is wrong.
    """
    from riskbot.store.outbox import STATES  # noqa: PLC0415 - see cli/__init__.py

    db = stored.database(path)
    seen, file, now = stored.look_into(db, STATES), stored.document(path), stored.now()
    found = [
        _itself(seen),
        *_accounts(seen, file, now),
        *_receivers(seen, file, now),
        *_own(seen, now),
        *_hidden(seen, now),
        _store(seen, db),
    ]
    things = worst_first(found)
    well = all(one["state"] != WRONG for one in things)
    if as_json:
        echo_json({"well": well, "pid": seen.pid, "things": things})
    else:
        show(things)
    raise SystemExit(0 if well else 1)


def _itself(seen: Look) -> dict[str, Any]:
    if not seen.pid:
        return thing("riskbot", "riskbot", WRONG, "not running: nothing is watched, nothing is sent")
    return thing("riskbot", "riskbot", OK, f"running, process {seen.pid}")


def _ago(at: float, now: float) -> str:
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    return f"{span(now - at)} ago"


def _hidden(seen: Look, now: float) -> Iterator[dict[str, Any]]:
    """That somebody asked not to be told of something, lest it be forgotten."""
    from riskbot.text import clock  # noqa: PLC0415 - see cli/__init__.py

    for silence in seen.quiet.at(now).silences:
        says = f"hides {silence.rule} up to {silence.most.label} until {clock(silence.until)}"
        yield thing("silence", silence.rule, ALERT, says, until=silence.until)


# Accounts.


def _accounts(seen: Look, file: dict[str, Any], now: float) -> Iterator[dict[str, Any]]:
    """Those of the file; if it has none that can be read, those of the database."""
    from riskbot.model import Alerts  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import SELF  # noqa: PLC0415 - see cli/__init__.py

    known = stored.accounts_in(file) or dict.fromkeys((name for name in seen.alerts if name != SELF), 1.0)
    for name, every in known.items():
        alerts = seen.alerts.get(name, Alerts())
        at = max(seen.seen.get(name, 0.0), alerts.seen if name in seen.seen else 0.0)
        yield _account(name, alerts, at, now, blind=now - at > max(5.0, 3 * every) + LAG)


def _account(name: str, alerts: Alerts, at: float, now: float, *, blind: bool) -> dict[str, Any]:
    worst, count = _worst(alerts, now)
    words = [f"{'blind: last seen' if blind else 'seen'} {_ago(at, now)}" if at else "never seen"]
    words += [f'rule "{rule}" has no data: {b.why}' for rule, b in alerts.blind.items()]
    words += [worst + (f" and {count - 1} more" if count > 1 else "")] if count else ["no alert"]
    state = WRONG if blind or alerts.blind else ALERT if count else OK
    facts = {"seen": at or None, "blind": blind, "blind_rules": list(alerts.blind), "open": count}
    return thing("account", name, state, "; ".join(words), **facts)


def _worst(alerts: Alerts, now: float) -> tuple[str, int]:
    """`CRITICAL margin ratio for 5 min`, and how many are open."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    found = [(alert, f"{rule} {subject}".rstrip()) for rule, subject, alert in alerts.each() if alert.shown]
    found.sort(key=lambda pair: (-pair[0].shown, pair[0].opened))
    if not found:
        return "", 0
    alert, name = found[0]
    return f"{alert.shown.name} {name} for {span(now - alert.opened)}", len(found)


# Receivers.


def _receivers(seen: Look, file: dict[str, Any], now: float) -> Iterator[dict[str, Any]]:
    """Those of the file, and any others to whom something is still owed."""
    rows: dict[str, list[tuple[str, Message]]] = {name: [] for name in stored.receivers_in(file)}
    in_file = set(rows)
    for state, message in seen.rows:
        if message.receiver in rows or not in_file or state in {"queued", "sending", "dead"}:
            rows.setdefault(message.receiver, []).append((state, message))
    own = {subject: (since, why) for subject, since, why in _troubles(seen)}
    for name, mine in rows.items():
        yield _receiver(name, mine, own, now, gone=bool(in_file) and name not in in_file)


def _receiver(
    name: str, rows: list[tuple[str, Message]], own: dict[str, tuple[float, str]], now: float, *, gone: bool
) -> dict[str, Any]:
    from riskbot.delivery import about_receiver  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    states = [state for state, _ in rows]
    waiting, dead = states.count("queued") + states.count("sending"), states.count("dead")
    since, why = _failing(rows) or own.get(about_receiver(name), (0.0, ""))
    last = max((a.at for state, m in rows if state == "sent" for a in m.attempts if a.outcome == "sent"), default=0.0)
    words = [f"failing for {span(now - since)}: {why or 'see its log'}"] if since else []
    words += [f"{dead} given up, see riskbot outbox"] if dead else []
    words = words or ["works" if last else "nothing was sent to it yet"]
    words += [f"{waiting} wait{'s' if waiting == 1 else ''}"] if waiting else []
    words += [f"last delivered {_ago(last, now)}"] if last else []
    words += ["not in the rules file any more"] if gone else []
    facts = {"failing_since": since or None, "why": why, "waiting": waiting, "dead": dead, "delivered": last or None}
    return thing("receiver", name, WRONG if since or dead else OK, "; ".join(words), **facts)


def _failing(rows: list[tuple[str, Message]]) -> tuple[float, str] | None:
    """Since when its messages fail, and why the newest try did."""
    failing = [m for state, m in rows if state in {"queued", "sending"} and m.tries]
    if not failing:
        return None
    tried = [a for m in failing for a in m.attempts if a.outcome in {"failed", "ambiguous"}]
    newest = max(tried, key=lambda a: a.at, default=None)
    return min((a.at for a in tried), default=failing[-1].at), newest.why if newest else failing[0].error


# riskbot's own alerts, and the store.


def _troubles(seen: Look) -> Iterator[tuple[str, float, str]]:
    """What riskbot has found to fail in itself: what, since when, why."""
    from riskbot.model import Alerts  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import SELF  # noqa: PLC0415 - see cli/__init__.py

    notes = {(e.rule, e.subject): e.note for e in seen.events if e.account == SELF}
    for rule, subject, alert in seen.alerts.get(SELF, Alerts()).each():
        if alert.shown:
            yield subject, alert.opened, notes.get((rule, subject), "")


def _own(seen: Look, now: float) -> Iterator[dict[str, Any]]:
    """All but receivers, which have lines of their own, and the store, which has too."""
    from riskbot.delivery import about_receiver  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.health import STORE  # noqa: PLC0415 - see cli/__init__.py

    for subject, since, why in _troubles(seen):
        if subject != STORE and not subject.startswith(about_receiver("")):
            yield thing("riskbot", subject, WRONG, f"since {_ago(since, now)}: {why}", since=since, why=why)


def _store(seen: Look, db: Path) -> dict[str, Any]:
    from riskbot.health import STORE  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store.sqlite_file import size  # noqa: PLC0415 - see cli/__init__.py

    used = size(db)
    trouble = next((why for subject, _, why in _troubles(seen) if subject == STORE), None)
    says = f"{db}, {used / 1e6:.1f} MB" if trouble is None else f"failing: {trouble}"
    return thing("store", "store", OK if trouble is None else WRONG, says, path=str(db), bytes=used)
