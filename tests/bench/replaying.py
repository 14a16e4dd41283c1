"""What a replay costs: the built program, 20 rules, 20 currencies, a look a second, the file's reading included."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from tests.bench.recording import write

HOURS = 6.0


def replays(recording: Path, rules: Path) -> Table:
    """Looks, CPU for each, how many times as fast as life, beside the barest reading of the file; and memory."""
    table = Table("looks", "floor µs", "a look µs", "look ÷ floor", "x real time", "RSS MiB", title="riskbot replay")
    words = [sys.executable, "-m", "riskbot.cli", "replay", str(recording), "-c", str(rules), "--json"]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(words, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        out.seek(0)
        found = json.load(out)
    looks, span = found["looks"], found["to"] - found["from"]
    cpu, floor = used.ru_utime + used.ru_stime, _floor(recording)
    cells = (f"{floor * 1e6:.0f}", f"{cpu / looks * 1e6:.0f}", f"{cpu / looks / floor:.1f}", f"{span / cpu:,.0f}")
    table.add_row(f"{looks:,}", *cells, f"{used.ru_maxrss / 1024:.0f}")
    return table


def _floor(recording: Path, most: int = 20_000) -> float:
    """CPU seconds to read and decode one line."""
    with gzip.open(recording) as lines:
        began, count = time.process_time(), 0
        for line in lines:
            orjson.loads(line)
            count += 1
            if count == most:
                break
        return (time.process_time() - began) / count


def generated(folder: Path) -> Path:
    """A recording of some hours."""
    path = folder / "hours.jsonl.gz"
    write(path, HOURS / 24)
    return path


if __name__ == "__main__":
    Console().print(replays(*map(Path, sys.argv[1:3])))
