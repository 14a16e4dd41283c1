"""riskbot ack: somebody knows of an alert, so nobody needs to be reminded of it for a while."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import names, stored, times
from riskbot.cli.common import config_option, console, echo_json, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.text import Text

    from riskbot.model import Acknowledgement, Event, Quiet
    from riskbot.store.peek import Look

USUAL = 1800.0
"""Seconds that an acknowledgement lasts unless something else is said."""

_CHANGE = re.compile(r"\.\d+(r\d+)?$")
"""Which change or reminder of a course the `#…` line of a message is about."""


@click.command("ack")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "everything", is_flag=True, help="All that are open, of every account.")
@click.option(
    "--for", "lasting", metavar="TIME", callback=times.lasting, help="For how long: 45m, 2h; at most 24h; else 30m."
)
@config_option
@json_option
def command(path: Path, ids: tuple[str, ...], lasting: float | None, *, everything: bool, as_json: bool) -> None:
    """Acknowledge open alerts: no reminders for a while, unless one gets worse than it is now.

    All other news of them is told: that they get worse, ease, or end. ID: as `riskbot alerts` shows it, or a message's
    `#…` line, in quotes. Without any, what is acknowledged is listed. A second word about an alert replaces the
    first, so --for 1s takes it back.

    Exit codes: 0 done or listed, 1 the database can't be used, 2 usage, no such open alert, or the rules file is
    wrong.
    """
    if (everything and ids) or (lasting is not None and not everything and not ids):
        raise click.UsageError("Name alerts by their ID, or give --all.")
    db = stored.database(path)
    seen, now = stored.look_into(db, ()), stored.now()
    opened = stored.open_alerts(seen, now)
    if not everything and not ids:
        _list(seen, seen.quiet.at(now).acks, opened, now, as_json=as_json)
        return
    acks = [_ack(event, now + (lasting or USUAL)) for event in (opened if everything else _chosen(ids, opened))]
    if acks:
        stored.quieten(db, lambda quiet: _with(quiet, acks))
    _tell(seen, acks, opened, now, as_json=as_json)


# Which alerts are meant.


def _chosen(words: Iterable[str], opened: list[Event]) -> list[Event]:
    """Those that were named, each once."""
    from riskbot.text import short_id  # noqa: PLC0415 - see cli/__init__.py

    shorts = {stored.id_of(event): short_id(event) for event in opened}
    ids = {a for word in words for a in names.meant(word, shorts, "open alert", "riskbot alerts", _course)}
    return [event for event in opened if stored.id_of(event) in ids]


def _course(name: str) -> str:
    """Any message of a course names its alert."""
    return _CHANGE.sub("", name.rstrip())


# What is done.


def _ack(event: Event, until: float) -> Acknowledgement:
    from riskbot.model import Acknowledgement  # noqa: PLC0415 - see cli/__init__.py

    return Acknowledgement(event.account, event.rule, event.subject, event.episode, event.after, until, event.peak)


def _with(quiet: Quiet, acks: list[Acknowledgement]) -> Quiet:
    """A newer word about an alert replaces an older one."""
    from msgspec.structs import replace  # noqa: PLC0415 - see cli/__init__.py

    renewed = {_id(ack) for ack in acks}
    return replace(quiet, acks=(*(ack for ack in quiet.acks if _id(ack) not in renewed), *acks))


def _id(ack: Acknowledgement) -> str:
    return stored.alert_id(ack.account, ack.rule, ack.subject, ack.episode)


def _rows(acks: Iterable[Acknowledgement], opened: list[Event]) -> list[dict[str, Any]]:
    """For machines. state: `quiet`, `worse` (reminders go on) or `over`."""
    by_id = {stored.id_of(event): event for event in opened}
    return [_row(ack, by_id.get(_id(ack))) for ack in acks]


def _row(ack: Acknowledgement, event: Event | None) -> dict[str, Any]:
    return {
        "id": _id(ack),
        "account": ack.account,
        "rule": ack.rule,
        "subject": ack.subject,
        "severity": ack.level.label,
        "until": ack.until,
        "state": "over" if event is None else "quiet" if ack.quiets(event) else "worse",
    }


# For people.


def _tell(seen: Look, acks: list[Acknowledgement], opened: list[Event], now: float, *, as_json: bool) -> None:
    """What is quiet until when."""
    rows = _rows(acks, opened)
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        when = stored.until(row["until"], now)
        click.echo(stored.plain(f"{stored.headline(row)}: no reminders {when}, unless it gets worse"))
    click.echo(stored.taken_up(seen.pid) if rows else "No alert is open.")


def _list(seen: Look, acks: Iterable[Acknowledgement], opened: list[Event], now: float, *, as_json: bool) -> None:
    rows = _rows(sorted(acks, key=lambda ack: ack.until), opened)
    if as_json:
        echo_json(rows)
    elif rows:
        refs = names.refs({row["id"] for row in rows} | {stored.id_of(event) for event in opened})
        head = ("id", "severity", "account", "alert", "acknowledged", "reminders")
        stored.listing(head, [(_cells(row, refs[row["id"]], now), ()) for row in rows], seen.pid)
    else:
        console().print("No alert is acknowledged.", style="green")


def _cells(row: dict[str, Any], ref: str, now: float) -> tuple[Text, ...]:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    state, style = _STATES[row["state"]]
    rest = map(Text, (row["account"], stored.named(row), stored.until(row["until"], now)))
    return Text(ref), stored.badge(row["severity"]), *rest, Text(state, style)


_STATES = {
    "quiet": ("none until then", ""),
    "worse": ("go on: it got worse", "yellow"),
    "over": ("none: it is over", "dim"),
}
"""What becomes of the reminders, and how that looks."""
