"""riskbot outbox: messages that wait, fail or were given up; and a person's hand on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from riskbot.cli import names, stored
from riskbot.cli.common import config_option, console, echo_json, fail, json_option

if TYPE_CHECKING:
    from rich.text import Text

    from riskbot.store import Message
    from riskbot.store.peek import Look

    Rows = list[tuple[str, Message]]
    Hand = Callable[[Path, list[str] | None, float], list[Message]]

AGAIN = "sent again"


@click.group("outbox", invoke_without_command=True)
@config_option
@click.option("--all", "everything", is_flag=True, help="Also what was sent, covered by a later message, or dropped.")
@json_option
@click.pass_context
def command(ctx: click.Context, path: Path, *, everything: bool, as_json: bool) -> None:
    """Show messages that wait, are in flight, fail or were given up, worst first.

    What was given up can be sent again at once (retry) or be let go (drop). No key is needed: of the rules file only
    [store] is looked at.

    Exit codes: 0 shown, 1 there is no database to read, 2 usage, or the rules file is wrong.
    """
    from riskbot.store.outbox import STANDING, STATES  # noqa: PLC0415 - see cli/__init__.py

    if ctx.invoked_subcommand:
        return
    found = stored.look_into(stored.database(path), STATES if everything else STANDING)
    _print(_worst_first(found.rows), found, as_json=as_json)


@command.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "everything", is_flag=True, help="All that were given up.")
@config_option
@json_option
@click.pass_context
def _retry(ctx: click.Context, path: Path, ids: tuple[str, ...], *, everything: bool, as_json: bool) -> None:
    """Send messages that were given up again, at once. ID: as `riskbot outbox` shows it, or a message's `#…` line.

    Exit codes: 0 done, 1 some could not be, 2 usage, no such message, or the rules file is wrong.
    """
    from riskbot.store.hand import retry  # noqa: PLC0415 - see cli/__init__.py

    db, seen, chosen = _chosen(_path(ctx, path), ids, everything=everything)
    _tell(seen, chosen, _by_hand(retry, db, None if everything else chosen), AGAIN, as_json=as_json)


@command.command("drop")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "everything", is_flag=True, help="All that were given up.")
@click.option("--yes", is_flag=True, help="Really. Without it, what would be dropped is shown.")
@config_option
@json_option
@click.pass_context
def _drop(ctx: click.Context, path: Path, ids: tuple[str, ...], *, everything: bool, yes: bool, as_json: bool) -> None:
    """Never tell messages that wait or were given up. ID: as `riskbot outbox` shows it, or a message's `#…` line.

    Exit codes: 0 done, 1 some could not be, 2 not done for want of --yes; usage, no such message, wrong rules file.
    """
    from riskbot.store.hand import drop  # noqa: PLC0415 - see cli/__init__.py

    db, seen, chosen = _chosen(_path(ctx, path), ids, everything=everything)
    would = [(state, m) for state, m in seen.rows if m.id in chosen and state in {"queued", "dead"}]
    if would and not yes:
        _print(_worst_first(would), seen, as_json=as_json)
        fail("Nothing was dropped. With --yes these are never told, nor what they cover.", 2)
    _tell(seen, chosen, _by_hand(drop, db, None if everything else chosen), "dropped", as_json=as_json)


def _path(ctx: click.Context, path: Path) -> Path:
    """--config may stand before or after the subcommand."""
    above = ctx.parent
    if above and ctx.get_parameter_source("path") is ParameterSource.DEFAULT:
        return Path(above.params["path"])
    return path


# Which messages are meant.


def _chosen(path: Path, ids: tuple[str, ...], *, everything: bool) -> tuple[Path, Look, list[str]]:
    """The database, what is in it, and the ids of the messages that were named."""
    from riskbot.store.outbox import STATES  # noqa: PLC0415 - see cli/__init__.py

    if everything == bool(ids):
        raise click.UsageError("Name messages by their ID, or give --all.")
    db = stored.database(path)
    seen = stored.look_into(db, STATES)
    if everything:
        return db, seen, [message.id for state, message in seen.rows if state == "dead"]
    shorts = {message.id: stored.short(message) for _, message in seen.rows}
    found = [names.meant(word, shorts, "message", "riskbot outbox --all") for word in ids]
    return db, seen, [message_id for several in found for message_id in several]


# What is done.


def _by_hand(hand: Hand, db: Path, ids: list[str] | None) -> list[Message]:
    with stored.trouble_told():
        return hand(db, ids, stored.now())


def _tell(seen: Look, chosen: Iterable[str], done: list[Message], word: str, *, as_json: bool) -> None:
    """What was done, and what was not and why."""
    states = {message.id: state for state, message in reversed(seen.rows)}
    if as_json:
        refs = names.refs(states)
        rows = [stored.as_row(states.get(m.id, "dead"), m, refs.get(m.id, "")) for m in done]
        echo_json(rows)
    else:
        for message in done:
            click.echo(stored.plain(f"{word}: {message.title} (to {message.receiver})"))
        click.echo(_outlook(seen.pid, word) if done else "Nothing was done.")
    undone = [message_id for message_id in dict.fromkeys(chosen) if message_id not in {m.id for m in done}]
    for message_id in undone:
        click.echo(stored.plain(f"not {word}: {message_id}: {_REASONS[states[message_id]]}"), err=True)
    if undone:
        raise SystemExit(1)


def _outlook(pid: int, word: str) -> str:
    if word != AGAIN:
        return "They are never told."
    return "riskbot takes them up within ten seconds." if pid else "riskbot is not running: it sends them when it does."


_REASONS = {
    "queued": "it waits, and is tried by itself",
    "sending": "it is being sent just now",
    "sent": "it was sent",
    "superseded": "a later message tells it too",
    "dead": "something newer about its alert waits and tells it too",
    "dropped": "it was dropped",
}


# For people.


def _worst_first(rows: Rows) -> Rows:
    """Given up, failing, waiting, then what is done; then the most urgent. Of equals the newest, as they come."""
    order = ("dead", "queued", "sending", "sent", "superseded", "dropped")
    return sorted(rows, key=lambda row: (order.index(row[0]), row[0] == "queued" and not row[1].tries, -row[1].urgency))


def _print(rows: Rows, seen: Look, *, as_json: bool) -> None:
    refs = names.refs(message.id for _, message in seen.rows)
    found = [stored.as_row(state, message, refs[message.id]) for state, message in rows]
    if as_json:
        echo_json(found)
    elif found:
        _show(found, seen.pid)
    else:
        console().print("Nothing waits, nothing was given up.", style="green")


def _show(rows: list[dict[str, Any]], pid: int) -> None:
    now = stored.now()
    head = ("id", "severity", "receiver", "state", "tries", "next", "message")
    stored.listing(head, [(_cells(row, now), _below(row)) for row in rows], pid)


def _cells(row: dict[str, Any], now: float) -> tuple[Text, ...]:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    word, _, title = row["title"].partition(" · ")  # the severity stands in a column of its own
    level = Text(word, "dim") if row["news"] and title else stored.badge(row["severity"])
    tries = str(row["tries"]) if row["tries"] else ""
    next_try = stored.due(row, now) if row["next_try"] is not None else ""
    rest = map(Text, (tries, next_try, title or word))
    return Text(row["ref"]), level, Text(row["receiver"]), _state(row), *rest


def _state(row: dict[str, Any]) -> Text:
    """`given up`, `failing`, `waits`."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    words = {"superseded": "covered", "dropped": "dropped"}
    return Text(
        "failing" if stored.fails(row) else words.get(row["state"], stored.STATES[row["state"]]), stored.style(row)
    )


def _below(row: dict[str, Any]) -> list[Text]:
    """Why the last try failed, if that still matters."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    matters = row["error"] and (row["state"] in {"sending", "dead"} or stored.fails(row))
    return [Text(row["error"], "red")] if matters else []
