"""What stands in a rules file, and what may be wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from riskbot.model import Severity
from riskbot.rules import Duration, Rule, TierName

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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AccountSettings(_Section):
    """One `[[accounts]]` entry: an API key of OKX, read-only for preference; or the source of a plugin."""

    name: str = Field(min_length=1, max_length=40, description="Names it in messages.")
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


class ReceiverSettings(_Section):
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


class StoreSettings(_Section):
    """`[store]`: where riskbot remembers."""

    path: str = Field("riskbot.db", min_length=1, description="Relative to the rules file, or to $STATE_DIRECTORY.")
    journal_days: int = Field(8, ge=1, le=3650, description="How long what was seen is kept, for replay.")
    journal_mb: int = Field(512, ge=16, le=10**6, description="So many MB of it at most; the oldest goes first.")


class Config(Struct, frozen=True):
    """A whole rules file, valid.

    db: the store's path, absolute. warnings: usable, but look. files: the file itself and those that it includes.
    store: how much is kept.
    """

    accounts: tuple[AccountSettings, ...]
    receivers: dict[str, ReceiverSettings]
    rules: tuple[Rule, ...]
    db: Path
    warnings: tuple[Problem, ...] = ()
    files: tuple[Path, ...] = ()
    store: StoreSettings = StoreSettings()


class File(_Section):
    """The whole document; its rules are validated one by one, each as its kind."""

    include: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Other files with rules and receivers.", examples=[["rules.d/*.toml"]]
    )
    plugins: tuple[str, ...] = Field((), description="Folders with rules of your own.", examples=[["plugins"]])
    accounts: tuple[AccountSettings, ...] = Field((), description="Who is watched.")
    receivers: dict[str, ReceiverSettings] = Field({}, description="Who is told.")
    store: StoreSettings = Field(StoreSettings(), description="Where riskbot remembers.")
    rules: tuple[dict[str, Any], ...] = Field((), description="What to watch for.")


class Loc(Struct, frozen=True):
    """A mistake at a place of the document: keys and indices."""

    loc: tuple[str | int, ...]
    text: str


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
