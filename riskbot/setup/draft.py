"""The rules file that `riskbot init` writes: a new one in the manner of rules.example.toml, or the trader's, changed.

A trader's file keeps its comments and its order: only what was asked for is another afterwards.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from msgspec import Struct

from riskbot.settings.model import named, tables
from riskbot.setup import edit

EXAMPLE = Path(__file__).with_name("rules.example.toml")
"""It lies with the program too."""

COMMENT_AT = 36
HEAD = """\
# riskbot's rules: who is watched, who is told, and when. Written by `riskbot init`, and yours to edit: what you save is
# taken up while riskbot runs. The secrets are in {env}.
"""


class Sketch(Struct, frozen=True):
    """What is to be in it. All secrets are references, such as `${OKX_API_KEY}`.

    account: the keys of `[[accounts]]`; None: the key is not there. about: for people, who that account is.
    receivers: the URL of each by its name, and what it is for people. rules: the texts of their blocks.
    heartbeat: the URL, or "". kept_to: the accounts of rules that are there.
    """

    account: Mapping[str, Any]
    about: str
    receivers: Mapping[str, tuple[str, str]]
    rules: tuple[str, ...]
    heartbeat: str = ""
    kept_to: Mapping[str, list[str]] = {}


class Block(Struct, frozen=True):
    """One rule of a file with the comment above it."""

    text: str
    entry: dict[str, Any]


def blocks(text: str) -> list[Block]:
    """The rules of a file whose parts stand apart by empty lines, as those of the example do."""
    parts = [part.strip("\n") for part in text.split("\n\n")]
    return [Block(part, tomllib.loads(part)["rules"][0]) for part in parts if "\n[[rules]]\n" in f"\n{part}\n"]


def fresh(sketch: Sketch, env: str) -> str:
    """A new file. env: what the env file is called."""
    receivers = [_receiver(name, sketch) for name in sketch.receivers]
    heartbeat = [_heartbeat(sketch)] if sketch.heartbeat else []
    head = HEAD.format(env=env).rstrip("\n")
    return "\n\n".join([head, _account(sketch), *receivers, *heartbeat, *sketch.rules]) + "\n"


def changed(text: str, sketch: Sketch) -> str:
    """The trader's own file with what is new in it. Raises ValueError where that must be done by hand."""
    document = tomllib.loads(text)
    new = list[str]()
    names = [entry.get("name") for _, entry in tables(document, "accounts")]
    if sketch.account["name"] in names:
        loc = ("accounts", names.index(sketch.account["name"]))
        for key, value in sketch.account.items():
            text = edit.put(text, loc, key, value) if value is not None else edit.take(text, loc, key)
    else:
        new.append(_account(sketch))
    text = _kept_to(text, [entry.get("name") for _, entry in tables(document, "rules")], sketch.kept_to)
    for name, (url, _) in sketch.receivers.items():
        if name in named(document, "receivers"):
            text = edit.put(text, ("receivers", name), "url", url)
        else:
            new.append(_receiver(name, sketch))
    if sketch.heartbeat and "heartbeat" in document:
        text = edit.put(text, ("heartbeat",), "url", sketch.heartbeat)
    elif sketch.heartbeat:
        new.append(_heartbeat(sketch))
    return "\n\n".join([text.rstrip("\n"), *new, *sketch.rules]) + "\n"


def _kept_to(text: str, rules: list[Any], accounts: Mapping[str, list[str]]) -> str:
    for name, left in accounts.items():
        text = edit.put(text, ("rules", rules.index(name)), "accounts", left)
    return text


def _account(sketch: Sketch) -> str:
    lines = [_line(key, value, sketch.about if key == "name" else "") for key, value in _given(sketch.account)]
    return "\n".join(["[[accounts]]", *lines])


def _receiver(name: str, sketch: Sketch) -> str:
    url, about = sketch.receivers[name]
    severity = _line("min_severity", "info", "info, warning, critical or emergency")
    return "\n".join([f"[receivers.{_key(name)}]", _line("url", url, about), severity])


def _heartbeat(sketch: Sketch) -> str:
    return "\n".join(["[heartbeat]", _line("url", sketch.heartbeat, "its service calls you when riskbot falls silent")])


def _given(entry: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((key, value) for key, value in entry.items() if value is not None)


def _line(key: str, value: object, comment: str = "") -> str:
    line = tomli_w.dumps({key: value}).rstrip("\n")
    return f"{line:<{COMMENT_AT - 2}}  # {comment}" if comment else line


def _key(name: str) -> str:
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")
