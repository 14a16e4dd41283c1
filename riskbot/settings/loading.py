"""Validating all of a rules file at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from riskbot.rules import Rule
from riskbot.settings.doubts import open_secrets, unheard
from riskbot.settings.files import Source, Sources
from riskbot.settings.mistakes import explain, located, no_such
from riskbot.settings.model import OKX, Config, ConfigError, File, Loc, StoreSettings, misnamed, named, tables
from riskbot.settings.secrets import Secrets, home


def load(
    path: Path,
    kinds: Mapping[str, type[Rule]],
    env: Mapping[str, str] | None = None,
    check_url: Callable[[str], None] | None = None,
    offered: Collection[str] = (),
    *,
    keyless: bool = False,
    begun: bool = False,
) -> Config:
    """Read and validate a rules file and those it includes. Raises ConfigError with every mistake in them.

    kinds: the rule classes by kind. env: where `${NAME}` is looked up; default: the process's environment.
    check_url: raises ValueError, in words without the URL, for a receiver's URL that is of no use; default: not done.
    offered: what an account's `source` may say besides okx. keyless: secrets of accounts, receivers, [heartbeat] and
    [web] may be absent, as nobody is asked or told; a word stands in for them. begun: so may accounts, receivers and
    keys be: somebody is about to add them.
    """
    env = os.environ if env is None else env
    sources = Sources(path, env)
    filled, problems = sources.filled(keyless=keyless), list[Loc]()
    file = _sections(filled, problems)
    rules = {i: rule for i, entry in tables(filled, "rules") if (rule := _rule(i, entry, kinds, problems))}
    problems += [
        *([] if begun else _absent(filled)),
        *_bad_sources(filled, offered, begun=begun),
        *_doubles(filled, sources),
        *_strangers(filled),
        *_bad_fallbacks(filled),
        *_misnamed(filled),
        *_bad_urls(filled, check_url),
    ]
    sources.note(problems)
    if (told := sources.told()) or file is None:
        raise ConfigError(told)
    sources.note([*sources.doubts, *unheard(file.receivers, rules)])
    for source in sources.all:
        source.found += open_secrets(source.path, source.document)
    everything = with_defaults(tuple(rules.values()), kinds, [account.name for account in file.accounts])
    files = tuple(source.path for source in sources.all)
    db = _db(path, file.store, env)
    return Config(
        file.accounts,
        file.receivers,
        everything,
        db,
        tuple(sources.told()),
        files,
        heartbeat=file.heartbeat,
        store=file.store,
        start=file.start,
        daily=file.daily,
        web=file.web,
    )


def find_db(path: Path, env: Mapping[str, str] | None = None) -> Path:
    """Where the store of a rules file is, without its keys and rules: to look at what is, nobody needs a secret.

    Raises ConfigError.
    """
    env = os.environ if env is None else env
    return _db(path, _only("store", Source(path), env).store, env)


def find_plugins(path: Path, env: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The folders with plugins of a rules file: they are needed to understand the rest of it. Raises ConfigError."""
    source = Source(path)
    words = _only("plugins", source, os.environ if env is None else env).plugins
    folders = tuple(path.parent / home(folder) for folder in words)
    absent = [i for i, folder in enumerate(folders) if not folder.is_dir()]
    source.found += [Loc(("plugins", i), f"plugins: there is no folder {folders[i]}") for i in absent]
    if absent:
        raise ConfigError(source.told())
    return folders


def _only(section: str, source: Source, env: Mapping[str, str]) -> File:
    """One section of a rules file, whatever is wrong with the others. Raises ConfigError."""
    secrets = Secrets(source.path.parent, env)
    filled = secrets.fill({key: value for key, value in source.document.items() if key == section})
    file = _sections(filled, secrets.problems)
    if secrets.problems or file is None:
        raise ConfigError(located(source.path, source.text, secrets.problems))
    return file


def _db(path: Path, store: StoreSettings, env: Mapping[str, str]) -> Path:
    folder = env.get("STATE_DIRECTORY", "").partition(":")[0] or path.resolve().parent
    return Path(folder) / home(store.path)


def _sections(document: dict[str, Any], problems: list[Loc]) -> File | None:
    try:
        return File.model_validate(document)
    except ValidationError as error:
        problems += [Loc(detail["loc"], explain(detail, File)) for detail in error.errors(include_url=False)]
        return None


