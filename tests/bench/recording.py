"""A week of an account with 20 currencies, as a scenario of the simulator; and its recording, a line a second.

Every price and the debt's interest move in every second; every six hours a bot borrows more; on the fifth day the
market falls and comes back. `python -m tests.bench.recording week.jsonl.gz [days]` writes it.
"""

from __future__ import annotations

import gzip
import random
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from riskbot.playback import Reply
from riskbot.replay.stories import START, Story
from riskbot.simulator import Scenario

DAY = 86400
CURRENCIES = 20
CRASH = range(4 * 24 + 8, 4 * 24 + 12)
"""Hours of the week."""


def week(days: float = 7) -> Scenario:
    """The story. Its prices have a keyframe every ten minutes."""
    dice = random.Random(7)
    coins = {f"C{i}": _coin(dice, i) for i in range(CURRENCIES - 1)}
    coins["USDT"] = {"price": 1, "cash": _debt(), "borrow_rate": "0.08"}
    positions = [{"coin": f"C{i}", "size": 40, "entry": 100 + i, "maintenance": "0.02"} for i in range(3)]
    story = {"title": "A week", "duration": "7d", "coins": coins, "positions": positions}
    return Scenario.model_validate({**_exact(story), "name": "week"}).model_copy(update={"duration": days * DAY})


def _debt() -> dict[str, Any]:
    """A bot borrows more for ten minutes in every six hours."""
    frames: dict[str, Any] = {"0s": -40_000}
    for hour in range(6, 7 * 24, 6):
        frames |= {f"{hour}h": -40_000 - 60 * (hour - 6), f"{hour}h10m": -40_000 - 60 * hour}
    return frames


def _coin(dice: random.Random, i: int) -> dict[str, Any]:
    price, frames = 100.0 + i, {}
    for step in range(7 * 24 * 6 + 1):
        fall = -0.012 if step // 6 in CRASH else 0.012 if step // 6 - len(CRASH) in CRASH else 0
        price *= 1 + dice.gauss(fall, 0.002)
        frames[f"{step * 10}m"] = f"{price:.4f}"
    return {"price": frames, "cash": 60, "discount": "0.9", "cost": 100}


def _exact(value: Any) -> Any:
    """With decimals, as TOML gives them."""
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return Decimal(value) if isinstance(value, str) and value[:1].isdigit() and value[-1].isdigit() else value


def lines(days: float, every: float = 1.0) -> Iterator[bytes]:
    """Its recording."""
    config = {"uid": "1", "acctLv": "3", "perm": "read_only", "ip": "127.0.0.1"}
    yield orjson.dumps({"t": round(START * 1000), "config": config}) + b"\n"
    for entry in Story(week(days), every).entries(lambda _: None):
        if isinstance(entry, Reply):
            yield orjson.dumps({"t": round(entry.at * 1000), "body": entry.snapshot.raw}) + b"\n"


def write(path: Path, days: float) -> None:
    """The same as a file, gzip if it is named so."""
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
        file.writelines(lines(days))


if __name__ == "__main__":
    write(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 7.0)
