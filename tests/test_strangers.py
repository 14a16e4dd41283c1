"""Sources and notifiers of plugins, whatever they do."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from riskbot import AccountInfo, AccountSettings, Outcome, Severity, Snapshot, SourceError, Text, Verdict
from riskbot.service import strangers
from riskbot.source import Remedy, Source

SECRET = "a-long-secret"
ACCOUNT = AccountSettings(name="main", source="mine", api_key=SecretStr(SECRET))
GOOD = Snapshot({"details": [{"ccy": "BTC"}, {"ccy": "ETH"}]})
INFO = AccountInfo("1", "3")
TEXT = Text("title", "body", Severity.INFO)


class Mine:
    """A source that gives or raises what the test says."""

    def __init__(self, given: Any, info: Any = INFO) -> None:
        self.given, self.known, self.closed = given, info, False

    async def fetch(self) -> Snapshot:
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given  # type: ignore[no-any-return] # on purpose

    async def info(self) -> AccountInfo:
        return self.known  # type: ignore[no-any-return] # on purpose

    async def close(self) -> None:
        self.closed = True
        raise RuntimeError("no")


def guarded(given: Any, **more: Any) -> Source:
    return strangers.source(ACCOUNT, lambda _: Mine(given, **more))


async def test_what_a_source_gives_is_taken() -> None:
    source = guarded(GOOD)

    assert await source.fetch() is GOOD
    assert await source.info() == INFO
    await source.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (KeyError("liab"), r"the source failed: KeyError: 'liab' \(.*test_strangers.py:\d+\)"),
        (SystemExit(3), "the source failed: SystemExit: 3 "),
        (asyncio.CancelledError(), "the source failed: CancelledError "),
        (ValueError(f"at {SECRET}!"), r"ValueError: at \*\*\*! "),
        (SourceError(f"no {SECRET}"), r"no \*\*\*"),
        (None, "the source gave NoneType where Snapshot is due"),
        *((Snapshot(raw), "gave a Snapshot without details") for raw in ({}, {"details": [5]}, {"details": [{}]})),
        (Snapshot({"details": [{"ccy": "A"}, {"ccy": "A"}]}), "each with its own"),
        (Snapshot([]), "gave a Snapshot without details"),  # type: ignore[arg-type] # on purpose
    ],
)
async def test_all_else_is_an_account_that_can_not_be_seen(given: Any, said: str) -> None:
    with pytest.raises(SourceError, match=said) as error:
        await guarded(given).fetch()
    assert SECRET not in str(error.value)


async def test_a_source_says_nobody_else_s_secret_either() -> None:
    def of_the_house(words: str) -> str:
        return words.replace("of another", "***")

    failing = Mine(SourceError("no token of another", code="of another"), replace(INFO, label="of another"))
    source = strangers.source(ACCOUNT, lambda _: failing, of_the_house)
    with pytest.raises(SourceError, match=r"no token \*\*\*") as error:
        await source.fetch()
    assert error.value.code == "***"
    assert (await source.info()).label == "***"
    failing.given = KeyError("of another")
    with pytest.raises(SourceError, match=r"KeyError: '\*\*\*'"):
        await source.fetch()
    unmade = strangers.source(ACCOUNT, lambda account: account.options["of another"], of_the_house)
    with pytest.raises(SourceError, match=r"KeyError: '\*\*\*'"):
        await unmade.fetch()


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"uid": 77}, "Expected `str`, got `int` - at `$.uid`"),
        ({"permissions": None}, "Expected `array`, got `null`"),
        ({"label": object()}, "object"),
        ({"mode": "3\ud83d"}, "surrogates not allowed"),
    ],
)
async def test_an_owner_that_could_not_be_remembered_is_not_taken(odd: dict[str, Any], said: str) -> None:
    failing = Mine(GOOD)
    failing.info = lambda: asyncio.sleep(0, replace(INFO, **odd))  # type: ignore[method-assign]
    with pytest.raises(SourceError, match="the source gave an AccountInfo of another form: ") as error:
        await strangers._GuardedSource(failing, Mine, str).info()
    assert said in str(error.value)


async def test_what_a_source_says_can_be_saved() -> None:
    with pytest.raises(SourceError, match=r"half \?$"):
        await guarded(SourceError("half \ud83d")).fetch()


async def test_a_source_s_own_remedy_is_heeded() -> None:
    with pytest.raises(SourceError) as error:
        await guarded(SourceError("locked", Remedy.SLOW, Severity.CRITICAL, code="7")).fetch()

    assert (error.value.remedy, error.value.severity, error.value.code) == (Remedy.SLOW, Severity.CRITICAL, "7")


async def test_a_poll_that_is_ended_from_outside_ends() -> None:
    class Slow(Mine):
        async def fetch(self) -> Snapshot:
            await asyncio.Event().wait()
            raise AssertionError

    polling = asyncio.create_task(strangers.source(ACCOUNT, lambda _: Slow(None)).fetch())  # type: ignore[arg-type] # a coroutine
    await asyncio.sleep(0)
    polling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await polling


class NotAsync(Mine):
    def fetch(self) -> Snapshot:  # type: ignore[override] # on purpose
        return GOOD


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda _: NotAsync(GOOD), "NotAsync needs a method: async def fetch"),
        (lambda _: None, "NoneType needs a method: async def fetch"),
        (lambda account: 1 / 0, r"ZeroDivisionError: division by zero \(.*test_strangers.py:\d+\)"),
        (lambda account: account.options["path"], "KeyError: 'path'"),
        (dict, "dict"),
    ],
)
async def test_a_source_that_can_not_be_made_leaves_its_account_blind_and_says_why(made: Any, said: str) -> None:
    source = strangers.source(ACCOUNT, made)

    with pytest.raises(SourceError, match=said) as error:
        await source.fetch()
    assert error.value.severity is Severity.CRITICAL
    with pytest.raises(SourceError, match="the source can't be made"):
        await source.info()
    await source.close()


# ---------------------------------------------------------------- notifiers


class Post:
    """A notifier that gives or raises what the test says."""

    def __init__(self, given: Any) -> None:
        self.given = given

    async def send(self, text: Text) -> Verdict:
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given  # type: ignore[no-any-return] # on purpose

    async def close(self) -> None:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("given", "outcome", "why"),
    [
        (Verdict(Outcome.SENT), Outcome.SENT, ""),
        (Verdict(Outcome.BROKEN, f"401 for {SECRET}", 5.0), Outcome.BROKEN, "401 for ***"),
        (KeyError(SECRET), Outcome.RETRY, "KeyError: '***'"),
        (SystemExit(1), Outcome.RETRY, "SystemExit: 1"),
        (True, Outcome.RETRY, "the notifier gave bool where a Verdict is due"),
    ],
)
async def test_whatever_a_notifier_does_is_a_verdict(given: Any, outcome: Outcome, why: str) -> None:
    notifier = strangers.notifier(f"mine://{SECRET}/", {"mine": lambda _: Post(given)})
    assert notifier is not None
    verdict = await notifier.send(TEXT)

    assert verdict.outcome is outcome
    assert verdict.why.startswith(why)
    await notifier.close()


async def test_a_notifier_says_nobody_else_s_secret_either() -> None:
    def of_the_house(words: str) -> str:
        return words.replace("of another", "***")

    for given in (Verdict(Outcome.RETRY, "of another"), KeyError("of another")):
        notifier = strangers.notifier("mine://", {"mine": lambda _, given=given: Post(given)}, of_the_house)  # type: ignore[dict-item,misc]
        assert notifier
        assert "***" in (await notifier.send(TEXT)).why
    with pytest.raises(ValueError, match=r"^no \*\*\*$"):
        strangers.notifier("mine://", {"mine": partial(_refuse, "no of another")}, of_the_house)


def _refuse(why: str, url: str) -> Any:
    raise ValueError(why)


def test_a_scheme_that_no_plugin_has_is_left_to_others() -> None:
    assert strangers.notifier("json://localhost", {"mine": lambda _: Post(True)}) is None
    assert strangers.notifier("MINE://x", {"mine": lambda _: Post(True)}) is not None


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError(f"bad {SECRET}"), r"^bad \*\*\*$"), (KeyError("x"), "KeyError: 'x' "), (SystemExit(), "SystemExit")],
)
def test_a_url_that_a_notifier_does_not_take_is_told_without_it(error: BaseException, said: str) -> None:
    def make(url: str) -> Any:
        raise error

    with pytest.raises(ValueError, match=said):
        strangers.notifier(f"mine://{SECRET}", {"mine": make})


def test_a_notifier_without_an_async_send_is_none() -> None:
    with pytest.raises(ValueError, match="object needs a method: async def send"):
        strangers.notifier("mine://", {"mine": lambda _: object()})  # type: ignore[dict-item,return-value] # on purpose
