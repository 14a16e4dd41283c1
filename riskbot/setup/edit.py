"""Changing one value of a TOML file, and nothing else in it: comments, order and blanks stay as they are."""

from __future__ import annotations

import tomllib
from typing import Any

import tomli_w

from riskbot.lines import Lines

Loc = tuple[str | int, ...]


def put(text: str, table: Loc, key: str, value: Any) -> str:
    """The same file, where that table has this value under that key. A comment behind it keeps its column.

    Raises ValueError where that can't be done line by line.
    """
    lines, raw = Lines(text), text.encode()
    written = _line(key, value)
    if span := lines.span((*table, key)):
        if tomllib.loads(f"x = {raw[slice(*span)].decode()}")["x"] == value:
            return text
        new = written.partition(" = ")[2].encode()
        return (raw[: span[0]] + new + _moved(raw[span[1] :], len(new) - (span[1] - span[0]))).decode()
    at = lines.last(table)
    if at is None or not _has_header(text, lines.of(table)):
        raise ValueError(f"line {lines.of(table)}: add {written} there by hand")
    end = _line_end(raw, at)
    return (raw[:end] + f"\n{written}".encode() + raw[end:]).decode()


def take(text: str, table: Loc, key: str) -> str:
    """The same file without that key, and without its line. Raises ValueError as `put`."""
    lines, raw = Lines(text), text.encode()
    span = lines.span((*table, key))
    if span is None:
        return text
    if not _has_header(text, lines.of(table)):
        raise ValueError(f"line {lines.of(table)}: take {key} away there by hand")
    begin = raw.rfind(b"\n", 0, span[0]) + 1
    return (raw[:begin] + raw[_line_end(raw, span[1]) + 1 :]).decode()


def _line(key: str, value: Any) -> str:
    """A list of words stands on one line, as people write it."""
    line = tomli_w.dumps({key: [] if isinstance(value, list) else value}).rstrip("\n")
    words = [_line("x", item).removeprefix("x = ") for item in value] if isinstance(value, list) else []
    return f"{line.removesuffix(']')}{', '.join(words)}]" if words else line


def _moved(rest: bytes, by: int) -> bytes:
    """What follows a value that has grown by so many bytes, a comment in its old column if there is room."""
    blanks = len(rest) - len(rest.lstrip(b" "))
    return b" " * max(2, blanks - by) + rest[blanks:] if rest[blanks : blanks + 1] == b"#" else rest


def _line_end(raw: bytes, at: int) -> int:
    end = raw.find(b"\n", at)
    return len(raw) if end < 0 else end


def _has_header(text: str, line: int) -> bool:
    """Does the table begin with a [header] of its own, so that each of its keys has a line?"""
    return text.splitlines()[line - 1].lstrip().startswith("[")
