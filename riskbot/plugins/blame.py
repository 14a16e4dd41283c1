"""What is wrong with a plugin, and at which of its lines, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from msgspec import Struct

from riskbot import text

LONGEST = 200
"""Characters of a reason."""


class Trouble(Struct, frozen=True):
    """What is wrong with a plugin. plugin: its name. where: `plugins/mine.py:12`."""

    plugin: str
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


class Refused(Exception):  # noqa: N818 - reads as what happened to it
    """A plugin can't be used."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(why)
        self.where, self.why = where, why


def line_of(function: Callable[..., Any], file: str) -> str:
    """Where a function of the plugin stands."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else file


def raised(error: BaseException, file: str) -> Refused:
    """What a plugin raised, with the last line of its file that was on the way there, or else the very last."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return Refused(f"{file}:{error.lineno or 1}", f"not valid Python: {error.msg}")
    frames = list(_frames(error.__traceback__))
    own = [frame for frame in frames if frame[0] == file] or frames
    return Refused(f"{own[-1][0]}:{own[-1][1]}", in_words(error))


def in_words(error: BaseException) -> str:
    """`KeyError: 'liab'`, on one line that can be printed, saved and sent."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 - a plugin's error may fail at its own words
        words = "?"
    return f"{type(error).__name__}: {text.one_line(text.cut(words, LONGEST))}".removesuffix(": ")


def _frames(frame: TracebackType | None) -> Iterator[tuple[str, int]]:
    """File and line, outermost first. One that was raised has at least the line that called the plugin."""
    while frame:
        yield frame.tb_frame.f_code.co_filename, frame.tb_lineno
        frame = frame.tb_next
