"""Asking a rule, and guarding against it: one that raises or gives nonsense hurts only itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from math import isnan
from typing import Any

from msgspec import Struct
from pydantic import SecretStr

from riskbot import snapshot, text
from riskbot.fields import MISSING
from riskbot.model import Reading, View
from riskbot.rules.base import Rule


class Measured(Struct, frozen=True):
    """A rule's answer. readings: usable ones, each subject once. missing: why something could not be read, or "".

    complete: False if the rule failed on the way, so that a subject without a reading is unknown, not gone.
    failed: it did: it raised, or gave what is no reading.
    calm: no reading reaches even the mildest tier; False: not known.
    """

    readings: tuple[Reading, ...] = ()
    missing: str = ""
    complete: bool = True
    calm: bool = False
    failed: bool = False

    @property
    def has_number(self) -> bool:
        """Is there anything to judge in it?"""
        for reading in self.readings:  # noqa: SIM110 - a generator costs more than all that it asks
            if reading.value.is_finite():
                return True
        return False


MOST_READINGS = 10_000
"""Of one rule in one poll. More are nonsense, and would fill the memory."""
_LONGEST_SUBJECT, _LONGEST_NOTE, _LONGEST_BLAME = 100, 1000, 120
_MAX_EXPONENT = 1000
"""Of a reading. It may be a product of several amounts; with much more, to show it in percent would overflow."""


def measure(rule: Rule, view: View) -> Measured:
    """Ask one rule. A rule that raises or gives nonsense hurts only itself: it counts as missing, and says why."""
    readings: dict[str, Reading] = {}
    missing, calm = "", True
    ladder = rule.compiled.ladder
    met, mildest = ladder.met, ladder.rungs[0].enter
    try:
        for count, reading in enumerate(rule.readings(view)):
            if count >= MOST_READINGS:
                raise ValueError(f"gave more than {MOST_READINGS:,} readings")  # noqa: TRY301
            if not _plain(reading):
                reading = _checked(reading)  # noqa: PLW2901 - made exact
                if reading.is_missing and rule.covers(reading.ccy):
                    missing = missing or f"{reading.ccy} {reading.note or 'no value'}".strip()
            if not rule.covers(reading.ccy):
                continue
            if reading.ccy in readings:
                raise ValueError(f"two readings for {reading.ccy or 'the account'}")  # noqa: TRY301
            readings[reading.ccy] = reading
            calm = calm and not (reading.value.is_finite() and met(reading.value, mildest))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything; nothing is awaited here
        return Measured(tuple(readings.values()), blame(error, rule.readings), complete=False, failed=True)
    return Measured(tuple(readings.values()), missing, calm=calm)


def is_calm(rule: Rule, readings: Iterable[Reading]) -> bool:
    """Does none of them reach the mildest tier?"""
    ladder = rule.compiled.ladder
    met, mildest = ladder.met, ladder.rungs[0].enter
    return not any(reading.value.is_finite() and met(reading.value, mildest) for reading in readings)


def keeps(rule: Rule, subject: str, rules: Collection[str]) -> bool:
    """`rule.keeps`. Where that fails the alert is kept: a plugin's mistake ends none."""
    try:
        return bool(rule.keeps(subject, rules))
    except (Exception, SystemExit):  # noqa: BLE001 - a plugin may raise anything
        return True


def _plain(reading: Any) -> bool:
    """Is it a reading as most are? Then no second look is needed."""
    return (
        type(reading) is Reading
        and type(reading.value) is Decimal
        and _is_sane(reading.value)
        and type(reading.ccy) is str
        and type(reading.note) is str
        and len(reading.ccy) <= _LONGEST_SUBJECT
        and len(reading.note) <= _LONGEST_NOTE
        and reading.ccy.isascii()
        and reading.note.isascii()
    )


def _checked(reading: Any) -> Reading:
    """The same with an exact value, or without one; raises TypeError or ValueError for nonsense.

    Subject and note are remembered and told, long after the rule was asked.
    """
    if not isinstance(reading, Reading):
        raise TypeError(f"gave a {type(reading).__name__} where a Reading is due")
    if type(reading.ccy) is not str or type(reading.note) is not str:
        raise TypeError("gave a reading whose ccy or note is no text")
    if len(reading.ccy) > _LONGEST_SUBJECT or len(reading.note) > _LONGEST_NOTE:
        raise ValueError(f"gave a reading whose ccy or note is longer than {_LONGEST_SUBJECT} or {_LONGEST_NOTE} signs")
    return Reading(_exact(reading.value), text.encodable(reading.ccy), text.encodable(reading.note))


def _exact(value: object) -> Decimal:
    """A number, or one that says that there is none; raises ValueError for what is neither."""
    if isinstance(value, float) and isnan(value):
        return MISSING
    number = Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if type(number) is Decimal and (number.is_qnan() or _is_sane(number)):
        return number
    raise ValueError(f"gave a reading of {type(value).__name__} {text.cut(str(value), 20)}")


def _is_sane(number: Decimal) -> bool:
    return number.is_finite() and -_MAX_EXPONENT < number.adjusted() < _MAX_EXPONENT


def _without_secrets(words: str, rule: object) -> str:
    """Without those that its kind declares as such."""
    for _, value in rule if isinstance(rule, Rule) else ():
        if isinstance(value, SecretStr) and (secret := value.get_secret_value()):
            words = words.replace(secret, "***")
    return words


def blame(error: BaseException, method: Callable[..., Any]) -> str:
    """What was raised, for people, and by which line of the file where the method stands; else, where that begins."""
    code = getattr(method, "__code__", blame.__code__)
    line, frame = code.co_firstlineno, error.__traceback__
    while frame:
        if frame.tb_frame.f_code.co_filename == code.co_filename:
            line = frame.tb_lineno
        frame = frame.tb_next
    where = f" ({code.co_filename.rpartition('/')[2]}:{line})"
    try:
        words = text.cut(_without_secrets(str(error), getattr(method, "__self__", None)), _LONGEST_BLAME)
    except Exception:  # noqa: BLE001 - a plugin's error may fail at its own words
        words = "?"
    told = f"the rule failed: {type(error).__name__}: {words}{where}"
    return text.encodable(told)


def no_data(rule: Rule, mode: str) -> str:
    """Why that rule would stay silent in an account of that mode, or ""."""
    modes = rule.modes()
    if mode in modes:
        return ""
    having = " or ".join(snapshot.MODES[other] for other in modes)
    return f"would have no data in {snapshot.MODES[mode]} mode: what it reads is carried in {having or 'no'} mode"


def longest_window(rules: Iterable[Rule]) -> float:
    """Seconds of the past that the longest window of these rules needs."""
    return max((want.over for rule in rules for want in rule.compiled.wants), default=0.0)
