"""What stands in a rules file, and what may be wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Struct
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from riskbot import spelling
from riskbot.delivery import Receiver
from riskbot.model import Severity
from riskbot.rules import Duration, Rule, TierName, suggest
from riskbot.settings.cases import Cases, Section

SELF = "riskbot"
"""The name under which riskbot tells of its own state."""

OKX = "okx"
"""The source that needs an API key."""
NONE = SecretStr("")
"""No key: a plugin's source may need none."""

LOOPBACK = {"127.0.0.1", "[::1]", "localhost"}

_BASE_URL = re.compile(
    r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?(?:/[\w./~-]*)?", re.ASCII | re.IGNORECASE
)


LONGEST_NAME = 40
"""Characters."""


class Problem(Struct, frozen=True):
    """One mistake (or warning): where, and what to write instead."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class ConfigError(Exception):
    """The file can't be used. `problems`: all of them, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class AccountSettings(Section):
    """One `[[accounts]]` entry: an API key of OKX, read-only for preference; or the source of a plugin."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME, description="Names it in messages.")
    source: str = Field(OKX, description="Where its snapshots come from; others than okx are from plugins.")
    options: dict[str, Any] = Field({}, repr=False, description="What the source of a plugin wants to know.")
    api_key: SecretStr = Field(NONE, min_length=1, description='Best as "${OKX_API_KEY}"; a read-only key is enough.')
    api_secret: SecretStr = Field(NONE, min_length=1, description='Best as "${OKX_API_SECRET}".')
    passphrase: SecretStr = Field(NONE, min_length=1, description='Best as "${OKX_API_PASSPHRASE}".')
    region: Literal["global", "eea", "us"] = Field("global", description="The site where the account was opened.")
    base_url: str | None = Field(None, description="Another server with the same endpoints; instead of region.")
    demo: bool = Field(False, description="The key is one of OKX's demo trading.")
    ccy: tuple[str, ...] = Field((), description="Ask for these currencies only.")
    poll_every: Duration = Field(1.0, ge=0.2, le=60, description="Seconds between two polls.")

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name == SELF:
            raise PydanticCustomError("name", "this program tells of its own state under that name: give another")
        if set(name) & set("/@") or not name.isprintable():
            raise PydanticCustomError("name", "may hold no /, @ or line break")
        return name

    @field_validator("api_key", "api_secret", "passphrase")
    @classmethod
    def _one_line(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value().isprintable():
            raise PydanticCustomError("secret", "holds a line break or another control character: copy it anew")
        return secret

    @field_validator("base_url")
    @classmethod
    def _secure(cls, url: str) -> str:
        parts = _BASE_URL.fullmatch(url)
        if not parts or int(parts[3] or 443) > 65535:
            raise PydanticCustomError("base_url", "not a base URL: write https://host or http://127.0.0.1:port")
        if parts[1].lower() == "http" and parts[2].lower() not in LOOPBACK:
            raise PydanticCustomError("base_url", "the key would travel in the clear: write https://")
        return url


class ReceiverSettings(Section):
    """One `[receivers.NAME]`: whom to tell."""

    url: SecretStr = Field(min_length=1, description="Any Apprise URL.")
    min_severity: TierName = Field("info", description="Only alerts that are at least so bad.")
    fallback: tuple[str, ...] = Field((), description="Receivers that are told in its place while it can't be reached.")
    fallback_after: Duration | None = Field(None, le=3600, description="How long it may fail until then.")
    per_minute: int = Field(20, ge=1, le=600, description="Messages a minute that its service takes.")

    @property
    def severity(self) -> Severity:
        """`min_severity` as a Severity."""
        return Severity[self.min_severity.upper()]

    def receiver(self, name: str) -> Receiver:
        """Whom to tell, from which severity on, and who else if that fails."""
        return Receiver(name, self.severity, self.fallback, self.fallback_after, self.per_minute)


class HeartbeatSettings(Section):
    """`[heartbeat]`: an outside service that calls when riskbot falls silent."""

    url: SecretStr = Field(min_length=1, description="A ping URL of Healthchecks or a push URL of Uptime Kuma.")
    every: Duration = Field(60.0, ge=10, le=3600, description="Seconds between two pings.")

    @field_validator("url")
    @classmethod
    def _secure(cls, url: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(url.get_secret_value())
            right = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            right = False
        if not right or not re.fullmatch(r"[!-~]+", url.get_secret_value()):
            raise PydanticCustomError("heartbeat_url", "not a URL: write https://… as the service shows it")
        if parts.scheme == "http" and parts.hostname not in {"::1", *LOOPBACK}:
            raise PydanticCustomError("heartbeat_url", "it is a secret and would travel in the clear: write https://")
        return url


def _time(value: object) -> time:
    if isinstance(value, time) and value.tzinfo is None:
        return value
    if isinstance(value, str) and re.fullmatch(r"([01]?[0-9]|2[0-3]):[0-5][0-9]", value):
        return time.fromisoformat(value.zfill(5))
    raise PydanticCustomError("time", 'not a time of day: write "08:00"')


Time = Annotated[time, BeforeValidator(_time), WithJsonSchema(spelling.TIME)]
"""A time of day; a trader writes `"08:00"`."""


class StartSettings(Section):
    """`[start]`: who hears that riskbot has started, if what is watched has changed or nobody watched for a while."""

    receivers: tuple[str, ...] | None = Field(None, description="These; else those that are told of the mildest.")


class DailySettings(Section):
    """`[daily]`: one message a day on how all is."""

    at: Time = Field(description="When.")
    timezone: str | None = Field(None, description="Where it is that time; else where this machine thinks it is.")
    receivers: tuple[str, ...] | None = Field(None, description="These; else those that are told of the mildest.")

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            near = suggest(name, available_timezones()) or ' is known by that name here: write one as "Europe/Berlin"'
            raise PydanticCustomError("zone", "no time zone{near}", {"near": near}) from None
        return name


class StoreSettings(Section):
    """`[store]`: where riskbot remembers."""

    path: str = Field("riskbot.db", min_length=1, description="Relative to the rules file, or to $STATE_DIRECTORY.")
    journal_days: int = Field(8, ge=1, le=3650, description="How long what was seen is kept, for replay.")
    journal_mb: int = Field(512, ge=16, le=10**6, description="So many MB of it at most; the oldest goes first.")
    max_mb: int = Field(2000, ge=10, description="Megabytes; that it has grown beyond them is told.")


SHORTEST_TOKEN = 16
"""Characters: what can be guessed is no token."""


class WebSettings(Section):
    """`[web]`: health, metrics and a status page over HTTP. Without this section nothing listens."""

    token: SecretStr | None = Field(
        None, description=f'Asked of whoever looks, {SHORTEST_TOKEN} signs at least; best as "${{RISKBOT_WEB_TOKEN}}".'
    )
    listen: str = Field(
        "127.0.0.1:9105", description="Address and port; others than this machine's own need a token.",
        examples=["127.0.0.1:9105", "[::1]:9105", "0.0.0.0:9105"],
    )  # fmt: skip
    max_series: int = Field(5000, ge=100, le=100_000, description="Pairs of rule and currency that the metrics show.")

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr) -> SecretStr:
        word = token.get_secret_value()
        if len(word) < SHORTEST_TOKEN:
            raise PydanticCustomError("token", "too short to be safe: take the word that `openssl rand -hex 16` gives")
        if not re.fullmatch(r"[!-~]+", word):
            raise PydanticCustomError("token", "may hold letters, digits and signs only: no blank, no line break")
        return token

    @field_validator("listen")
    @classmethod
    def _guarded(cls, listen: str, info: ValidationInfo) -> str:
        host, port = _address(listen)
        if info.data.get("token", NONE) is None and not is_loopback(host):
            raise PydanticCustomError(
                "listen", "whoever reaches that address could look at the accounts: add a token to [web]"
            )
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host, without brackets, and port."""
        return _address(self.listen)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if re.fullmatch(r"\d{1,5}", port, re.ASCII) and int(port) <= 65535 and (bare != host) == (":" in bare):
        with suppress(ValueError):
            return bare if bare == "localhost" else str(ip_address(bare)), int(port)
    raise PydanticCustomError("listen", "write an IP address and a port, with a colon between them; IPv6 in brackets")


