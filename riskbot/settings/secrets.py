"""Filling in the secrets that a rules file refers to."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from riskbot.settings.model import Loc

TOLD = ("labels", "message")
"""Keys of a rule that are told to receivers."""


STAND_IN = "https://absent-secret.invalid"
"""In place of a secret that is absent: of use wherever one may stand, so that its place has no second mistake.

It is taken for a secret, and must be a word that stands nowhere else: every text would be full of holes.
"""


class NoSecretError(Exception):
    """What a value refers to is not there."""


class Secrets:
    """Fills in what values refer to. folder: where relative paths start. problems: what is not there."""

    VARIABLE = re.compile(r"\$\{([^}]*)(\}?)")

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder, self._env = folder, env
        self.problems: list[Loc] = []

    def fill(self, value: Any, loc: tuple[str | int, ...] = ()) -> Any:
        """The same value, filled in. Where that fails a word stands in, so that the rest is validated as well."""
        if isinstance(value, dict):
            return {key: self.fill(item, (*loc, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item, (*loc, i)) for i, item in enumerate(value)]
        if not isinstance(value, str) or loc[:1] == ("cases",):
            return value
        try:
            return self._spoken(value) if is_told(loc) else self._resolve(value)
        except NoSecretError as error:
            self.problems.append(Loc(loc, str(error)))
            return STAND_IN

    def _spoken(self, value: str) -> str:
        """As it is: whatever is filled in may be secret, and here it would be told."""
        if self.VARIABLE.search(value):
            raise NoSecretError("${…} is not filled in here, for it would be told; a value stands in {…}, without $")
        return value

    def _resolve(self, value: str) -> str:
        scheme, colon, name = value.partition(":")
        if colon and scheme == "file":
            return self._file(self._folder / home(name))
        if colon and scheme == "credential":
            folder = self._env.get("CREDENTIALS_DIRECTORY")
            if not folder:
                hint = "credential: is filled in by systemd only (LoadCredential=); else write ${NAME} or file:PATH"
                raise NoSecretError(hint)
            return self._file(Path(folder) / name)
        troubles = [trouble for match in self.VARIABLE.finditer(value) if (trouble := self._trouble(*match.groups()))]
        if troubles:
            raise NoSecretError("; ".join(troubles))
        return self.VARIABLE.sub(lambda match: self._env[match[1]], value)

    def _trouble(self, name: str, closed: str) -> str:
        if not closed or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            return "${ begins a variable: write ${NAME}; a secret with ${ in it belongs in a variable or a file"
        if self._env.get(name):
            return ""
        return f"the environment variable {name} is {'empty' if name in self._env else 'not set'}"

    @staticmethod
    def _file(path: Path) -> str:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise NoSecretError(f"can't read the secret in {str(path)!r}: {reason(error)}") from None
        if not text.strip():
            raise NoSecretError(f"the secret in {str(path)!r} is empty")
        return text.removesuffix("\n")

    @classmethod
    def refers(cls, value: str) -> bool:
        """Does the secret stand elsewhere?"""
        return bool(cls.VARIABLE.search(value)) or value.startswith(("file:", "credential:"))


def is_told(loc: tuple[str | int, ...]) -> bool:
    """Is that a place whose text receivers are told?"""
    return len(loc) > 2 and loc[0] == "rules" and loc[2] in TOLD


def reason(error: Exception) -> str:
    """Why a file could not be read, for people."""
    if isinstance(error, OSError):
        return error.strerror or "error"
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "this is no path"


def home(path: str) -> str:
    """The path with `~` filled in."""
    return os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises for a home that is not known
