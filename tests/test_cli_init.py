"""riskbot init: every question as a flag, every refusal as a sentence, and nothing lost when it is run again."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from riskbot import plugins, settings
from riskbot.builtin.apprise.notifier import AppriseNotifier
from riskbot.cli import init_account, main
from riskbot.model import Alerts
from riskbot.setup import env, reach
from riskbot.setup.telegram import Bot, TelegramError
from riskbot.simulator import SimAccount, Simulator, load_scenario
from riskbot.store.sqlite import SqliteStore
from tests.notifier_contract import free_address
from tests.stage import Phone, phone, put
from tests.telegram import TOKEN, Telegram, telegram

KEYS = ("planted-api-key", "planted-api-secret", "planted $passphrase\"'")
VARIABLES = ("OKX_API_KEY", "OKX_API_SECRET", "OKX_API_PASSPHRASE")
SECRETS = dict(zip(VARIABLES, KEYS, strict=True))
CLEAN = dict.fromkeys((*VARIABLES, "TELEGRAM_BOT_TOKEN", "RISKBOT_PHONE", "RISKBOT_HEARTBEAT", "STATE_DIRECTORY"))
KINDS = plugins.kinds(plugins.manager())


@pytest.fixture
async def market() -> AsyncIterator[Simulator]:
    """A calm account in multi-currency mode; a test changes it as it likes."""
    account = SimAccount(*KEYS, uid="77", label="watchman", scenario=load_scenario("crash"))
    async with Simulator([account], speed=0) as found:
        yield found


@pytest.fixture
async def mine() -> AsyncIterator[Phone]:
    async with phone() as found:
        yield found


@pytest.fixture
async def service() -> AsyncIterator[Telegram]:
    async with telegram() as found:
        yield found


def account_of(market: Simulator) -> SimAccount:
    return market.accounts[KEYS[0]]


async def init(folder: Path, *words: str, typed: str = "", **given: str | None) -> Result:
    """Run it in that folder's name, with these variables and no others."""
    command = ["init", "-c", str(folder / "rules.toml"), *words]
    variables: dict[str, Any] = {**CLEAN, "COLUMNS": "400", **given}
    result = await asyncio.to_thread(CliRunner().invoke, main, command, input=typed, env=variables)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "planted" not in result.output
    return result


async def scripted(folder: Path, market: Simulator, mine: Phone, *words: str, **given: str) -> Result:
    """Without questions: a key from the environment, one webhook."""
    flags = ("--yes", "--base-url", market.url, "--receiver", "phone")
    return await init(folder, *flags, *words, **{**SECRETS, "RISKBOT_PHONE": mine.url, **given})


def config(folder: Path) -> settings.Config:
    """What was written, as riskbot reads it with the env file alone."""
    return settings.load(folder / "rules.toml", KINDS, env.parse((folder / "riskbot.env").read_text()))


# ---------------------------------------------------------------- by flags


