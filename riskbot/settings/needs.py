"""What a rules file needs from outside of it: for a service that has to be given it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from riskbot.settings.files import Source, Sources, patterns
from riskbot.settings.model import ConfigError
from riskbot.settings.secrets import Secrets, home, is_told


class Needs(Struct, frozen=True):
    """files: the rules file, what it includes, folders with plugins. secrets: what `file:` names.

    variables, credentials: by name, as `${NAME}` and `credential:NAME` have them.
    """

    files: tuple[Path, ...]
    secrets: tuple[Path, ...]
    variables: tuple[str, ...]
    credentials: tuple[str, ...]


def needs(path: Path, env: Mapping[str, str] | None = None) -> Needs:
    """All of it; no secret has to be there yet. Raises ConfigError if a file can't be read."""
    env = os.environ if env is None else env
    sources = Sources(path, env)
    if told := sources.told():
        raise ConfigError(told)
    plugins = (path.parent / home(word) for word in patterns(path, sources.main.document, env, "plugins"))
    found: dict[str, list[str]] = {"file": [], "variable": [], "credential": []}
    for source in sources.all:
        for kind, name in _references(source):
            found[kind].append(name)
    return Needs(
        tuple(file.absolute() for file in (*(source.path for source in sources.all), *plugins)),
        tuple(Path(name).absolute() for name in dict.fromkeys(found["file"])),
        tuple(dict.fromkeys(found["variable"])),
        tuple(dict.fromkeys(found["credential"])),
    )


def referred(path: Path, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """The values of all that it refers to and that is there: what has to be hidden before it is understood."""
    env = os.environ if env is None else env
    with suppress(ConfigError):
        wanted = needs(path, env)
        folder = Path(env.get("CREDENTIALS_DIRECTORY", ""))
        yield from (env[name] for name in wanted.variables if name in env)
        for file in (*wanted.secrets, *(folder / name for name in wanted.credentials)):
            with suppress(OSError, ValueError):
                yield file.read_text(encoding="utf-8-sig").removesuffix("\n")


def _references(source: Source) -> Iterator[tuple[str, str]]:
    """Kind and name of everything that its values refer to."""
    for value in _texts(source.document):
        scheme, colon, name = value.partition(":")
        if colon and scheme == "file":
            yield "file", str(source.path.parent / home(name))
        elif colon and scheme == "credential":
            yield "credential", name
        else:
            yield from (("variable", match[1]) for match in Secrets.VARIABLE.finditer(value))


def _texts(value: Any, loc: tuple[str | int, ...] = ()) -> Iterator[str]:
    """All texts that may refer to a secret."""
    if isinstance(value, str):
        yield from () if is_told(loc) else (value,)
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*loc, key))
