"""A rules file as it may be shown: where secrets are, and *** for what is one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from riskbot.redact import MASK
from riskbot.settings.model import named, tables
from riskbot.settings.schema import json_schema
from riskbot.setup import edit
from riskbot.spelling import Schema

_REFERENCE = re.compile(r"(file|credential):.*|([a-z][a-z0-9+.-]*://)?([/@:?&=]|\$\{\w+\})*", re.ASCII | re.DOTALL)
"""It only says where a secret is, and holds no part of one itself."""


def masked(value: Any) -> Any:
    """A value that is a secret, or a table of such."""
    return each_text(value, lambda text: text if _REFERENCE.fullmatch(text) else MASK)


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with every text in it changed."""
    if isinstance(value, dict):
        return {key: each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [each_text(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def masked_file(text: str) -> str:
    """A whole file, with its comments."""
    document = tomllib.loads(text)
    for section, node in json_schema({})["properties"].items():
        for loc, about, table in _tables(document, section, node):
            for key in table.keys() & {key for key, value in about["properties"].items() if is_secret(key, value)}:
                text = _masked(text, loc, key, table[key])
    return text


def is_secret(key: str, node: Schema) -> bool:
    """Is what stands under that key one? node: its schema. Of a plugin's options nobody knows."""
    return key == "options" or bool(node.get("writeOnly"))


def _tables(document: dict[str, Any], section: str, node: Schema) -> Iterator[tuple[edit.Loc, Schema, dict[str, Any]]]:
    """Each table of a section: its place, its schema, itself."""
    if "properties" in node:
        yield (section,), node, named(document, section)
    elif "properties" in node.get("items", {}):
        yield from (((section, i), node["items"], table) for i, table in tables(document, section))
    elif "additionalProperties" in node:
        each = named(document, section).items()
        yield from (((section, name), node["additionalProperties"], table) for name, table in each)


def _masked(text: str, table: edit.Loc, key: str, value: Any) -> str:
    if isinstance(value, dict):
        for part, item in value.items():
            text = _masked(text, (*table, key), part, item)
        return text
    hidden = masked(value)
    return text if hidden == value else edit.put(text, table, key, hidden)
