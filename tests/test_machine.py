"""The invariants I1 to I12 over random lives of the whole machine, and that each of them bites."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from msgspec.structs import replace

from riskbot import delivery, engine
from riskbot.builtin.threshold import Threshold
from riskbot.delivery import Receiver
from riskbot.model import Alert, Alerts, Reading, Severity, View
from riskbot.notify import Outcome
from riskbot.service.courier import Courier
from riskbot.service.judge import Judge
from riskbot.store import Message, outbox
from tests.machine import SUBJECTS, Life
from tests.test_laws import rules

LIVES, LENGTH = 600, 60
STEPS = 20_000
"""Of Hypothesis' steps many play more than one tick; so many are the least that a run has."""

value = st.integers(-8, 8).map(str)
word = st.one_of(value, value, value, st.sampled_from(["na", "gone", "miss"]))
words = st.one_of(
    st.tuples(*(word for _ in SUBJECTS)).map(" ".join),
    st.tuples(*(word for _ in SUBJECTS)).map(" ".join),
    st.sampled_from(["down", "fail", "na na", "gone gone"]),
)
pauses = st.sampled_from([1.0, 1.0, 1.0, 2.0, 10.0, 11.0, 40.0])
times = st.sampled_from([1, 1, 1, 2, 4, 8, 70])
answers = st.lists(
    st.tuples(
        st.sampled_from([*[Outcome.SENT] * 3, Outcome.RETRY, Outcome.AMBIGUOUS, Outcome.PERMANENT, Outcome.BROKEN]),
        st.booleans(),
    ),
    max_size=4,
)
severities = st.sampled_from([s for s in Severity if s])

lived: Counter[str] = Counter()