async def test_without_a_question_it_writes_files_that_work(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    result = await scripted(tmp_path, market, mine)

    assert result.exit_code == 0, result.output
    assert "restart it" not in result.output
    assert mine.titles == ["TEST · riskbot · phone"]
    assert "receiver phone  sent in 0." in result.output
    assert "; nobody was asked whether it arrived" in result.output
    found = config(tmp_path)
    assert found.accounts[0].base_url == market.url
    assert found.accounts[0].passphrase.get_secret_value() == KEYS[2]
    assert found.receivers["phone"].url.get_secret_value() == mine.url
    assert [rule.name for rule in found.rules][:3] == ["margin ratio", "liquidation", "forced repayment"]
    assert (found.warnings, len(found.rules)) == ((), 10)
    text = (tmp_path / "rules.toml").read_text()
    assert "planted" not in text
    assert '# uid 77 "watchman", Multi-currency margin' in text
    assert "# 1.0 is 100 %: there the exchange liquidates." in text
    assert stat.S_IMODE((tmp_path / "riskbot.env").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["riskbot.env", "rules.toml"]


async def test_a_shell_reads_the_env_file_and_riskbot_runs_by_it(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    await scripted(tmp_path, market, mine)
    program = Path(sys.executable).with_name("riskbot")
    line = f'set -a; . ./riskbot.env; set +a; printf %s "$OKX_API_PASSPHRASE"; {program} check --live'
    run = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(KEYS[2])


async def test_what_is_no_regular_file_is_neither_read_nor_replaced(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    os.mkfifo(tmp_path / "pipe")
    result = await scripted(tmp_path, market, mine, "--env-file", str(tmp_path / "pipe"))

    assert result.exit_code == 2
    assert f"{tmp_path / 'pipe'}: can't read it: it is not a regular file; name another" in result.output
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


async def test_what_is_next_names_the_env_file_where_it_is_another(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    result = await scripted(tmp_path, market, mine, "--env-file", str(tmp_path / "mine.env"))

    given = f"-c {tmp_path / 'rules.toml'} --env-file {tmp_path / 'mine.env'}"
    assert f"riskbot systemd {given} " in result.output
    assert f"riskbot init {given} --account NAME" in result.output


async def test_a_key_of_another_account_than_the_one_that_is_remembered_is_refused(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    assert (await scripted(tmp_path, market, mine)).exit_code == 0
    before = (tmp_path / "rules.toml").read_text()
    store = await SqliteStore.open(tmp_path / "riskbot.db")
    await store.commit("main", 0, "a", msgspec.json.encode(Alerts(uid="4")))
    await store.close()
    result = await scripted(tmp_path, market, mine)

    assert result.exit_code == 1
    assert "WRONG  key main  it belongs to another account of OKX than before (uid 4); if that is" in result.output
    assert (tmp_path / "rules.toml").read_text() == before
    keys = dict(zip((f"{name}_OTHER" for name in VARIABLES), KEYS, strict=True))
    assert (await scripted(tmp_path, market, mine, "--account", "other", **keys)).exit_code == 0


async def test_secrets_come_from_files_and_from_lines_of_stdin(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    put(tmp_path / "secret", f"{KEYS[1]}\n")
    put(tmp_path / "hook", mine.url)
    files = ("--api-key-file", "-", "--api-secret-file", str(tmp_path / "secret"), "--passphrase-file", "-")
    words = ("--yes", "--base-url", market.url, "--receiver", f"hook={tmp_path / 'hook'}", "--account", "desk one")
    result = await init(tmp_path, *files, *words, typed=f"{KEYS[0]}\n{KEYS[2]}\n")

    assert result.exit_code == 0, result.output
    assert env.parse((tmp_path / "riskbot.env").read_text()) == {
        "OKX_API_KEY_DESK_ONE": KEYS[0],
        "OKX_API_SECRET_DESK_ONE": KEYS[1],
        "OKX_API_PASSPHRASE_DESK_ONE": KEYS[2],
        "RISKBOT_HOOK": mine.url,
    }


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        ((), {}, "API key: not given, and --yes asks nobody. Give --api-key-file FILE, or OKX_API_KEY."),
        ((), {"OKX_API_KEY": "k"}, "API secret: not given, and --yes asks nobody. Give --api-secret-file FILE"),
        (
            ("--api-key-file", "planted"),
            {},
            "--api-key-file: there is no such file; a file that holds the secret is due",
        ),
        (("--api-key-file", "."), {}, "--api-key-file: can't read the secret in .: Is a directory"),
        (("--api-key-file", "planted" * 50), {}, "can't read the secret in that file: File name too long"),
        (("--receiver", "phone=tgram://planted/7"), SECRETS, "--receiver phone: there is no such file"),
        (("--receiver", "tgram://planted/7"), SECRETS, "--receiver: NAME=FILE is due; the URL itself is a secret"),
        (("--region", "eea"), SECRETS, "give either --region or --base-url: a server of its own is of no region"),
        (("--api-key-file", "-"), {}, "standard input: one line with the secret is due"),
        (("--receiver", "=hook"), SECRETS, "--receiver: the name of a receiver has 1 to 40 signs, and no line break"),
        (("--account", "a/b"), SECRETS, "name: may hold no /, @ or line break"),
        ((), SECRETS, "Receivers: none given, and --yes asks nobody. Give --receiver NAME or --telegram-chat ID."),
        (("--receiver", "phone"), SECRETS, "--receiver phone: set RISKBOT_PHONE, or give --receiver phone=FILE."),
        (("--telegram-chat", "7"), SECRETS, "Bot token: not given, and --yes asks nobody. Give --telegram-token-file"),
    ],
)
async def test_what_is_missing_is_named_and_nothing_is_written(
    tmp_path: Path, market: Simulator, words: tuple[str, ...], given: dict[str, str], said: str
) -> None:
    result = await init(tmp_path, "--yes", "--base-url", market.url, *words, **given)

    assert result.exit_code == 2
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


async def test_rules_are_chosen_by_name(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    await scripted(tmp_path, market, mine, "--rule", "margin ratio", "--rule", "debt grows")
    assert [rule.name for rule in config(tmp_path).rules] == ["margin ratio", "debt grows", "blind", "key_safety"]

    wrong = await scripted(tmp_path / "..", market, mine, "--rule", "margn ratio")
    assert (wrong.exit_code, wrong.stderr) == (2, '--rule: no rule "margn ratio"; did you mean "margin ratio"?\n')

    again = await scripted(tmp_path, market, mine, "--rule", "margin ratio", "--rule", "time left")
    assert again.exit_code == 0, again.stderr
    assert [rule.name for rule in config(tmp_path).rules][:3] == ["margin ratio", "debt grows", "time left"]


async def test_rules_that_could_never_speak_in_this_mode_are_left_out(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    account_of(market).mode = "2"
    result = await scripted(tmp_path, market, mine)

    assert "left out: would have no data in Futures mode: what it reads is carried in Multi" in result.output
    wished = await scripted(tmp_path / "..", market, mine, "--rule", "time left")
    assert wished.exit_code == 2
    assert wished.stderr.startswith("--rule: time left would have no data in Futures mode: ")
    names = [rule.name for rule in config(tmp_path).rules]
    assert names == [
        "margin ratio",
        "liquidation",
        "collateral conversion",
        "collateral restricted",
        "blind",
        "key_safety",
    ]


# ---------------------------------------------------------------- the key


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("code=50105", "the passphrase is wrong (code 50105). It is the one that you made up for this API key"),
        ("code=50113", "the signature is wrong; is the API secret right? (code 50113). Copy the secret key again"),
        (
            "code=50110",
            "is not on the key's list (code 50110). On OKX, edit the API key and add this machine's address",
        ),
        ("code=50119", "or has lapsed: make a new one.\n"),
        ("code=50101", "The key is neither one of live trading nor of demo trading here: make a new one."),
        ("code=50121", "OKX does not serve this country or data centre: run riskbot on a machine elsewhere."),
        ("code=50001", "OKX is down for now (maintenance?) (code 50001)."),
        ("code=59999", "OKX answers with an error that is new to riskbot (code 59999). Try again in a minute."),
        ("html=502", "an answer that is not OKX's (HTTP 502). Try again in a minute."),
        ("reset", "Is this machine online?"),
    ],
)
async def test_each_refusal_of_the_exchange_says_what_to_do(
    tmp_path: Path, market: Simulator, mine: Phone, fault: str, said: str
) -> None:
    market.inject(f"{fault} on=config")
    result = await scripted(tmp_path, market, mine)

    assert (result.exit_code, result.stderr) == (1, "Nothing was written.\n")
    assert said in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("permissions", "flags", "code"),
    [
        (("read_only", "trade"), (), 1),
        (("read_only", "trade"), ("--allow-trade-key",), 0),
        (("read_only", "withdraw"), ("--allow-trade-key",), 1),
        (("read_only", "withdraw", "trade"), ("--allow-trade-key",), 1),
    ],
)
async def test_a_key_that_may_too_much_is_refused_with_the_reason(
    tmp_path: Path, market: Simulator, mine: Phone, permissions: tuple[str, ...], flags: tuple[str, ...], code: int
) -> None:
    account_of(market).permissions = permissions
    result = await scripted(tmp_path, market, mine, *flags)

    assert result.exit_code == code
    if code:
        assert "riskbot does not take this key: it can " in result.stdout
        assert ("--allow-trade-key" in result.stdout) == ("withdraw" not in permissions)
    else:
        assert "warning" in result.stdout
        assert "it can trade: who gets hold of it can trade" in result.stdout


async def test_whether_this_machine_is_online_is_asked_once(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    result = await scripted(tmp_path, market, mine, "--base-url", "https://nowhere.invalid")

    said = "the exchange's name can't be resolved; is this machine online? Where a proxy or a firewall is in between"
    assert (result.exit_code, said in result.stdout) == (1, True), result.stdout


async def test_an_account_that_can_not_be_read_is_refused_too(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    market.inject("code=50120 on=balance")
    result = await scripted(tmp_path, market, mine)

    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "On OKX, edit the API key and give it the Read permission." in result.stdout


async def test_a_clock_that_is_off_is_told_and_one_that_is_not_known_is_not(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    market.inject("skew=50s times=100")
    off = await scripted(tmp_path, market, mine)
    assert off.exit_code == 0, off.output
    assert " s behind the exchange's; riskbot allows for it, but set it right (NTP)" in off.output

    market.clear_faults()
    market.inject("html=502 on=time")
    unknown = await scripted(tmp_path, market, mine)
    assert (unknown.exit_code, "clock main" in unknown.output) == (0, False)


async def test_a_key_for_demo_trading_is_found_out(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    account_of(market).demo = True
    result = await scripted(tmp_path, market, mine)

    assert "(demo trading)" in result.stdout
    assert config(tmp_path).accounts[0].demo is True


async def test_the_site_that_knows_the_key_is_found_by_trying(
    tmp_path: Path, market: Simulator, mine: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Simulator([SimAccount("other", "other", "other", scenario=load_scenario("crash"))]) as elsewhere:
        monkeypatch.setattr(init_account, "HOSTS", {"global": elsewhere.url, "eea": market.url, "us": elsewhere.url})
        flags = ("--yes", "--receiver", "phone")
        found = await init(tmp_path, *flags, **SECRETS, RISKBOT_PHONE=mine.url)
        assert "found at eea: uid 77" in found.stdout
        assert (config(tmp_path).accounts[0].region, config(tmp_path).accounts[0].base_url) == ("eea", None)

        elsewhere.requests.clear()
        await init(tmp_path, *flags, **SECRETS, RISKBOT_PHONE=mine.url)
        assert not elsewhere.requests, "a site that was found before is asked first"

        only = await init(tmp_path, *flags, "--region", "us", **SECRETS, RISKBOT_PHONE=mine.url)
        assert (only.exit_code, "OKX does not know this API key here" in only.stdout) == (1, True)
        assert "make a new one. Without --region all of OKX's sites are tried." in only.stdout

        monkeypatch.setattr(init_account, "HOSTS", {"global": elsewhere.url, "us": f"http://{free_address()}"})
        nowhere = await init(tmp_path / "..", *flags, **SECRETS, RISKBOT_PHONE=mine.url)
        said = "none of OKX's sites (global, us) knows this API key (us could not be reached). Copy the API key again"
        assert said in nowhere.stdout


async def test_a_secret_with_a_sign_that_can_not_be_seen_is_asked_again(tmp_path: Path, market: Simulator) -> None:
    result = await init(tmp_path, "--base-url", market.url, typed="with\x07bell\n\n")

    assert "It holds a line break or another control character: copy it again." in result.output
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])


async def test_only_what_was_wrong_is_asked_again(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    market.inject("code=50110 on=config times=1")
    account_of(market).ips = ()
    put(tmp_path / "hook", mine.url)
    flags = ("--base-url", market.url, "--receiver", f"phone={tmp_path / 'hook'}")
    answers = [KEYS[0], "wrong", KEYS[2], "", KEYS[1], "y", "", "", "y"]
    result = await init(tmp_path, *flags, typed="\n".join([*answers, ""]))

    assert result.exit_code == 0, result.output
    assert result.output.count("API key (it is not shown)") == 1
    assert result.output.count("API secret (it is not shown)") == 2
    assert result.output.count("Passphrase (it is not shown)") == 1
    assert "Press Enter to try again once that is done" in result.output
    assert "it has no IP binding: who gets hold of it can use it from everywhere" in result.output


# ---------------------------------------------------------------- receivers


async def interview(
    folder: Path, market: Simulator, *answers: str, words: tuple[str, ...] = (), **given: str
) -> Result:
    """The key is known; these are the answers from the receivers on."""
    account = ["", "", ""]
    typed = "\n".join([*account, *answers, ""])
    return await init(folder, "--base-url", market.url, *words, typed=typed, **{**SECRETS, **given})


async def test_a_receiver_that_does_not_arrive_is_not_used(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    other = ("other", mine.url, "", "n", "n")
    result = await interview(tmp_path, market, *other, "other", mine.url, "", "y", "y", *other, "n", "all", "", "y")

    assert result.exit_code == 0, result.output
    assert list(config(tmp_path).receivers) == ["other"]
    assert mine.messages == 3


async def test_a_receiver_of_another_sort_is_called_as_one_likes(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    answers = ("other", mine.url, "n" * 41, "night desk", "y", "n", "none", "", "y")
    result = await interview(tmp_path, market, *answers)

    assert result.exit_code == 0, result.output
    assert "the name of a receiver has 1 to 40 signs, and no line break" in result.output
    assert mine.titles == ["TEST · riskbot · night desk"]
    assert list(config(tmp_path).receivers) == ["night desk"]


async def test_one_that_fails_can_be_used_all_the_same_and_two_get_names_of_their_own(
    tmp_path: Path, market: Simulator
) -> None:
    async with phone(answer=lambda: 500) as broken:
        url = broken.url
        first = ("other", "planted-token", "", "other", "tgrm://planted", "", "other", url, "", "y")
        result = await interview(tmp_path, market, *first, "y", "other", url, "", "y", "n", "none", "", "y")

    assert result.exit_code == 0, result.output
    assert "not an Apprise URL: it begins with a service" in result.output
    assert "unknown service tgrm://; did you mean tgram://?" in result.output
    assert list(config(tmp_path).receivers) == ["other", "other2"]
    assert "HTTP 500: Internal server error" in result.output


async def test_without_test_messages_only_the_url_is_looked_at(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    result = await scripted(tmp_path, market, mine, "--no-test")
    assert (result.exit_code, mine.tries) == (0, 0)

    wrong = await scripted(tmp_path / "..", market, mine, "--no-test", RISKBOT_PHONE="tgrm://planted")
    assert wrong.exit_code == 1
    assert "unknown service tgrm://" in wrong.stdout
    assert wrong.stderr == "receiver phone: no message arrives there; nothing was written.\n"


async def test_slack_and_mail_are_made_of_what_people_know(
    tmp_path: Path, market: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    slack = ("slack", "https://example.com/planted", "https://hooks.slack.com/services/TPLANTED/B0/planted0secret")
    mail = (
        "e-mail",
        "nobody",
        "me@example.com",
        "planted/pass word",
        "mx example",
        "mx.example.com",
        "you@example.com",
    )
    second = ("e-mail", "me@example.com", "planted", "mx.example.com:465", "")
    answers = (*slack, "y", *mail, "y", *second, "n", "none", "", "y")
    result = await interview(tmp_path, market, *answers, words=("--no-test",))

    assert result.exit_code == 0, result.output
    assert "not an incoming webhook: it looks like https://hooks.slack.com/services/" in result.output
    assert "not an e-mail address: write name@example.com" in result.output
    assert "not a mail server: write smtp.example.com, or smtp.example.com:465" in result.output
    urls = {name: receiver.url.get_secret_value() for name, receiver in config(tmp_path).receivers.items()}
    assert urls == {
        "slack": "slack://TPLANTED/B0/planted0secret/",
        "mail": "mailtos://me:planted%2Fpass%20word@example.com"
        "?smtp=mx.example.com&user=me%40example.com&to=you%40example.com",
        "mail2": "mailtos://me:planted@example.com:465?smtp=mx.example.com&user=me%40example.com&mode=ssl",
    }
    server = reach.address(AppriseNotifier(urls["mail2"]))
    assert server == reach.Address("mx.example.com", 465, tls=True)


# ---------------------------------------------------------------- Telegram


def code_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskbot.setup.telegram.new_code", lambda: "the-code")
    monkeypatch.setattr("riskbot.setup.telegram.PAUSE", 0.01)


async def test_a_group_is_paired_and_a_wrong_token_is_asked_again(
    tmp_path: Path, market: Simulator, service: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_is_known(monkeypatch)
    service.write("hello", chat=1)
    service.write("/start the-wrong-code", chat=2)
    service.updates += [
        {"odd": 1},
        {"update_id": 1010},
        {"update_id": 1011, "message": {"text": "/start the-code"}},
    ]
    service.write("/start@my_riskbot the-code", chat=-100, type="supergroup", title="Desk")
    answers = ("telegram", "123:planted", TOKEN, "y", "n", "none", "", "y")
    result = await interview(tmp_path, market, *answers, words=("--telegram-api", service.url))

    assert result.exit_code == 0, result.output
    assert "Telegram does not know this token: copy it again from @BotFather, all of it" in result.output
    assert "https://t.me/my_riskbot?start=the-code" in result.output
    assert "chat Desk  paired (supergroup); no other chat is ever written to" in result.output
    (sent,) = service.sent
    assert sent[0] == "-100"
    assert "TEST · riskbot · phone" in sent[1]
    url = config(tmp_path).receivers["phone"].url.get_secret_value()
    assert url.startswith(f"tgram://{TOKEN}/-100/?api=http")


async def test_who_presses_start_late_has_pressed_it(
    tmp_path: Path, market: Simulator, service: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskbot.setup.telegram.PAUSE", 0.01)
    links: list[str] = []

    def link(bot: str, code: str) -> str:
        if links:  # while they are asked whether to wait once more
            service.write(f"/start {links[0]}")
            service.write(f"/start {links[0]}")
        links.append(code)
        return f"{bot} {code}"

    monkeypatch.setattr("riskbot.setup.telegram.link", link)
    words = ("--telegram-api", service.url, "--telegram-wait", "0.2")
    result = await interview(
        tmp_path, market, "telegram", "y", "y", "n", "none", "", "y", words=words, TELEGRAM_BOT_TOKEN=TOKEN
    )

    assert result.exit_code == 0, result.output
    assert result.output.count("Nobody pressed Start in time.") == 1
    assert f"To write /start {links[0]} to @my_riskbot does the same." in result.output
    assert links == [links[0]] * 2
    assert [chat for chat, _ in service.sent] == ["4242"]


async def test_nobody_presses_start_and_the_chat_is_given_by_hand(
    tmp_path: Path, market: Simulator, service: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_is_known(monkeypatch)
    answers = ("telegram", "y", "n", "4242", "y", "n", "none", "", "y")
    words = ("--telegram-api", service.url, "--telegram-wait", "0.05")
    result = await interview(tmp_path, market, *answers, words=words, TELEGRAM_BOT_TOKEN=TOKEN)

    assert result.exit_code == 0, result.output
    assert result.output.count("Nobody pressed Start in time.") == 2
    assert [chat for chat, _ in service.sent] == ["4242"]


async def test_telegram_is_set_up_without_a_question(tmp_path: Path, market: Simulator, service: Telegram) -> None:
    put(tmp_path / "token", TOKEN)
    words = ("--yes", "--base-url", market.url, "--telegram-api", service.url)
    words = (*words, "--telegram-token-file", str(tmp_path / "token"))
    waits = await init(tmp_path, *words, **SECRETS)
    assert (waits.exit_code, "Give --telegram-chat ID." in waits.stderr) == (2, True)

    result = await init(tmp_path, *words, "--telegram-chat", "4242", **SECRETS)
    assert result.exit_code == 0, result.output
    assert service.asked == ["getMe", "getMe", "sendMessage"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (409, "another program reads this bot's messages (a webhook, or another riskbot init)"),
        (429, "Telegram says there are too many requests: wait a minute"),
        (500, "Telegram refuses (HTTP 500): try again later"),
    ],
)
async def test_what_telegram_refuses_is_told_in_a_sentence(
    tmp_path: Path, market: Simulator, service: Telegram, status: int, said: str
) -> None:
    service.status = status
    words = ("--yes", "--base-url", market.url, "--telegram-api", service.url, "--telegram-chat", "1")
    result = await init(tmp_path, *words, **SECRETS, TELEGRAM_BOT_TOKEN=TOKEN)

    assert (result.exit_code, result.stderr) == (1, "Nothing was written.\n")
    assert said in result.stdout


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://{free}", "Telegram can't be reached (ClientConnectorError): is this machine online?"),
        ("{page}", "what answers is not Telegram: is --telegram-api right?"),
        ("{odd}", "what answers is not Telegram: is --telegram-api right?"),
    ],
)
async def test_a_wrong_address_of_the_bot_api_is_told(
    tmp_path: Path, market: Simulator, address: str, said: str, aiohttp_server: Any
) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async def odd(_: web.Request) -> web.Response:
        return web.json_response({"ok": True, "result": []})

    app = web.Application()
    app.router.add_get("/page/{rest:.*}", page)
    app.router.add_get("/odd/{rest:.*}", odd)
    server = await aiohttp_server(app)
    base = str(server.make_url("/")).rstrip("/")
    url = address.format(free=free_address(), page=f"{base}/page", odd=f"{base}/odd")
    words = ("--yes", "--base-url", market.url, "--telegram-api", url, "--telegram-chat", "1")
    result = await init(tmp_path, *words, **SECRETS, TELEGRAM_BOT_TOKEN=TOKEN)

    assert result.exit_code == 1
    assert said in result.stdout


async def test_no_error_of_telegram_carries_the_token() -> None:
    with pytest.raises(TelegramError) as caught:
        await Bot(TOKEN, f"http://{free_address()}").name()

    assert TOKEN.partition(":")[2] not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--base-url", "http://okx.example.com"), "base_url: the key would travel in the clear: write https://"),
        (("--telegram-api", "http://api.example.com"), "--telegram-api: the bot's token would travel in the clear"),
        (("--telegram-api", "nonsense"), "--telegram-api: write https://host, or http://127.0.0.1:8081"),
    ],
)
async def test_nothing_secret_is_sent_in_the_clear(
    tmp_path: Path, market: Simulator, words: tuple[str, ...], said: str
) -> None:
    flags = ("--yes", "--telegram-chat", "1", "--base-url", market.url, *words)
    result = await init(tmp_path, *flags, **SECRETS, TELEGRAM_BOT_TOKEN=TOKEN)

    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


# ---------------------------------------------------------------- the heartbeat


async def test_a_heartbeat_is_pinged_once_and_written(
    tmp_path: Path, market: Simulator, mine: Phone, aiohttp_server: Any
) -> None:
    pinged = []

    async def ping(request: web.Request) -> web.Response:
        pinged.append(request.path)
        return web.Response(text="OK")

    app = web.Application()
    app.router.add_get("/planted-uuid", ping)
    server = await aiohttp_server(app)
    await scripted(tmp_path, market, mine)
    put(tmp_path / "url", str(server.make_url("/planted-uuid")))
    result = await scripted(tmp_path, market, mine, "--heartbeat-file", str(tmp_path / "url"))

    assert result.exit_code == 0, result.output
    found = config(tmp_path).heartbeat
    assert (pinged, found is not None) == (["/planted-uuid"], True)
    assert 'url = "${RISKBOT_HEARTBEAT}"' in (tmp_path / "rules.toml").read_text()

    again = await init(tmp_path, "--yes", RISKBOT_HEARTBEAT=str(server.make_url("/planted-uuid?new")))
    assert "RISKBOT_HEARTBEAT changed" in again.output
    assert (tmp_path / "rules.toml").read_text().count("[heartbeat]") == 1


async def test_an_address_that_is_replaced_stands_in_the_same_place(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    await scripted(tmp_path, market, mine)
    put(tmp_path / "hook", f"{mine.url}?planted=new")
    result = await init(tmp_path, "--yes", "--receiver", f"phone={tmp_path / 'hook'}")

    assert "RISKBOT_PHONE changed" in result.output
    assert config(tmp_path).receivers["phone"].url.get_secret_value() == f"{mine.url}?planted=new"
    assert not (tmp_path / "rules.toml.bak").exists(), "the rules file is as it was"


async def test_a_heartbeat_that_does_not_work_is_told_and_none_is_needed(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    gone = f"http://{free_address()}/planted"
    refused = await scripted(tmp_path, market, mine, RISKBOT_HEARTBEAT=gone)
    assert (refused.exit_code, "the connection failed" in refused.stdout) == (1, True)

    answers = ("other", mine.url, "", "y", "n", "none")
    result = await interview(tmp_path, market, *answers, "planted", gone, "y", "y")
    assert result.exit_code == 0, result.output
    assert "not a URL: write https://… as the service shows it" in result.output
    found = config(tmp_path).heartbeat
    assert found is not None
    assert found.url.get_secret_value() == gone


# ---------------------------------------------------------------- again


async def test_run_again_it_keeps_what_is_there(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    await scripted(tmp_path, market, mine)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}

    again = await init(tmp_path, "--yes")
    assert again.exit_code == 0, again.output
    assert "Both files are right as they are." in again.output
    assert "ok  receiver phone  as before, not tried" in again.output
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


THEIRS = """
# my own words
include = ["more.toml"]

[[accounts]]   # the desk
name = "desk"
api_key = "planted-api-key"      # read only
api_secret = "file:secret"
passphrase = "${MY_PHRASE}"
base_url = "BASE"
poll_every = "2s"

# whom to tell
[receivers.chat]
url = "HOOK"            # of the desk
min_severity = "warning"

[[rules]]
name = "mine"
kind = "margin_ratio"
below = { warning = 4 }

[[rules]]
name = "of the future"
kind = "margin_ratio"
below = { warning = 4 }
accounts = ["desk"]
"""


async def test_a_traders_file_is_changed_where_it_must_be_and_nowhere_else(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    theirs = THEIRS.replace("BASE", market.url).replace("HOOK", f"{mine.url}/planted")
    put(tmp_path / "rules.toml", theirs)
    put(tmp_path / "secret", KEYS[1])
    put(tmp_path / "more.toml", f'[receivers.mail]\nurl = "{mine.url}"\n')
    put(tmp_path / "riskbot.env", "# mine\nexport MY_PHRASE='wrong'\nOTHER=1\n")
    result = await init(tmp_path, "--yes", "--rule", "debt grows", MY_PHRASE=KEYS[2])

    assert result.exit_code == 0, result.output
    now = (tmp_path / "rules.toml").read_text()
    block = next(part for part in now.split("\n\n") if "debt grows" in part)
    expected = theirs.replace('"planted-api-key"      # read only', '"${OKX_API_KEY_DESK}"  # read only')
    expected = expected.replace(f'"{mine.url}/planted"  ', '"${RISKBOT_CHAT}"  ').replace(f'"{mine.url}/planted"', "")
    assert now.replace(" ", "") == f"{expected.rstrip()}\n\n{block}".replace(" ", "").rstrip() + "\n"
    secrets = (tmp_path / "riskbot.env").read_text()
    assert secrets.startswith("# mine\nMY_PHRASE=")
    assert "OTHER=1\n" in secrets
    found = config(tmp_path)
    assert found.accounts[0].api_secret.get_secret_value() == KEYS[1]
    assert found.receivers["chat"].url.get_secret_value() == f"{mine.url}/planted"
    assert (tmp_path / "rules.toml.bak").read_text() == theirs
    assert (tmp_path / "riskbot.env.bak").read_text() == "# mine\nexport MY_PHRASE='wrong'\nOTHER=1\n"
    assert stat.S_IMODE((tmp_path / "riskbot.env.bak").stat().st_mode) == 0o600
    assert '+api_key = "${OKX_API_KEY_DESK}"' in result.output
    restart = "A riskbot that is running does not have the new secrets: restart it."
    assert restart in result.output
    again = await init(tmp_path, "--yes", MY_PHRASE=KEYS[2])
    assert "Both files are right as they are." in again.output
    assert restart not in again.output


async def test_a_second_account_and_another_receiver_are_added(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    await scripted(tmp_path, market, mine)
    put(tmp_path / "hook", mine.url)
    market.add(SimAccount("planted-2", "planted-2", "planted-2", uid="78", scenario=load_scenario("crash")))
    alt = {f"{name}_ALT": "planted-2" for name in VARIABLES}
    words = ("--account", "alt", "--base-url", market.url, "--receiver", f"mail={tmp_path / 'hook'}")
    result = await init(tmp_path, "--yes", *words, **alt)

    assert result.exit_code == 0, result.output
    found = config(tmp_path)
    assert [account.name for account in found.accounts] == ["main", "alt"]
    assert list(found.receivers) == ["phone", "mail"]
    assert found.accounts[1].api_key.get_secret_value() == "planted-2"
    assert len(found.rules) == 10


@pytest.mark.parametrize(("first", "second"), [("主账户", "副账户"), ("desk one", "desk-one")])
async def test_no_account_takes_the_variable_of_another(
    tmp_path: Path, market: Simulator, mine: Phone, first: str, second: str
) -> None:
    put(tmp_path / "keys", "planted-2")
    market.add(SimAccount(*["planted-2"] * 3, uid="78", scenario=load_scenario("crash")))
    flags = [word for key in init_account.FLAGS.values() for word in (key, str(tmp_path / "keys"))]
    put(tmp_path / "other", f"{mine.url}/other")
    receivers = ["--no-test", "--receiver", "a b", "--receiver", f"a-b={tmp_path / 'other'}"]
    files = ["--yes", "--base-url", market.url, *receivers, *flags]
    begun = await init(tmp_path, *files, "--account", first, RISKBOT_A_B=mine.url)
    assert begun.exit_code == 0, begun.output
    put(tmp_path / "more", f"{mine.url}/more")
    words = ("--no-test", "--account", second, "--receiver", f"a.b={tmp_path / 'more'}")
    asked = await init(tmp_path, "--base-url", market.url, *words, typed="\n".join([*KEYS, *[""] * 9]))

    assert asked.exit_code == 0, asked.output
    assert "Enter keeps" not in asked.output.partition("Ping URL")[0]
    found = config(tmp_path)
    keys = [account.api_secret.get_secret_value() for account in found.accounts]
    assert keys == ["planted-2", KEYS[1]]
    urls = [receiver.url.get_secret_value() for receiver in found.receivers.values()]
    assert urls == [mine.url, f"{mine.url}/other", f"{mine.url}/more"]


async def test_a_new_url_of_a_variable_that_two_receivers_share_leaves_the_other_alone(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    shared = '[receivers.one]\nurl = "${HOOK}"\n\n[receivers.two]\nurl = "${HOOK}"\n'
    put(tmp_path / "rules.toml", shared)
    put(tmp_path / "new", f"{mine.url}/new")
    words = ("--no-test", "--receiver", f"two={tmp_path / 'new'}")
    result = await scripted(tmp_path, market, mine, *words, HOOK=mine.url)

    assert result.exit_code == 0, result.output
    found = config(tmp_path)
    assert found.receivers["one"].url.get_secret_value() == mine.url
    assert found.receivers["two"].url.get_secret_value() == f"{mine.url}/new"


async def test_the_same_key_under_another_name_is_told(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    await scripted(tmp_path, market, mine)
    first = await init(tmp_path, "--yes")
    twin = {f"{name}_ALT": value for name, value in SECRETS.items()}
    second = await init(tmp_path, "--yes", "--base-url", market.url, "--account", "alt", **twin)

    assert "has the same key" not in first.output
    assert "warning  key alt      main has the same key: both are one account, told of twice" in second.output


async def test_rules_that_could_never_speak_of_a_new_account_are_kept_to_those_of_before(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    await scripted(tmp_path, market, mine)
    market.add(SimAccount(*["planted-2"] * 3, uid="78", mode="2", scenario=load_scenario("crash")))
    alt = {f"{name}_ALT": "planted-2" for name in VARIABLES}
    words = ("--base-url", market.url, "--account", "alt", "--no-test")
    asked = await init(tmp_path, *words, typed="\n" * 3 + "n\n" + "n\n\nn\n", **alt)
    assert "Keep alt out of forced repayment, debt grows, equity melts, time left? [Y/n]: n" in asked.output
    assert "+accounts" not in asked.output

    result = await init(tmp_path, "--yes", *words, **alt)
    assert result.exit_code == 0, result.output
    assert '\n+accounts = ["main"]\n' in result.output
    found = {rule.name: rule.accounts for rule in config(tmp_path).rules}
    assert found["debt grows"] == found["time left"] == ("main",)
    assert found["margin ratio"] is found["collateral conversion"] is None
    again = await init(tmp_path, "--yes", *words, **alt)
    assert "Both files are right as they are." in again.output
    alone = await init(
        tmp_path, "--yes", "--base-url", market.url, "--no-test", **dict.fromkeys(VARIABLES, "planted-2")
    )
    assert "Both files" not in alone.output
    assert "+accounts" not in alone.output, "nobody else is left whom it could watch"


async def test_a_key_is_replaced_and_the_old_file_is_kept(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    await scripted(tmp_path, market, mine)
    market.add(SimAccount("planted-new", "planted-new", "planted-new", uid="77", scenario=load_scenario("crash")))
    result = await init(tmp_path, "--yes", **dict.fromkeys(VARIABLES, "planted-new"))
    await init(tmp_path, "--yes", **SECRETS)

    assert "OKX_API_KEY changed, OKX_API_SECRET changed, OKX_API_PASSPHRASE changed" in result.output
    assert "stays as it is" in result.output
    assert env.parse((tmp_path / "riskbot.env.bak").read_text())["OKX_API_KEY"] == KEYS[0]
    assert env.parse((tmp_path / "riskbot.env.bak1").read_text())["OKX_API_KEY"] == "planted-new"


async def test_those_who_know_riskbot_try_what_is_there_and_add_a_rule(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    await scripted(tmp_path, market, mine, "--rule", "margin ratio")
    answers = ["", "", "", "y", "y", "n", "debt growz", "debt grows", "", "y"]
    result = await init(tmp_path, typed="\n".join([*answers, ""]))

    assert result.exit_code == 0, result.output
    assert mine.messages == 2
    assert 'no rule "debt growz"; did you mean "debt grows"?' in result.output
    assert [rule.name for rule in config(tmp_path).rules] == ["margin ratio", "debt grows", "blind", "key_safety"]


async def test_with_all_rules_taken_none_is_asked_for(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    await scripted(tmp_path, market, mine)
    result = await init(tmp_path, "--no-test", typed="\n" * 10)

    assert "Both files are right as they are." in result.output
    assert "Add any of" not in result.output


async def test_a_no_at_the_end_changes_nothing_and_loses_nothing(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    answers = ("other", mine.url, "", "y", "n", "all", "", "n")
    result = await interview(tmp_path, market, *answers)
    assert result.exit_code == 1
    assert "Stopped; " in result.stderr
    assert (
        f"What was checked so far is in {tmp_path / 'riskbot.env'}: riskbot init goes on from there." in result.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == ["riskbot.env"]

    again = await init(tmp_path, "--yes", "--base-url", market.url)
    assert again.exit_code == 0, again.output
    assert config(tmp_path).receivers["other"].url.get_secret_value() == mine.url


# ---------------------------------------------------------------- what can't be


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[[accounts]\n", 2, "rules.toml:1: not valid TOML: "),
        ('plugins = ["nowhere"]\n', 2, "plugins: there is no folder "),
        ("[[rules]]\nname = 'x'\nkind = 'x'\n", 2, "no such kind"),
        ("[[rules]]\nname = 'x'\nkind = 'margin_ratio'\n", 2, "below is missing"),
        ('accounts = [{ name = "main" }]\n', 1, "line 1: add api_key = "),
        ('accounts = [{ name = "main", region = "eea" }]\n', 1, "by hand. It is as it was."),
    ],
)
async def test_a_file_that_can_not_be_used_is_left_alone(
    tmp_path: Path, market: Simulator, mine: Phone, text: str, code: int, said: str
) -> None:
    put(tmp_path / "rules.toml", text)
    result = await scripted(tmp_path, market, mine)

    assert result.exit_code == code
    assert said in result.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("rules.toml", text)]


async def test_an_env_file_that_is_no_text_is_told(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    (tmp_path / "riskbot.env").write_bytes(b"\xff\xfe")
    result = await scripted(tmp_path, market, mine)
    assert (result.exit_code, result.stderr) == (
        2,
        f"{tmp_path / 'riskbot.env'}: can't read it: it is not UTF-8 text\n",
    )

    elsewhere = await scripted(tmp_path, market, mine, "--env-file", str(tmp_path))
    assert elsewhere.stderr == f"{tmp_path}: can't read it: it is not a regular file; name another\n"


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    result = await scripted(tmp_path / "nowhere", market, mine)

    assert result.exit_code == 1
    assert (
        f"{tmp_path / 'nowhere'}: can't write there: No such file or directory. Nothing was written." in result.stderr
    )
    assert (result.stdout, [*market.requests]) == ("", []), "before anybody is asked anything"


async def test_a_file_with_a_mistake_is_told_before_anybody_is_asked_anything(
    tmp_path: Path, market: Simulator
) -> None:
    put(tmp_path / "rules.toml", '[[accounts]]\nname = "old"\nregon = "us"\n')
    result = await init(tmp_path, "--base-url", market.url, typed="\n".join(KEYS))

    assert (result.exit_code, result.stdout, [*market.requests]) == (2, "", [])
    assert 'rules.toml:3: unknown key "regon"' in result.stderr

    folder = await init(tmp_path, "-c", str(tmp_path))
    assert (folder.exit_code, folder.stdout) == (2, "")
    assert "can't read it: it is not a regular file; name another" in folder.stderr
    here = await init(tmp_path, "-c", ".")
    assert ".: can't read it: Is a directory" in here.stderr


async def test_a_secret_that_only_the_service_has_keeps_nobody_from_adding_an_account(
    tmp_path: Path, market: Simulator, mine: Phone
) -> None:
    words = "".join(f'{key} = "credential:{key}"\n' for key in ("api_key", "api_secret", "passphrase"))
    put(tmp_path / "rules.toml", f'[[accounts]]\nname = "served"\n{words}')
    result = await scripted(tmp_path, market, mine, "--account", "main")

    assert result.exit_code == 0, result.output
    assert "warning: " in result.stderr
    assert "rules.toml:3: credential: is filled in by systemd" in result.stderr
    assert (tmp_path / "rules.toml").read_text().count('"credential:') == 3
    assert 'passphrase = "${OKX_API_PASSPHRASE}"' in (tmp_path / "rules.toml").read_text()


async def test_what_must_be_done_by_hand_loses_no_answer(tmp_path: Path, market: Simulator, mine: Phone) -> None:
    put(tmp_path / "rules.toml", 'accounts = [{ name = "main" }]\n')
    result = await interview(tmp_path, market, "other", mine.url, "", "y", "n", "all", "")

    assert result.exit_code == 1
    assert "line 1: add api_key = " in result.stderr
    assert f"What was checked so far is in {tmp_path / 'riskbot.env'}" in result.stderr
    assert env.parse((tmp_path / "riskbot.env").read_text())["OKX_API_SECRET"] == KEYS[1]


async def test_a_disk_that_takes_nothing_leaves_what_was_there(
    tmp_path: Path, market: Simulator, mine: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scripted(tmp_path, market, mine)
    before = (tmp_path / "riskbot.env").read_text()

    def full(_: Path, mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("riskbot.setup.files.keep", full)
    result = await scripted(tmp_path, market, mine, "--receiver", "more", RISKBOT_MORE=mine.url)

    assert result.exit_code == 1
    assert result.stderr.endswith("riskbot.env: can't write it: No space left on device; it is as it was\n")
    assert (tmp_path / "riskbot.env").read_text() == before
