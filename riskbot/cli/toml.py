"""Writing TOML as a person would: one line for each key, tables in braces."""

from __future__ import annotations

from typing import Any


def value(found: Any) -> str:
    """`3`, `"1h"`, `["a", "b"]`, `{ warning = 5 }`."""
    from tomli_w import dumps  # noqa: PLC0415 - see cli/__init__.py

    if isinstance(found, dict):
        inside = ", ".join(f"{key(name)} = {value(item)}" for name, item in found.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(found, list | tuple):
        return f"[{', '.join(map(value, found))}]"
    return dumps({"x": found}).removeprefix("x = ").rstrip("\n")


def key(name: str) -> str:
    """In quotes if it must be."""
    from tomli_w import dumps  # noqa: PLC0415 - see cli/__init__.py

    return dumps({name: 0}).removesuffix(" = 0\n")
