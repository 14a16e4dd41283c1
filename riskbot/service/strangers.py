"""Sources and notifiers of plugins, kept to their contracts.

Whatever they raise or give hurts only their own account or receiver, and is told as its trouble.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from riskbot import text
from riskbot.model import AccountInfo, Severity
from riskbot.notify import Notifier, Outcome, Text, Verdict
from riskbot.plugins.blame import Refused, raised
from riskbot.redact import Redactor, secrets_of
from riskbot.settings import AccountSettings
from riskbot.settings.model import texts
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, Source, SourceError

T = TypeVar("T")

Redact = Callable[[str], str]
"""Takes out of a text what nobody may see."""


def source(account: AccountSettings, make: Callable[[AccountSettings], Source], redact: Redact = str) -> Source:
    """The source that a plugin makes for an account. Never raises: one that can't be made says so when it is asked.

    redact: of what it says, besides the account's own secrets; it may know those of others, and of the environment.
    """
    keys = (account.api_key, account.api_secret, account.passphrase)
    clean = _both(Redactor([*(key.get_secret_value() for key in keys), *texts(account.options)]), redact)
    try:
        made = _checked(make(account), ("fetch", "info", "close"))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit included
        return _NoSource(clean(_words(error, make)))
    return _GuardedSource(made, make, clean)


def notifier(url: str, makers: Mapping[str, Callable[[str], Notifier]], redact: Redact = str) -> Notifier | None:
    """The notifier that a plugin makes of a URL; None: no plugin has its scheme. redact: as above.

    Raises ValueError, in words without the URL.
    """
    make = makers.get(url.partition("://")[0].strip().lower())
    if make is None:
        return None
    clean = _both(Redactor(secrets_of(url)), redact)
    try:
        made = _checked(make(url), ("send", "close"))
    except KeyboardInterrupt:
        raise
    except ValueError as error:
        raise ValueError(clean(str(error))) from None
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit included
        raise ValueError(clean(_words(error, make))) from None
    return _GuardedNotifier(made, make, clean)


def _both(own: Redactor, redact: Redact) -> Redact:
    return lambda words: text.encodable(redact(own.redact(words)))


def _checked(made: Any, methods: tuple[str, ...]) -> Any:
    for method in methods:
        if not inspect.iscoroutinefunction(getattr(made, method, None)):
            raise TypeError(f"{type(made).__name__} needs a method: async def {method}")
    return made


def _words(error: BaseException, make: Callable[..., Any]) -> str:
    """What it raised, and at which line of the plugin."""
    found = error if isinstance(error, Refused) else raised(error, _file(make))
    return f"{found.why} ({found.where})"


def _file(make: Callable[..., Any]) -> str:
    try:
        return inspect.getfile(make)
    except TypeError:
        return "?"


class _NoSource:
    """Stands in for a source that can't be made."""

    def __init__(self, why: str) -> None:
        self._error = f"the source can't be made: {why}"

    async def fetch(self) -> Snapshot:
        raise SourceError(self._error, Remedy.SLOW, Severity.CRITICAL)

    async def info(self) -> AccountInfo:
        raise SourceError(self._error)

    async def close(self) -> None:
        pass


class _GuardedSource:
    """A plugin's source that raises nothing but SourceError."""

    def __init__(self, made: Source, make: Callable[..., Any], clean: Redact) -> None:
        self._made, self._make, self._clean = made, make, clean

    async def fetch(self) -> Snapshot:
        snapshot = await self._asked(self._made.fetch(), Snapshot)
        if not _sound(snapshot.raw):
            raise SourceError('the source gave a Snapshot without details: a list of dicts, each with its own "ccy"')
        return snapshot

    async def info(self) -> AccountInfo:
        given = await self._asked(self._made.info(), AccountInfo)
        try:  # it is remembered: what can't be read again would take the account's alerts with it
            info = msgspec.json.decode(msgspec.json.encode(given), type=AccountInfo)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise SourceError(self._clean(f"the source gave an AccountInfo of another form: {error}")) from None
        return replace(info, label=self._clean(info.label))

    async def close(self) -> None:
        await _guarded(self._made.close())

    async def _asked(self, asking: Awaitable[T], due: type[T]) -> T:
        given: object = await _guarded(asking)
        if isinstance(given, SourceError):
            raise SourceError(self._clean(given.why), given.remedy, given.severity, code=self._clean(given.code))
        if isinstance(given, BaseException):
            why = f"the source failed: {_words(given, self._make)}"
            raise SourceError(self._clean(why))
        if not isinstance(given, due):
            raise SourceError(f"the source gave {type(given).__name__} where {due.__name__} is due")
        return given


def _sound(raw: Any) -> bool:
    """Is it of the shape that all else relies on?"""
    rows = raw.get("details") if isinstance(raw, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return False
    names = [row.get("ccy") for row in rows]
    return all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)


class _GuardedNotifier:
    """A plugin's notifier that never raises."""

    def __init__(self, made: Notifier, make: Callable[..., Any], clean: Redact) -> None:
        self._made, self._make, self._clean = made, make, clean

    async def send(self, text: Text) -> Verdict:
        given: object = await _guarded(self._made.send(text))
        if isinstance(given, Verdict):
            return Verdict(given.outcome, self._clean(given.why), given.after)
        if isinstance(given, BaseException):
            return Verdict(Outcome.RETRY, self._clean(_words(given, self._make)))
        return Verdict(Outcome.RETRY, f"the notifier gave {type(given).__name__} where a Verdict is due")

    async def close(self) -> None:
        await _guarded(self._made.close())


async def _guarded(asking: Awaitable[T]) -> T | BaseException:
    """What it gives or raises; an end that was asked for from outside passes. A SystemExit would end riskbot."""
    try:
        return await asking
    except KeyboardInterrupt:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return error
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
        return error
