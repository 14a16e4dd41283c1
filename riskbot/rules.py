"""What a rule is: a pydantic class per kind that measures, and the ladder of tiers that its numbers climb.

A rule only MEASURES: `readings(view)` gives numbers. The engine JUDGES them by the ladder. A plugin's rule is
written exactly as the stock ones in `riskbot/builtin/rules.py`.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from pydantic_core import PydanticCustomError

from riskbot import snapshot
from riskbot.history import Want
from riskbot.model import AccountInfo, Event, Reading, Severity, View

# ---------------------------------------------------------------- what a trader may write for a value

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> float:
    """Seconds from `90`, `"90s"`, `"1h30m"`, `"7d"`. Raises ValueError."""
    if isinstance(value, str):
        parts = _DURATION.findall(value.replace(" ", ""))
        if parts and "".join(a + b for a, b in parts) == value.replace(" ", ""):
            return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise PydanticCustomError("duration", 'not a duration: write "90s", "1h30m" or "7d"')


def parse_number(value: object) -> Decimal:
    """An exact number from `3`, `1.5` or `"300%"`. Raises ValueError."""
    if isinstance(value, str):
        text, percent = (value.strip().removesuffix("%").strip(), value.strip().endswith("%"))
        try:
            number = Decimal(text)
        except InvalidOperation:
            number = snapshot.MISSING
        if number.is_finite():
            return number / 100 if percent else number
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool) and Decimal(value).is_finite():
        return Decimal(str(value))
    raise PydanticCustomError("number", 'not a number: write 3, 1.5 or "300%"')


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds; a trader writes `"90s"`, `"1h30m"`, `"7d"`."""
Number = Annotated[Decimal, BeforeValidator(parse_number)]
"""An exact number; `3.0` and `"300%"` are the same."""
TierName = Literal["info", "warning", "critical", "emergency"]
Worse = Literal["above", "below"]


def ordered(worse: Worse) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A check that each worse tier is further in the direction of danger."""

    def check(tiers: dict[str, Any]) -> dict[str, Any]:
        if not tiers:
            raise PydanticCustomError("no_tiers", "no tier: give at least one, such as warning = 3")
        ladder = sorted(tiers.items(), key=lambda tier: Severity[tier[0].upper()])
        further = operator.gt if worse == "above" else operator.lt
        for (mild, milder), (bad, worst) in pairwise(ladder):
            if not further(worst, milder):
                word = "higher" if worse == "above" else "lower"
                raise PydanticCustomError(
                    "tiers_order",
                    "tiers out of order: {bad} is worse than {mild}, so its value must be {word}",
                    {"bad": bad, "mild": mild, "word": word},
                )
        return dict(ladder)

    return check


Below = Annotated[dict[TierName, Number], AfterValidator(ordered("below"))]
Above = Annotated[dict[TierName, Number], AfterValidator(ordered("above"))]


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "liab"?`, or "" if nothing is near."""
    known = list(known)
    by_case = {k.lower(): k for k in known} | {k.rpartition(".")[2].lower(): k for k in reversed(known)}
    near = by_case.get(word.lower().replace("_", "")) or next(
        iter(difflib.get_close_matches(word, known, 1, 0.6)), None
    )
    return f'; did you mean "{near}"?' if near else ""


def _known_field(path: str) -> str:
    try:
        found = snapshot.field(path)
    except KeyError:
        raise PydanticCustomError(
            "field",
            "OKX has no field {path}{hint}",
            {"path": f'"{path}"', "hint": suggest(path, snapshot.field_paths())},
        ) from None
    if not isinstance(found, snapshot.Amount):
        raise PydanticCustomError("field", "{path} is not a number", {"path": path})
    return path


def _level_field(path: str) -> str:
    found = snapshot.field(_known_field(path))
    if found.unit != snapshot.LEVEL:
        levels = [p for p in snapshot.field_paths() if snapshot.field(p).unit == snapshot.LEVEL]
        raise PydanticCustomError(
            "field",
            "{path} is not a 0-5 level: this kind takes {levels}; for amounts use kind = {kinds}",
            {"path": path, "levels": " or ".join(levels), "kinds": '"threshold" or "change"'},
        )
    return path


AmountPath = Annotated[str, AfterValidator(_known_field)]
"""A numeric field as a trader types it: `mgnRatio` of the account, `details.liab` of each currency."""
LevelPath = Annotated[str, AfterValidator(_level_field)]
"""One of OKX's 0-5 risk levels."""


# ---------------------------------------------------------------- the ladder


class Rung(Struct, frozen=True):
    """One tier: entered when `enter` is met, left when `exit` is passed."""

    severity: Severity
    enter: Decimal
    exit: Decimal


