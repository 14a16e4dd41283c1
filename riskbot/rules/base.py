"""The base of every kind of rule."""

from __future__ import annotations

import hashlib
import inspect
import operator
import re
from collections.abc import Collection, Iterable
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, ClassVar, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from riskbot import snapshot, spelling, template, text
from riskbot.history import Want
from riskbot.model import Event, Reading, Severity, View
from riskbot.rules.ladder import Flap, Ladder, climb
from riskbot.rules.values import (
    TIERS,
    Currency,
    Duration,
    Label,
    Name,
    Share,
    TierName,
    Worse,
    parse_duration,
    suggest,
)

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


class Compiled(Struct, frozen=True):
    """What a rule is made into as it is loaded.

    ladder: its tiers and timers. wants: what it needs of the past. repeats: seconds after which an alert is told again,
    by severity; 0: never. template: its `message`, cut into pieces; None: it has none.
    """

    ladder: Ladder
    wants: tuple[Want, ...]
    repeats: dict[Severity, float]
    template: template.Template | None


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
                worse: TIERS[worse],
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
    def compiled(self) -> Compiled:
        """What it is made into, once. No private attribute of pydantic: those are slow to read."""
        ladder = self.ladder()
        if not ladder.rungs:
            raise PydanticCustomError("no_tiers", "no tier: a rule without one would never speak")
        chosen = {Severity[name.upper()]: seconds for name, seconds in (self.repeat_every or {}).items()}
        words = None if self.message is None else template.parse(self.message, self.labels)
        return Compiled(replace(ladder, mark=self._mark()), tuple(self.wants()), {**REPEATS, **chosen}, words)

    def _mark(self) -> str:
        """Twelve signs that differ where two rules judge differently; whom and how they tell does not count."""
        judging = self.model_dump(
            mode="json", by_alias=True, exclude=_TELLING, exclude_defaults=True, fallback=_kind_of
        )
        return hashlib.blake2b(msgspec.json.encode(judging, order="deterministic"), digest_size=6).hexdigest()

    def model_post_init(self, _context: Any, /) -> None:
        """A ladder that can't be made is a mistake of the file; so are wants."""
        _ = self.compiled

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
