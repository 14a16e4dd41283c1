"""One line for each thing and how it is: what `status`, `check` and `notify` show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from riskbot.cli import stored
from riskbot.cli.common import STYLES, console, table

if TYPE_CHECKING:
    from rich.text import Text

WRONG, WARNING, ALERT, OK = "wrong", "warning", "alert", "ok"
"""wrong: it can't do its work. warning: it can, but look. alert: it does, and has something to say. Worst first."""

_LOOKS = {WRONG: "bold red", WARNING: "yellow", ALERT: "yellow", OK: STYLES["ok"]}
_ALONE = {"riskbot", "store", "file"}
"""Kinds of which there is one: their names say it all."""


def thing(kind: str, name: str, state: str, says: str, **facts: Any) -> dict[str, Any]:
    """As machines get it."""
    return {"kind": kind, "name": name, "state": state, "says": says, **facts}


def worst_first(things: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sorted by state; as they were within each."""
    return sorted(things, key=lambda found: list(_LOOKS).index(found["state"]))


def show(things: Iterable[dict[str, Any]]) -> None:
    """As people get it."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    drawn = table("", "", "")
    drawn.show_header = False
    for found in things:
        name = found["name"] if found["kind"] in _ALONE else f"{found['kind']} {found['name']}"
        drawn.add_row(_state(found["state"]), Text(stored.plain(name), "bold"), _said(found["says"]))
    console().print(drawn)


def _state(state: str) -> Text:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    return Text(state.upper() if state == WRONG else state, _LOOKS[state])


def _said(words: str) -> Text:
    """With each severity in its colour."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    said = Text(stored.plain(words))
    for word in ("info", "warning", "critical", "emergency"):
        said.highlight_words([word, word.upper()], STYLES[word])
    return said
