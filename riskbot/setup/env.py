"""The env file: secrets by name, read alike by a shell (`set -a; . ./riskbot.env; set +a`) and by systemd."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)", re.ASCII)
_PIECE = re.compile(r"""'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|\\(?P<one>.)|(?P<plain>[^\s'"\\]+)""")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+", re.ASCII)
_ESCAPED = re.compile(r'([\\"$`])')

HEADER = """\
# Secrets of riskbot: for your eyes only, and not for version control.
# In a shell: set -a; . ./riskbot.env; set +a        In a systemd unit: EnvironmentFile=
"""


def parse(text: str) -> dict[str, str]:
    """What it says; lines of another form are passed over."""
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {match["name"]: _unquoted(match["value"]) for match in found if match}


def update(text: str, values: Mapping[str, str]) -> str:
    """The same file with these values, each where it stood or at the end. All else stays as it is.

    Raises ValueError for a value that no line can hold.
    """
    left, lines = dict(values), []
    for line in text.splitlines() if text else HEADER.splitlines():
        match = _LINE.fullmatch(line)
        name = match["name"] if match else ""
        lines.append(_line(name, values[name]) if name in values else line)
        left.pop(name, None)
    return "\n".join([*lines, *(_line(name, value) for name, value in left.items()), ""])


def _line(name: str, value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{name} holds a line break or another control character: copy it anew")
    escaped = _ESCAPED.sub(r"\\\1", value)
    return f"{name}={value}" if _PLAIN.fullmatch(value) else f'{name}="{escaped}"'


def _unquoted(value: str) -> str:
    """As a shell reads it, up to the first blank outside of quotes."""
    at, found = 0, ""
    while piece := _PIECE.match(value, at):
        single, double, one, plain = piece.groups()
        found += single or (re.sub(r'\\([\\"$`])', r"\1", double) if double else "") or one or plain or ""
        at = piece.end()
    return found