def is_loopback(host: str) -> bool:
    """Is that name or address one by which a machine only reaches itself?"""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


class Config(Struct, frozen=True):
    """A whole rules file, valid.

    db: the store's path, absolute. warnings: usable, but look. files: the file itself and those that it includes.
    store: how much is kept. web: None: nothing listens.
    """

    accounts: tuple[AccountSettings, ...]
    receivers: dict[str, ReceiverSettings]
    rules: tuple[Rule, ...]
    db: Path
    warnings: tuple[Problem, ...] = ()
    files: tuple[Path, ...] = ()
    web: WebSettings | None = None
    heartbeat: HeartbeatSettings | None = None
    store: StoreSettings = StoreSettings()
    start: StartSettings = StartSettings()
    daily: DailySettings | None = None


class File(Cases):
    """The whole document; its rules are validated one by one, each as its kind."""

    include: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Other files with rules and receivers.", examples=[["rules.d/*.toml"]]
    )
    plugins: tuple[str, ...] = Field((), description="Folders with rules of your own.", examples=[["plugins"]])
    accounts: tuple[AccountSettings, ...] = Field((), description="Who is watched.")
    receivers: dict[str, ReceiverSettings] = Field({}, description="Who is told.")
    store: StoreSettings = Field(StoreSettings(), description="Where riskbot remembers.")
    web: WebSettings | None = Field(None, description="What can be looked at over HTTP.")
    heartbeat: HeartbeatSettings | None = Field(None, description="Who is pinged while all is well.")
    start: StartSettings = Field(StartSettings(), description="Who hears of a start.")
    daily: DailySettings | None = Field(None, description="When to say how all is, once a day.")
    rules: tuple[dict[str, Any], ...] = Field((), description="What to watch for.")


class Loc(Struct, frozen=True):
    """A mistake at a place of the document: keys and indices."""

    loc: tuple[str | int, ...]
    text: str


def misnamed(receiver: str) -> str:
    """Why no receiver can be called so, or ""."""
    if receiver and len(receiver) <= LONGEST_NAME and receiver.isprintable():
        return ""
    return f"the name of a receiver has 1 to {LONGEST_NAME} signs, and no line break"


def tables(document: dict[str, Any], section: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The tables of `[[section]]` by index. What has another shape is told with its section."""
    items = document.get(section)
    for i, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield i, item


def named(document: dict[str, Any], section: str) -> dict[str, Any]:
    """The tables of `[section.NAME]`."""
    items = document.get(section)
    return items if isinstance(items, dict) else {}


def texts(value: object) -> Iterator[str]:
    """All texts in a value of a document, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)
