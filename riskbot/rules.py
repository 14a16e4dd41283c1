"""What a rule is: a pydantic class per kind that measures, and the ladder of tiers that its numbers climb.

A rule only MEASURES: `readings(view)` gives numbers. The engine JUDGES them by the ladder. A plugin's rule is
written exactly as the stock ones in `riskbot/builtin/`.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import math
import operator
import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import islice, pairwise
from typing import Annotated, Any, ClassVar, Literal, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from riskbot import snapshot, spelling, template, text
from riskbot.history import Want
from riskbot.model import Event, Reading, Severity, View

# ---------------------------------------------------------------- what a trader may write for a value

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_EXPONENT = 40  # as for what the exchange sends: arithmetic with it can't overflow


def parse_duration(value: object) -> float:
    """Seconds from `90`, `"90s"`, `"1h30m"`, `"7d"`. Raises ValueError."""
    seconds = -1.0
    if isinstance(value, str):
        parts = _DURATION.findall(value.replace(" ", ""))
        if parts and "".join(a + b for a, b in parts) == value.replace(" ", ""):
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        seconds = float(Decimal(value))
    if 0 <= seconds < math.inf:  # "for = inf" would be a rule that never speaks
        return seconds
    raise PydanticCustomError("duration", 'not a duration: write "90s", "1h30m" or "7d"')


def parse_number(value: object) -> Decimal:
    """An exact number from `3`, `1.5` or `"300%"`. Raises ValueError."""
    number, percent = snapshot.MISSING, False
    if isinstance(value, str):
        word = value.strip()
        percent = word.endswith("%")
        with suppress(InvalidOperation):
            number = Decimal(word.removesuffix("%").strip())
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(str(value))
    if number.is_finite() and abs(number.adjusted()) < _MAX_EXPONENT:
        return number / 100 if percent else number
    raise PydanticCustomError("number", 'not a number: write 3, 1.5 or "300%"')


Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(spelling.DURATION)]
"""Seconds; a trader writes `"90s"`, `"1h30m"`, `"7d"`."""
Number = Annotated[Decimal, BeforeValidator(parse_number), WithJsonSchema(spelling.NUMBER)]
"""An exact number; `3.0` and `"300%"` are the same."""
Share = Annotated[Number, Field(ge=0, le=1, json_schema_extra={"minimum": 0, "maximum": 1})]
"""A number from 0 to 1."""


def _name(name: str) -> str:
    if not name.isprintable():
        raise PydanticCustomError("name", "may hold no line break and no other sign that can't be seen")
    return name


Name = Annotated[str, AfterValidator(_name)]
"""Part of the ids of messages, and their first line."""
Label = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_name)]
"""What stands under a label's name."""
Currency = Annotated[str, AfterValidator(str.upper)]
"""As OKX spells it, in capitals."""
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
_TIERS: dict[Worse, Any] = {
    "above": Annotated[Above, Field(description="Tiers: it fires above them.")],
    "below": Annotated[Below, Field(description="Tiers: it fires below them.")],
}


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "liab"?`, or "" if nothing is near."""
    known = list(known)
    by_case = {k.lower(): k for k in known} | {k.rpartition(".")[2].lower(): k for k in reversed(known)}
    near = by_case.get(word.lower().replace("_", "")) or next(
        iter(difflib.get_close_matches(word, known, 1, 0.6)), None
    )
    return f'; did you mean "{near}"?' if near else ""


def _known_field(path: str) -> str:
    """The field, or the ratio of two, as the table spells it."""
    top, slash, bottom = (part.strip() for part in path.partition("/"))
    if not slash:
        return _known_amount(path)
    if "/" in bottom or top.startswith("details.") != bottom.startswith("details."):
        raise PydanticCustomError("field", "a ratio is one of two fields, both of the account or both of details")
    return snapshot.OVER.join((_known_amount(top), _known_amount(bottom)))


def _known_amount(path: str) -> str:
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
        raise PydanticCustomError(
            "field",
            "{path} is not a 0-5 level: this kind takes {levels}; for amounts use kind = {kinds}",
            {"path": path, "levels": " or ".join(_LEVELS), "kinds": '"threshold" or "change"'},
        )
    return path


_AMOUNTS = [path for path in snapshot.field_paths() if isinstance(snapshot.field(path), snapshot.Amount)]
_LEVELS = [path for path in _AMOUNTS if snapshot.field(path).unit == snapshot.LEVEL]

AmountPath = Annotated[str, AfterValidator(_known_field), WithJsonSchema(spelling.one_or_ratio(_AMOUNTS))]
"""A numeric field as a trader types it: `mgnRatio` of the account, `details.liab` of each currency.

Or the ratio of two: `adjEq / mmr`, `details.disEq / details.eqUsd`.
"""
LevelPath = Annotated[str, AfterValidator(_level_field), WithJsonSchema(spelling.one_of(_LEVELS))]
"""One of OKX's 0-5 risk levels."""


# ---------------------------------------------------------------- the ladder


class Rung(Struct, frozen=True):
    """One tier: entered when `enter` is met, left when `exit` is passed."""

    severity: Severity
    enter: Decimal
    exit: Decimal


class Flap(BaseModel):
    """When an alert flaps: so many changes within so long. It is over after `calm` without a change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    changes: int = Field(6, ge=3, description="So many changes")
    within: Duration = Field(600.0, description="within so long.")
    calm: Duration = Field(120.0, description="Over after so long without one.")


class Ladder(Struct, frozen=True):
    """The tiers of a rule, mildest first, and their timers. `engine.py` has the machine.

    met(value, enter), passed(value, exit): the comparisons. hold: `for`, keep: `keep_firing_for`, seconds.
    flap: when it flaps. mark: another one for every rule that judges otherwise. plain: what it compares is an amount,
    not a severity already.
    """

    rungs: tuple[Rung, ...]
    met: Callable[[Decimal, Decimal], bool]
    passed: Callable[[Decimal, Decimal], bool]
    hold: float = 0.0
    keep: float = 30.0
    flap: Flap = Flap()
    mark: str = ""
    plain: bool = True

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

REPEATS = {Severity.EMERGENCY: 120.0, Severity.CRITICAL: 600.0, Severity.WARNING: 14400.0, Severity.INFO: 14400.0}
"""Seconds after which an alert that lasts is told again, unless its rule says otherwise."""
_SHORTEST_REPEAT = 10.0

_TELLING = {"name", "accounts", "receivers", "repeat_every", "labels", "message", "enabled", "renamed_from"}
"""Keys of a rule that do not change how it judges."""


def _kind_of(value: object) -> str:
    return type(value).__name__


def _repeat(value: object) -> dict[Any, float]:
    given = value if isinstance(value, dict) else {s.label: value for s in REPEATS}
    every = {tier: parse_duration(seconds) for tier, seconds in given.items()}
    if any(0 < seconds < _SHORTEST_REPEAT for seconds in every.values()):
        raise PydanticCustomError("repeat", 'not more often than every "10s"; "0s" is never')
    return every


Repeat = Annotated[dict[TierName, float], BeforeValidator(_repeat), WithJsonSchema(spelling.REPEAT)]
"""A duration for all tiers, or one for each: `{ emergency = "5m" }`."""


def _label_names(labels: dict[str, str]) -> dict[str, str]:
    if not all(re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII) for name in labels):
        raise PydanticCustomError("label", "a label's name is made of letters, digits, _ and -")
    return labels


Labels = Annotated[dict[str, Label], AfterValidator(_label_names)]
"""Words of the trader's own that go with every message of a rule: `{ desk = "a" }`."""


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
    PLUGIN: ClassVar[str] = ""
    """The plugin that it is from, set as that is loaded; "": a stock kind."""
    EXAMPLE: ClassVar[str] = ""
    """A `[[rules]]` entry of this kind that makes sense, for `riskbot rules kinds` and `new`."""
    BY_ROW: ClassVar[bool] = False
    """What it says of a currency is made of that currency's row and past alone: the others need not be asked again."""
    DANGER: ClassVar[bool] = True
    """Its alerts say that money is in danger: while one is open, blindness is judged more strictly."""

    name: Name = Field(min_length=1, max_length=60, description="Names the alert; unique.")
    kind: str = Field(description="What it measures.")
    for_: Duration = Field(0.0, alias="for", description="How long a tier must be met before it is told.")
    keep_firing_for: Duration = Field(30.0, description="How long it must be left before the alert falls.")
    hysteresis: Share = Field(Decimal("0.05"), description="How far beyond its entry a tier is left, as a share.")
    accounts: tuple[str, ...] | None = Field(None, description="Only these accounts.", examples=[["main"]])
    ccy: tuple[Currency, ...] | None = Field(None, description="Only these currencies.", examples=[["BTC"]])
    except_ccy: tuple[Currency, ...] = Field((), description="Not these currencies.", examples=[["USDT"]])
    flap: Flap = Field(Flap(), description="Too many changes: rises are told, falls wait for calm.")
    receivers: tuple[str, ...] | None = Field(None, description="Told to these receivers only.", examples=[["phone"]])
    repeat_every: Repeat | None = Field(
        None, description="When what lasts is told again (emergency 2m, critical 10m, else 4h); 0s: never."
    )
    labels: Labels = Field(
        {},
        description="Words that go with each message.",
        examples=[{"desk": "a"}],
        json_schema_extra={"propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"}},
    )
    message: str | None = Field(
        None,
        max_length=1000,
        description="The headline, and more lines, in your own words.",
        examples=["{headline}: call Anna"],
        json_schema_extra={"not": {"pattern": r"\$\{"}},
    )
    renamed_from: Name | None = Field(
        None, description="Its former name: what is open moves along.", examples=["its former name"]
    )
    enabled: bool = Field(True, description="false: off; what it had open is closed.")

    def __init_subclass__(cls, kind: str = "", worse: Worse | None = None) -> None:
        super().__init_subclass__()
        cls.KIND = kind or cls.KIND
        if worse:
            cls.WORSE = worse
            # Before pydantic gathers the fields: the kind's tiers stand under the word that a trader reads aloud.
            cls.__annotations__ = {
                **inspect.get_annotations(cls),
                worse: _TIERS[worse],
            }

    @field_validator("message")
    @classmethod
    def _is_template(cls, message: str | None, info: ValidationInfo) -> str | None:
        try:
            template.parse(message or "", info.data.get("labels", ()))
        except template.BadTemplateError as error:
            near = suggest(error.word, error.known) if error.word else ""
            raise PydanticCustomError("message", "{why}", {"why": f"{error}{near or error.rest}"}) from None
        return message

    @cached_property
    def _template(self) -> template.Template | None:
        """Its `message`, cut into pieces once."""
        return None if self.message is None else template.parse(self.message, self.labels)

    @cached_property
    def _ladder(self) -> Ladder:
        """The ladder, compiled once. No private attribute of pydantic: those are slow to read."""
        ladder = self.ladder()
        if not ladder.rungs:
            raise PydanticCustomError("no_tiers", "no tier: a rule without one would never speak")
        return replace(ladder, mark=self._mark())

    def _mark(self) -> str:
        """Twelve signs that differ where two rules judge differently; whom and how they tell does not count."""
        judging = self.model_dump(
            mode="json", by_alias=True, exclude=_TELLING, exclude_defaults=True, fallback=_kind_of
        )
        return hashlib.blake2b(msgspec.json.encode(judging, order="deterministic"), digest_size=6).hexdigest()

    @cached_property
    def _repeats(self) -> dict[Severity, float]:
        """Seconds after which an alert is told again, by tier; 0: never."""
        chosen = self.repeat_every or {}
        return {**REPEATS, **{Severity[name.upper()]: seconds for name, seconds in chosen.items()}}

    @cached_property
    def _wants(self) -> tuple[Want, ...]:
        """What it wants of the past, asked once."""
        return tuple(self.wants())

    def model_post_init(self, _context: Any, /) -> None:
        """A ladder that can't be made is a mistake of the file; so are wants."""
        _ = self._ladder, self._wants

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

        While none of them has moved since the last snapshot, nor any field within the windows that the rule `wants`,
        the last readings stand and the rule is not asked.
        """
        return None

    def modes(self) -> str:
        """The account modes in which it can have data, `"34"`: those that carry any of its `columns`."""
        return snapshot.carried(self.columns() or ())

    def say(self, event: Event) -> str:
        """What and how much, for a message's first line: `margin ratio 1.42 (142 %)`."""
        number = "" if event.value is None else f" {text.number(event.value)}"
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
            climb(tiers, worse, hysteresis=self.hysteresis, step=step),
            met,
            passed,
            self.for_,
            self.keep_firing_for,
            self.flap,
        )

    def ladder_of_severities(self, tiers: Iterable[TierName] = get_args(TierName)) -> Ladder:
        """A ladder for readings that are a severity already: 0 for well, 1 info, 2 warning, 3 critical, 4 emergency."""
        severities = sorted(Severity[name.upper()] for name in tiers)
        found = self.ladder_of({s.label: Decimal(s) for s in severities}, "above", step=Decimal(1))  # type: ignore[misc] # labels are TierNames
        return replace(found, plain=False)

    def watches(self, account: str) -> bool:
        """Is this rule on, and about that account?"""
        return self.enabled and (self.accounts is None or account in self.accounts)

    def covers(self, ccy: str) -> bool:
        """Is that currency (or other subject) one that this rule is about?"""
        return (self.ccy is None or not ccy or ccy in self.ccy) and ccy not in self.except_ccy

    def keeps(self, subject: str, rules: Collection[str]) -> bool:
        """After a change of the file: is an alert about that subject still this rule's? `rules`: all names in force."""
        del rules
        return self.covers(subject)


# ---------------------------------------------------------------- asking a rule


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
_LONGEST_SUBJECT, _LONGEST_NOTE = 100, 1000
_MOST_LINES, _LONGEST_LINE = 50, 1000
"""Lines of a message that a rule writes, and characters of each. The rest is cut."""
_LONGEST_BLAME = 120
"""Characters of what a rule raised."""


def measure(rule: Rule, view: View) -> Measured:
    """Ask one rule. A rule that raises or gives nonsense hurts only itself: it counts as missing, and says why."""
    readings: dict[str, Reading] = {}
    missing, calm = "", True
    ladder = rule._ladder  # noqa: SLF001 - compiled at load, for us
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
        return Measured(tuple(readings.values()), _blame(error, rule.readings), complete=False, failed=True)
    return Measured(tuple(readings.values()), missing, calm=calm)


def is_calm(rule: Rule, readings: Iterable[Reading]) -> bool:
    """Does none of them reach the mildest tier?"""
    ladder = rule._ladder  # noqa: SLF001 - compiled at load, for us
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
        and reading.value.is_finite()
        and type(reading.ccy) is str
        and type(reading.note) is str
        and len(reading.ccy) <= _LONGEST_SUBJECT
        and len(reading.note) <= _LONGEST_NOTE
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
    value: object = reading.value
    if type(value) is Decimal and (value.is_finite() or value.is_qnan()):
        return reading
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = Decimal(str(value))
        if not number.is_infinite():
            return Reading(snapshot.MISSING if number.is_nan() else number, reading.ccy, reading.note)
    raise ValueError(f"gave a reading of {type(value).__name__} {text.cut(str(value), 20)}")


def _without_secrets(words: str, rule: object) -> str:
    """Without those that its kind declares as such."""
    for _, value in rule if isinstance(rule, Rule) else ():
        if isinstance(value, SecretStr) and (secret := value.get_secret_value()):
            words = words.replace(secret, "***")
    return words


def _blame(error: BaseException, method: Callable[..., Any]) -> str:
    """What was raised, for people, and by which line of the file where the method stands; else, where that begins."""
    code = getattr(method, "__code__", _blame.__code__)
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
    return told.encode("utf-8", "replace").decode()  # half a surrogate could neither be saved nor sent


def no_data(rule: Rule, mode: str) -> str:
    """Why that rule would stay silent in an account of that mode, or ""."""
    modes = rule.modes()
    if mode in modes:
        return ""
    having = " or ".join(snapshot.MODES[other] for other in modes)
    return f"would have no data in {snapshot.MODES[mode]} mode: what it reads is carried in {having or 'no'} mode"


def tell(rule: Rule | None, view: View, event: Event) -> tuple[str, list[str]]:
    """Headline and lines of a message, in the rule's own words or those of its `message`; None: it is gone."""
    if rule is None:
        return f"{event.rule} {event.subject}".rstrip(), []
    headline, lines = _own_words(rule, view, event)
    if rule._template is not None:  # noqa: SLF001 - compiled at load, for us
        first, *more = template.render(rule._template, _facts(rule, view, event, headline))  # noqa: SLF001 - as above
        headline, lines = first or headline, [*more, *lines]
    if rule.labels:
        lines.append(", ".join(f"{name}: {word}" for name, word in rule.labels.items()))
    if event.after and not rule.SEES_OUTAGE:
        lines += _unseen(view, event)
    return headline, lines


def _own_words(rule: Rule, view: View, event: Event) -> tuple[str, list[str]]:
    """As its kind says it. A rule that fails at its words is told in plain ones."""
    try:
        return _said(rule, view, event)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything; nothing is awaited here
        return Rule.say(rule, event), [_blame(error, rule.readings)]


def stumbles(rule: Rule, view: View, event: Event) -> str:
    """Why the rule fails at its words for that event, or ""; `tell` goes on without them."""
    try:
        _said(rule, view, event)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return _blame(error, rule.readings)
    return ""


def _said(rule: Rule, view: View, event: Event) -> tuple[str, list[str]]:
    lines = rule.explain(view, event)
    said = [lines] if isinstance(lines, str) else islice(lines, _MOST_LINES)
    return text.cut(str(rule.say(event)), _LONGEST_LINE), [text.cut(str(line), _LONGEST_LINE) for line in said]


def _facts(rule: Rule, view: View, event: Event, headline: str) -> template.Facts:
    rungs = rule._ladder.rungs  # noqa: SLF001 - compiled at load, for us
    tier = next((rung.enter for rung in rungs if rung.severity == event.after), None)
    return template.Facts(view, event, headline, rule.labels, tier)


def _unseen(view: View, event: Event) -> list[str]:
    """As of when the message is, where what it tells can't be seen now."""
    if view.outage:
        return [f"as last seen {text.clock(view.outage.since)}, blind since"]
    blind = view.alerts.blind.get(event.rule)
    return [f"no data since {text.clock(blind.since)}: {blind.why}"] if blind else []


def longest_window(rules: Iterable[Rule]) -> float:
    """Seconds of the past that the longest window of these rules needs."""
    return max((want.over for rule in rules for want in rule._wants), default=0.0)  # noqa: SLF001 - asked at load
