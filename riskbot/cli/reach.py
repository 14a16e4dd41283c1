"""Whether a service of systemd can read the files that riskbot needs; it runs as a user that owns none of them."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

HIDDEN = {"ProtectHome": ("/home", "/root", "/run/user"), "PrivateTmp": ("/tmp", "/var/tmp")}  # noqa: S108 - named, not used
"""What the unit hides, and by what."""


def own_files() -> list[Path]:
    """Where riskbot itself lies, and the Python that runs it."""
    return [*dict.fromkeys((Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1]))]


def obstacles(paths: Iterable[Path]) -> Iterator[str]:
    """What keeps the service from these files, and what to do."""
    for path in paths:
        if why := _hidden(path) or _closed(path):
            yield f"{path}: {why}"


def _hidden(path: Path) -> str:
    for setting, folders in HIDDEN.items():
        for folder in folders:
            if path.is_relative_to(folder):
                return f"{setting}=yes hides {folder} from the service; move it, or use --user"
    return ""


def _closed(path: Path) -> str:
    """Everybody must be able to read it, and to go through the folders above it."""
    for part in (*reversed(path.parents), path):
        try:
            mode = part.stat().st_mode
        except OSError as error:
            return f"can't look at it: {error.strerror}"
        needed = "rx" if part == path and stat.S_ISDIR(mode) else "r" if part == path else "x"
        bits = {"r": stat.S_IROTH, "x": stat.S_IXOTH}
        if not all(mode & bits[letter] for letter in needed):
            return f"the service has a user of its own, who may not read it: chmod o+{needed} {part}"
    return ""
