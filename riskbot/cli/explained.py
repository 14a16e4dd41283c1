"""What `riskbot explain` shows to people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from riskbot.cli import stored
from riskbot.cli.common import console

if TYPE_CHECKING:
    from rich.text import Text

MOST_SHOWN = 5
"""Subjects of a rule that are shown, unless one is asked for; the worst first."""

Line = tuple[str, str, str]
"""Head, words and style."""


def show(rows: Sequence[dict[str, Any]], at: float, pid: int, *, past: bool) -> None:
    """All of it. at: the moment that was asked about. pid: of the riskbot that runs, 0: none."""
    out = console()
    for i, row in enumerate(rows[:MOST_SHOWN]):
        out.print(*([""] if i else []), _title(row, at), _section(row, at), sep="\n")
    if rest := rows[MOST_SHOWN:]:
        out.print(f"\n{len(rest)} more: {', '.join(stored.plain(row['subject']) for row in rest)}; --ccy shows one.")
    if not past:
        stored.not_running(out, pid)


def _title(row: dict[str, Any], at: float) -> Text:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.text import clock, span  # noqa: PLC0415 - see cli/__init__.py

    name = f" {row['account']} · {row['rule']} {row['subject']}".rstrip()
    if row["severity"] == "ok":
        return Text.assemble(Text("QUIET", "green"), stored.plain(name))
    lasts = f", since {clock(row['since'])} ({span(max(0.0, at - row['since']))}), peak {row['peak']}"
    return Text.assemble(stored.badge(row["severity"]), stored.plain(name + lasts))


def _section(row: dict[str, Any], at: float) -> Any:
    from rich.table import Table  # noqa: PLC0415 - see `console`
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    drawn = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
    for head, words, style in _lines(row, at):
        drawn.add_row(Text(stored.plain(head), "dim"), Text(stored.plain(words), style))
    return drawn


def _lines(row: dict[str, Any], at: float) -> Iterator[Line]:
    yield "value", _value(row, at), ""
    yield from _doubts(row, at)
    for tier in row["tiers"]:
        yield tier["severity"], _tier(tier, row, at), "yellow" if tier["met"] else ""
    yield from _timers(row, at)
    for receiver in row["receivers"]:
        yield from _told(receiver, row, at)


def _value(row: dict[str, Any], at: float) -> str:
    """`4 (as of 20:01:02 UTC, 3 s before)`."""
    found = f"{_amount(row['value'], row)}  {row['note']}".rstrip() if row["value"] is not None else row["note"]
    return f"{found}  (as of {_when(row['as_of'], at)})" if row["as_of"] else f"{found}  (not seen yet)"


def _doubts(row: dict[str, Any], at: float) -> Iterator[Line]:
    if row["blind"]:
        yield "blind", f"since {_when(row['blind']['since'], at)}: {row['blind']['why']}", "red"
    if row["trouble"]:
        yield "journal", row["trouble"], "red"
    if row["rule_changed"]:
        yield "rule", "the file has it otherwise by now; this is as it was in force", "yellow"


def _when(moment: float, at: float) -> str:
    """`20:01:02 UTC, 3 s before`."""
    from riskbot.text import clock, span  # noqa: PLC0415 - see cli/__init__.py

    return f"{clock(moment)}, {span(max(0.0, at - moment))} before"


def _tier(tier: dict[str, Any], row: dict[str, Any], at: float) -> str:
    """`5: met since 20:01:02 UTC; left beyond 5.25 for 30 s`, `3: not met, 1.2 away (28.6 % of the value)`."""
    from riskbot.text import clock, percent  # noqa: PLC0415 - see cli/__init__.py

    name = "" if row["unit"] == "severity" else f"{_amount(tier['enter'], row)}: "
    beyond = "" if row["unit"] == "severity" else f" beyond {_amount(tier['exit'], row)}"
    if tier["met"] is None:
        return f"{name}nobody knows"
    if tier["met"]:
        since = f" since {clock(tier['met_since'])}" if tier["met_since"] else ""
        return f"{name}met{since}{_rises(tier, at)}; left{beyond}{_for(tier)}"
    share = f" ({percent(Decimal(str(tier['share'])))} of the value)" if tier["share"] is not None else ""
    away = f", {_amount(tier['away'], row)} away{share}" if tier["away"] is not None else ""
    held = f"; held until it is left{beyond}{_for(tier)}" if tier["held"] else ""
    return f"{name}not met{away}{held}{_falls(tier, at)}"


def _for(tier: dict[str, Any]) -> str:
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    return f" for {span(tier['keep_firing_for'])}" if tier["keep_firing_for"] >= 1 else ""


def _rises(tier: dict[str, Any], at: float) -> str:
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    if tier["rises_at"] is None or tier["rises_at"] <= at:
        return ""
    return f", told in {span(tier['rises_at'] - at)} if that lasts"


def _falls(tier: dict[str, Any], at: float) -> str:
    from riskbot.text import clock, span  # noqa: PLC0415 - see cli/__init__.py

    if tier["left_since"] is None:
        return ""
    due = f"in {span(tier['falls_at'] - at)}" if tier["falls_at"] > at else "with the next look"
    return f"; left since {clock(tier['left_since'])}, falls {due} if that lasts"


def _timers(row: dict[str, Any], at: float) -> Iterator[Line]:
    from riskbot.text import clock  # noqa: PLC0415 - see cli/__init__.py

    if row["flapping"]:
        yield "flapping", f"rises are told, falls wait: calm at {clock(row['calm_at'])} if nothing moves", "yellow"
    if row["not_applicable_since"]:
        gone, ends = clock(row["not_applicable_since"]), clock(row["ends_at"])
        yield "ending", f"does not apply since {gone}; ends at {ends} if that lasts", ""
    if row["ended"]:
        yield "before", f"{row['peak']} at worst, {clock(row['since'])} until {_when(row['ended'], at)}", ""
    if row["acknowledged"] is not None:
        yield "acknowledged", stored.until(row["acknowledged"], at), "cyan"
    if row["silenced"] is not None:
        why = f": {row['silenced_why']}" if row["silenced_why"] else ""
        yield "silenced", f"up to {row['silenced_up_to']}, {stored.until(row['silenced'], at)}{why}", "cyan"


def _amount(value: str, row: dict[str, Any]) -> str:
    from riskbot.model import Severity  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup.tiers import amount  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.text import number, span  # noqa: PLC0415 - see cli/__init__.py

    found, unit = Decimal(value), row["unit"]
    if unit == "severity":
        return Severity(int(found)).label
    if unit == "s":
        return span(float(found))
    return amount(found, unit) if len(value) <= 6 else f"{'$' if unit == 'USD' else ''}{number(found)}"


def _told(receiver: dict[str, Any], row: dict[str, Any], at: float) -> Iterator[Line]:
    """What a receiver hears, then each of its messages with each try."""
    from riskbot.text import clock  # noqa: PLC0415 - see cli/__init__.py

    fallback = f"; else {', '.join(receiver['fallback'])}" if receiver["fallback"] else ""
    instead = f"; here in place of {receiver['in_place_of']}" if receiver["in_place_of"] else ""
    yield receiver["receiver"], f"{_route(receiver, row)}{fallback}{instead}", ""
    for message in receiver["messages"]:
        yield "", f"{clock(message['at'])} {message['title']}: {stored.standing(message, at)}", stored.style(message)
        for attempt in message["attempts"]:
            why = f": {attempt['why']}" if attempt["why"] else ""
            yield "", f"  {clock(attempt['at'])} {attempt['outcome']}{why}", "dim"


def _route(receiver: dict[str, Any], row: dict[str, Any]) -> str:
    from riskbot.model import Severity  # noqa: PLC0415 - see cli/__init__.py

    if not receiver["told"]:
        return "is not among the rule's receivers"
    worst = max(Severity[tier["severity"].upper()] for tier in row["tiers"])
    if worst < Severity[receiver["from"].upper()]:
        return f"hears of {receiver['from']} and worse only: nothing of this rule"
    return f"hears of {receiver['from']} and worse"
