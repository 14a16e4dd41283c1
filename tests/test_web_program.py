"""The built program and what it shows over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
from pathlib import Path

import tomli_w

from riskbot.dashboards import PANELS
from tests.lookout import get, series
from tests.stage import Account, Program, exchange, phone, post, put, until, write_rules

TOKEN = "0123456789abcdef-Zk9vQ2x7"
LISTENS = "status page, /metrics and /healthz at "


async def listens(program: Program, times: int = 1) -> str:
    """Where it says, for the how-manieth time, that it listens."""
    await until(lambda: program.says(LISTENS) >= times, 25, program.log.read_text)
    return re.findall(f"{LISTENS}(.*)", program.log.read_text())[-1]  # type: ignore[no-any-return]


async def gives(url: str, words: str) -> str:
    """What it answers, as soon as these words are in it."""
    text = ""
    async with asyncio.timeout(40):
        while words not in text:
            await asyncio.sleep(0.3)
            text = (await get(url))[1]
    return text


async def status(url: str, **headers: str) -> int:
    return (await get(url, headers=headers))[0]


async def test_health_metrics_and_page_of_the_running_program(tmp_path: Path) -> None:
    story = Account(ratio="2.5")
    async with exchange(story) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}, web={"listen": "127.0.0.1:0"})
        program = Program(rules)
        program.start()
        url = await listens(program)
        await mine.waits_for("CRITICAL · main · margin ratio 2.5")
        await gives(f"{url}metrics", "\nriskbot_disk_free_bytes ")
        found = series(await gives(f"{url}metrics", 'outcome="sent",receiver="phone"} 1.0'))
        assert found['riskbot_mgn_ratio{account="main"}'] == 2.5
        assert found['riskbot_alert_severity{account="main",ccy="",rule="margin ratio"}'] == 3
        assert found['riskbot_delivery_duration_seconds_count{receiver="phone"}'] >= 1
        names = {name.partition("{")[0] for name in found}
        assert {word for one in PANELS for word in re.findall(r"riskbot_\w+", one.expr)} - names <= {
            "riskbot_queue_oldest_age_seconds"
        }
        assert await get(f"{url}healthz") == (200, '{"healthy": true, "reasons": []}')
        assert await status(f"{url}readyz") == 200
        text = (await get(url))[1]
        assert "margin ratio 2.5 (250 %)" in text
        assert "<polyline" in text

        await post(f"{market.url}/simulator/faults", "html=502")
        reasons = json.loads(await gives(f"{url}healthz", "main: not seen for"))["reasons"]
        assert await status(f"{url}healthz") == 503
        assert any(reason.startswith("main: not seen for") for reason in reasons)
        found = series((await get(f"{url}metrics"))[1])
        assert 'riskbot_mgn_ratio{account="main"}' not in found
        assert found['riskbot_polls_failed_total{account="main",reason="exchange"}'] > 0
        assert await program.stop() == 0
    log = program.log.read_text()
    assert "Traceback" not in log
    assert "status page closed" in log


async def test_a_taken_port_is_told_the_watch_goes_on_and_it_listens_once_it_is_free(tmp_path: Path) -> None:
    story = Account(ratio="2.5")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        async with exchange(story) as market, phone() as mine:
            rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}, web={"listen": listen})
            program = Program(rules)
            program.start()
            await mine.waits_for("WARNING · riskbot · the status page is failing", f"{listen}: address already in use")
            await mine.waits_for("CRITICAL · main · margin ratio 2.5")
            taken.close()
            assert await listens(program) == f"http://{listen}/"
            assert await program.stop() == 0
    assert program.says("can't listen at") == 2  # by the page itself, and as an alert of riskbot's


async def test_other_addresses_without_a_token_are_refused_with_their_line(tmp_path: Path) -> None:
    program = Program(write_rules(tmp_path, "http://127.0.0.1:1", {"phone": {"url": "json://localhost"}}))
    text = program.rules.read_text()
    put(program.rules, f'{text}\n[web]\nlisten = "0.0.0.0:0"\n')
    program.start()
    assert program.process
    assert await asyncio.to_thread(program.process.wait, 20) == 2
    line = program.rules.read_text().splitlines().index("[web]") + 2
    assert f"rules.toml:{line}: listen: whoever reaches that address could look" in program.log.read_text()


async def test_the_section_comes_changes_and_goes_while_it_runs(tmp_path: Path) -> None:
    async with exchange(Account()) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        plain = rules.read_text()
        program = Program(rules)
        program.start()
        await until(lambda: program.is_up)
        put(rules, f'{plain}\n[web]\nlisten = "127.0.0.1:0"\n')
        program.signal(signal.SIGHUP)
        first = await listens(program)
        assert await status(first) == 200

        put(rules, f"{plain}\n{tomli_w.dumps({'web': {'listen': '127.0.0.1:0', 'token': TOKEN}})}")
        program.signal(signal.SIGHUP)
        second = await listens(program, 2)
        assert await status(f"{second}healthz") == 401
        assert await status(f"{second}healthz", Authorization=f"Bearer {TOKEN}") == 200

        put(rules, plain)
        program.signal(signal.SIGHUP)
        await until(lambda: program.says("status page closed") == 2)
        assert await program.stop() == 0
    assert TOKEN not in program.log.read_text()


async def test_who_is_just_looking_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with exchange(Account()) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}, web={"listen": "127.0.0.1:0"})
        program = Program(rules)
        program.start()
        url = await listens(program)
        port = int(url.rstrip("/").rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n")
        before = time.monotonic()
        assert await program.stop() == 0
        assert time.monotonic() - before < 4
        writer.close()
