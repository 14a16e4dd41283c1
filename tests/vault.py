"""A rules file full of planted secrets, with plugins that blurt them out, and what riskbot makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import tomli_w

from tests.hunting import PLANTED, TELEGRAM_CHAT
from tests.parrots import Parrot
from tests.stage import RULES, put

PLUGIN = """
import os
from pydantic import SecretStr
from riskbot import AccountInfo, Notifier, Outcome, Reading, Rule, SourceError, Verdict, hookimpl

class Blurting(Rule, kind="blurting", worse="below"):
    token: SecretStr

    def readings(self, view):
        raise RuntimeError(f"no entry with {self.token.get_secret_value()}, {os.environ['MY_TOKEN']}")

class Chatty(Rule, kind="chatty", worse="above"):
    token: SecretStr

    def readings(self, view):
        yield Reading(9, ccy="A", note=f"a note with {self.token.get_secret_value()}")
        yield Reading.missing(f"no value with {os.environ['MY_TOKEN']}", ccy="B")

    def say(self, event):
        return f"a headline with {self.token.get_secret_value()}"

    def explain(self, view, event):
        yield f"a line with {os.environ['MY_TOKEN']}"

class Vault:
    def __init__(self, account):
        self.token = account.options["token"]

    async def fetch(self):
        raise SourceError(f"the vault does not take {self.token}, {os.environ['MY_TOKEN']}")

    async def info(self):
        raise KeyError(self.token)

    async def close(self):
        raise OSError(self.token)

class Pigeon:
    def __init__(self, url):
        self.url = url

    async def send(self, text):
        raise ConnectionError(f"no pigeon flies to {self.url} with {os.environ['MY_TOKEN']}")

    async def close(self):
        pass

@hookimpl
def register_rules():
    return [Blurting, Chatty]

@hookimpl
def register_sources():
    return {"vault": Vault}

@hookimpl
def register_notifiers():
    return {"pigeon": Pigeon}

@hookimpl
def render(event, headline, lines):
    return headline, [*lines, f"more words with {os.environ['MY_TOKEN']}"]

@hookimpl
def on_transition(event):
    raise LookupError(os.environ["MY_TOKEN"])
"""
"""Each of its parts fails, and says with which secret."""

BROKEN = "import os\nraise RuntimeError(f\"no: {os.environ['MY_TOKEN']}\")\n"
"""A plugin that does not get as far as to offer something."""


def _q(name: str) -> str:
    return quote(PLANTED[name], safe="")


def receivers(parrot: Parrot) -> dict[str, str]:
    """URLs by name; each holds one of the planted secrets, but `good`."""
    return {
        "query": f"json://{parrot.url}/hook?-token={_q('query')}",
        "header": f"json://{parrot.url}/hook?+X-Auth={_q('header')}",
        "basic": f"json://bot:{_q('basic')}@{parrot.url}/hook",
        "telegram": f"tgram://{PLANTED['telegram']}/{TELEGRAM_CHAT}?api=http://{parrot.url}",
        "slack": f"slack://T1JJ3T3L2/A1BRTD4JD/{PLANTED['slack']}/%23general",
        "smtp": f"mailto://watchman:{_q('smtp')}@{parrot.mail}?from=a@example.org&to=b@example.org",
        "pigeon": f"pigeon://{PLANTED['notifier']}",
        "good": f"json://{parrot.url}/good",
    }


def environment(folder: Path, parrot: Parrot) -> dict[str, str]:
    """The variables that the rules file refers to, systemd's among them."""
    urls = {f"PLANTED_{name.upper()}": url for name, url in receivers(parrot).items() if name != "header"}
    names = ("api_key", "api_secret", "passphrase", "web", "option", "rule")
    secrets = {f"PLANTED_{name.upper()}": PLANTED[name] for name in names}
    beat = {"PLANTED_HEARTBEAT": f"http://{parrot.url}/{PLANTED['heartbeat']}", "MY_TOKEN": PLANTED["environment"]}
    return {**urls, **secrets, **beat, "CREDENTIALS_DIRECTORY": str(folder / "credentials"), "STATE_DIRECTORY": ""}


def fill(folder: Path, exchange: str, parrot: Parrot, **changes: Any) -> Path:
    """The rules file, its plugins and the files with secrets."""
    private(folder / "credentials" / "vault-passphrase", PLANTED["credential"])
    private(folder / "header.url", receivers(parrot)["header"])
    private(folder / "plugins" / "blurting.py", PLUGIN)
    private(folder / "plugins" / "broken.py", BROKEN)
    return put(folder / "rules.toml", tomli_w.dumps(document(exchange, parrot, **changes)))


def private(path: Path, text: str) -> Path:
    """A file that only we can read, in a folder that only we can read."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return put(path, text)


def document(exchange: str, parrot: Parrot, **changes: Any) -> dict[str, Any]:
    """The whole of it; every secret stands elsewhere."""
    key = {"api_key": "${PLANTED_API_KEY}", "api_secret": "${PLANTED_API_SECRET}", "base_url": exchange}
    main = {"name": "main", **key, "passphrase": "${PLANTED_PASSPHRASE}", "poll_every": "250ms"}
    second = {"name": "second", **key, "passphrase": "credential:vault-passphrase", "poll_every": "1s"}
    vault = {"name": "vault", "source": "vault", "options": {"token": "${PLANTED_OPTION}"}, "poll_every": "1s"}
    urls = {name: f"${{PLANTED_{name.upper()}}}" for name in receivers(parrot)} | {"header": "file:header.url"}
    return {
        "plugins": ["plugins"],
        "accounts": [main, second, vault],
        "receivers": {name: {"url": url, "fallback_after": "1s", "fallback": ["good"]} for name, url in urls.items()}
        | {"good": {"url": urls["good"]}},
        "web": {"listen": "127.0.0.1:0", "token": "${PLANTED_WEB}"},
        "heartbeat": {"url": "${PLANTED_HEARTBEAT}", "every": "10s"},
        "rules": [
            *({"keep_firing_for": "500ms", **rule} for rule in RULES),
            {"name": "blurting", "kind": "blurting", "token": "${PLANTED_RULE}", "below": {"warning": 5}},
            {"name": "chatty", "kind": "chatty", "token": "${PLANTED_RULE}", "above": {"warning": 5}},
        ],
    } | changes


def inline(text: str, folder: Path, parrot: Parrot) -> str:
    """The same file with the secrets themselves in it, as a careless trader has them."""
    for name, value in environment(folder, parrot).items():
        text = text.replace(f"${{{name}}}", value.replace("\\", "\\\\").replace('"', '\\"'))
    text = text.replace("credential:vault-passphrase", PLANTED["credential"])
    return text.replace("file:header.url", receivers(parrot)["header"])


SLACK = "from apprise.plugins.slack import NotifySlack as n; n.webhook_url = 'http://{}/slack'"
"""Python that takes Slack to this machine."""

CRASH = """
from riskbot.service.journal import Journal
async def fail(*_):
    import asyncio, os
    await asyncio.sleep(1)
    raise RuntimeError([value for name, value in os.environ.items() if name.startswith("PLANTED_")])
Journal.run = fail
"""
"""Python that makes riskbot end by a mistake of its own, with secrets in the words of it."""
