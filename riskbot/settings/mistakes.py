"""Saying what is wrong with a rules file, where, and what to write instead; never with a value that may be secret."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from riskbot.rules import parse_duration, suggest
from riskbot.settings.cases import Case, Cases, Do, Expect, Never, Suite
from riskbot.settings.model import (
    AccountSettings,
    DailySettings,
    File,
    HeartbeatSettings,
    Loc,
    Problem,
    ReceiverSettings,
    StartSettings,
    StoreSettings,
    WebSettings,
    texts,
)
from riskbot.snapshot import field_paths
from riskbot.text import span

SYNTAX = (
    ("Invalid value", 'this is no value: texts stand in "quotes", such as "main", "90s" or "10%"'),
    ("Expected newline", 'the value goes on too long: texts stand in "quotes", such as "90s" or "10%"'),
    ("Unclosed inline table", 'expected , or } on this line: texts stand in "quotes", such as "10%"'),
    ("Unclosed array", "expected , or ]"),
    ("Expected '='", "expected key = value"),
    ("Illegal character '\\n'", 'the text is not closed: a " is missing at its end'),
    ("Expected \"'", 'the text is not closed: a \' or """ is missing at its end'),
    ("Unterminated string", 'the text is not closed: a \' or """ is missing at its end'),
    ("Unescaped '\\'", r"in a text, write \\ for \ "),
    ("Cannot overwrite", "this key stands here twice: take one away"),
    ("Duplicate inline", "a key stands here twice: take one away"),
    ("Cannot declare", "this section stands here twice: take one away, or give it another name"),
    ("Expected ']", "the section's ] is missing"),
    ("Invalid statement", "expected [section] or key = value"),
)
"""How tomllib begins to say it, and how a trader understands it."""

HEADERS = {
    "accounts": "[[accounts]]",
    "rules": "[[rules]]",
    "receivers": "[receivers.NAME]",
    "store": "[store]",
    "web": "[web]",
    "heartbeat": "[heartbeat]",
    "start": "[start]",
    "daily": "[daily]",
    "suite": "[suite]",
    "cases": "[[cases]]",
}
"""How the sections of a file are written."""

_SHAPES = ("tuple_type", "dict_type", "model_type")

_PLAIN = {
    "string_type": 'write a text in "quotes"',
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "tuple_type": 'write a list: {key} = ["…", "…"]',
    "dict_type": "write {example}",
    "string_too_short": "is empty",
    "too_short": "is empty",
    "string_too_long": "write at most {max_length} characters",
    "greater_than_equal": "write at least {ge}",
    "less_than_equal": "write at most {le}",
}
"""pydantic's error types in words that say what to write."""


def explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """What pydantic found, as a trader reads it; never with the value, which may be a secret."""
    loc, kind = detail["loc"], detail["type"]
    key = next((part for part in reversed(loc) if isinstance(part, str)), "")
    section = _section(model, loc[:-1])
    if issubclass(model, Cases) and kind in _SHAPES and _is_table(loc):
        return f"{loc[0]}: write {HEADERS[str(loc[0])]} and its keys below it"
    if kind == "extra_forbidden" and key in File.model_fields.keys() - HEADERS.keys():
        return f"{key}: belongs at the top of the file, above the first [section]"
    if kind == "extra_forbidden":
        keys = [field.alias or name for name, field in section.model_fields.items()]
        return unknown_key(key, keys)
    if kind == "missing":
        return f"{key} is missing: write {key} = {_example(section, key)}"
    if kind == "literal_error":
        return _explain_word(detail, key)
    message = _plain(detail, section, key)
    return f"{key}: {message}" if loc else message


def _is_table(loc: tuple[str | int, ...]) -> bool:
    """Is it a section of a file, or one of many such?"""
    section = str(loc[0])
    return len(loc) <= (1 if HEADERS.get(section) == f"[{section}]" else 2) and section in HEADERS


