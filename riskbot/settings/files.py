"""A rules file and those that it includes: read as one document, each part of which is known by its file and line.

`include = ["rules.d/*.toml"]` stands in the main file only. An included file holds rules, their cases and receivers,
nothing else.
"""

from __future__ import annotations

import glob
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from riskbot.settings.mistakes import HEADERS, SYNTAX, located, unknown_key
from riskbot.settings.model import ConfigError, File, Loc, Problem, named
from riskbot.settings.secrets import Secrets, home, reason

LISTS = ("rules", "cases")
SHARED = {"rules": list, "receivers": dict, "cases": list}
"""What an included file may hold."""

_KEYS = ("accounts", "receivers", "heartbeat", "web")
"""Where the secrets stand that only who asks or tells has need of."""


class Source:
    """One file. found: what there is to say about places of it."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError if it can't be read."""
        self.path, self.text = path, _read(path)
        self.document = _parse(path, self.text)
        self.found: list[Loc] = []

    def filled(self, env: Mapping[str, str], *, keyless: bool = False) -> dict[str, Any]:
        """Its document with all secrets; a relative path of one starts at this file.

        keyless: those of accounts, receivers, [heartbeat] and [web] may be absent.
        """
        secrets = Secrets(self.path.parent, env)
        document: dict[str, Any] = secrets.fill(self.document)
        self.found += [p for p in secrets.problems if not (keyless and p.loc[0] in _KEYS)]
        return document

    def told(self) -> list[Problem]:
        """What was found, with its lines."""
        return located(self.path, self.text, self.found)


class Sources:
    """The main file and those that it includes, in order. Raises ConfigError if the main one can't be read.

    doubts: patterns of `include` that match nothing.
    """

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        self.main, self._env = Source(path), env
        self.all = [self.main]
        self.doubts: list[Loc] = []
        self._unreadable: list[Problem] = []
        for i, pattern in enumerate(patterns(path, self.main.document, env)):
            files = matching(path, pattern)
            if not files:
                self.doubts.append(Loc(("include", i), "include: no file matches this, so nothing is included"))
            for file in files:
                self._add(file)
        self._owners = {
            section: [(source, i) for source in self.all for i in range(len(_part(source.document, section)))]
            for section in LISTS
        }

    def _add(self, path: Path) -> None:
        if any(source.path == path for source in self.all):
            return
        try:
            source = Source(path)
        except ConfigError as error:
            self._unreadable += error.problems
            return
        source.found += [*_misplaced(source.document), *self._taken(source)]
        self.all.append(source)

    def _taken(self, source: Source) -> Iterator[Loc]:
        """Its receivers that have the name of one before."""
        for before in self.all:
            for name in named(source.document, "receivers").keys() & named(before.document, "receivers").keys():
                yield Loc(("receivers", name), f"a receiver in {before.path} has this name already; give another")

    def raw(self) -> dict[str, Any]:
        """All of it as one document, as it stands there."""
        return _joined([source.document for source in self.all])

    def filled(self, *, keyless: bool = False) -> dict[str, Any]:
        """All of it as one document with all secrets; keyless: with those that are there."""
        return _joined([source.filled(self._env, keyless=keyless) for source in self.all])

    def place(self, loc: tuple[str | int, ...]) -> tuple[Source, tuple[str | int, ...]]:
        """The file in which a place of the one document stands, and where."""
        match loc:
            case (("rules" | "cases") as section, int(i), *rest) if i < len(self._owners[section]):
                source, own = self._owners[section][i]
                return source, (section, own, *rest)
            case ("receivers", name, *_):
                return next((s for s in self.all if name in named(s.document, "receivers")), self.main), loc
        return self.main, loc

    def where(self, loc: tuple[str | int, ...]) -> str:
        """The file and line of a place of the one document: `rules.d/debt.toml:7`."""
        source, own = self.place(loc)
        return located(source.path, source.text, [Loc(own, "")])[0].where

    def note(self, found: Iterable[Loc]) -> None:
        """These are places of the one document."""
        for problem in found:
            source, loc = self.place(problem.loc)
            source.found.append(Loc(loc, problem.text))

    def told(self) -> list[Problem]:
        """All that was found, file by file."""
        return [*self._unreadable, *(problem for source in self.all for problem in source.told())]