class Lives(RuleBasedStateMachine):
    """Drives a `Life`; the checks are its own."""

    life: Life

    @initialize(ladder=rules(), phone=severities, mail=severities, stands_in=st.booleans())
    def born(self, ladder: Threshold, phone: Severity, mail: Severity, stands_in: bool) -> None:
        receivers = (Receiver("phone", phone, fallback=("mail",) if stands_in else ()), Receiver("mail", mail))
        self.life = Life([ladder], receivers)

    @rule(word=words, pause=pauses, times=times, restarts=st.booleans())
    def observe(self, word: str, pause: float, times: int, restarts: bool) -> None:
        for i in range(times):
            self.life.observe(word, pause, restarts=restarts and i < 2)

    @rule(word=words)
    def observe_once(self, word: str) -> None:
        self.life.observe(word, 1.0)

    @rule(receiver=st.sampled_from(["phone", "mail"]), answers=answers, pause=pauses, meanwhile=st.just("") | words)
    def carry(self, receiver: str, answers: list[tuple[Outcome, bool]], pause: float, meanwhile: str) -> None:
        self.life.carry(receiver, answers, pause, meanwhile)

    @rule(meanwhile=words)
    def carry_all(self, meanwhile: str) -> None:
        self.life.carry("phone", [], 1.0, "")
        self.life.carry("mail", [], 1.0, meanwhile)

    @rule(ladder=st.lists(rules(), max_size=1), same=st.booleans())
    def change(self, ladder: list[Threshold], same: bool) -> None:
        self.life.change(list(self.life.rules) if same else ladder)

    @rule(writes=st.integers(0, 7))
    def kill_at(self, writes: int) -> None:
        self.life.kill_at(writes)

    @rule(
        what=st.sampled_from(["kill", "clock", "clock", "hours", "rest"]),
        seconds=st.sampled_from([-3600.0, 3600.0, -5.0, 5.0]),
    )
    def mishap(self, what: str, seconds: float) -> None:
        match what:
            case "kill":
                self.life.kill()
            case "clock":
                self.life.set_clock(seconds)
            case "hours":
                self.life.hands.turn(5 * abs(seconds))
            case _:
                self.life.rest()

    def teardown(self) -> None:
        if not hasattr(self, "life"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.life.rest()
        finally:
            told = sum(len(ear.got) for ear in self.life.ears.values())
            lived.update(ticks=self.life.steps, kills=self.life.kills, told=told)
            self.life.end()


def live(lives: int, length: int, *phases: Phase) -> None:
    """Hypothesis plays so many lives. Of given phases always the same ones, so that a break is found or not."""
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=lives,
            stateful_step_count=length,
            deadline=None,
            phases=phases or tuple(Phase),
            derandomize=bool(phases),
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(600)
def test_the_invariants_hold_over_random_lives() -> None:
    lived.clear()
    live(LIVES, LENGTH)
    print(dict(lived))  # noqa: T201
    assert lived["ticks"] >= STEPS
    assert lived["kills"] > 100
    assert lived["told"] > 1000


# ---------------------------------------------------------------- each of them bites


def _i1(patch: pytest.MonkeyPatch) -> None:
    """An end that was overtaken is forgotten."""
    cover = outbox.cover

    def forgetful(newer: Message, older: Message) -> Message:
        covered = cover(newer, older)
        return replace(covered, covers=tuple(step for step in covered.covers if step.after))

    patch.setattr(outbox, "cover", forgetful)


def _i2(patch: pytest.MonkeyPatch) -> None:
    """What was over before it could be told is not told."""
    cover = outbox.cover

    def forgetful(newer: Message, older: Message) -> Message:
        covered = cover(newer, older)
        kept = tuple(step for step in covered.covers if newer.after or step.episode != newer.episode)
        return replace(covered, covers=kept)

    patch.setattr(outbox, "cover", forgetful)


def _i3(patch: pytest.MonkeyPatch) -> None:
    """A fall is told as what was told before."""
    message = delivery._message

    def as_before(event: Any, receiver: Any, before: Severity, word: Any, words: Any) -> Message:
        told = message(event, receiver, before, word, words)
        return replace(told, after=before) if Severity.OK < word.level < before else told

    patch.setattr(delivery, "_message", as_before)


def _i4(patch: pytest.MonkeyPatch) -> None:
    """A message is sent twice, to be on the safe side."""
    send = Courier._send

    async def twice(self: Courier, notifier: Any, messages: Any, *, plain: bool) -> Any:
        await send(self, notifier, messages, plain=plain)
        return await send(self, notifier, messages, plain=plain)

    patch.setattr(Courier, "_send", twice)


def _i5(patch: pytest.MonkeyPatch) -> None:
    """What flaps is not told, whichever way it goes."""
    latch = engine._latch

    def muted(flap: Any, alert: Alert, level: Severity, now: float) -> Alert:
        after = latch(flap, alert, level, now)
        return replace(after, shown=alert.shown, seq=alert.seq) if after.flapping else after

    patch.setattr(engine, "_latch", muted)


def _i6(patch: pytest.MonkeyPatch) -> None:
    """A missing value is taken for one that does not apply."""
    patch.setattr(Reading, "is_missing", False)


def _i7(patch: pytest.MonkeyPatch) -> None:
    """Each fall begins to count anew."""
    episode = engine._episode

    def anew(alert: Alert, shown: Severity, now: float) -> Alert:
        after = episode(alert, shown, now)
        return replace(after, seq=1) if shown < alert.shown else after

    patch.setattr(engine, "_episode", anew)


def _i8(patch: pytest.MonkeyPatch) -> None:
    """What is judged is judged as of another moment than the one that is written down."""
    judge = Judge.judge

    async def later(self: Judge, measured: Any, view: View, max_gap: float) -> None:
        await judge(self, measured, replace(view, now=view.now + 0.5), max_gap)

    patch.setattr(Judge, "judge", later)


def _i9(patch: pytest.MonkeyPatch) -> None:
    """After a restart all that is open is told anew."""
    decoded = Judge._decoded

    async def as_if_new(self: Judge, state: Any, now: float) -> Alerts:
        return replace(await decoded(self, state, now), told={})

    patch.setattr(Judge, "_decoded", as_if_new)


def _i10(patch: pytest.MonkeyPatch) -> None:
    """After a reload all that is open is told anew."""
    adopt = Judge.adopt

    async def anew(self: Judge, view: View, **keys: Any) -> None:
        if not keys and self.rules:
            self.alerts = replace(self.alerts, told={})
        await adopt(self, view, **keys)

    patch.setattr(Judge, "adopt", anew)


def _i11(patch: pytest.MonkeyPatch) -> None:
    """What is queued stays queued when there is newer news."""
    patch.setattr(outbox.Outbox, "add", lambda self, message: self.put(outbox.queued(message)))


def _i12(patch: pytest.MonkeyPatch) -> None:
    """An alert falls as soon as its tier is left."""
    patch.setattr(engine, "_fall", lambda ladder, level, target, down, now: target)


BREAKS = {
    "I1": _i1, "I2": _i2, "I3": _i3, "I4": _i4, "I5": _i5, "I6": _i6,
    "I7": _i7, "I8": _i8, "I9": _i9, "I10": _i10, "I11": _i11, "I12": _i12,
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_a_machine_that_is_broken_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BREAKS[name](monkeypatch)
    with pytest.raises(AssertionError, match=f"^{name}:"):
        live(3 * LIVES, LENGTH, Phase.generate)
