"""rules.toml: accounts, receivers, store and rules, validated together; every mistake with its line.

Secrets are written as `${NAME}` (environment), `file:/path` or `credential:NAME` (systemd's LoadCredential) and are
filled in before validation, so that every value of the file may use them.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from riskbot.model import Severity
from riskbot.rules import Duration, Rule, TierName, suggest

SELF = "riskbot"
"""The name under which riskbot tells of its own state."""

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


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
    """One `[[accounts]]` entry: an API key of OKX, read-only for preference."""

    name: str = Field(min_length=1, max_length=40, description="Names it in messages.")
    api_key: SecretStr = Field(min_length=1)
    api_secret: SecretStr = Field(min_length=1)
    passphrase: SecretStr = Field(min_length=1)
    region: Literal["global", "eea", "us"] = Field("global", description="The site where the account was opened.")
    base_url: str | None = Field(None, description="Another server with the same endpoints; instead of region.")
    demo: bool = Field(False, description="The key is one of OKX's demo trading.")
    ccy: tuple[str, ...] = Field((), description="Ask for these currencies only.")
    poll_every: Duration = Field(1.0, ge=0.2, le=60, description="Seconds between two polls.")

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name == SELF or set(name) & set("/@"):
            raise PydanticCustomError("name", "may hold no / or @, and is not {own}", {"own": f'"{SELF}"'})
        return name

    @field_validator("base_url")
    @classmethod
    def _secure(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise PydanticCustomError("base_url", "not a base URL: write https://host or http://127.0.0.1:port")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise PydanticCustomError("base_url", "the key would travel in the clear: write https://")
        return url


class ReceiverSettings(_Section):
    """One `[receivers.NAME]`: whom to tell."""

    url: SecretStr = Field(description="Any Apprise URL.")
    min_severity: TierName = Field("info", description="Only alerts that are at least so bad.")

    @property
    def severity(self) -> Severity:
        """`min_severity` as a Severity."""
        return Severity[self.min_severity.upper()]


class StoreSettings(_Section):
    """`[store]`: where riskbot remembers."""

    path: str = Field("riskbot.db", min_length=1, description="Relative to the rules file, or to $STATE_DIRECTORY.")


class Config(Struct, frozen=True):
    """A whole rules file, valid. `db`: the store's path, absolute. `warnings`: usable, but look."""

    accounts: tuple[AccountSettings, ...]
    receivers: dict[str, ReceiverSettings]
    rules: tuple[Rule, ...]
    db: Path
    warnings: tuple[Problem, ...] = ()


class _File(_Section):
    accounts: tuple[AccountSettings, ...] = ()
    receivers: dict[str, ReceiverSettings] = {}
    store: StoreSettings = StoreSettings()
    rules: tuple[dict[str, Any], ...] = ()


