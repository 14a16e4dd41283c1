"""A hunt: every command is run and every error provoked, and nothing that comes of it holds a planted secret."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import signal
import socket
import sqlite3
import tempfile
import traceback
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from click import Command, Context
from click.testing import CliRunner

from riskbot.builtin.apprise.notifier import AppriseNotifier
from riskbot.builtin.apprise.opening import BadUrl
from riskbot.builtin.okx.exchange import Exchange
from riskbot.cli import COMMANDS, main, wiring
from riskbot.cli.common import load_plugins, understand
from riskbot.model import Severity
from riskbot.notify import Text
from riskbot.simulator import SimAccount, Simulator
from tests.hunting import PLANTED, Hunter, all_tracks, database
from tests.lookout import get
from tests.parrots import STATUSES, WAYS, Parrot, parrot
from tests.stage import Account, Program, end_all, post, put, until
from tests.test_herald import Systemd
from tests.vault import CRASH, SLACK, environment, fill, inline, receivers

HUNTER = Hunter(PLANTED)
Evidence = list[tuple[str, bytes | str]]


@pytest.fixture(autouse=True)
def _no_program_is_left() -> Iterator[None]:
    yield
    end_all()


@asynccontextmanager
async def market(story: Account) -> AsyncIterator[Simulator]:
    """It knows the key, its secret and the passphrase of one of the two accounts."""
    key, secret, passphrase = PLANTED["api_key"], PLANTED["api_secret"], PLANTED["passphrase"]
    async with Simulator([SimAccount(key, secret, passphrase, uid="77", play=story.play)]) as found:
        yield found


# The hunter.


@pytest.mark.parametrize("name", PLANTED)
def test_the_hunter_finds_a_secret_in_any_form_and_the_half_of_it(name: str) -> None:
    secret = PLANTED[name]
    logins = [f"{before}{secret}." for before in ("", "a", "ab", "watchman:")]
    written = [secret, secret[3:], secret[:-3], secret.upper(), secret[5:13], json.dumps([secret]), repr(secret)]
    written += [base64.b64encode(login.encode()).decode() for login in logins]
    written += [
        base64.urlsafe_b64encode(secret.encode()).decode(),
        secret.encode().hex(),
        secret.encode().hex().upper(),
    ]
    for text in written:
        assert name in HUNTER.tracks(f"some words ({text}) and others"), text
    assert not HUNTER.tracks(f"some words ({secret[:7]}) and others")


def test_the_hunter_finds_what_lies_in_a_database(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        db.execute("CREATE TABLE words (word)")
        packed = zlib.compress(f"abc {PLANTED['slack']} ".encode() * 9)
        db.execute("INSERT INTO words VALUES (?), (?)", [PLANTED["web"], b"\x01" + packed])
        db.commit()
    found = "\n".join(all_tracks(HUNTER, database(tmp_path / "a.db")))
    assert "web in the file a.db" in found
    assert "web in the table words" in found
    assert "slack in the table words" in found


# Receivers.


@pytest.mark.parametrize("name", ["query", "header", "basic", "telegram", "slack", "smtp"])
async def test_no_refusal_of_a_receiver_is_told_with_its_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with parrot() as service:
        monkeypatch.setattr("apprise.plugins.slack.NotifySlack.webhook_url", f"http://{service.url}/slack")
        notifier = AppriseNotifier(receivers(service)[name])
        notifier.service.request_rate_per_sec = 0
        times = len(STATUSES) * len(WAYS) if name != "smtp" else 2
        said = [(await notifier.send(Text("title", "body", Severity.WARNING))).why for _ in range(times)]
        await notifier.close()
        assert service.told >= len(said)
    assert "***" in "".join(said) or name == "smtp"
    assert all_tracks(HUNTER, [(name, why) for why in said]) == []


@pytest.mark.parametrize("name", ["query", "header", "basic", "telegram", "slack", "smtp"])
def test_no_url_that_is_of_no_use_is_told_with_its_secret(name: str) -> None:
    url = receivers(Parrot("127.0.0.1:1", mail="127.0.0.1:1"))[name]
    broken = [url.replace("://", ":/"), f"x{url}", url.replace("127.0.0.1:1", "["), url[:-4], url.replace("/", "//")]
    said = []
    for text in broken:
        try:
            AppriseNotifier(text)
        except BadUrl as error:
            said.append("".join(traceback.format_exception(error)))
    assert said
    assert all_tracks(HUNTER, [(name, why) for why in said]) == []


# The service.

FAULTS = ("code=50111", "code=50105", "code=50113", "html=403", "reset", "redirect", "bad-json", "missing=data")


async def scraped(program: Program) -> Evidence:
    """All pages, as whoever has the token sees them, and as others do."""
    await until(lambda: program.says("/metrics and /healthz at "), 30, program.log.read_text)
    url = re.findall("/metrics and /healthz at (.*)", program.log.read_text())[-1].rstrip('"}, ')
    found: Evidence = []
    for path in ("", "metrics", "healthz", "readyz", "nowhere"):
        for token in (PLANTED["web"], "", PLANTED["web"][:-1]):
            status, text = await get(url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
            assert status in ((401,) if token != PLANTED["web"] else (200, 404, 503)), (path, status)
            found.append((f"the page /{path}", text))
    return found


@pytest.mark.parametrize("form", ["text", "json"])
async def test_nothing_that_the_service_writes_shows_or_sends_holds_a_secret(tmp_path: Path, form: str) -> None:
    story, found = Account(), Evidence()
    async with market(story) as exchange, parrot() as service:
        with tempfile.TemporaryDirectory(prefix="sd") as short:
            systemd = Systemd(f"{short}/notify")
            rules = fill(tmp_path, exchange.url, service)
            options = ("--log-level", "debug", "--log-format", form)
            env = environment(tmp_path, service) | {"NOTIFY_SOCKET": systemd.address}
            program = Program(rules, SLACK.format(service.url), options, **env)
            program.start()
            found += await scraped(program)
            story.ratio, story.twap = "1.2", "5"
            await until(lambda: len(service.heard) >= 4, 40, program.log.read_text)
            for fault in FAULTS:
                exchange.clear_faults()
                await post(f"{exchange.url}/simulator/faults", fault)
                await asyncio.sleep(0.4)
            exchange.clear_faults()
            put(rules, inline(rules.read_text(), tmp_path, service).replace("critical", "kritical"))
            program.signal(signal.SIGHUP)
            await until(lambda: program.says("the rules from before stay in force"), 30, program.log.read_text)
            found += [*await scraped(program), *database(program.db)]
            assert await program.stop() == 0
            assert systemd.heard
            found += [("systemd", str(systemd.heard)), ("messages", "\n".join(service.heard))]
            systemd.close()
        found += [("the log", program.log.read_bytes()), *database(program.db)]
    log = program.log.read_text()
    assert "more words with ***" in "".join(service.heard)
    for words in ("RuntimeError: no entry with ***, ***", "the vault does not take ***", "can't deliver", "***"):
        assert words in log, words
    assert all_tracks(HUNTER, found) == []


async def test_nothing_that_is_said_at_a_crash_holds_a_secret(tmp_path: Path) -> None:
    async with market(Account()) as exchange, parrot() as service:
        rules = fill(tmp_path, exchange.url, service)
        program = Program(rules, CRASH, **environment(tmp_path, service))
        program.start()
        assert program.process
        assert await asyncio.to_thread(program.process.wait, 40) != 0
    log = program.log.read_text()
    assert "riskbot ends by a mistake of its own" in log
    assert "RuntimeError: [" in log
    assert all_tracks(HUNTER, [("the log", log)]) == []


@pytest.mark.parametrize("careless", [False, True])
async def test_no_repr_of_what_the_service_is_made_of_holds_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, careless: bool
) -> None:
    """Tracebacks of debuggers, and lines that somebody may log one day, are full of them."""
    service = Parrot("127.0.0.1:1", mail="127.0.0.1:1")
    for name, value in environment(tmp_path, service).items():
        monkeypatch.setenv(name, value)
    rules = fill(tmp_path, "http://127.0.0.1:1", service)
    if careless:
        put(rules, inline(rules.read_text(), tmp_path, service))
    found = load_plugins(rules)
    config, exchange = understand(rules, found), Exchange(lambda: 0.0)
    bundle = wiring.bundle(config, exchange, found)
    sources = [bundle.source(account) for account in bundle.accounts]
    notifiers = await asyncio.gather(*map(bundle.notifier, config.receivers))
    made = (config, bundle, bundle.rulebook, *bundle.accounts, *bundle.rules, *sources, *notifiers, *found.plugins)
    assert len(made) > 20
    assert all_tracks(HUNTER, [(type(one).__name__, f"{one!r} {one!s}") for one in made]) == []


# Commands.

WORDS: dict[str, list[list[str]]] = {
    "init": [["--yes", "--no-test"], ["--yes", "--region=nowhere"], ["--yes", "--base-url=http://127.0.0.1:1"]],
    "run": [],  # it has tests of its own, above and below
    "check": [[], ["--live"]],
    "test": [["--quick"], ["nowhere.toml"]],
    "show-config": [[]],
    "notify": [[], ["telegram"], ["nobody"]],
    "drill": [["--yes"], ["--scenario=nowhere"]],
    "reload": [["--plan"], []],
    "status": [[]],
    "alerts": [[]],
    "ack": [[], ["--all"], ["nowhere"]],
    "silence": [[], ["--rule=*", "--for=1h", "--why=because"], ["--rule=*", "--for=never"], ["--end=all"]],
    "history": [[], ["--deliveries"], ["--since=never"]],
    "explain": [["margin ratio"], ["blurting"], ["chatty"], ["nothing"]],
    "outbox": [[], ["--all"], ["retry", "--all"], ["drop", "--all", "--yes"]],
    "plugins": [["list"], ["new", "mine", "--to", "nowhere/nothing"]],
    "rules": [["kinds"], ["kinds", "blurting"], ["kinds", "chatty"], ["new", "blurting"]],
    "fields": [[], ["details.*"]],
    "metrics": [[], ["prometheus"]],
    "systemd": [[], ["--to", "/dev/null/nowhere"]],
    "schema": [[]],
    "journal": [["size"], ["export", "main"], ["export", "vault", "--exact"], ["import", "nowhere"]],
    "replay": [["riskbot.db"], ["riskbot.db", "--messages"], ["nowhere.jsonl"]],
    "demo": [["--scenario=nowhere"]],
    "simulate": [["--list"], ["nowhere"]],
}
"""Each command with arguments that are right and such that are not."""


def test_all_commands_are_hunted() -> None:
    assert WORDS.keys() == COMMANDS.keys()


def variants(name: str, rules: Path) -> Iterator[list[str]]:
    """The words of a command, for people and for machines, and some that it does not know."""
    command = main.get_command(Context(main), name)
    assert isinstance(command, Command)
    knows = {param.name for param in command.params}
    place = ["-c", str(rules)] * ("path" in knows and name != "demo") + ["--rules", str(rules)] * (name == "demo")
    for words in WORDS[name]:
        yield [name, *place, *words]
        if "as_json" in knows:
            yield [name, *place, *words, "--json"]
    yield [name, *place, "--nothing", *PLANTED.values()][: 2 + len(place)]
    yield [name, "--help"]


def ran(words: list[str], env: dict[str, str]) -> str:
    """What it says, and what it raises."""
    result = CliRunner().invoke(main, words, env=env | {"COLUMNS": "250"}, input="\n\n\n")
    raised = result.exc_info if result.exception and not isinstance(result.exception, SystemExit) else None
    return result.output + ("".join(traceback.format_exception(*raised)) if raised else "")


@pytest.fixture
def _this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is found but this machine's."""
    plain = socket.getaddrinfo

    def here(host: str | bytes | None, *rest: object, **more: object) -> object:
        if host not in ("127.0.0.1", "localhost", b"127.0.0.1", None):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return plain(host, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(socket, "getaddrinfo", here)


@pytest.mark.usefixtures("_this_machine_only")
async def test_no_command_says_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    story, found = Account(ratio="1.2"), Evidence()
    async with market(story) as exchange, parrot() as service:
        monkeypatch.setattr("apprise.plugins.slack.NotifySlack.webhook_url", f"http://{service.url}/slack")
        env = environment(tmp_path, service)
        rules = fill(tmp_path, exchange.url, service)
        program = Program(rules, SLACK.format(service.url), **env)
        program.start()
        await until(lambda: len(service.heard) >= 2, 40, program.log.read_text)
        for name in WORDS:
            for words in variants(name, rules):
                found.append((" ".join(words[:5]), await asyncio.to_thread(ran, words, env)))
        assert await program.stop() == 0
        found += [("the log", program.log.read_bytes())]
    said = "\n".join(str(what) for _, what in found)
    for words in ("the vault does not take ***", "no entry with ***, ***", "no pigeon flies to pigeon://***"):
        assert words in said, words
    assert all_tracks(HUNTER, found) == []


BROKEN = (
    lambda text: text.replace("api_key", "api_kee"),
    lambda text: text.replace('poll_every = "250ms"', f'poll_every = "{PLANTED["web"]}"'),
    lambda text: text.replace('api_secret = "', "api_secret = "),
    lambda text: text.replace('url = "', 'url = "x'),
    lambda text: text.replace('name = "main"', f'name = "{PLANTED["smtp"]}/"'),
    lambda text: text.replace('kind = "margin_ratio"', f'kind = "{PLANTED["rule"]}"'),
    lambda text: text.replace("url = ", "uri = "),
    lambda text: text.replace("http://", "http//"),
    lambda text: f"{text}[[",
)
"""Ways in which a rules file with the secrets in it may be wrong."""


@pytest.mark.usefixtures("_this_machine_only")
@pytest.mark.parametrize("number", range(len(BROKEN)))
async def test_no_mistake_in_a_rules_file_is_told_with_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.chdir(tmp_path)
    service = Parrot("127.0.0.1:1", mail="127.0.0.1:1")
    rules = fill(tmp_path, "http://127.0.0.1:1", service)
    text = inline(rules.read_text(), tmp_path, service)
    put(rules, BROKEN[number](text))
    assert rules.read_text() != text
    env, found = environment(tmp_path, service), Evidence()
    commands = [["check"], ["check", "--json"], ["show-config"], ["notify"], ["systemd"], ["status"], ["alerts"]]
    for words in [
        *commands,
        ["test", "--quick"],
        ["reload", "--plan"],
        ["init", "--yes", "--no-test"],
        ["plugins", "list"],
    ]:
        found.append((" ".join(words), await asyncio.to_thread(ran, [*words, "-c", str(rules)], env)))
    if number % 4 == 0:
        program = Program(rules, **env)
        program.start()
        assert program.process
        assert await asyncio.to_thread(program.process.wait, 40) == 2
        found.append(("run", program.log.read_bytes()))
    assert all_tracks(HUNTER, found) == []


async def test_what_init_writes_keeps_its_secrets_in_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = Evidence()
    async with market(Account()) as exchange, parrot() as service:
        names = {"OKX_API_KEY": "api_key", "OKX_API_SECRET": "api_secret", "OKX_API_PASSPHRASE": "passphrase"}
        env = {name: PLANTED[word] for name, word in names.items()} | {"STATE_DIRECTORY": ""}
        env |= {"RISKBOT_PHONE": f"json://{service.url}/good/{PLANTED['slack']}"}
        env |= {"RISKBOT_HEARTBEAT": f"http://{service.url}/{PLANTED['heartbeat']}"}
        words = ["init", "-c", str(tmp_path / "rules.toml"), "--yes", "--receiver=phone", "--base-url"]
        good = {"RISKBOT_HEARTBEAT": f"http://{service.url}/good/{PLANTED['heartbeat']}"}
        wrong = {"OKX_API_PASSPHRASE": PLANTED["credential"]}
        for url, given in (("http://127.0.0.1:1", {}), *((exchange.url, more) for more in ({}, good, good | wrong))):
            found.append(("init", await asyncio.to_thread(ran, [*words, url], env | given)))
    assert "OKX_API_SECRET" in (tmp_path / "riskbot.env").read_text()
    found.append(("rules.toml", (tmp_path / "rules.toml").read_bytes()))
    assert all_tracks(HUNTER, found) == []


async def test_what_init_shows_and_keeps_of_a_careless_file_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the secrets in the rules file itself, and an env file that all may read."""
    monkeypatch.chdir(tmp_path)
    async with market(Account()) as exchange, parrot() as service:
        beat = {"url": f"http://{service.url}/good/{PLANTED['heartbeat']}"}
        rules = fill(tmp_path, exchange.url, service, heartbeat=beat)
        put(rules, inline(rules.read_text(), tmp_path, service) + f"\n# was {PLANTED['rule']}\n")
        (tmp_path / "riskbot.env").write_text(f"OLD={PLANTED['web']}\n")
        (tmp_path / "riskbot.env").chmod(0o644)
        env = environment(tmp_path, service) | {"RISKBOT_PHONE": f"json://{service.url}/good/{PLANTED['slack']}"}
        words = ["init", "-c", str(rules), "--yes", "--receiver=phone", "--account=main", "--rule=liquidation"]
        said = await asyncio.to_thread(ran, words, env)
    assert "+[receivers.phone]" in said
    assert all_tracks(HUNTER, [("init", said)]) == []
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("riskbot.env*")} == {
        "riskbot.env": 0o600,
        "riskbot.env.bak": 0o600,
    }
