"""riskbot init as a newcomer sees it: a real terminal, a simulated exchange, Telegram on this machine."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from riskbot.simulator import SimAccount, Simulator, load_scenario
from tests.telegram import TOKEN, telegram
from tests.terminal import Terminal

KEYS = ("planted-api-key", "planted-api-secret", "planted-passphrase")


def market(**options: object) -> Simulator:
    account = SimAccount(*KEYS, uid="77", label="watchman", scenario=load_scenario("crash"), **options)  # type: ignore[arg-type]
    return Simulator([account], speed=0)


async def test_a_newcomer_gets_from_nothing_to_a_confirmed_message(tmp_path: Path) -> None:
    began = time.monotonic()
    async with market() as exchange, telegram() as service:
        words = ("init", "--base-url", exchange.url, "--telegram-api", service.url)
        person = Terminal(tmp_path, *words)
        await person.types(KEYS[0], "API key (it is not shown):")
        await person.types(KEYS[1], "API secret (it is not shown):")
        await person.types("my-login-password", "Passphrase (it is not shown):")
        await person.types(KEYS[2], "Passphrase (it is not shown):")
        await person.types("", "e-mail or another")
        await person.types(TOKEN, "Bot token (it is not shown):")
        code = (await person.reads("\r\n\r\n  https://t.me/my_riskbot?start=")) and (await person.reads("\r\n")).strip()
        service.write("/start somebody-else", chat=666)
        service.write(f"/start {code}")
        await person.types("y", "Did it arrive?")
        await person.types("n", "Another receiver?")
        await person.types("", "Take these rules")
        await person.types("", "Write this?")
        assert await person.end() == 0

    print(person.screen, f"\n{time.monotonic() - began:.1f} s")
