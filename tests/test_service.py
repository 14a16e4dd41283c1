"""riskbot about itself, all loops together, and going over to another rules file."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from riskbot.delivery import Receiver, about_receiver
from riskbot.health import Problem, Problems, about_refusal
from riskbot.model import Severity
from riskbot.notify import Outcome, Verdict
from riskbot.rulebook import Account
from riskbot.rules import Rule
from riskbot.service import Bundle, Service
from riskbot.service.clock import Clock
from riskbot.service.judge import Judge
from riskbot.service.reloader import Reloader
from riskbot.service.selfwatch import SelfWatch, health
from riskbot.settings import ConfigError
from riskbot.settings import Problem as Mistake
from riskbot.store import State
from riskbot.store.memory import MemoryStore
from riskbot.store.surviving import SurvivingStore
from tests.desk import BLIND, RATIO, Hands, Market, Postman, Thief, rule

HEALTH = health(["phone", "mail"], ["main"])


# ---------------------------------------------------------------- riskbot about itself


class Self:
    """A self-watch on its own."""

    def __init__(self, store: Any = None, *receivers: str) -> None:
        self.hands, self.problems = Hands(), Problems()
        self.store = store or SurvivingStore(MemoryStore())  # type: ignore[arg-type] # enough here
        them = [Receiver(name) for name in receivers or ("phone",)]
        self.judge = Judge("riskbot", [HEALTH], them, self.store, lambda _: None)
        self.watch = SelfWatch(self.judge, self.store, self.hands.clock, self.problems)

    async def load(self) -> Self:
        await self.judge.load(self.hands.clock.now())
        return self

    async def tick(self, seconds: float = 1.0) -> None:
        self.hands.turn(seconds)
        await self.watch.tick()

    async def told(self) -> list[tuple[str, str]]:
        rows = await self.store.outbox(("queued", "superseded"))
        return [(m.receiver, m.title) for _, m in reversed(rows)]


async def test_a_failing_store_is_told_and_its_recovery_too() -> None:
    primary = MemoryStore()

    async def reopen() -> MemoryStore:
        return primary

    me = await Self(SurvivingStore(None, reopen, reason="the disk is full")).load()
    await me.tick()
    rows = await me.store.outbox(("queued",))
    assert [(m.title, m.unsaved) for _, m in rows] == [("CRITICAL · riskbot · the store is failing", True)]
    assert "the disk is full" in rows[0][1].body
    await me.store.heal(me.hands.clock.now())
    for _ in range(40):
        await me.tick()
    rows = await primary.outbox(("queued",))
    assert [(m.title, m.unsaved) for _, m in rows] == [("RESOLVED · riskbot · the store works again", False)]


async def test_that_a_receiver_fails_is_told_to_the_others_only() -> None:
    me = await Self(None, "phone", "mail").load()
    me.problems.fail(about_receiver("phone"), Problem(me.hands.clock.now(), "401", 0.0, 0.0))
    await me.tick()
    assert await me.told() == [("mail", "CRITICAL · riskbot · delivery to phone is failing")]


async def test_a_fenced_self_watch_takes_up_the_others_state() -> None:
    me = await Self(SurvivingStore(Thief())).load()  # type: ignore[arg-type] # enough here
    me.problems.fail("a part", Problem(me.hands.clock.now(), "why", 0.0, 0.0))
    me.watch._clock = Clock(lambda: me.hands.wall, lambda: me.hands.monotonic, speed=1000)
    await me.watch._turn()
    await me.watch._turn()
    assert await me.told() == [("phone", "CRITICAL · riskbot · a part is failing")]


async def test_what_else_is_looked_at_hears_how_late_the_look_is() -> None:
    me = await Self().load()
    heard: list[float] = []
    marks = iter([50.0, 50.6])

    async def look(_: float, late: float) -> None:
        heard.append(late)

    clock = Clock(lambda: me.hands.wall, lambda: me.hands.monotonic, speed=10)
    watch = SelfWatch(me.judge, me.store, clock, me.problems, look=look, stopwatch=lambda: next(marks))
    await watch._turn()
    assert heard == [pytest.approx(0.5)]


@pytest.mark.parametrize(("seconds", "way"), [(3600, "ahead"), (-3600, "back")])
async def test_a_clock_that_was_set_is_told_and_over_after_ten_minutes(seconds: float, way: str) -> None:
    me = await Self().load()
    await me.tick()
    me.hands.wall += seconds
    await me.tick()
    assert await me.told() == [("phone", "WARNING · riskbot · the clock has jumped")]
    rows = await me.store.outbox(("queued",))
    assert f"the machine's clock was set {way} by 1 h at " in rows[0][1].body
    for _ in range(800):
        await me.tick()
    assert (await me.told())[1:] == [("phone", "RESOLVED · riskbot · the clock is steady")]


async def test_on_a_fast_clock_a_short_pause_is_none() -> None:
    me = await Self().load()
    me.watch._clock = Clock(lambda: me.hands.wall, lambda: me.hands.monotonic, speed=30)
    await me.tick()
    await me.tick(0.6)
    assert await me.told() == []
    await me.tick(30)
    assert await me.told() == [("phone", "WARNING · riskbot · riskbot stood still")]


async def test_that_riskbot_stood_still_is_told() -> None:
    me = await Self().load()
    await me.tick()
    await me.tick(300)
    assert await me.told() == [("phone", "WARNING · riskbot · riskbot stood still")]
    rows = await me.store.outbox(("queued",))
    assert "nothing was watched for 5 min, until 13:51:41 UTC" in rows[0][1].body


async def test_that_it_stood_still_right_after_the_start_is_told() -> None:
    me = await Self().load()
    running = asyncio.create_task(me.watch.run())
    await asyncio.sleep(0)
    await me.tick(300)
    running.cancel()
    assert await me.told() == [("phone", "WARNING · riskbot · riskbot stood still")]


async def test_that_it_stood_still_again_is_told_again() -> None:
    me = await Self().load()
    await me.tick()
    await me.tick(20)
    for _ in range(60):
        await me.tick()
    await me.tick(5 * 3600)
    rows = await me.store.outbox(("queued",))
    assert "nothing was watched for 5 h" in rows[0][1].body
    assert rows[0][1].title == "WARNING · riskbot · riskbot stood still"


async def test_what_fails_of_a_receiver_that_has_left_the_file_is_over() -> None:
    me = await Self(None, "phone", "mail").load()
    me.problems.fail(about_receiver("phone"), Problem(me.hands.clock.now(), "401", 0.0, 0.0))
    await me.tick()
    me.problems.forget(about_receiver("phone"))
    await me.watch.use(health(["mail"], ["main"]), [Receiver("mail")])
    assert (await me.told())[1:] == [("mail", "CLOSED · riskbot · delivery to phone: not in the rules file any more")]


# ---------------------------------------------------------------- all together


class Named:
    """An account as the service needs it; equal to another of that name and that key."""

    def __init__(self, name: str, key: str = "") -> None:
        self.name, self.key, self.poll_every = name, key, 0.05

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and (self.name, self.key) == (other.name, other.key)

    def __hash__(self) -> int:
        return hash((self.name, self.key))


class Town:
    """Markets, postmen, and a service among them."""

    def __init__(self, store: SurvivingStore) -> None:
        self.markets: dict[str, Market] = {}
        self.posts: dict[str, Postman] = {}
        self.made: list[str] = []
        self.store = store
        self.stop = asyncio.Event()

    def bundle(
        self, rules: Sequence[Rule] = (RATIO, BLIND), *receivers: Receiver, accounts: Sequence[Any] = ()
    ) -> Bundle:
        receivers = receivers or (Receiver("phone"),)
        addresses = {receiver.name: receiver.name for receiver in receivers}
        return Bundle(
            tuple(accounts or [Named("main")]), tuple(rules), receivers, addresses, self.source, self.notifier
        )

    def source(self, account: Any) -> Market:
        self.made.append(account.name)
        return self.markets.setdefault(account.name, Market())

    def notifier(self, name: str) -> asyncio.Future[Any]:
        self.made.append(name)
        making: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        making.set_result(self.posts.setdefault(name, Postman()))
        return making

    async def open(self, bundle: Bundle) -> Service:
        self.service = Service(bundle, self.store)
        self.running = asyncio.create_task(self.service.run(self.stop))
        await self.until(lambda: all(watch.polls for watch in self.service.watches.values()) and self.service.watches)
        return self.service

    async def close(self) -> None:
        self.stop.set()
        await self.running

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not true():
                assert not hasattr(self, "running") or not self.running.done(), self.running.result()
                await asyncio.sleep(0.01)

    def titles(self, name: str = "phone") -> list[str]:
        return [text.title for text in self.posts[name].sent] if name in self.posts else []


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town(SurvivingStore(MemoryStore()))  # type: ignore[arg-type] # enough here
    yield town
    if not town.stop.is_set() and hasattr(town, "running"):
        await town.close()


async def test_the_service_watches_tells_and_lets_go(town: Town) -> None:
    town.store = SurvivingStore(None, reason="there is none")
    town.markets["main"] = market = Market("2.5")
    await town.open(town.bundle())
    await town.until(lambda: len(town.titles()) == 2)
    await town.close()
    assert set(town.titles()) == {
        "CRITICAL · main · margin ratio 2.5 (250 %)",
        "CRITICAL · riskbot · the store is failing",
    }
    assert all("told from memory" in text.body for text in town.posts["phone"].sent)
    assert market.closed
    assert town.posts["phone"].closed


async def test_a_service_that_watches_is_ready_and_well(town: Town) -> None:
    service = Service(town.bundle(), town.store)
    assert not service.vitals.ready()
    service = await town.open(town.bundle())
    await town.until(service.vitals.ready)
    assert service.vitals.reasons(service.clock.now()) == []
    old = service.vitals._loops["the self-watch"]._at
    await town.until(lambda: service.vitals._loops["the self-watch"]._at > old)


async def test_a_notifier_that_cannot_be_made_ends_the_service_with_its_reason(town: Town) -> None:
    making: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    making.set_exception(ValueError("no such service"))
    service = Service(replace(town.bundle(), notifier=lambda _: making), town.store)
    with pytest.raises(ValueError, match="no such service"):
        await asyncio.wait_for(service.run(town.stop), 10)


async def test_what_a_receiver_can_not_be_told_its_fallback_is_told(town: Town) -> None:
    town.posts["phone"] = Postman(*[Verdict(Outcome.BROKEN, "HTTP 401")] * 99)
    town.markets["main"] = Market("2.5")
    phone, mail = Receiver("phone", fallback=("mail",)), Receiver("mail", Severity.EMERGENCY)
    await town.open(town.bundle((RATIO, BLIND), phone, mail))
    await town.until(lambda: town.titles("mail"))
    assert town.titles("mail") == ["CRITICAL · main · margin ratio 2.5 (250 %)"]
    assert "told here since phone can't be reached: HTTP 401, for" in town.posts["mail"].sent[0].body


@pytest.mark.parametrize(
    ("after", "failed_for", "hands_over"), [(None, 19, False), (None, 20, True), (5, 5, True), (3600, 60, False)]
)
async def test_when_a_fallback_takes_over_can_be_chosen(
    town: Town, after: float | None, failed_for: float, hands_over: bool
) -> None:
    service = Service(town.bundle((RATIO,), Receiver("phone", fallback=("mail",), fallback_after=after)), town.store)
    service.problems.fail(about_receiver("phone"), Problem(0.0, "HTTP 503", 20.0, 20.0))
    assert bool(service._failing(failed_for)) == hands_over


async def test_one_message_that_is_refused_sends_the_others_nowhere_else(town: Town) -> None:
    service = Service(town.bundle((RATIO,), Receiver("phone", fallback=("mail",))), town.store)
    service.problems.fail(about_refusal("phone"), Problem(0.0, "HTTP 400", 0.0, 0.0))
    assert service._failing(100.0) == {}


# ---------------------------------------------------------------- another rules file


async def test_an_unchanged_file_leaves_the_very_same_watches_and_couriers(town: Town) -> None:
    town.markets["main"] = Market("2.5")
    service = await town.open(town.bundle())
    await town.until(town.titles)
    watch, courier = service.watches["main"], service.couriers["phone"]
    await service.apply(town.bundle())
    polls = watch.polls
    await town.until(lambda: watch.polls > polls + 3)
    assert service.watches["main"] is watch
    assert service.couriers["phone"] is courier
    assert town.made == ["phone", "main"]
    assert len(town.titles()) == 1


async def test_a_changed_rule_is_judged_at_once_and_a_removed_one_is_closed(town: Town) -> None:
    town.markets["main"] = Market("4")
    service = await town.open(town.bundle())
    await town.until(town.titles)
    await service.apply(town.bundle([rule("margin_ratio", below={"critical": 5}), BLIND]))
    await town.until(lambda: len(town.titles()) == 2)
    await service.apply(town.bundle([BLIND]))
    await town.until(lambda: len(town.titles()) == 3)
    assert town.titles()[1:] == ["CRITICAL · main · margin ratio 4 (400 %)", "CLOSED · main · margin_ratio"]
    assert "closed: taken out of the rules file" in town.posts["phone"].sent[2].body


async def test_accounts_come_and_go(town: Town) -> None:
    town.markets |= {"main": Market("2.5"), "other": Market("2")}
    service = await town.open(town.bundle())
    await town.until(town.titles)
    await service.apply(town.bundle(accounts=[Named("other")]))
    await town.until(lambda: len(town.titles()) == 3)
    assert set(town.titles()[1:]) == {"CLOSED · main · margin_ratio", "CRITICAL · other · margin ratio 2 (200 %)"}
    assert town.markets["main"].closed
    assert list(service.watches) == ["other"]


@pytest.mark.parametrize("accounts", [["other"], ["main", "other"]], ids=["gone", "another key"])
async def test_a_last_turn_of_a_closed_watch_does_not_stop_what_is_taken_up(
    accounts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = Thief()
    town = Town(SurvivingStore(thief))  # type: ignore[arg-type] # enough here
    town.markets["main"] = Market("2.5")
    thief.stolen = True
    service = await town.open(town.bundle())
    await town.until(town.titles)
    close = service.watches["main"].close

    async def closing() -> None:
        await close()
        thief.stolen = False  # the next commit of the account comes second

    monkeypatch.setattr(service.watches["main"], "close", closing)
    await service.apply(town.bundle([BLIND], accounts=[Named(name, "another key") for name in accounts]))
    assert thief.stolen
    assert service.watches.keys() == {*accounts}
    await town.close()


@pytest.mark.parametrize("others", [[], ["other"]], ids=["alone", "beside another"])
async def test_a_watch_that_is_closed_is_not_polled_once_more(
    others: list[str], town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await town.open(town.bundle(accounts=[Named(name) for name in ("main", *others)]))
    watch = service.watches["main"]
    close, polls = watch.close, [0, 0]

    async def closing() -> None:
        await close()
        polls[0] = watch.polls
        await asyncio.sleep(10 * watch.poll_every)
        polls[1] = watch.polls

    monkeypatch.setattr(watch, "close", closing)
    await service.apply(town.bundle(accounts=[Named("main", "another key"), *map(Named, others)]))
    assert polls[0] == polls[1] > 0
    assert service.watches["main"] is not watch
    await town.until(lambda: all(found.polls for found in service.watches.values()))


async def test_an_account_with_another_key_is_watched_anew_and_its_alerts_go_on(town: Town) -> None:
    town.markets["main"] = Market("2.5")
    service = await town.open(town.bundle())
    await town.until(town.titles)
    await service.apply(town.bundle(accounts=[Named("main", "another key")]))
    await town.until(lambda: service.watches["main"].polls > 3)
    assert town.made == ["phone", "main", "main"]
    assert len(town.titles()) == 1


async def test_an_account_that_left_while_riskbot_was_down_is_closed_at_the_start(town: Town) -> None:
    town.markets["main"] = Market("2.5")
    await town.open(town.bundle())
    await town.until(town.titles)
    await town.close()
    town.stop = asyncio.Event()
    await town.open(town.bundle(accounts=[Named("other")]))
    await town.until(lambda: len(town.titles()) == 2)
    assert town.titles()[1] == "CLOSED · main · margin_ratio"


async def test_a_new_receiver_is_told_of_what_is_open_and_one_that_moved_gets_a_new_notifier(town: Town) -> None:
    town.markets["main"] = Market("2.5")
    service = await town.open(town.bundle())
    await town.until(town.titles)
    old = service.couriers["phone"]
    two = town.bundle((RATIO, BLIND), Receiver("phone"), Receiver("mail"))
    await service.apply(replace(two, addresses={"phone": "elsewhere", "mail": "mail"}))
    await town.until(lambda: town.titles("mail"))
    assert service.couriers["phone"] is not old
    assert town.made == ["phone", "main", "phone", "mail"]
    assert town.titles() == town.titles("mail") == ["CRITICAL · main · margin ratio 2.5 (250 %)"]


async def test_loops_that_have_ended_are_forgotten(town: Town) -> None:
    service = await town.open(town.bundle())
    running = len(service._tasks)
    for address in "abc":
        await service.apply(replace(town.bundle(), addresses={"phone": address}))
    await town.until(lambda: len(service._tasks) == running)
    assert service._tasks["pacer"].done() is False


async def test_other_settings_of_a_receiver_need_no_new_courier(town: Town) -> None:
    service = await town.open(town.bundle())
    courier = service.couriers["phone"]
    await service.apply(town.bundle((RATIO, BLIND), Receiver("phone", per_minute=3)))
    assert service.couriers["phone"] is courier
    assert courier.settings.per_minute == 3


async def test_what_a_receiver_that_leaves_was_not_sent_its_fallback_is_told(town: Town) -> None:
    town.posts["phone"] = Postman(*[Verdict(Outcome.RETRY, "HTTP 503")] * 99)
    town.markets["main"] = Market("2.5")
    phone, mail = Receiver("phone", fallback=("mail",)), Receiver("mail", Severity.EMERGENCY)
    service = await town.open(town.bundle((RATIO, BLIND), phone, mail))
    await town.until(town.titles)
    await service.apply(town.bundle((RATIO, BLIND), mail))
    await town.until(lambda: town.titles("mail"))
    assert town.titles("mail") == ["CRITICAL · main · margin ratio 2.5 (250 %)"]
    assert "told here since phone can't be reached: it is not in the rules file" in town.posts["mail"].sent[0].body
    ((_, dead),) = await town.store.outbox(("dead",))
    assert (dead.receiver, dead.error) == ("phone", "the receiver is not in the rules file any more")


async def test_a_receiver_that_left_with_something_unsent_and_comes_back_is_told(town: Town) -> None:
    town.posts["phone"] = Postman(*[Verdict(Outcome.RETRY, "HTTP 503")] * 2)
    town.markets["main"] = Market("2.5")
    service = await town.open(town.bundle((RATIO, BLIND), Receiver("phone"), Receiver("mail")))
    await town.until(town.titles)
    await service.apply(town.bundle((RATIO, BLIND), Receiver("mail")))
    town.posts["phone"] = Postman()
    await service.apply(town.bundle((RATIO, BLIND), Receiver("phone"), Receiver("mail")))
    await town.until(town.titles)
    assert town.titles() == ["CRITICAL · main · margin ratio 2.5 (250 %)"]


async def test_a_fallback_is_told_though_the_account_changed_too(town: Town) -> None:
    town.posts["phone"] = Postman(*[Verdict(Outcome.RETRY, "HTTP 503")] * 99)
    town.markets["main"] = Market("2.5")
    phone, mail = Receiver("phone", fallback=("mail",)), Receiver("mail", Severity.EMERGENCY)
    service = await town.open(town.bundle((RATIO, BLIND), phone, mail))
    await town.until(town.titles)
    await service.apply(town.bundle((RATIO, BLIND), mail, accounts=[Named("main", "another key")]))
    await town.until(lambda: town.titles("mail"))
    assert town.titles("mail") == ["CRITICAL · main · margin ratio"]


async def test_what_a_receiver_missed_before_it_left_its_fallback_is_told(town: Town) -> None:
    brisk = rule("margin_ratio", below={"warning": 5, "critical": 3}, keep_firing_for="0s")
    town.posts["phone"] = Postman(*[Verdict(Outcome.RETRY, "HTTP 503")] * 99)
    town.markets["main"] = market = Market("2.5")
    phone, mail = Receiver("phone", fallback=("mail",)), Receiver("mail", Severity.EMERGENCY)
    service = await town.open(town.bundle((brisk, BLIND), phone, mail))
    await town.until(town.titles)
    market.ratio = "50"
    await town.until(lambda: not service.watches["main"].alerts.open())
    await service.apply(town.bundle((brisk, BLIND), mail))
    await town.until(lambda: town.titles("mail"))
    assert town.titles("mail")[0].startswith("MISSED CRITICAL · main · margin ratio")


# ---------------------------------------------------------------- a file that changes


class Desk:
    """A reloader whose file holds the names of rules, or a mistake."""

    def __init__(self, town: Town, path: Path) -> None:
        self.town, self.path = town, path
        self.reads = 0
        path.write_text("good")

    async def open(self) -> Reloader:
        service = await self.town.open(self.town.bundle())
        self.reloader = Reloader(self.path, self.read, service)
        return self.reloader

    def read(self) -> Bundle:
        self.reads += 1
        word = self.path.read_text()
        if word == "bad":
            raise ConfigError([Mistake("rules.toml:7", "unknown key"), Mistake("rules.toml:9", "no tier")])
        return self.town.bundle([BLIND]) if word == "other" else self.town.bundle()


@pytest.fixture
def file(town: Town, tmp_path: Path) -> Desk:
    return Desk(town, tmp_path / "rules.toml")


async def test_a_bad_file_keeps_the_old_rules_and_is_told_until_a_good_one_comes(town: Town, file: Desk) -> None:
    reloader, service = await file.open(), town.service
    bundle, watch = service.bundle, service.watches["main"]
    file.path.write_text("bad")
    await reloader.reload()
    assert service.bundle is bundle
    assert service.watches["main"] is watch
    await town.until(town.titles)
    assert town.titles() == ["CRITICAL · riskbot · rules.toml can't be used"]
    body = town.posts["phone"].sent[0].body
    assert "rules.toml:7: unknown key (and 1 more); the rules from before stay in force" in body
    await reloader.reload()
    await town.until(lambda: len(town.titles()) == 2)  # another try, perhaps another mistake: it is said again
    file.path.write_text("other")
    await reloader.reload()
    assert service.bundle.rules == (BLIND,)
    assert "rules.toml" not in service.problems


async def test_a_receiver_that_can_not_be_made_leaves_all_as_it_was(town: Town, file: Desk) -> None:
    reloader, service = await file.open(), town.service
    making: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    making.set_exception(ValueError("no such service"))
    bundle, courier = service.bundle, service.couriers["phone"]
    moved = replace(town.bundle([BLIND]), addresses={"phone": "elsewhere"}, notifier=lambda _: making)
    reloader._read = lambda: moved
    await reloader.reload()
    assert service.bundle is bundle
    assert service.couriers["phone"] is courier
    await town.until(town.titles)
    assert "ValueError; the rules from before stay in force" in town.posts["phone"].sent[0].body


async def test_a_mistake_half_way_leaves_what_is_watched_watched_and_says_so(town: Town, file: Desk) -> None:
    reloader, service = await file.open(), town.service
    watch, rest = service.watches["main"], town.bundle([BLIND])

    def source(account: Any) -> Any:
        raise RuntimeError(account.name)

    moved = replace(rest, accounts=(*rest.accounts, Account("desk", 1.0)), source=source)
    reloader._read = lambda: moved
    await reloader.reload()
    polls = watch.polls
    await town.until(lambda: watch.polls > polls)
    await town.until(town.titles)
    assert "RuntimeError; it was taken up in part only: restart riskbot" in town.posts["phone"].sent[0].body
    reloader._read = lambda: replace(moved, source=rest.source)
    await reloader.reload()
    assert service.watches.keys() == {"main", "desk"}


async def test_a_file_that_changed_is_read_when_it_has_settled(
    town: Town, file: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskbot.service.reloader.LOOK_EVERY", 0.01)
    reloader = await file.open()
    for _ in range(3):
        await reloader._turn()
    assert file.reads == 0
    file.path.write_text("half of it")
    await reloader._turn()
    file.path.write_text("other")
    await reloader._turn()
    assert file.reads == 0
    await reloader._turn()
    await reloader._turn()
    assert file.reads == 1
    assert town.service.bundle.rules == (BLIND,)


async def test_what_a_file_leaves_does_not_wait_for_the_rarest_walk_of_the_collector(town: Town, file: Desk) -> None:
    class Left:
        """Something that holds itself, as a parsed document or a caught error may."""

        def __init__(self) -> None:
            self.itself = self

    def read() -> Bundle:
        left.append(weakref.ref(Left()))
        return town.bundle()

    left: list[weakref.ref[Left]] = []
    reloader = await file.open()
    reloader._read = read
    gc.disable()
    try:
        reloader.ask()
        await reloader._turn()
    finally:
        gc.enable()
    assert [ref() for ref in left] == [None]


async def test_a_file_that_is_included_is_noticed_as_well(
    town: Town, file: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskbot.service.reloader.LOOK_EVERY", 0.01)
    file.path.write_text('include = ["rules.d/*.toml"]')
    reloader = await file.open()
    (file.path.parent / "rules.d").mkdir()
    (file.path.parent / "rules.d" / "more.toml").write_text("")
    for _ in range(3):
        await reloader._turn()
    assert file.reads == 1


async def test_a_file_that_is_gone_is_read_and_so_told_once(
    town: Town, file: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskbot.service.reloader.LOOK_EVERY", 0.01)
    reloader = await file.open()
    file.path.unlink()
    monkeypatch.setattr(
        reloader, "_read", lambda: (_ for _ in ()).throw(ConfigError([Mistake("rules.toml", "not found")]))
    )
    for _ in range(4):
        await reloader._turn()
    assert "rules.toml" in town.service.problems


async def test_whoever_asks_has_it_read_at_once(town: Town, file: Desk) -> None:
    reloader = await file.open()
    reloader.ask()
    await asyncio.wait_for(reloader._turn(), 1)
    assert file.reads == 1


def test_a_state_is_what_a_fresh_store_gives() -> None:
    assert State() == State(None, 0, "")
