"""riskbot fields: what OKX says of an account, as rules name it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import click

from riskbot.cli.common import console, echo_json, fail, json_option, table


@click.command("fields")
@click.argument("pattern", required=False)
@json_option
def command(pattern: str | None, *, as_json: bool) -> None:
    """Show the fields of OKX that rules can name, or those like PATTERN: liab, 'details.*', usd.

    A field of a currency begins with details. Danger: the direction in which it gets worse.

    Exit codes: 0 shown, 2 no field is like that.
    """
    from riskbot.snapshot import field_paths  # noqa: PLC0415 - see cli/__init__.py

    rows = [_row(path) for path in field_paths() if pattern is None or _is_like(path, pattern)]
    if not rows:
        _fail(str(pattern))
    if as_json:
        echo_json(rows)
    else:
        _show(rows)


def _is_like(path: str, pattern: str) -> bool:
    """A part of its name, or a pattern with *."""
    words = pattern.lower()
    return fnmatchcase(path.lower(), words if set(words) & set("*?[") else f"*{words}*")


def _fail(pattern: str) -> None:
    from riskbot.rules import suggest  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.snapshot import field_paths  # noqa: PLC0415 - see cli/__init__.py

    fail(f"OKX has no field like {pattern!r}{suggest(pattern, field_paths())}", 2)


def _row(path: str) -> dict[str, Any]:
    from riskbot.snapshot import MODES, field  # noqa: PLC0415 - see cli/__init__.py

    found = field(path)
    return {
        "field": path,
        "level": "currency" if path.startswith("details.") else "account",
        "type": type(found).__name__.lower(),
        "unit": found.unit,
        "danger": {"above": "rises", "below": "falls"}.get(found.worse, ""),
        "modes": {mode: MODES[mode] for mode in found.modes},
        "meaning": found.__doc__,
    }


_TYPES = {"flag": "true or false", "word": "a word", "time": "a moment"}
"""What stands in place of a unit where there is no number."""


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.snapshot import MODES  # noqa: PLC0415 - see cli/__init__.py

    lines = table("field", "unit", "danger", "modes", "meaning")
    for row in rows:
        modes = "all" if len(row["modes"]) == len(MODES) else " ".join(row["modes"])
        unit = row["unit"] or _TYPES.get(row["type"], "")
        lines.add_row(*map(Text, (row["field"], unit, row["danger"], modes, row["meaning"])))
    out = console()
    out.print(lines)
    if any(len(row["modes"]) < len(MODES) for row in rows):
        out.print(f"\nmodes: {', '.join(f'{mode} {name}' for mode, name in MODES.items())}")
