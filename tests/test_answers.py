"""The language of a receiver's script: what each word means, and what is said of one that means nothing."""

from __future__ import annotations

import pytest

from riskbot.notify import Outcome
from riskbot.settings.answers import ScriptError, parse


def test_each_word_is_an_answer_to_so_many_tries() -> None:
    turns = parse("ok 429(7s)*2 503*")

    assert [turn.tries for turn in turns] == [1, 2, None]
    assert [turn.answer.verdict.outcome for turn in turns] == [Outcome.SENT, Outcome.RETRY, Outcome.RETRY]
    assert [turn.answer.arrives for turn in turns] == [True, False, False]
    assert turns[1].answer.verdict.after == 7.0


def test_whether_a_message_has_arrived_may_be_left_open() -> None:
    answered, lost, hung = (turn.answer for turn in parse("ok?lost-answer lost hang"))

    assert {one.verdict.outcome for one in (answered, lost)} == {Outcome.AMBIGUOUS}
    assert (answered.arrives, lost.arrives, hung.arrives) == (True, False, False)
    assert (lost.takes, hung.takes) == (0.0, None)


def test_an_answer_may_take_its_time() -> None:
    assert parse("ok(3s)")[0].answer.takes == 3.0


def test_statuses_are_taken_as_riskbot_takes_them() -> None:
    outcomes = [turn.answer.verdict.outcome for turn in parse("400 401 404 408 502")]

    assert outcomes == [Outcome.PERMANENT, Outcome.BROKEN, Outcome.BROKEN, Outcome.RETRY, Outcome.AMBIGUOUS]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ok nok", 'at sign 4, "nok": write ok, ok(3s), a status as 503'),
        ("", "says nothing: write ok"),
        ("200", "write ok, ok(3s)"),
        ("ok*x", "write ok, ok(3s)"),
        ("503*0", "for no try at all"),
        ("401(5s)", "asks for patience"),
        ("lost(5s)", "write ok, ok(3s)"),
        ("429(soon)", "not a duration"),
    ],
)
def test_a_word_that_means_nothing_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(text)

    assert said in str(caught.value)
