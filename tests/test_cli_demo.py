"""`riskbot demo`, as a person runs it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from click.testing import CliRunner

from riskbot.cli import main

ROOT = Path(__file__).parents[1]


def test_the_demo_plays_the_crash_in_under_a_minute(tmp_path: Path) -> None:
    riskbot = str(Path(sys.executable).parent / "riskbot")
    before = time.monotonic()
    shown = subprocess.run([riskbot, "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
    assert time.monotonic() - before < 60
    assert (shown.returncode, shown.stderr) == (0, "")
    out = shown.stdout
    assert "\x1b" not in out  # plain when piped
    for title in (
        "INFO · main · margin ratio 9",
        "WARNING · main · margin ratio 4",
        "CRITICAL · main · margin ratio 2",
    ):
        assert title in out
    assert "EMERGENCY · main · margin ratio 1" in out
    assert re.search(r"first message +\d+ min( \d+ s)? before liquidation", out)
    assert re.search(r"first critical +\d+ min( \d+ s)? before liquidation", out)
    written = re.search(r"(\d+) written", out)
    delivered = re.search(r"(\d+) delivered", out)
    assert written
    assert delivered
    assert int(written[1]) == int(delivered[1]) >= 6
    assert "0 duplicates" in out
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


def test_a_mistake_is_told_without_a_traceback(tmp_path: Path) -> None:
    for words in (["--scenario", "nonsense"], ["--rules", str(tmp_path / "none.toml")]):
        shown = CliRunner().invoke(main, ["demo", *words])
        assert shown.exit_code == 2
        assert "Traceback" not in shown.output