# ---------------------------------------------------------------- secrets

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def _fill(value: Any, env: Mapping[str, str], loc: tuple[str | int, ...], problems: list[_Loc]) -> Any:
    """The same value with its secrets filled in; what is not there is a problem of that place."""
    if isinstance(value, dict):
        return {key: _fill(item, env, (*loc, key), problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, env, (*loc, i), problems) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        return _resolve(value, env)
    except _NoSecretError as error:
        problems.append(_Loc(loc, str(error)))
        return "missing"  # validation goes on, to find all mistakes of the file at once


class _NoSecretError(Exception):
    pass


def _resolve(value: str, env: Mapping[str, str]) -> str:
    if value.startswith("file:"):
        return _read_secret(Path(value.removeprefix("file:")))
    if value.startswith("credential:"):
        folder = env.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise _NoSecretError(
                "credential: works under systemd only (LoadCredential=); else use ${NAME} or file:/path"
            )
        return _read_secret(Path(folder) / value.removeprefix("credential:"))

    def variable(match: re.Match[str]) -> str:
        name = match[1]
        if not env.get(name):
            raise _NoSecretError(f"the environment variable {name} is not set")
        return env[name]

    return _VARIABLE.sub(variable, value)


def _read_secret(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _NoSecretError(f"can't read the secret in {path}: {_reason(error)}") from None
    if not text:
        raise _NoSecretError(f"the secret in {path} is empty")
    return text


def _reason(error: Exception) -> str:
    return error.strerror or "error" if isinstance(error, OSError) else "it is not UTF-8 text"


# ---------------------------------------------------------------- loading


class _Loc(Struct, frozen=True):
    """A mistake at a place of the document: keys and indices."""

    loc: tuple[str | int, ...]
    text: str


def load(path: Path, kinds: Mapping[str, type[Rule]], env: Mapping[str, str] | None = None) -> Config:
    """Read and validate a rules file. Raises ConfigError with every mistake in it.

    kinds: the rule classes by kind. env: where `${NAME}` is looked up; default: the process's environment.
    """
    env = os.environ if env is None else env
    source = _read(path)
    document = _parse(path, source)
    problems: list[_Loc] = []
    filled = _fill(document, env, (), problems)
    file, rules = _validate(filled, kinds, problems)
    if problems or file is None:
        raise ConfigError(_located(path, source, problems))
    warnings = _located(path, source, list(_doubts(path, document)))
    return Config(
        file.accounts, file.receivers, _with_defaults(rules, kinds), _db(path, file.store, env), tuple(warnings)
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = "not found; copy rules.example.toml and edit it, or give --config FILE"
        raise ConfigError([Problem(str(path), hint)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), f"can't read it: {_reason(error)}")]) from None


def _parse(path: Path, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line = re.search(r"line (\d+)", place)
        at = line[1] if line else str(source.count("\n") + 1)
        raise ConfigError([Problem(f"{path}:{at}", f"not valid TOML: {message[:1].lower()}{message[1:]}")]) from None


def _validate(
    document: dict[str, Any], kinds: Mapping[str, type[Rule]], problems: list[_Loc]
) -> tuple[_File | None, tuple[Rule, ...]]:
    file = None
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        problems += [_Loc(detail["loc"], _explain(detail, _File)) for detail in error.errors(include_url=False)]
    entries = document.get("rules", [])
    rules = [_rule(i, entry, kinds, problems) for i, entry in enumerate(entries if isinstance(entries, list) else [])]
    problems += _clashes(document, entries, [rule for rule in rules if rule])
    return file, tuple(rule for rule in rules if rule)


def _rule(i: int, entry: Any, kinds: Mapping[str, type[Rule]], problems: list[_Loc]) -> Rule | None:
    if not isinstance(entry, dict):
        return None  # told by _File
    word = entry.get("kind")
    kind = kinds.get(word) if isinstance(word, str) else None
    if kind is None:
        known = ", ".join(sorted(kinds))
        text = (
            f'no kind "{word}"{suggest(str(word), kinds)} Known: {known}'
            if word
            else f"kind is missing; one of {known}"
        )
        problems.append(_Loc(("rules", i, "kind"), text))
        return None
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [_Loc(("rules", i, *detail["loc"]), _explain(detail, kind)) for detail in details]
        return None


def _clashes(document: dict[str, Any], entries: Any, rules: list[Rule]) -> Iterator[_Loc]:
    """What is missing, names used twice, and rules that name an account or receiver that is not there."""
    for section, example in (("accounts", "[[accounts]]"), ("receivers", "[receivers.phone]")):
        if not document.get(section):
            yield _Loc((section,), f"no {section}: add at least one {example}")
    for section, items in (("accounts", document.get("accounts")), ("rules", entries)):
        seen: set[str] = set()
        for i, item in enumerate(items if isinstance(items, list) else []):
            name = item.get("name") if isinstance(item, dict) else None
            if isinstance(name, str) and name in seen:
                yield _Loc((section, i, "name"), f'another of the {section} is named "{name}" already')
            seen.add(str(name))
    accounts = {a.get("name") for a in document.get("accounts", []) if isinstance(a, dict)}
    receivers = document.get("receivers", {})
    by_name = {rule.name: rule for rule in rules}
    for i, entry in enumerate(entries if isinstance(entries, list) else []):
        rule = by_name.get(entry.get("name")) if isinstance(entry, dict) else None
        for key, known in (("accounts", accounts), ("receivers", set(receivers))):
            for word in (getattr(rule, key) or ()) if rule else ():
                if word not in known:
                    one = key.removesuffix("s")
                    yield _Loc(("rules", i, key), f'no {one} "{word}"{suggest(word, map(str, known))}')


def _with_defaults(rules: tuple[Rule, ...], kinds: Mapping[str, type[Rule]]) -> tuple[Rule, ...]:
    """Kinds that are always on get a rule with their defaults if the file has none."""
    names = {rule.name for rule in rules}
    for word, kind in kinds.items():
        if kind.ALWAYS_ON and not any(isinstance(rule, kind) for rule in rules):
            name = word if word not in names else f"riskbot {word}"
            rules = (*rules, kind.model_validate({"name": name, "kind": word}))
    return rules


def _db(path: Path, store: StoreSettings, env: Mapping[str, str]) -> Path:
    folder = env.get("STATE_DIRECTORY") or path.resolve().parent
    return Path(folder) / store.path


# ---------------------------------------------------------------- saying what is wrong


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """What pydantic found, as a trader reads it; never with the value, which may be a secret."""
    loc = detail["loc"]
    key = str(loc[-1]) if loc else ""
    if detail["type"] == "extra_forbidden":
        return f'unknown key "{key}"{suggest(key, _keys(model, loc[:-1]))}'
    if detail["type"] == "missing":
        return f"{key} is missing"
    if detail["type"] == "literal_error":
        return _explain_word(detail, key)
    message = detail["msg"].removeprefix("Value error, ")
    message = f"should be {message[16:]}" if message.startswith("Input should be ") else message
    return f"{key}: {message}" if key and not isinstance(loc[-1], int) else message


def _explain_word(detail: ErrorDetails, key: str) -> str:
    """A word that is none of the few that are known. It is not repeated, only what it may have been meant for."""
    options = re.findall(r"'([^']*)'", detail["msg"]) or ["true"]
    hint = suggest(str(detail["input"]), options)
    if key == "[key]":
        return f"unknown severity{hint or ';'} one of {', '.join(options)}"
    return f"{key}: unknown value{hint or ';'} one of {', '.join(options)}"


def _keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys that are known at a place of the document."""
    section: type[BaseModel] = model
    for word in loc:
        section = {"accounts": AccountSettings, "receivers": ReceiverSettings, "store": StoreSettings}.get(
            str(word), section
        )
    return [field.alias or name for name, field in section.model_fields.items()]


def _located(path: Path, source: str, problems: list[_Loc]) -> list[Problem]:
    """Each with its line; in the order of the file, and each once."""
    if not problems:
        return []
    from riskbot.lines import Lines  # noqa: PLC0415 - the parser is loaded only when there is something to say

    lines = Lines(source)
    found = sorted({(lines.of(problem.loc), problem.text) for problem in problems})
    return [Problem(f"{path}:{line}", text) for line, text in found]


def _doubts(path: Path, document: dict[str, Any]) -> Iterator[_Loc]:
    """What is usable, but should be looked at."""
    mode = path.stat().st_mode
    literal = [
        ("accounts", i, key)
        for i, account in enumerate(document["accounts"])
        for key in ("api_key", "api_secret", "passphrase")
        if not _refers(account[key])
    ]
    if literal and mode & stat.S_IROTH:
        hint = f"holds a secret and everybody can read the file: chmod 600 {path.name}, or write ${{NAME}}"
        yield _Loc(literal[0], hint)
    if not document.get("rules"):
        yield _Loc((), "no [[rules]]: only blindness will be told")


def _refers(value: str) -> bool:
    return bool(_VARIABLE.search(value)) or value.startswith(("file:", "credential:"))