def _plain(detail: ErrorDetails, section: type[BaseModel], key: str) -> str:
    if section is Case and detail["type"] in _SHAPES and ("cases", key) in _SECTIONS:
        return f"write [[cases.{key}]] and its keys below it, or {key} = [{{ … }}]"
    words = _PLAIN.get(detail["type"])
    if words is None:
        known = {*field_paths(), *section.model_fields}
        return _without_values(detail["msg"].removeprefix("Value error, "), detail["input"], known)
    limits = detail.get("ctx", {})
    if _is_duration(section, key):
        limits = {name: f"{value:g} s" if value < 60 else span(value) for name, value in limits.items()}
    return words.format(key=key, example=_example(section, key), **limits)


def _without_values(message: str, value: Any, known: Collection[str]) -> str:
    """A rule's own words, without what stood in the file, unless that is (nearly) a word that is known."""
    if "did you mean" in message:
        return message
    for word in texts(value):
        if len(word) >= 6 and word not in known:
            message = message.replace(word, "…")
    return message


def _explain_word(detail: ErrorDetails, key: str) -> str:
    """A word that is none of the few that are known. It is not repeated, only what it may have been meant for."""
    options = re.findall(r"'([^']*)'", detail["msg"])
    if not options:
        return f"{key}: can't be switched off: take this line away"
    what = "unknown severity" if key == "[key]" else f"{key}: unknown value"
    return f"{what}{suggest(str(detail['input']), options) or ';'} one of {', '.join(options)}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """A key that nobody asked for. It is repeated: what stands left of the = is no secret."""
    known = list(known)
    return f'unknown key "{key}"' + (suggest(key, known) or f"; known are {', '.join(known)}")


def no_such(what: str, word: object, known: Iterable[str]) -> str:
    """A name that stands for nothing, repeated only if it is nearly one that does."""
    near = suggest(str(word), known)
    return f'no {what} "{word}"{near}' if near else f"no such {what}; known are {', '.join(sorted(known))}"


_SECTIONS: dict[tuple[str, ...], type[BaseModel]] = {
    ("accounts",): AccountSettings,
    ("receivers",): ReceiverSettings,
    ("store",): StoreSettings,
    ("web",): WebSettings,
    ("heartbeat",): HeartbeatSettings,
    ("start",): StartSettings,
    ("daily",): DailySettings,
    ("suite",): Suite,
    ("cases", "do"): Do,
    ("cases", "expect"): Expect,
    ("cases", "never"): Never,
    ("cases",): Case,
}
"""The classes that describe places of a document; the first that fits."""


def _section(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    """The class that describes a place of the document."""
    if not issubclass(model, Cases):
        return model
    names = tuple(part for part in loc if isinstance(part, str))
    return next((found for place, found in _SECTIONS.items() if names[: len(place)] == place), model)


_TABLES = {
    "labels": '{ desk = "…" }',
    "feed": '{ "details.twap/USDT" = "0*5 2*10" }',
    "receiver": '{ phone = "429(7s) ok" }',
}
"""Keys that take a table, and how that is written."""


def _example(section: type[BaseModel], key: str) -> str:
    field = next((field for name, field in section.model_fields.items() if (field.alias or name) == key), None)
    if key in _TABLES:
        return _TABLES[key]
    if field is None or get_origin(field.annotation) is dict:
        return "{ warning = …, critical = … }"
    return '"1h"' if _is_duration(section, key) else '"…"'


def _is_duration(section: type[BaseModel], key: str) -> bool:
    found = (field.metadata for name, field in section.model_fields.items() if (field.alias or name) == key)
    return any(getattr(check, "func", None) is parse_duration for metadata in found for check in metadata)


def located(path: Path, source: str, problems: list[Loc]) -> list[Problem]:
    """Each with its line, in the order of the file. Of one place only the first: the others follow from it."""
    if not problems:
        return []
    from riskbot.lines import Lines  # noqa: PLC0415 - the parser is loaded only when there is something to say

    lines = Lines(source)
    first = {problem.loc: problem.text for problem in reversed(problems)}
    found = sorted((lines.of(loc), text) for loc, text in first.items())
    return [Problem(f"{path}:{line}", text) for line, text in found]
