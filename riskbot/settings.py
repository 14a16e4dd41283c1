"""rules.toml: accounts, receivers, store and rules, validated together; every mistake with its line.

A value may refer to a secret instead of holding it; all of them are filled in before validation:

- `${NAME}`, anywhere in a text and more than once: an environment variable.
- `file:PATH`, the whole text: a file's content without its last line break; a relative path starts at the rules file.
- `credential:NAME`, the whole text: the same of systemd's LoadCredential.

What was filled in is not looked at again. There is no escape: a secret that has `${` in it belongs in a variable or a
file. No message repeats a value, unless it is nearly a word that riskbot knows.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Literal, get_origin

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from riskbot.model import Severity
from riskbot.rules import Duration, Rule, TierName, parse_duration, suggest
from riskbot.snapshot import field_paths
from riskbot.text import span

SELF = "riskbot"
"""The name under which riskbot tells of its own state."""

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


class _Loc(Struct, frozen=True):
    """A mistake at a place of the document: keys and indices."""

    loc: tuple[str | int, ...]
    text: str


# ---------------------------------------------------------------- loading


def load(
    path: Path,
    kinds: Mapping[str, type[Rule]],
    env: Mapping[str, str] | None = None,
    check_url: Callable[[str], None] | None = None,
) -> Config:
    """Read and validate a rules file. Raises ConfigError with every mistake in it.

    kinds: the rule classes by kind. env: where `${NAME}` is looked up; default: the process's environment.
    check_url: raises ValueError, in words without the URL, for a receiver's URL that is of no use; default: not done.
    """
    env = os.environ if env is None else env
    source = _read(path)
    document = _parse(path, source)
    secrets = _Secrets(path.parent, env)
    filled = secrets.fill(document)
    problems = secrets.problems
    file = _sections(filled, problems)
    rules = {i: rule for i, entry in _tables(filled, "rules") if (rule := _rule(i, entry, kinds, problems))}
    problems += [*_absent(filled), *_doubles(filled), *_strangers(filled), *_bad_urls(filled, check_url)]
    if problems or file is None:
        raise ConfigError(_located(path, source, problems))
    doubts = [*_open_secrets(path, document), *_unheard(file.receivers, rules)]
    everything = _with_defaults(tuple(rules.values()), kinds, [account.name for account in file.accounts])
    warnings = tuple(_located(path, source, doubts))
    return Config(file.accounts, file.receivers, everything, _db(path, file.store, env), warnings)


def find_db(path: Path, env: Mapping[str, str] | None = None) -> Path:
    """Where the store of a rules file is, without its keys and rules: to look at what is, nobody needs a secret.

    Raises ConfigError.
    """
    env = os.environ if env is None else env
    source = _read(path)
    secrets = _Secrets(path.parent, env)
    filled = secrets.fill({key: value for key, value in _parse(path, source).items() if key == "store"})
    file = _sections(filled, secrets.problems)
    if secrets.problems or file is None:
        raise ConfigError(_located(path, source, secrets.problems))
    return _db(path, file.store, env)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        hint = "not found; copy rules.example.toml and edit it, or give --config FILE"
        raise ConfigError([Problem(str(path), hint)]) from None
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(str(path), f"can't read it: {_reason(error)}")]) from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "error"
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "this is no path"


_SYNTAX = (
    ("Invalid value", 'this is no value: texts stand in "quotes", such as "main", "90s" or "10%"'),
    ("Expected newline", 'the value goes on too long: texts stand in "quotes", such as "90s" or "10%"'),
    ("Unclosed inline table", 'expected , or } on this line: texts stand in "quotes", such as "10%"'),
    ("Unclosed array", "expected , or ]"),
    ("Expected '='", "expected key = value"),
    ("Illegal character '\\n'", 'the text is not closed: a " is missing at its end'),
    ("Expected \"'", 'the text is not closed: a \' or """ is missing at its end'),
    ("Unterminated string", 'the text is not closed: a \' or """ is missing at its end'),
    ("Unescaped '\\'", r"in a text, write \\ for \ "),
    ("Cannot overwrite", "this key stands here twice: take one away"),
    ("Duplicate inline", "a key stands here twice: take one away"),
    ("Cannot declare", "this section stands here twice: take one away, or give it another name"),
    ("Expected ']", "the section's ] is missing"),
    ("Invalid statement", "expected [section] or key = value"),
)
"""How tomllib begins to say it, and how a trader understands it."""


