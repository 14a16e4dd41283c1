"""Plugins that are one file: which there are, whether only we can change them, and running them afresh."""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
import stat
import sys
from importlib.abc import ExecutionLoader
from importlib.util import decode_source, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from riskbot.plugins.blame import Refused, raised

BIGGEST = 1 << 20
"""Bytes of a plugin. A larger file is none."""


def files(folder: Path) -> list[Path]:
    """The plugins of a folder: each `*.py` whose name does not begin with `_`."""
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_") and path.is_file())


def trust(path: Path) -> None:
    """Is it that only we, or root, can change that folder? Whoever can writes our code. Raises Refused."""
    _trust(path.resolve().stat(), path)


def _trust(found: os.stat_result, path: Path, me: int | None = None) -> None:
    me = os.geteuid() if me is None else me
    name = shlex.quote(str(path))
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused(str(path), f"others can change it, and it would run as you: chmod go-w {name}")
    if found.st_uid not in (0, me):
        why = f"it belongs to {_user(found.st_uid)}, and would run as {_user(me)}: chown {_user(me)} {name}"
        raise Refused(str(path), why)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def run(path: Path) -> ModuleType:
    """A fresh module of that file, never one from before and never its bytecode. Raises Refused."""
    name = f"riskbot_plugin_{path.stem}"
    before = sys.modules.get(name)
    loader = _Loader(path, _read(path))
    try:
        spec = spec_from_loader(name, loader)
        assert spec is not None  # noqa: S101 - for mypy: a loader with a file name has one
        module = sys.modules[name] = module_from_spec(spec)  # pydantic looks up its annotations there
        loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit included
        _put_back(name, before)
        raise raised(error, str(path)) from None
    return module


def hash_of(module: object) -> str:
    """SHA-256 of the file that a module was made of, as it was read; "": it is none of these."""
    loader = getattr(module, "__loader__", None)
    return loader.hash() if isinstance(loader, _Loader) else ""


def _put_back(name: str, module: ModuleType | None) -> None:
    sys.modules.pop(name, None)
    if module is not None:
        sys.modules[name] = module


def _read(path: Path) -> bytes:
    """Its bytes; looked at and read through one opening, so that it is the same file. Symlinks are followed first."""
    real = path.resolve()
    trust(real.parent)
    try:
        with real.open("rb") as file:
            _trust(os.fstat(file.fileno()), path)
            source = file.read(BIGGEST + 1)
    except OSError as error:
        raise Refused(str(path), f"can't read it: {error.strerror}") from None
    if len(source) > BIGGEST:
        raise Refused(str(path), f"it is larger than {BIGGEST >> 20} MiB")
    return source


class _Loader(ExecutionLoader):
    """Gives Python the source as it was read. Bytecode would be stale after two edits in one second."""

    def __init__(self, path: Path, source: bytes) -> None:
        self._path, self._source = path, source

    def get_filename(self, fullname: str) -> str:
        """As it is told in errors."""
        del fullname
        return str(self._path)

    def get_source(self, fullname: str) -> str:
        """As it was read."""
        del fullname
        return decode_source(self._source)

    def hash(self) -> str:
        """Of what was read."""
        return hashlib.sha256(self._source).hexdigest()
