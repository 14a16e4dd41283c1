"""`riskbot run` that also writes down how late its polls were."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from riskbot.cli import common
from riskbot.cli import run as command
from riskbot.redact import Redactor
from riskbot.service import Service
from riskbot.service.notify_socket import NotifySocket


def main() -> None:
    """Arguments: the rules file, where to write."""
    path, target = map(Path, sys.argv[1:])
    late: list[float] = []
    made, plain = Service.__init__, Service.run

    def make(self: Service, *parts: Any) -> None:
        made(self, *parts, late=late.append)

    async def noting(self: Service, *work: Any) -> None:
        await plain(self, *work)
        late.sort()
        quantile = {name: late[int(q * len(late))] for name, q in (("p50", 0.5), ("p99", 0.99))}
        target.write_text(json.dumps(quantile | {"polls": sum(watch.polls for watch in self.watches.values())}))

    Service.__init__, Service.run = make, noting  # type: ignore[assignment, method-assign]
    with asyncio.Runner(loop_factory=command._loop_factory()) as runner:
        runner.run(command.watch(*common.load_all(path), path, Redactor(), NotifySocket(str)))


if __name__ == "__main__":
    main()
