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
        for block in blocks(found):
            if isinstance(block, str):
                self.say(block)
            else:
                self.grid(*_filled(*block))

    def say(self, line: str) -> None:
        """A line; a line break before it sets it apart."""
        if self._markdown:
            click.echo(f"{stored.plain(line.strip())}\n")
            return
        if line.startswith("\n"):
            self._out.print()
        self._out.print(stored.plain(line.strip()), markup=False, emoji=False, soft_wrap=True)

    def grid(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        if self._markdown:
            lines = [head, ["---"] * len(head), *rows]
            click.echo("\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines) + "\n")
            return
        from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

        found = table(*head)
        for row in rows:
            found.add_row(*(Text(stored.plain(cell), STYLES.get(cell.lower(), "")) for cell in row))
        self._out.print(found)


def _filled(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Without columns in which nothing stands."""
    kept = [i for i in range(len(head)) if any(row[i] != NOTHING for row in rows)]
    return [head[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _escaped(cell: str) -> str:
    return stored.plain(cell).replace("|", "\\|")


# ---------------------------------------------------------------- in words


Block = str | tuple[Sequence[str], Sequence[Sequence[str]]]
"""A line, or a table: its head and its rows."""


def blocks(found: dict[str, Any]) -> Iterator[Block]:
    """All that is shown, in order."""
    yield headline(found)
    if told := [_cells(rule) for rule in found["rules"] if rule["episodes"]]:
        yield head(found), told
    yield from silent(found)
    yield from remarks(found)
    yield from misses(found)
    yield from incidents(found)
    if "against" in found:
        yield from against(found)
    if "sweep" in found:
        yield from sweep(found["sweep"])


def headline(found: dict[str, Any]) -> str:
    """`crash: 20 min of main, 1,201 looks`."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    begin = f"{stored.moment(found['from']):%a %d %b %Y %H:%M:%S} UTC"
    lasted = span(found["to"] - found["from"])
    return f"{found['recording']}: {lasted} of {found['account']} from {begin}, {found['looks']:,} looks"


def head(found: dict[str, Any]) -> Sequence[str]:
    """Of the table of rules."""
    more = ("false alarms",) if "incidents" in found else ()
    return ("rule", "alerts", "worst", "time told", "messages", "flaps", "blind", *more)


def _cells(rule: dict[str, Any]) -> tuple[str, ...]:
    more = (str(rule["false_alarms"] or NOTHING),) if "false_alarms" in rule else ()
    return (
        rule["rule"],
        f"{rule['episodes']}{' (open)' if rule['open'] else ''}",
        rule["worst"].upper(),
        _times(rule["tiers"]),
        _counts(rule["messages"]),
        str(rule["flaps"] or NOTHING),
        _percent(rule["blind"]),
        *more,
    )


def silent(found: dict[str, Any]) -> Iterator[str]:
    """The rules that told of nothing, and those that never had a number."""
    quiet = [rule for rule in found["rules"] if not rule["episodes"]]
    for what, rules in (
        ("silent", [_named(rule) for rule in quiet if rule["data"]]),
        ("never had data", [rule["rule"] for rule in quiet if not rule["data"]]),
    ):
        if rules:
            yield f"{what}: {', '.join(rules)}"


def _named(rule: dict[str, Any]) -> str:
    return f"{rule['rule']} (blind {_percent(rule['blind'])})" if rule["blind"] else str(rule["rule"])


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


SENDS = "counted as if every receiver took every message; milder ones of one moment come together"


def _per_day(sent: dict[str, Any], found: dict[str, Any]) -> str:
    """`312, 44.6 a day, most on 2026-01-05: 120`."""
    if len(sent["days"]) < 2:
        return f"{sent['total']:,}"
    day, most = max(sent["days"].items(), key=lambda item: item[1])
    days = max(1.0, (found["to"] - found["from"]) / 86400)
    return f"{sent['total']:,}, {sent['total'] / days:.3g} a day, most on {day}: {most:,}"


def remarks(found: dict[str, Any]) -> Iterator[str]:
    """What stands below the table."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    for name, sent in found["messages"].items():
        yield f"messages to {name}: {_per_day(sent, found)}"
    yield SENDS if found["messages"] else "messages: none"
    if found["blind"]:
        yield f"nothing could be seen in {_percent(found['blind'])} of the time"
    if found["holes"]:
        yield f"nobody looked for {span(found['holes'])} in all"
    if found["left_out"]:
        yield f"left out, as it can't be read: {found['left_out']:,} lines or parts"


# ---------------------------------------------------------------- incidents, another file, a sweep


TIERS = ("info", "warning", "critical", "emergency")


def incidents(found: dict[str, Any]) -> Iterator[Block]:
    """Who told of each, and how long before; below it, where it differs, with the other rules."""
    for i, incident in enumerate(found.get("incidents", ())):
        how = "MISSED" if incident["missed"] else "told before"
        yield f"\n{incident['name']}, {_clock(incident['at'], found)}: {how}"
        others = found["against"]["incidents"][i]["leads"] if "against" in found else {}
        rows = list[Sequence[str]]()
        for rule in sorted({*incident["leads"], *others}):
            mine, other = incident["leads"].get(rule, {}), others.get(rule, {})
            rows.append((rule, *_leads(mine)))
            if "against" in found and mine != other:
                rows.append((f"  with {found['against']['rules']}", *_leads(other)))
        if rows:
            yield ("how long before", *TIERS), rows
    if "incidents" in found and not found["incidents"]:
        yield "\nno incident: it never came to that"


def _leads(lead: dict[str, float]) -> Iterator[str]:
    """Of each tier; one that was told together with a worse one is not mentioned."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    for i, tier in enumerate(TIERS):
        at = lead.get(tier)
        told = at is not None and at not in (lead.get(worse) for worse in TIERS[i + 1 :])
        yield span(at) if told and at is not None else NOTHING


def against(found: dict[str, Any]) -> Iterator[Block]:
    """`against current: 1 new alert, 2 gone, 1 earlier; messages to phone 15 → 12`."""
    other = found["against"]
    counts = [f"{other[what]} {what}" for what in ("new", "gone", "earlier", "later", "worse", "milder") if other[what]]
    sent = [f"messages to {name} {before} → {after}" for name, (before, after) in other["messages"].items()]
    yield f"\nagainst {other['rules']}: {', '.join(counts) or 'the same alerts'}; {', '.join(sent) or 'no messages'}"
    rows = [
        (row["what"], f"{row['rule']} {row['subject']}".rstrip(), _change(row), _clock(row["opened"], found))
        for row in other["episodes"]
    ]
    if rows:
        yield ("alert", "of", "how", "opened"), rows


def _change(row: dict[str, Any]) -> str:
    """`emergency 1 min 20 s earlier`; of tiers that moved together only the worst."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    if row["what"] in ("new", "gone"):
        return str(row["peak"]).upper()
    moved = {by: tier for tier, by in reversed(row["moved"].items())}
    words = [f"{tier} {span(abs(by))} {'earlier' if by < 0 else 'later'}" for by, tier in moved.items()]
    peak = [f"{row['peak_before'].upper()} → {row['peak'].upper()}"] if row["peak_before"] != row["peak"] else []
    return ", ".join(words + peak)


BAR = 24
"""Signs of the longest bar."""


def sweep(found: dict[str, Any]) -> Iterator[Block]:
    """A row for each value; the bars are messages."""
    yield f"\n{found['rule']}, {found['key']}:"
    most = max((row["messages"] for row in found["tried"]), default=0) or 1
    with_incidents = any("missed" in row for row in found["tried"])
    more = (f"lead of {found['tier']}", "missed", "false alarms") if with_incidents else ()
    rows = [(*_tried(row, most), *(_led(row) if with_incidents else ())) for row in found["tried"]]
    yield ("value", "alerts", "worst", "told for", "flaps", "messages", "", *more), rows


def _tried(row: dict[str, Any], most: int) -> tuple[str, ...]:
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    worst = row["worst"].upper() if row["episodes"] else NOTHING
    counts = (str(row["flaps"] or NOTHING), str(row["messages"]), "█" * round(BAR * row["messages"] / most))
    told = span(sum(row["tiers"].values())) if row["tiers"] else NOTHING
    return row["value"], str(row["episodes"] or NOTHING), worst, told, *counts


def _led(row: dict[str, Any]) -> tuple[str, ...]:
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    lead = NOTHING if row["lead"] is None else span(row["lead"])
    return lead, str(row["missed"] or NOTHING), str(row["false_alarms"] or NOTHING)


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
