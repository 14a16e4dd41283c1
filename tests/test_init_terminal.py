"""riskbot init as a newcomer sees it: a real terminal, a simulated exchange, Telegram on this machine."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from riskbot.setup import env
from riskbot.simulator import SimAccount, Simulator, load_scenario
from tests.telegram import TOKEN, telegram
from tests.terminal import Terminal

KEYS = ("planted-api-key", "planted-api-secret", "planted-passphrase")
PROGRAM = Path(sys.executable).with_name("riskbot")


def market() -> Simulator:
    return Simulator([SimAccount(*KEYS, uid="77", label="watchman", scenario=load_scenario("crash"))], speed=0)


async def types_the_key(person: Terminal) -> None:
    await person.types(KEYS[0], "API key (it is not shown):")
    await person.types(KEYS[1], "API secret (it is not shown):")
    await person.types(KEYS[2], "Passphrase (it is not shown):")


async def test_a_newcomer_gets_from_nothing_to_a_confirmed_message(tmp_path: Path) -> None:
    async with market() as exchange, telegram() as service:
        person = Terminal(tmp_path, "init", "--base-url", exchange.url, "--telegram-api", service.url)
        await person.types(KEYS[0], "API key (it is not shown):")
        await person.types(KEYS[1], "API secret (it is not shown):")
        await person.types("planted-login-password", "Passphrase (it is not shown):")
        await person.types(KEYS[2], "Passphrase (it is not shown):")
        await person.types("", "e-mail or another")
        await person.types(TOKEN, "Bot token (it is not shown):")
        await person.reads("  https://t.me/my_riskbot?start=")
        code = (await person.reads("\r\n")).strip()
        await person.reads("waiting for Start, 3 min left")
        service.write("/start somebody-else", chat=666)
        service.write(f"/start {code}")
        await person.types("y", "Did it arrive?")
        await person.types("n", "Another receiver?")
        await person.types("", "Take these rules")
        await person.types("", "Ping URL (it is not shown; Enter: none):")
        await person.types("", "Write this?")
        assert await person.end() == 0
        shown = person.screen
        print(shown)  # noqa: T201 - the transcript, for who wants to read it: pytest -s
        assert "planted" not in shown
        assert shown.index("the passphrase is wrong") < shown.index('uid 77 "watchman", Multi-currency margin mode')
        assert "ok  chat Anna  paired (private); no other chat is ever written to" in shown
        ((chat, text),) = service.sent
        assert (chat, "TEST · riskbot · phone" in text) == ("4242", True)

        line = f"set -a; . ./riskbot.env; set +a; {PROGRAM} check --live"
        run = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (run.returncode, run.stderr) == (0, "")
    assert "planted" not in (tmp_path / "rules.toml").read_text()


async def test_ctrl_c_loses_nothing_and_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("# mine\n")
    async with market() as exchange, telegram() as service:
        words = ("init", "--base-url", exchange.url, "--telegram-api", service.url)
        first = Terminal(tmp_path, *words)
        await first.types(KEYS[0], "API key (it is not shown):")
        await first.reads("API secret (it is not shown):")
        first.press(b"\x03")
        assert await first.end() == 1
        assert first.screen.rstrip().endswith("Stopped; rules.toml is as it was.")
        assert [path.name for path in tmp_path.iterdir()] == ["rules.toml"], "an unchecked key is not kept"

        second = Terminal(tmp_path, *words, env={"TELEGRAM_BOT_TOKEN": TOKEN})
        await types_the_key(second)
        await second.types("telegram", "e-mail or another")
        await second.reads("waiting for Start")
        second.press(b"\x03")
        assert await second.end() == 1
        said = "rules.toml is as it was. What was checked so far is in riskbot.env: riskbot init goes on from there."
        assert said in " ".join(second.screen.split())

        third = Terminal(tmp_path, *words)
        for question in ("API key", "API secret", "Passphrase"):
            await third.types("", f"{question} (Enter keeps the one that is there):")
        await third.reads('uid 77 "watchman"')
        third.press(b"\x04")  # Ctrl-D: there will be no more answers
        assert await third.end() == 1

    assert not any(word in first.screen + second.screen + third.screen for word in ("Traceback", "planted", "Error"))
    assert (tmp_path / "rules.toml").read_text() == "# mine\n"
    assert list(env.parse((tmp_path / "riskbot.env").read_text()).values()) == list(KEYS)
    assert (tmp_path / "riskbot.env").stat().st_mode & 0o777 == 0o600


async def test_ctrl_c_while_a_service_is_asked_ends_it_at_once(tmp_path: Path) -> None:
    async with market() as exchange:
        exchange.inject("hang on=config")
        person = Terminal(tmp_path, "init", "--base-url", exchange.url)
        await types_the_key(person)
        async with asyncio.timeout(20):
            while not any(request.path.endswith("config") for request in exchange.requests):
                await asyncio.sleep(0.01)
        person.press(b"\x03")
        assert await person.end() == 1

    assert person.screen.rstrip().endswith("Stopped; rules.toml is as it was.")
    assert "Traceback" not in person.screen
