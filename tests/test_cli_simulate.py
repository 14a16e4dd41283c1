"""`riskbot simulate`, as a person runs it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from riskbot.cli import main

RISKBOT = str(Path(sys.executable).parent / "riskbot")


@contextmanager
def simulating(*words: str) -> Iterator[str]:
    """What it prints, while it serves; then Ctrl-C."""
    process = subprocess.Popen([RISKBOT, "simulate", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    lines = [process.stdout.readline()]
    while not lines[-1].startswith("fault"):
        lines.append(process.stdout.readline())
        assert process.poll() is None
    try:
        yield "".join(lines)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        process.stdout.close()


async def test_it_serves_what_it_says_and_takes_faults_while_running() -> None:
    with simulating("crash", "--speed", "10") as shown:
        account = tomllib.loads(re.search(r"\[\[accounts\]\].*?\n\n", shown, re.DOTALL)[0])["accounts"][0]  # type: ignore[index]
        url = account["base_url"]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/api/v5/account/balance") as refused:
                assert (await refused.json())["code"] == "50103"
            async with session.post(f"{url}/simulator/faults", data="html=502") as told:
                assert (await told.json())["faults"] == ["html=502"]
            async with session.get(f"{url}/api/v5/account/balance") as broken:
                assert broken.status == 502
            async with session.delete(f"{url}/simulator/faults") as told:
                assert (await told.json())["faults"] == []
            async with session.get(f"{url}/simulator/state") as state:
                found = await state.json()
        assert found["speed"] == 10
        assert float(found["accounts"][0]["mgnRatio"]) > 10


def test_it_lists_the_scenarios() -> None:
    shown = CliRunner().invoke(main, ["simulate", "--list"])
    assert shown.exit_code == 0
    names = [line.split()[0] for line in shown.output.splitlines()]
    assert names == ["calm-week", "collateral-conversion", "crash", "forced-repayment", "runaway-borrowing"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["nonsense"], "nonsense"),
        (["crash", "--fault", "htlm=502"], "html"),
        (["crash", "--port", "99999"], "99999 is not in the range"),
        (["crash", "--mode", "7"], "'7' is not one of"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(words: list[str], hint: str) -> None:
    shown = CliRunner().invoke(main, ["simulate", *words])
    assert shown.exit_code == 2
    assert hint in shown.output
    assert "Traceback" not in shown.output


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        shown = CliRunner().invoke(main, ["simulate", "crash", "--port", str(taken.getsockname()[1])])
    assert shown.exit_code == 2
    assert "can't listen" in shown.output