def _parse(path: Path, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", place)
        at = int(line[1]) if line else len(source.splitlines())
        plain = next((words for start, words in _SYNTAX if message.startswith(start)), message)
        text = f"not valid TOML: {plain.strip()}"
    except ValueError:  # Python refuses whole numbers of thousands of digits
        lines = source.split("\n")
        at, text = lines.index(max(lines, key=len)) + 1, "a number has too many digits"
    except RecursionError:
        at, text = 1, "brackets in brackets in brackets: too deep"
    raise ConfigError([Problem(f"{path}:{at}", text)])


def _db(path: Path, store: StoreSettings, env: Mapping[str, str]) -> Path:
    folder = env.get("STATE_DIRECTORY", "").partition(":")[0] or path.resolve().parent
    return Path(folder) / _home(store.path)


def _home(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises for a home that is not known


# ---------------------------------------------------------------- secrets


class _NoSecretError(Exception):
    """What a value refers to is not there."""


class _Secrets:
    """Fills in what values refer to. folder: where relative paths start. problems: what is not there."""

    VARIABLE = re.compile(r"\$\{([^}]*)(\}?)")

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder, self._env = folder, env
        self.problems: list[_Loc] = []

    def fill(self, value: Any, loc: tuple[str | int, ...] = ()) -> Any:
        """The same value, filled in. Where that fails a word stands in, so that the rest is validated as well."""
        if isinstance(value, dict):
            return {key: self.fill(item, (*loc, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item, (*loc, i)) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return self._resolve(value)
        except _NoSecretError as error:
            self.problems.append(_Loc(loc, str(error)))
            return "missing"

    def _resolve(self, value: str) -> str:
        scheme, colon, name = value.partition(":")
        if colon and scheme == "file":
            return self._file(self._folder / _home(name))
        if colon and scheme == "credential":
            folder = self._env.get("CREDENTIALS_DIRECTORY")
            if not folder:
                hint = "credential: is filled in by systemd only (LoadCredential=); else write ${NAME} or file:PATH"
                raise _NoSecretError(hint)
            return self._file(Path(folder) / name)
        troubles = [trouble for match in self.VARIABLE.finditer(value) if (trouble := self._trouble(*match.groups()))]
        if troubles:
            raise _NoSecretError("; ".join(troubles))
        return self.VARIABLE.sub(lambda match: self._env[match[1]], value)

    def _trouble(self, name: str, closed: str) -> str:
        if not closed or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            return "${ begins a variable: write ${NAME}; a secret with ${ in it belongs in a variable or a file"
        if self._env.get(name):
            return ""
        return f"the environment variable {name} is {'empty' if name in self._env else 'not set'}"

    @staticmethod
    def _file(path: Path) -> str:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise _NoSecretError(f"can't read the secret in {str(path)!r}: {_reason(error)}") from None
        if not text.strip():
            raise _NoSecretError(f"the secret in {str(path)!r} is empty")
        return text.removesuffix("\n")

    @classmethod
    def refers(cls, value: str) -> bool:
        """Does the secret stand elsewhere?"""
        return bool(cls.VARIABLE.search(value)) or value.startswith(("file:", "credential:"))


# ---------------------------------------------------------------- validating


def _tables(document: dict[str, Any], section: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The tables of `[[section]]` by index. What has another shape is told by `_sections`."""
    items = document.get(section)
    for i, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield i, item


def _named(document: dict[str, Any], section: str) -> dict[str, Any]:
    """The tables of `[section.NAME]`."""
    items = document.get(section)
    return items if isinstance(items, dict) else {}


def _sections(document: dict[str, Any], problems: list[_Loc]) -> _File | None:
    try:
        return _File.model_validate(document)
    except ValidationError as error:
        problems += [_Loc(detail["loc"], _explain(detail, _File)) for detail in error.errors(include_url=False)]
        return None


def _rule(i: int, entry: dict[str, Any], kinds: Mapping[str, type[Rule]], problems: list[_Loc]) -> Rule | None:
    loc = ("rules", i)
    word = entry.get("kind")
    kind = kinds.get(word) if isinstance(word, str) else None
    if kind is None:
        known = f"one of {', '.join(sorted(kinds))}"
        problems.append(_Loc((*loc, "kind"), _no("kind", word, kinds) if word else f"kind is missing; {known}"))
        return None
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [_Loc((*loc, *detail["loc"]), _explain(detail, kind)) for detail in details]
    except Exception as error:  # noqa: BLE001 - a plugin's kind may raise anything; its text may hold a value
        problems.append(_Loc(loc, f'the kind "{word}" fails at these values: {type(error).__name__}'))
    return None


def _absent(document: dict[str, Any]) -> Iterator[_Loc]:
    for section, example in (("accounts", "[[accounts]]"), ("receivers", "[receivers.phone]")):
        if not document.get(section):
            yield _Loc((section,), f"no {section}: add at least one {example}")


def _doubles(document: dict[str, Any]) -> Iterator[_Loc]:
    """Names used twice."""
    for section in ("accounts", "rules"):
        seen: set[str] = set()
        for i, item in _tables(document, section):
            name = item.get("name")
            if isinstance(name, str) and name in seen:
                yield _Loc((section, i, "name"), f"name: one of the {section} above has it already; give another")
            elif isinstance(name, str):
                seen.add(name)


def _strangers(document: dict[str, Any]) -> Iterator[_Loc]:
    """Rules that name an account or a receiver that is not there."""
    accounts = [account["name"] for _, account in _tables(document, "accounts") if "name" in account]
    for key, found in (("accounts", accounts), ("receivers", _named(document, "receivers"))):
        known = [str(word) for word in found]
        for i, entry in _tables(document, "rules"):
            words = entry.get(key)
            for j, word in enumerate(words if isinstance(words, list) else ()):
                if known and word not in known:
                    yield _Loc(("rules", i, key, j), _no(key.removesuffix("s"), word, known))


def _bad_urls(document: dict[str, Any], check_url: Callable[[str], None] | None) -> Iterator[_Loc]:
    for name, receiver in _named(document, "receivers").items():
        url = receiver.get("url") if isinstance(receiver, dict) else None
        if check_url and url and isinstance(url, str):
            try:
                check_url(url)
            except ValueError as error:
                yield _Loc(("receivers", name, "url"), f"url: {error}")


def _with_defaults(rules: tuple[Rule, ...], kinds: Mapping[str, type[Rule]], accounts: list[str]) -> tuple[Rule, ...]:
    """Kinds that are always on get a rule with their defaults for the accounts that the file has none for."""
    for word, kind in kinds.items():
        own = [rule for rule in rules if isinstance(rule, kind)]
        left = [name for name in accounts if not any(rule.watches(name) for rule in own)]
        if kind.ALWAYS_ON and left:
            names = {rule.name for rule in rules}
            name = next(n for i in count(1) if (n := word if i == 1 else f"{word} {i}") not in names)
            scope = {"accounts": left} if own else {}
            rules = (*rules, kind.model_validate({"name": name, "kind": word, **scope}))
    return rules


# ---------------------------------------------------------------- what is usable, but should be looked at


def _open_secrets(path: Path, document: dict[str, Any]) -> Iterator[_Loc]:
    """Secrets that stand in a file which others may read; the first of them is told."""
    if not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return
    for i, account in _tables(document, "accounts"):
        for key in ("api_key", "api_secret", "passphrase"):
            if not _Secrets.refers(account[key]):
                yield _Loc(("accounts", i, key), _open_secret(path, key))
                return
    for name, receiver in _named(document, "receivers").items():
        url = receiver["url"]
        if not _Secrets.refers(url) and not re.fullmatch(r"\w+://[^/?@]*/?", url):
            yield _Loc(("receivers", name, "url"), _open_secret(path, "url"))
            return


def _open_secret(path: Path, key: str) -> str:
    return f"{key}: others can read this file and the secret in it: chmod 600 {path.name}, or write ${{NAME}}"


def _unheard(receivers: dict[str, ReceiverSettings], rules: dict[int, Rule]) -> Iterator[_Loc]:
    """Danger that would be told to nobody."""
    if all(receiver.severity > Severity.CRITICAL for receiver in receivers.values()):
        yield _Loc(("receivers",), "critical alerts are told to nobody: each min_severity is above them")
    for i, rule in rules.items():
        if rule.enabled:
            yield from _unheard_of(("rules", i), rule, receivers)
    if not any(rule.enabled and not rule.ALWAYS_ON for rule in rules.values()):
        yield _Loc(("rules",), "no rule is on: only blindness will be told")


def _unheard_of(loc: tuple[str | int, ...], rule: Rule, receivers: dict[str, ReceiverSettings]) -> Iterator[_Loc]:
    for key in ("accounts", "ccy", "receivers"):
        if getattr(rule, key) == ():
            yield _Loc((*loc, key), f"{key} = [] leaves nothing over: the rule will never be told; name some")
    worst = max((rung.severity for rung in rule.ladder().rungs), default=Severity.OK)
    named = receivers if rule.receivers is None else rule.receivers
    if named and all(receivers[name].severity > worst for name in named):
        yield _Loc(loc, f"told to nobody: its worst tier is {worst.label}, and each min_severity is above that")


# ---------------------------------------------------------------- saying what is wrong


_HEADERS = {"accounts": "[[accounts]]", "rules": "[[rules]]", "receivers": "[receivers.NAME]", "store": "[store]"}

_SHAPES = ("tuple_type", "dict_type", "model_type")

_PLAIN = {
    "string_type": 'write a text in "quotes"',
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "tuple_type": 'write a list: {key} = ["…", "…"]',
    "dict_type": "write {{ warning = …, critical = … }}",
    "string_too_short": "is empty",
    "too_short": "is empty",
    "string_too_long": "write at most {max_length} characters",
    "greater_than_equal": "write at least {ge}",
    "less_than_equal": "write at most {le}",
}
"""pydantic's error types in words that say what to write."""


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """What pydantic found, as a trader reads it; never with the value, which may be a secret."""
    loc, kind = detail["loc"], detail["type"]
    key = next((part for part in reversed(loc) if isinstance(part, str)), "")
    section = _section(model, loc[:-1])
    if model is _File and kind in _SHAPES and len(loc) <= 2:
        return f"{loc[0]}: write {_HEADERS[str(loc[0])]} and its keys below it"
    if kind == "extra_forbidden":
        keys = [field.alias or name for name, field in section.model_fields.items()]
        return f'unknown key "{key}"' + (suggest(key, keys) or f"; known are {', '.join(keys)}")
    if kind == "missing":
        return f"{key} is missing: write {key} = {_example(section, key)}"
    if kind == "literal_error":
        return _explain_word(detail, key)
    message = _plain(detail, section, key)
    return f"{key}: {message}" if loc else message


def _plain(detail: ErrorDetails, section: type[BaseModel], key: str) -> str:
    words = _PLAIN.get(detail["type"])
    if words is None:
        return _without_values(detail["msg"].removeprefix("Value error, "), detail["input"])
    limits = detail.get("ctx", {})
    if _is_duration(section, key):
        limits = {name: f"{value:g} s" if value < 60 else span(value) for name, value in limits.items()}
    return words.format(key=key, **limits)


def _without_values(message: str, value: Any) -> str:
    """A rule's own words, without what stood in the file, unless that is nearly a word that is known."""
    if "did you mean" in message:
        return message
    for word in _words(value):
        if len(word) >= 6 and word not in field_paths():
            message = message.replace(word, "…")
    return message


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _words(item)


def _explain_word(detail: ErrorDetails, key: str) -> str:
    """A word that is none of the few that are known. It is not repeated, only what it may have been meant for."""
    options = re.findall(r"'([^']*)'", detail["msg"])
    if not options:
        return f"{key}: can't be switched off: take this line away"
    what = "unknown severity" if key == "[key]" else f"{key}: unknown value"
    return f"{what}{suggest(str(detail['input']), options) or ';'} one of {', '.join(options)}"


def _no(what: str, word: object, known: Iterable[str]) -> str:
    """A name that stands for nothing, repeated only if it is nearly one that does."""
    near = suggest(str(word), known)
    return f'no {what} "{word}"{near}' if near else f"no such {what}; known are {', '.join(sorted(known))}"


def _section(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    """The class that describes a place of the document."""
    sections: dict[str, type[BaseModel]] = {
        "accounts": AccountSettings,
        "receivers": ReceiverSettings,
        "store": StoreSettings,
    }
    return sections.get(str(loc[0]), model) if model is _File and loc else model


def _example(section: type[BaseModel], key: str) -> str:
    field = next(field for name, field in section.model_fields.items() if (field.alias or name) == key)
    if get_origin(field.annotation) is dict:
        return "{ warning = …, critical = … }"
    return '"1h"' if _is_duration(section, key) else '"…"'


def _is_duration(section: type[BaseModel], key: str) -> bool:
    found = (field.metadata for name, field in section.model_fields.items() if (field.alias or name) == key)
    return any(getattr(check, "func", None) is parse_duration for metadata in found for check in metadata)


def _located(path: Path, source: str, problems: list[_Loc]) -> list[Problem]:
    """Each with its line, in the order of the file. Of one place only the first: the others follow from it."""
    if not problems:
        return []
    from riskbot.lines import Lines  # noqa: PLC0415 - the parser is loaded only when there is something to say

    lines = Lines(source)
    first = {problem.loc: problem.text for problem in reversed(problems)}
    found = sorted((lines.of(loc), text) for loc, text in first.items())
    return [Problem(f"{path}:{line}", text) for line, text in found]
