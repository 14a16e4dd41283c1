"""The built program in a terminal of its own, and a person who reads and types."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

LAUNCH = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes its standard input the terminal that Ctrl-C comes from."""


class Terminal:
    """riskbot with these words, in a pseudo-terminal. shown: all that the screen has had."""

    def __init__(self, folder: Path, *words: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-c", LAUNCH, str(Path(sys.executable).with_name("riskbot")), *words]
        given = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "50", **(env or {})}
        self.shown, self._read, self._ended = "", 0, False
        self._fd, theirs = pty.openpty()
        ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self._process = subprocess.Popen(command, cwd=folder, env=given, **ends)  # type: ignore[call-overload]
        os.close(theirs)
        asyncio.get_running_loop().add_reader(self._fd, self._take)

    def _take(self) -> None:
        try:
            part = os.read(self._fd, 65536)
        except OSError:  # the other side was closed
            part = b""
        self.shown += part.decode(errors="replace")
        if not part:
            self._ended = True
            asyncio.get_running_loop().remove_reader(self._fd)

    async def reads(self, words: str, seconds: float = 30.0) -> str:
        """Wait until these words come, after those that were read before; gives what came until then."""
        async with asyncio.timeout(seconds):
            while words not in self.shown[self._read :]:
                assert not self._ended, f"never shown: {words!r}, but: {self.screen}"
                await asyncio.sleep(0.01)
        end = self.shown.index(words, self._read) + len(words)
        came, self._read = self.shown[self._read : end], end
        return came

    async def types(self, words: str, after: str) -> None:
        """Read the question, then answer it and press Enter."""
        await self.reads(after)
        os.write(self._fd, f"{words}\n".encode())

    def press(self, key: bytes) -> None:
        """A key, such as Ctrl-C: `\\x03`."""
        os.write(self._fd, key)

    @property
    def screen(self) -> str:
        """What a person has read, without colours and lines that were written over."""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown).replace("\r\n", "\n")
        return "\n".join(line.rpartition("\r")[2].rstrip() for line in text.split("\n"))

    async def end(self) -> int:
        """Wait for its end; gives the exit code."""
        try:
            async with asyncio.timeout(30):
                while not self._ended:
                    await asyncio.sleep(0.01)
        finally:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            if not self._ended:
                self._process.kill()
        return await asyncio.to_thread(self._process.wait, 30)