def _rule(i: int, entry: dict[str, Any], kinds: Mapping[str, type[Rule]], problems: list[Loc]) -> Rule | None:
    loc = ("rules", i)
    word = entry.get("kind")
    kind = kinds.get(word) if isinstance(word, str) else None
    if kind is None:
        known = f"one of {', '.join(sorted(kinds))}"
        problems.append(Loc((*loc, "kind"), no_such("kind", word, kinds) if word else f"kind is missing; {known}"))
        return None
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [Loc((*loc, *detail["loc"]), explain(detail, kind)) for detail in details]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's kind may raise anything; its text may hold a value
        problems.append(Loc(loc, f'the kind "{word}" fails at these values: {type(error).__name__}'))
    return None


def _absent(document: dict[str, Any]) -> Iterator[Loc]:
    for section, example in (("accounts", "[[accounts]]"), ("receivers", "[receivers.phone]")):
        if not document.get(section):
            yield Loc((section,), f"no {section}: add at least one {example}")


def _bad_sources(document: dict[str, Any], offered: Collection[str], *, begun: bool) -> Iterator[Loc]:
    """A source that nobody offers; OKX's without its keys."""
    for i, account in tables(document, "accounts"):
        word = account.get("source", OKX)
        if word == OKX:
            for key in ("api_key", "api_secret", "passphrase"):
                if key not in account and not begun:
                    yield Loc(("accounts", i, key), f'{key} is missing: write {key} = "…"')
        elif isinstance(word, str) and word not in offered:
            yield Loc(("accounts", i, "source"), no_such("source", word, [OKX, *offered]))


def _doubles(document: dict[str, Any], sources: Sources) -> Iterator[Loc]:
    """Names used twice."""
    for section in ("accounts", "rules"):
        seen: dict[str, int] = {}
        for i, item in tables(document, section):
            name = item.get("name")
            if isinstance(name, str) and name in seen:
                source, before = sources.place((section, i))[0], sources.place((section, seen[name]))[0]
                where = "above" if source is before else f"in {before.path}"
                yield Loc((section, i, "name"), f"name: one of the {section} {where} has it already; give another")
            elif isinstance(name, str):
                seen[name] = i


def _strangers(document: dict[str, Any]) -> Iterator[Loc]:
    """Rules, and those who speak unasked, that name an account or a receiver that is not there."""
    accounts = [account["name"] for _, account in tables(document, "accounts") if "name" in account]
    for key, found in (("accounts", accounts), ("receivers", named(document, "receivers"))):
        known = [str(word) for word in found]
        for i, entry in tables(document, "rules"):
            words = entry.get(key)
            for j, word in enumerate(words if isinstance(words, list) else ()):
                if known and word not in known:
                    yield Loc(("rules", i, key, j), no_such(key.removesuffix("s"), word, known))
    receivers = [str(word) for word in named(document, "receivers")]
    for section in ("start", "daily"):
        words = named(document, section).get("receivers")
        for j, word in enumerate(words if isinstance(words, list) else ()):
            if receivers and word not in receivers:
                yield Loc((section, "receivers", j), no_such("receiver", word, receivers))


def _bad_fallbacks(document: dict[str, Any]) -> Iterator[Loc]:
    receivers = named(document, "receivers")
    for name, receiver in receivers.items():
        words = receiver.get("fallback") if isinstance(receiver, dict) else None
        for i, word in enumerate(words if isinstance(words, list) else ()):
            if word == name:
                yield Loc(("receivers", name, "fallback", i), "fallback: that is this receiver itself; name another")
            elif not isinstance(word, str) or word not in receivers:
                yield Loc(("receivers", name, "fallback", i), no_such("receiver", word, [str(r) for r in receivers]))


def _misnamed(document: dict[str, Any]) -> Iterator[Loc]:
    yield from (Loc(("receivers", name), why) for name in named(document, "receivers") if (why := misnamed(name)))


def _bad_urls(document: dict[str, Any], check_url: Callable[[str], None] | None) -> Iterator[Loc]:
    for name, receiver in named(document, "receivers").items():
        url = receiver.get("url") if isinstance(receiver, dict) else None
        if check_url and url and isinstance(url, str):
            try:
                check_url(url)
            except ValueError as error:
                yield Loc(("receivers", name, "url"), f"url: {error}")


def with_defaults(rules: tuple[Rule, ...], kinds: Mapping[str, type[Rule]], accounts: list[str]) -> tuple[Rule, ...]:
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
