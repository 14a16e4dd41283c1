"""The language of a receiver's script in a case: what it answers, try after try. Pure.

    "ok 429(7s)*2 ok?lost-answer ok(3s) lost hang 503*"

`ok`: it takes the message; `ok(3s)`: after so long. An HTTP status: it does not; `429(7s)` asks for patience.
`ok?lost-answer`: it has the message, but the answer is lost; `lost`: the message was lost and so was the answer;
`hang`: neither ends. `*N` for so many tries, `*` alone for all that come. After the last word it takes everything.
"""

from __future__ import annotations

import re

from msgspec import Struct

from riskbot.notify import Outcome, Verdict, of_status
from riskbot.rules import parse_duration


class ScriptError(ValueError):
    """A word of a script that says nothing. The text is for people."""


class Answer(Struct, frozen=True):
    """What a receiver does with one try. arrives: it has the message. takes: seconds until it answers; None: never."""

    verdict: Verdict
    arrives: bool = True
    takes: float | None = 0.0


class Turn(Struct, frozen=True):
    """One word of a script, for so many tries; None: for all that come."""

    answer: Answer
    tries: int | None = 1


Script = tuple[Turn, ...]

TAKEN = Answer(Verdict(Outcome.SENT))
_LOST = Verdict(Outcome.AMBIGUOUS, "the answer was lost")
_WORDS = {
    "ok": TAKEN,
    "ok?lost-answer": Answer(_LOST),
    "lost": Answer(_LOST, arrives=False),
    "hang": Answer(_LOST, arrives=False, takes=None),
}
_TURN = re.compile(r"([^\s()*]+)(?:\(([^()]*)\))?(?:\*(\d*))?")
_EXAMPLES = "write ok, ok(3s), a status as 503, 429(7s), ok?lost-answer, lost or hang; behind it *3, or * for ever"


def parse(text: str) -> Script:
    """A receiver's script. Raises ScriptError: which word, at which sign."""
    turns = []
    for word in re.finditer(r"\S+", text):
        try:
            turns.append(_turn(word[0]))
        except ValueError as error:
            raise ScriptError(f'at sign {word.start() + 1}, "{word[0]}": {error}') from None
    if not turns:
        raise ScriptError(f"says nothing: {_EXAMPLES}")
    return tuple(turns)


def _turn(word: str) -> Turn:
    found = _TURN.fullmatch(word)
    if not found:
        raise ScriptError(_EXAMPLES)
    what, wait, count = found.groups()
    if count == "0":
        raise ScriptError("for no try at all: take it away")
    tries = (int(count) if count else None) if "*" in word else 1
    return Turn(_answer(what, None if wait is None else parse_duration(wait)), tries)


def _answer(what: str, wait: float | None) -> Answer:
    if what == "ok":
        return Answer(TAKEN.verdict, takes=wait or 0.0)
    if what in _WORDS and wait is None:
        return _WORDS[what]
    if not re.fullmatch(r"[1345]\d\d", what):
        raise ScriptError(_EXAMPLES)
    outcome = of_status(int(what))
    if wait is not None and outcome is not Outcome.RETRY:
        raise ScriptError("only a status after which it is tried again, such as 429 or 503, asks for patience")
    return Answer(Verdict(outcome, f"HTTP {what}", wait), arrives=False)
