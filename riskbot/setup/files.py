"""Writing files whole or not at all, and never over something that is not kept."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from errno import EINVAL
from itertools import count
from pathlib import Path

OWNER_ONLY = 0o600


def write(path: Path, text: str, mode: int) -> None:
    """All of it, or nothing; on the disk when this returns. It is never open to others, not even for a moment.

    A link stays one. Raises OSError.
    """
    try_file(path)
    path = path.resolve()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise


def try_file(path: Path) -> None:
    """Raises OSError for a device, a pipe or a folder: it is not to be replaced, and reading may never end."""
    if path.exists() and not path.is_file():
        raise OSError(EINVAL, "it is not a regular file; name another", str(path))


def try_folder(folder: Path) -> None:
    """Raises OSError if nothing can be written there."""
    with tempfile.TemporaryFile(dir=folder):
        """It is gone again."""


def keep(path: Path, mode: int) -> Path | None:
    """A copy of the file beside it, under a name that is free; None: there is no file. Raises OSError.

    It is as closed as the file, and as what replaces it: mode.
    """
    if not path.exists():
        return None
    names = (path.with_name(f"{path.name}.bak{number or ''}") for number in count())
    copy = next(name for name in names if not name.exists())
    write(copy, path.read_text(encoding="utf-8"), path.stat().st_mode & mode)
    return copy
