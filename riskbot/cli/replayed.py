"""How a replay is shown: tables on the terminal, Markdown, JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import stored
from riskbot.cli.common import STYLES, console, echo_json, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from riskbot.store import Message

NOTHING = "-"


def show(form: str, found: dict[str, Any], messages: Sequence[Message] | None) -> None:
    """All of it. messages: those to be shown; None: none."""
    if form == "json":
        echo_json(found | ({} if messages is None else {"sent": [_as_row(message) for message in messages]}))
        return
    for message in messages or ():
        console().print(phone(f"{message.receiver} · {_clock(message.at, found)}", message.title, message.body))
    _Page(markdown=form == "md").show(found)


class _Page:
    """Prints lines and tables, for a terminal or as Markdown."""

    def __init__(self, *, markdown: bool) -> None:
        self._markdown, self._out = markdown, console()

    def show(self, found: dict[str, Any]) -> None:
        self.say(headline(found))
        self.grid(HEAD, [_cells(rule) for rule in found["rules"]])
        for line in (*remarks(found), *misses(found)):
            self.say(line)

    def say(self, line: str) -> None:
        if self._markdown:
            click.echo(f"{line}\n")
        else:
            self._out.print(stored.plain(line), markup=False, emoji=False, soft_wrap=True)

    def grid(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        if self._markdown:
            lines = [head, ["---"] * len(head), *rows]
            click.echo("\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines) + "\n")
            return
        from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

        found = table(*head)
        for row in rows:
            found.add_row(*(Text(stored.plain(cell)) for cell in row))
        self._out.print(found)


def _escaped(cell: str) -> str:
    return stored.plain(cell).replace("|", "\\|")


# ---------------------------------------------------------------- in words


def headline(found: dict[str, Any]) -> str:
    """`crash: 20 min of main, 1,201 looks`."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    begin = f"{stored.moment(found['from']):%a %d %b %Y %H:%M:%S} UTC"
    lasted = span(found["to"] - found["from"])
    return f"{found['recording']}: {lasted} of {found['account']} from {begin}, {found['looks']:,} looks"


HEAD = ("rule", "alerts", "worst", "time told", "messages", "flaps", "blind")


def _cells(rule: dict[str, Any]) -> tuple[str, ...]:
    return (
        rule["rule"],
        f"{rule['episodes']}{' (open)' if rule['open'] else ''}" if rule["episodes"] else NOTHING,
        rule["worst"].upper() if rule["episodes"] else NOTHING,
        _times(rule["tiers"]),
        _counts(rule["messages"]),
        str(rule["flaps"] or NOTHING),
        _percent(rule["blind"]) if rule["data"] else "no data",
    )


def _times(tiers: dict[str, float]) -> str:
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    return ", ".join(f"{name} {span(seconds)}" for name, seconds in tiers.items()) or NOTHING


def _counts(messages: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in messages.items()) or NOTHING


def _percent(share: float) -> str:
    if not share:
        return NOTHING
    return f"{share:.1%}" if share >= 0.001 else "< 0.1%"


NEAR = 0.5
"""The share of a tier within which something came near to it."""


def misses(found: dict[str, Any]) -> Iterator[str]:
    """`near miss: warning of equity melts, 4.2% off: adjEq fell 14.4 % in 10 min at 12:03:04`."""
    for rule in found["rules"]:
        near = rule["near"]
        if near and (near["met"] or (near["off"] is not None and near["off"] <= NEAR)):
            how = "not long enough" if near["met"] else f"{near['off']:.1%} off"
            yield f"near miss: {near['tier']} of {rule['rule']}, {how}: {near['said']} at {_clock(near['at'], found)}"


def _clock(at: float, found: dict[str, Any]) -> str:
    """The time, with the day if the recording has more than one."""
    then, first = stored.moment(at), stored.moment(found["from"])
    same = first.date() == stored.moment(found["to"]).date()
    return f"{then:%H:%M:%S}" if same else f"{then:%d %b %H:%M:%S}"


def remarks(found: dict[str, Any]) -> Iterator[str]:
    """What stands below the table."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    for name, sent in found["messages"].items():
        day, most = max(sent["days"].items(), key=lambda item: item[1])
        days = max(1.0, (found["to"] - found["from"]) / 86400)
        yield f"messages to {name}: {sent['total']:,}, {sent['total'] / days:.3g} a day, most on {day}: {most:,}"
    if not found["messages"]:
        yield "messages: none"
    if found["blind"]:
        yield f"nothing could be seen in {_percent(found['blind'])} of the time"
    if found["holes"]:
        yield f"nobody looked for {span(found['holes'])} in all"
    if found["left_out"]:
        yield f"left out, as it can't be read: {found['left_out']:,} lines or parts"


def phone(when: str, title: str, body: str) -> RenderableType:
    """A message as a phone shows it."""
    from rich.panel import Panel  # noqa: PLC0415 - see cli/__init__.py
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    style = STYLES.get(title.split(" ", 1)[0].lower(), STYLES["ok"])
    text = Text(title, style=style)
    text.append("\n" + body, style="default")
    return Panel(text, width=64, title=when, title_align="right", border_style=style.rpartition(" ")[2])


def _as_row(message: Message) -> dict[str, Any]:
    return {
        "at": message.at,
        "id": message.id,
        "receiver": message.receiver,
        "title": message.title,
        "body": message.body,
    }
