"""`riskbot run` on a clock that is faster than life, which notes each second how many tasks it has.

It forgets as much sooner: what is kept for days or months is kept for an hour, so that one can see that the database
stays small, and so does what memory has of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from riskbot.cli import main as riskbot
from riskbot.service import Service, journal
from riskbot.service.clock import Clock
from riskbot.store import memory, sqlite, sqlite_outbox

KEPT, PRUNED_EVERY = 3600.0, 900.0
"""Seconds of its clock."""


def main() -> None:
    """Arguments: the speed, where to write, the words of `riskbot`."""
    speed, target, words = float(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    journal.KEEP_PAST = journal.DAY = KEPT
    journal.PRUNE_EVERY = PRUNED_EVERY
    memory.KEEP_LONG = sqlite.KEEP_LONG = sqlite_outbox.KEEP_LONG = KEPT
    made, plain = Service.__init__, Service.run

    def make(self: Service, *parts: Any) -> None:
        made(self, *parts, clock=Clock(speed=speed))

    async def run(self: Service, *work: Any) -> None:
        await plain(self, *work, _note(target))

    Service.__init__, Service.run = make, run  # type: ignore[assignment, method-assign]
    riskbot(words, prog_name="riskbot")


async def _note(target: Path) -> None:
    while True:
        names = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
        new = target.with_suffix(".new")
        new.write_text(json.dumps(names))
        new.replace(target)
        await asyncio.sleep(1)


if __name__ == "__main__":
    main()
