"""The unit with which systemd runs riskbot, as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

WATCHDOG = 30
"""Seconds. A plugin is cut off after 5, a send after 15; what stands still for 30 is not told to be well any more."""
STOP = 15
"""Seconds. riskbot ends within 5, or ends itself."""


class Unit(Struct, frozen=True):
    """program: the words that start riskbot. rules: the rules file.

    credentials: their files by name. env_file: None if no variable is needed. user: for the systemd of a user.
    """

    program: tuple[str, ...]
    rules: Path
    credentials: dict[str, Path]
    env_file: Path | None = None
    user: bool = False

    def text(self) -> str:
        """All of it."""
        return "\n".join((*self._unit(), "", *self._service(), "", *self._fence(), "", *self._install(), ""))

    def _unit(self) -> Iterator[str]:
        yield "[Unit]"
        yield "Description=riskbot, the watchman for leveraged OKX accounts"
        if not self.user:
            yield "Wants=network-online.target"
            yield "After=network-online.target"
        yield "# A watchman is never given up: a start that fails is tried again, for ever."
        yield "StartLimitIntervalSec=0"

    def _service(self) -> Iterator[str]:
        path, words = self.program[0], (*self.program[1:], "run", "--config", str(self.rules))
        yield "[Service]"
        yield "Type=notify"
        yield "NotifyAccess=main"
        yield f"ExecStart={' '.join([quoted(path, program=True), *map(quoted, words)])}"
        yield "ExecReload=kill -HUP $MAINPID"
        yield "Restart=always"
        yield "RestartSec=2"
        yield "# Fed only while polls, couriers and loops move."
        yield f"WatchdogSec={WATCHDOG}"
        yield f"TimeoutStopSec={STOP}"
        yield from (f"LoadCredential={name}:{plain(path)}" for name, path in self.credentials.items())
        if self.env_file:
            yield f"EnvironmentFile={_literal(plain(self.env_file))}"
        if not self.user:  # else the database lies beside the rules file, as it does when riskbot is started by hand
            yield "StateDirectory=riskbot"
            yield "StateDirectoryMode=0700"

    def _fence(self) -> Iterable[str]:
        return ["# What it can't do, nobody can make it do.", *_FENCE, *(() if self.user else _HIGH_FENCE)]

    def _install(self) -> Iterable[str]:
        return ["[Install]", f"WantedBy={'default' if self.user else 'multi-user'}.target"]


_FENCE = (
    "LimitCORE=0",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "NoNewPrivileges=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "UMask=0077",
)
_HIGH_FENCE = (
    "CapabilityBoundingSet=",
    "DevicePolicy=closed",
    "DynamicUser=yes",
    "KeyringMode=private",
    "PrivateDevices=yes",
    "PrivateIPC=yes",
    "PrivateTmp=yes",
    "PrivateUsers=yes",
    "ProcSubset=pid",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHome=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "ProtectSystem=strict",
    "RemoveIPC=yes",
)
"""What only the systemd of the machine can do."""


def quoted(word: str, *, program: bool = False) -> str:
    """A word of a command line, as systemd reads it. program: the first one, in which `$` stands for itself."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if not program:
        word = word.replace("$", "$$")
    return word if re.fullmatch(r"[\w./$%@:=+,-]+", word, re.ASCII) else f'"{word}"'


def plain(path: Path) -> str:
    """A path that is a whole value: nothing is quoted there."""
    return str(path).replace("%", "%%")


def _literal(pattern: str) -> str:
    """A path where a pattern may stand, with `*` and the like."""
    return re.sub(r"([*?[\\])", r"\\\1", pattern)
