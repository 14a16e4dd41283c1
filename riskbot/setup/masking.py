"""A rules file as it may be shown: where secrets are, and *** for what is one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any

from riskbot.redact import MASK
from riskbot.settings.model import named, tables
from riskbot.setup import edit
from riskbot.setup.gate import ALL

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
    for i, account in tables(document, "accounts"):
        for key in (*ALL, "options"):
            text = _masked(text, ("accounts", i), key, account.get(key, ""))
    for name, receiver in named(document, "receivers").items():
        text = _masked(text, ("receivers", name), "url", receiver.get("url", ""))
    return _masked(text, ("heartbeat",), "url", named(document, "heartbeat").get("url", ""))


def _masked(text: str, table: edit.Loc, key: str, value: Any) -> str:
    if isinstance(value, dict):
        for part, item in value.items():
            text = _masked(text, (*table, key), part, item)
        return text
    hidden = masked(value)
    return text if hidden == value else edit.put(text, table, key, hidden)