def document(path: Path) -> dict[str, Any]:
    """A rules file and all that it includes, as it stands there, `${…}` not filled in; empty if it can't be read."""
    try:
        return Sources(path, os.environ).raw()
    except ConfigError:  # whoever needs the file whole has said so already
        return {}


def _joined(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The first one, with what the others hold. Of a receiver's name that is there twice the first counts."""
    main = documents[0]
    lists = {section: [entry for document in documents for entry in _part(document, section)] for section in LISTS}
    receivers: dict[str, Any] = {}
    for document in documents:
        receivers |= {name: item for name, item in named(document, "receivers").items() if name not in receivers}
    shared = {**lists, "receivers": receivers}
    right = {key: value for key, value in shared.items() if value and isinstance(main.get(key, value), SHARED[key])}
    return {**main, **right}


def _part(document: dict[str, Any], section: str) -> list[Any]:
    items = document.get(section)
    return items if isinstance(items, list) else []


def _misplaced(document: dict[str, Any]) -> Iterator[Loc]:
    """What an included file may not hold, or has in another shape."""
    for key, value in document.items():
        if key in SHARED:
            if not isinstance(value, SHARED[key]):
                yield Loc((key,), f"{key}: write {HEADERS[key]} and its keys below it")
        elif key in File.model_fields:
            yield Loc((key,), f"{key}: belongs in the main file; an included one holds rules, cases and receivers only")
        else:
            yield Loc((key,), unknown_key(key, [*SHARED]))


# ---------------------------------------------------------------- which files


def _watched(path: Path, document: dict[str, Any], env: Mapping[str, str]) -> list[str]:
    """The patterns of all files that it needs."""
    folders = patterns(path, document, env, "plugins")
    return [*patterns(path, document, env), *(f"{folder}/*.py" for folder in folders)]


def patterns(path: Path, document: dict[str, Any], env: Mapping[str, str], key: str = "include") -> list[str]:
    """Those of `include` that can be looked for; what is wrong with others is told when the file is validated."""
    filled = Secrets(path.parent, env).fill(_part(document, key))
    return [pattern for pattern in filled if pattern and isinstance(pattern, str)]


def matching(path: Path, pattern: str) -> list[Path]:
    """The files that a pattern means, sorted; a relative one starts at the rules file. Not that file itself."""
    try:
        found = glob.glob(str(Path(glob.escape(str(path.parent))) / home(pattern)))  # noqa: PTH207 - it may be absolute
    except ValueError:  # a sign that no path can hold
        return []
    return [file for file in map(Path, sorted(found)) if file != path and not file.is_dir()]


class Stamps:
    """Gives a stamp of the main file, all that it includes and its plugins.

    It is another one when a file was changed, added or removed. What is included is looked up anew when the main file
    has changed, so a file that was refused counts as well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._main: object = None
        self._patterns: list[str] = []

    def __call__(self) -> object:
        """The stamp now."""
        main = _stamp(self._path)
        if main != self._main:
            self._main = main
            with suppress(ConfigError):  # it is told what is wrong when it is read
                self._patterns = _watched(self._path, Source(self._path).document, os.environ)
        files = [self._path, *(file for pattern in self._patterns for file in matching(self._path, pattern))]
        return {file: _stamp(file) for file in files}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


# ---------------------------------------------------------------- reading one


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        hint = "not found; riskbot init writes one, or give --config FILE"
        raise ConfigError([Problem(str(path), hint)]) from None
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(str(path), f"can't read it: {reason(error)}")]) from None


def _parse(path: Path, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", place)
        at = int(line[1]) if line else len(source.splitlines())
        plain = next((words for start, words in SYNTAX if message.startswith(start)), message)
        text = f"not valid TOML: {plain.strip()}"
    except (ValueError, InvalidOperation):  # whole numbers of thousands of digits, exponents beyond all
        lines = source.split("\n")
        at, text = lines.index(max(lines, key=len)) + 1, "a number has too many digits"
    except RecursionError:
        at, text = 1, "brackets in brackets in brackets: too deep"
    raise ConfigError([Problem(f"{path}:{at}", text)])