class Ladder(Struct, frozen=True):
    """The tiers of a rule, mildest first, and their timers. See `alerting.md`'s machine in `engine.py`.

    met(value, enter), passed(value, exit): the comparisons. hold: `for`, keep: `keep_firing_for`, seconds.
    """

    rungs: tuple[Rung, ...]
    met: Callable[[Decimal, Decimal], bool]
    passed: Callable[[Decimal, Decimal], bool]
    hold: float = 0.0
    keep: float = 30.0

    def lower(self, severity: Severity) -> Severity:
        """The next milder tier of this ladder, or OK."""
        return max((r.severity for r in self.rungs if r.severity < severity), default=Severity.OK)


def climb(
    tiers: dict[TierName, Decimal], worse: Worse, *, hysteresis: Decimal, step: Decimal | None = None
) -> tuple[Rung, ...]:
    """The rungs of a ladder. Left at `hysteresis` of the entry away from it, or a whole `step` away (levels)."""
    back = -1 if worse == "above" else 1
    return tuple(
        Rung(Severity[name.upper()], enter, enter + back * (step if step is not None else abs(enter) * hysteresis))
        for name, enter in tiers.items()
    )


# ---------------------------------------------------------------- the base of every kind


class Rule(BaseModel):
    """One `[[rules]]` entry. A kind subclasses it: `class Concentration(Rule, kind="concentration", worse="above")`.

    kind: what a trader writes. worse: in which direction danger lies; the kind gets the key `above` or `below` for
    its tiers, unless it declares keys of its own and overrides `ladder`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, regex_engine="rust-regex")

    KIND: ClassVar[str] = ""
    WORSE: ClassVar[Worse] = "above"
    ALWAYS_ON: ClassVar[bool] = False
    """An account without a rule of this kind gets one with its defaults."""
    SEES_OUTAGE: ClassVar[bool] = False
    """Asked also while the account can't be seen; other rules are left alone then."""

    name: str = Field(min_length=1, max_length=60, description="Names the alert; unique.")
    kind: str
    for_: Duration = Field(0.0, alias="for", description="How long a tier must be met before it is told.")
    keep_firing_for: Duration = Field(30.0, description="How long a tier must be left before the alert falls.")
    hysteresis: Number = Field(
        Decimal("0.05"), ge=0, le=1, description="Share of the entry to come back before leaving."
    )
    accounts: tuple[str, ...] | None = Field(None, description="Only these accounts.")
    ccy: tuple[str, ...] | None = Field(None, description="Only these currencies.")
    except_ccy: tuple[str, ...] = Field((), description="Not these currencies.")
    receivers: tuple[str, ...] | None = Field(None, description="Told to these receivers only.")
    enabled: bool = True

    _ladder: Ladder = PrivateAttr()

    def __init_subclass__(cls, kind: str = "", worse: Worse | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.KIND = kind or cls.KIND
        if worse:
            cls.WORSE = worse
            # Before pydantic gathers the fields: the kind's tiers stand under the word that a trader reads aloud.
            cls.__annotations__ = {
                **cls.__dict__.get("__annotations__", {}),
                worse: Above if worse == "above" else Below,
            }

    def model_post_init(self, _context: Any, /) -> None:
        """Compile the ladder once."""
        self._ladder = self.ladder()

    # -- what a kind writes

    def readings(self, view: View) -> Iterable[Reading]:
        """Measure. Pure: no I/O, no clock; the same view gives the same readings."""
        raise NotImplementedError

    def ladder(self) -> Ladder:
        """The tiers to judge by; from the key `above` or `below` unless the kind has keys of its own."""
        return self.ladder_of(getattr(self, self.WORSE), self.WORSE)

    def wants(self) -> Iterable[Want]:
        """What it needs of the past."""
        return ()

    def columns(self) -> tuple[str, ...] | None:
        """Fields that alone decide its readings, or None: it must be asked every time.

        While none of them has moved since the last snapshot, the last readings stand and the rule is not asked.
        """
        return None

    def say(self, event: Event) -> str:
        """What and how much, for a message's first line: `margin ratio 1.42 (142 %)`."""
        number = "" if event.value is None else f" {event.value.normalize():f}"
        return f"{self.name}{' ' + event.subject if event.subject else ''}{number}"

    def explain(self, view: View, event: Event) -> Iterable[str]:
        """More lines for the message: how far from the worst, how fast, what would help."""
        del view
        return (event.note,) if event.note else ()

    # -- what a kind uses

    def ladder_of(self, tiers: dict[TierName, Decimal], worse: Worse, *, step: Decimal | None = None) -> Ladder:
        """A ladder with this rule's timers. `step`: tiers include their own value and are left a whole step away."""
        met, passed = (operator.gt, operator.le) if worse == "above" else (operator.lt, operator.ge)
        if step is not None:
            met = operator.ge if worse == "above" else operator.le
        return Ladder(
            climb(tiers, worse, hysteresis=self.hysteresis, step=step), met, passed, self.for_, self.keep_firing_for
        )

    def watches(self, account: str) -> bool:
        """Is this rule on, and about that account?"""
        return self.enabled and (self.accounts is None or account in self.accounts)

    def covers(self, ccy: str) -> bool:
        """Is that currency (or other subject) one that this rule is about?"""
        return (self.ccy is None or not ccy or ccy in self.ccy) and ccy not in self.except_ccy


# ---------------------------------------------------------------- asking a rule


class Measured(Struct, frozen=True):
    """A rule's answer. readings: usable ones, each subject once. missing: why something could not be read, or "".

    complete: False if the rule failed on the way, so that a subject without a reading is unknown, not gone.
    """

    readings: tuple[Reading, ...] = ()
    missing: str = ""
    complete: bool = True


def measure(rule: Rule, view: View) -> Measured:
    """Ask one rule. A rule that raises or gives nonsense hurts only itself: it counts as missing, and says why."""
    readings: dict[str, Reading] = {}
    missing = ""
    try:
        for reading in rule.readings(view):
            value = reading.value
            if type(value) is not Decimal or value.is_infinite():
                reading = _coerced(reading)  # noqa: PLW2901 - the usual reading needs no second look
                value = reading.value
            if not rule.covers(reading.ccy):
                continue
            if reading.ccy in readings:
                raise ValueError(f"two readings for {reading.ccy or 'the account'}")  # noqa: TRY301
            readings[reading.ccy] = reading
            if value != value and reading.is_missing:  # noqa: PLR0124 - only a NaN differs from itself
                missing = missing or f"{reading.ccy} {reading.note or 'no value'}".strip()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
        return Measured(tuple(readings.values()), _blame(error), complete=False)
    return Measured(tuple(readings.values()), missing)


def _coerced(reading: Any) -> Reading:
    """A reading with a plain int or float for its value, made exact; raises TypeError or ValueError for nonsense."""
    if not isinstance(reading, Reading):
        raise TypeError(f"gave a {type(reading).__name__} where a Reading is due")
    value: object = reading.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = Decimal(str(value))
        if not number.is_infinite():
            return Reading(snapshot.MISSING if number.is_nan() else number, reading.ccy, reading.note)
    raise ValueError(f"gave a reading of {type(value).__name__} {value!s:.20}")


def _blame(error: BaseException) -> str:
    """What was raised and by which line, for people."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f" ({frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno})" if frame else ""
    return f"the rule failed: {type(error).__name__}: {error!s:.120}{where}"


def tell(rule: Rule | None, view: View, event: Event) -> tuple[str, list[str]]:
    """Headline and lines of a message. A rule that fails at its words is told in plain ones; None: it is gone."""
    if rule is None:
        return f"{event.rule} {event.subject}".rstrip(), []
    try:
        return str(rule.say(event)), [str(line) for line in rule.explain(view, event)]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
        return Rule.say(rule, event), [_blame(error)]


class Asker:
    """Asks all rules of one account, and keeps an answer as long as the columns it was made of have not moved."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = [(rule, rule.columns()) for rule in rules]
        self._before: snapshot.Snapshot | None = None
        self._info: AccountInfo | None = None
        self._answers: dict[str, Measured] = {}

    def __call__(self, view: View) -> dict[str, Measured]:
        """The answers by rule. During an outage only of the rules that see one."""
        if view.outage:
            return {rule.name: measure(rule, view) for rule, _ in self._rules if rule.SEES_OUTAGE}
        moved = _Moved(self._before if view.info is self._info else None, view.snapshot)
        self._before, self._info = view.snapshot, view.info
        answers = self._answers
        for rule, columns in self._rules:
            if columns is None or rule.name not in answers or any(map(moved, columns)):
                answers[rule.name] = measure(rule, view)
        return answers


class _Moved:
    """Has a field moved between two snapshots? Each field is compared once."""

    def __init__(self, before: snapshot.Snapshot | None, now: snapshot.Snapshot) -> None:
        self.before, self.now = before, now
        self.known: dict[str, bool] = {}

    def __call__(self, path: str) -> bool:
        moved = self.known.get(path)
        if moved is None:
            moved = self.known[path] = self._compare(path)
        return moved

    def _compare(self, path: str) -> bool:
        before, now = self.before, self.now
        if before is None:
            return True
        if not path.startswith("details."):
            return before.raw.get(path) != now.raw.get(path)
        key = path[8:]
        return before.column("ccy") != now.column("ccy") or before.column(key) != now.column(key)


def iterate(balances: dict[str, snapshot.Balance], key: str) -> Iterator[tuple[str, Decimal]]:
    """(currency, value) of one field in every row."""
    read = snapshot.Balance.field(key).__get__
    for ccy, balance in balances.items():
        yield ccy, read(balance, snapshot.Balance)
