"""The socket on which systemd hears how a service is, as sd_notify(3) has it. Without systemd nothing is said."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

LONGEST = 300
"""Signs of a value. systemd takes 4096 bytes at once."""


class NotifySocket:
    """Says `NAME=value` to systemd. Never raises and never waits: what it can't take is lost, and said again later."""

    def __init__(self, redact: Callable[[str], str] = str, env: Mapping[str, str] = os.environ) -> None:
        """env: NOTIFY_SOCKET and WATCHDOG_USEC, as systemd sets them."""
        address = env.get("NOTIFY_SOCKET", "")
        self.address = f"\0{address[1:]}" if address.startswith("@") else address
        """A path, or a name that is in no folder (after a NUL); "": nobody listens."""
        mine = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = env.get("WATCHDOG_USEC", "") if mine else ""
        self.watchdog = int(usec) / 1e6 if usec.isdecimal() else 0.0
        """Seconds within which it wants to hear WATCHDOG=1; 0: it does not."""
        self._redact = redact

    def say(self, **values: object) -> None:
        """All of them at once."""
        if not self.address:
            return
        lines = [f"{name}={self._plain(str(value))}" for name, value in values.items()]
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(errors="replace"), self.address)

    def _plain(self, value: str) -> str:
        """On one line, and no longer than it may be."""
        return " ".join(self._redact(value).splitlines())[:LONGEST]

    def end(self) -> None:
        """The end has begun: that is the last word."""
        self.say(STOPPING=1, STATUS="ending: sending what waits")
        self.address = ""
