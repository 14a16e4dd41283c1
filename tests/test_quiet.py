"""Silences and acknowledgements in a running judge: they hold back the telling, never the judging."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from riskbot.delivery import Receiver
from riskbot.model import Acknowledgement, Quiet, Severity, Silence
from riskbot.service.hush import Hush
from riskbot.service.judge import Judge
from riskbot.service.watch import Watch
from riskbot.store import QUIET
from tests.desk import DEBT, Desk, rule

RATIO = rule(
    "margin_ratio", below={"warning": 5, "critical": 3, "emergency": 1.5}, keep_firing_for="0s", repeat_every="1m"
)
CRITICAL, EMERGENCY = Severity.CRITICAL, Severity.EMERGENCY


class HushedDesk(Desk):
    """A desk whose judge heeds what people ask."""

    def __init__(self, store: Any = None) -> None:
        super().__init__(RATIO, DEBT, store=store)
        self.hush = Hush(self.store)
        self.judge = Judge(
            "main", (RATIO, DEBT), [Receiver("phone")], self.store, self.woken.append, quiet=self.hush.at
        )
        self.watch = Watch(self.judge, self.market, self.hands.clock, self.problems, 1.0)

    async def ask(self, silences: tuple[Silence, ...] = (), acks: tuple[Acknowledgement, ...] = ()) -> None:
        """As the commands write it; then the self-watch looks."""
        rev = (await self.store.load(QUIET)).rev
        await self.store.commit(QUIET, rev, f"quiet {rev}", msgspec.json.encode(Quiet(silences, acks)))
        await self.hush.look()

    def silence(self, seconds: float = 100, **more: Any) -> Silence:
        return Silence(self.hands.wall + seconds, **{"rule": "margin_ratio", **more})

    def ack(self, seconds: float, level: Severity) -> Acknowledgement:
        episode = self.judge.alerts.alerts["margin_ratio"][""].episode
        return Acknowledgement("main", "margin_ratio", "", episode, level, self.hands.wall + seconds)

    async def see(self, ratio: str, seconds: int = 3) -> None:
        """For so many seconds, a poll in each; what it has to tell arrives at once."""
        self.market.ratio = ratio
        for _ in range(seconds):
            await self.poll()
            for message in await self.store.take("phone", 9, self.hands.wall, 30):
                await self.store.ack(message, self.hands.wall)

    async def words(self) -> list[str]:
        return [title.partition(" · ")[0] for title in await self.titles()]

    async def reminders(self) -> int:
        return sum(bool(message.reminder) for _, message in await self.store.outbox(("sent",)))

    @property
    def shown(self) -> Severity:
        return self.judge.alerts.alerts["margin_ratio"][""].shown


@pytest.fixture
async def desk() -> HushedDesk:
    found = HushedDesk()
    await found.load()
    return found


async def test_a_silenced_opening_is_judged_and_not_told(desk: HushedDesk) -> None:
    await desk.ask((desk.silence(),))
    await desk.see("2")

    assert desk.shown is CRITICAL
    assert await desk.words() == []
    assert desk.judge.alerts.told == {}


async def test_at_the_end_of_a_silence_what_is_still_open_is_told_once(desk: HushedDesk) -> None:
    await desk.ask((desk.silence(10),))
    await desk.see("2", 9)
    assert await desk.words() == []

    await desk.see("2", 5)

    assert await desk.words() == ["CRITICAL"]


async def test_one_that_is_ended_early_is_over_at_the_next_look(desk: HushedDesk) -> None:
    await desk.ask((desk.silence(),))
    await desk.see("2")

    await desk.ask()
    await desk.see("2", 1)

    assert await desk.words() == ["CRITICAL"]


async def test_another_silence_still_hides_what_one_that_is_over_did(desk: HushedDesk) -> None:
    await desk.ask((desk.silence(5), desk.silence(10)))

    await desk.see("2", 8)
    assert await desk.words() == []
    await desk.see("2", 3)
    assert await desk.words() == ["CRITICAL"]


async def test_what_began_and_ended_during_a_silence_is_never_told(desk: HushedDesk) -> None:
    await desk.ask((desk.silence(10),))
    await desk.see("2")
    await desk.see("12", 20)

    assert desk.shown is Severity.OK
    assert await desk.words() == []


async def test_the_end_of_what_was_told_before_is_told_during_a_silence(desk: HushedDesk) -> None:
    await desk.see("4")
    await desk.ask((desk.silence(),))
    await desk.see("2")
    assert await desk.words() == ["WARNING"]

    await desk.see("12", 5)

    assert await desk.words() == ["WARNING", "RESOLVED"]


async def test_what_is_worse_than_the_silence_names_is_told_at_once(desk: HushedDesk) -> None:
    await desk.ask((desk.silence(),))
    await desk.see("2")
    await desk.see("1", 1)

    assert await desk.words() == ["EMERGENCY"]


async def test_after_a_fall_in_a_silence_the_next_emergency_is_told(desk: HushedDesk) -> None:
    await desk.see("1")
    await desk.ask((desk.silence(9e4),))
    await desk.see("4", 40)
    assert await desk.words() == ["EMERGENCY", "WARNING"]

    await desk.see("1")

    assert await desk.words() == ["EMERGENCY", "WARNING", "EMERGENCY"]


async def test_a_silence_of_all_levels_hides_emergencies_too(desk: HushedDesk) -> None:
    await desk.ask((desk.silence(most=EMERGENCY),))
    await desk.see("1")

    assert desk.shown is EMERGENCY
    assert await desk.words() == []


@pytest.mark.parametrize("other", [{"rule": "debt*"}, {"account": "sub"}, {"subject": "BTC"}], ids=str)
async def test_another_alert_is_told(desk: HushedDesk, other: dict[str, str]) -> None:
    await desk.ask((desk.silence(**other),))
    await desk.see("2")

    assert await desk.words() == ["CRITICAL"]


async def test_a_silence_holds_back_reminders_too(desk: HushedDesk) -> None:
    await desk.see("2")
    await desk.ask((desk.silence(),))
    await desk.see("2", 90)
    assert await desk.reminders() == 0

    await desk.see("2", 20)

    assert await desk.reminders() == 1


async def test_a_silence_outlives_a_restart_and_one_that_ended_meanwhile_is_over(desk: HushedDesk) -> None:
    await desk.ask((desk.silence(50),))
    await desk.see("2")

    for wait, told in ((10, []), (100, ["CRITICAL"])):
        again = HushedDesk(desk.store)
        again.hands.turn(wait)
        await again.hush.look()
        await again.load()
        await again.see("2", 1)
        assert await again.words() == told


async def test_a_quiet_tick_in_a_silence_writes_nothing(desk: HushedDesk) -> None:
    await desk.ask((desk.silence(),))
    await desk.see("2")
    rev = (await desk.store.load("main")).rev

    await desk.see("2", 9)

    assert (await desk.store.load("main")).rev == rev


async def test_without_an_acknowledgement_it_is_said_again(desk: HushedDesk) -> None:
    await desk.see("2", 70)

    assert await desk.reminders() == 1


async def test_an_acknowledgement_stops_reminders_until_it_is_over(desk: HushedDesk) -> None:
    await desk.see("2")
    await desk.ask(acks=(desk.ack(150, CRITICAL),))
    await desk.see("2", 145)
    assert await desk.reminders() == 0

    await desk.see("2", 10)

    assert await desk.reminders() == 1


async def test_an_acknowledged_alert_that_gets_worse_is_told_and_repeated(desk: HushedDesk) -> None:
    await desk.see("2")
    await desk.ask(acks=(desk.ack(900, CRITICAL),))
    await desk.see("1", 1)
    assert await desk.words() == ["CRITICAL", "EMERGENCY"]

    await desk.see("1", 70)

    assert await desk.reminders() == 1


async def test_an_acknowledgement_is_void_once_it_got_worse_though_it_eases_again(desk: HushedDesk) -> None:
    await desk.see("4")
    alert = desk.judge.alerts.alerts["margin_ratio"][""]
    await desk.ask(acks=(replace(desk.ack(9e4, alert.shown), peak=alert.peak),))
    await desk.see("2")
    await desk.see("4", 40)
    assert await desk.words() == ["WARNING", "CRITICAL", "WARNING"]

    desk.hands.turn(14400)
    await desk.see("4", 1)

    assert await desk.reminders() == 1


async def test_an_acknowledged_alert_that_eases_or_ends_is_told(desk: HushedDesk) -> None:
    await desk.see("2")
    await desk.ask(acks=(desk.ack(900, CRITICAL),))
    await desk.see("4", 5)
    await desk.see("12", 5)

    assert await desk.words() == ["CRITICAL", "WARNING", "RESOLVED"]


async def test_an_acknowledgement_is_of_one_course_of_an_alert(desk: HushedDesk) -> None:
    await desk.see("2")
    await desk.ask(acks=(desk.ack(900, CRITICAL),))
    await desk.see("12", 5)
    await desk.see("2", 70)

    assert await desk.words() == ["CRITICAL", "RESOLVED", "CRITICAL", "CRITICAL"]
    assert await desk.reminders() == 1


async def test_what_is_acknowledged_before_its_receiver_heard_of_it_is_told(desk: HushedDesk) -> None:
    """Silenced, acknowledged, and then the silence ends: an acknowledgement holds back no news."""
    await desk.ask((desk.silence(10),))
    await desk.see("2")
    await desk.ask((desk.silence(3),), (desk.ack(900, CRITICAL),))
    await desk.see("2", 5)

    assert await desk.words() == ["CRITICAL"]
