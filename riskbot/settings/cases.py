"""Cases: what an account does, and the complete list of messages that must come of it. `riskbot test` plays them.

They stand in the rules file, in files that it includes, or in files of their own, whose `[suite]` names the rules file.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Struct
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from riskbot.model import Severity
from riskbot.rules import Duration, parse_duration, suggest
from riskbot.settings import answers, feeds
from riskbot.settings.answers import Script
from riskbot.settings.feeds import Feed
from riskbot.snapshot import Mode
from riskbot.spelling import Schema

T = TypeVar("T")

START = datetime(2026, 3, 1, tzinfo=UTC)
CLASSES = ("fire", "rise", "fall", "resolve", "na", "gap", "kill")
"""What a rule may have been through: its changes; no value, blindness, a kill while it was open."""
Class = Literal["fire", "rise", "fall", "resolve", "na", "gap", "kill"]


def _told(parse: Callable[[Any], T]) -> Callable[[Any], T]:
    """So that pydantic passes on what was wrong, as it was said."""

    def told(value: Any) -> T:
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("case", "{why}", {"why": str(error)}) from None

    return told


# ---------------------------------------------------------------- the words of a case


class Span(Struct, frozen=True):
    """Seconds after the beginning of the case, both ends included."""

    start: float
    end: float


def parse_span(value: Any) -> Span:
    """From `"15s"` or `"15s..16s"`. Raises ValueError."""
    try:
        first, dots, last = value.partition("..") if isinstance(value, str) else (value, "", "")
        start = parse_duration(first)
        end = parse_duration(last) if dots else start
    except ValueError:
        raise ValueError('not a time of the case: write "15s", "1m30s" or "15s..16s"') from None
    if end < start:
        raise ValueError("ends before it begins")
    return Span(start, end)


class What(Struct, frozen=True):
    """What a message says happened, as its receiver sees it. before, after: None: whichever."""

    kind: str
    before: Severity | None = None
    after: Severity | None = None

    def __str__(self) -> str:
        if self.kind in ("rise", "fall") and self.before is not None and self.after is not None:
            return f"{self.kind} {self.before.label}>{self.after.label}"
        said = self.before if self.kind in ("resolve", "missed") else self.after
        return self.kind if said is None else f"{self.kind} {said.label}"

    def covers(self, other: What) -> bool:
        """Is the other one of those that this one means?"""
        same = self.kind == other.kind
        return same and self.before in (None, other.before) and self.after in (None, other.after)


KINDS = ("fire", "rise", "fall", "resolve", "still", "missed")
_TIERS = {severity.label: severity for severity in Severity if severity}
_EVENT = 'write "fire warning", "rise info>warning", "fall warning>info", "resolve", "still info" or "missed info"'


def parse_what(value: Any) -> What:
    """From `"rise warning>critical"`, `"fire warning"`, `"resolve"`. Raises ValueError."""
    kind, _, rest = value.strip().partition(" ") if isinstance(value, str) else ("", "", "")
    tiers = [part.strip() for part in rest.split(">")] if rest else []
    if kind not in KINDS or len(tiers) > 2 or (len(tiers) == 2) > (kind in ("rise", "fall")):
        raise ValueError(f"not an event: {_EVENT}")
    unknown = next((tier for tier in tiers if tier not in _TIERS), None)
    if unknown is not None:
        raise ValueError(f"unknown severity{suggest(unknown, _TIERS) or ';'} one of {', '.join(_TIERS)}")
    found = [_TIERS[tier] for tier in tiers]
    if len(found) == 2:
        if (found[0] < found[1]) != (kind == "rise"):
            raise ValueError(f"{kind} from {tiers[0]} to {tiers[1]} is none: the worse one stands {_SIDE[kind]}")
        return What(kind, *found)
    tier = found[0] if found else None
    return What(kind, before=tier) if kind in ("resolve", "missed") else What(kind, after=tier)


_SIDE = {"rise": "behind the >", "fall": "before the >"}


GAPS = ("na", "miss", "gone", "down")


def parse_during(value: Any) -> str | Span:
    """From `"down"`, or as `parse_span`. Raises ValueError."""
    if value in GAPS:
        return str(value)
    try:
        return parse_span(value)
    except ValueError as error:
        raise ValueError(f"{error}, or one of {', '.join(GAPS)}") from None


def parse_moment(value: Any) -> datetime:
    """From TOML's own moments; without a zone it is UTC. Raises ValueError."""
    if not isinstance(value, datetime):
        raise ValueError("write a moment without quotes: 2026-03-01T00:00:00Z")  # noqa: TRY004 - as others do
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _spelt(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


_SEVERITY = "(info|warning|critical|emergency)"
_MOMENT: Schema = {"x-type": "time, or FROM..TO", "anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}]}
During = Annotated[
    str | Span, PlainValidator(_told(parse_during)), WithJsonSchema({**_MOMENT, "examples": ["down", "1m..2m"]})
]
Moment = Annotated[
    datetime, PlainValidator(_told(parse_moment)), WithJsonSchema({"examples": ["2026-03-01T00:00:00Z"]})
]
Within = Annotated[Span, PlainValidator(_told(parse_span)), WithJsonSchema({**_MOMENT, "examples": ["15s", "1m..2m"]})]
Event = Annotated[
    What,
    PlainValidator(_told(parse_what)),
    _spelt(
        f"^ *((fire|still|missed|resolve)( +{_SEVERITY})?|(rise|fall)( +{_SEVERITY}( *> *{_SEVERITY})?)?) *$",
        "fire warning",
        "rise warning>critical",
    ),
]
Answers = Annotated[Script, PlainValidator(_told(answers.parse)), _spelt(r"\S", "ok 429(7s)*2 ok?lost-answer ok")]
Words = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


def _with_keys(given: Any) -> Any:
    """What a feed's words may be its key says: handed on with each, so that a mistake is told at its own line."""
    return {key: (key, text) for key, text in given.items()} if isinstance(given, dict) else given


def _feed(given: Any) -> Feed:
    key, text = given
    if not isinstance(text, str):
        raise feeds.FeedError('write a text in "quotes": "0*5 2*10"')
    return feeds.parse(key, text)


Feeds = Annotated[
    dict[str, Annotated[Feed, PlainValidator(_told(_feed)), _spelt(r"\S", "0*5 2*10 na*3 down*40 1.8..1.05/60")]],
    BeforeValidator(_with_keys),
]


# ---------------------------------------------------------------- what stands in the file


class Section(BaseModel):
    """A table of a file: what it may hold, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Do(Section):
    """One `[[cases.do]]`: what somebody does meanwhile, right after the poll of that moment."""

    t: Duration = Field(description="When, after the beginning.")
    kill: bool | Duration | None = Field(
        None, description="kill -9; true: it is started again before the next poll; else so much later."
    )
    reload: str | None = Field(None, min_length=1, description="Another rules file is taken up in place of this one.")
    ack: str | None = Field(None, min_length=1, description="Acknowledge what is open: RULE, or RULE/USDT.")
    silence: str | None = Field(None, min_length=1, description="Silence rules: a pattern with *.")
    receiver: dict[str, Answers] | None = Field(None, description="From now on these answer so.")
    for_: Duration | None = Field(None, alias="for", description="How long ack (30m) or silence (1h) lasts.")

    @model_validator(mode="after")
    def _one_thing(self) -> Do:
        done = [name for name in ("kill", "reload", "ack", "silence", "receiver") if getattr(self, name)]
        if len(done) != 1:
            raise PydanticCustomError("case", "one thing at a time: kill, reload, ack, silence or receiver")
        if self.for_ is not None and done[0] not in ("ack", "silence"):
            raise PydanticCustomError("case", "for goes with ack and silence")
        return self


class Expect(Section):
    """One `[[cases.expect]]`: a message that must come. All others must not."""

    t: Within = Field(description="When it arrives: a moment, or FROM..TO.")
    event: Event = Field(description="What it says, as its receiver sees it.")
    receivers: Words | None = Field(None, description="Who gets it; otherwise every receiver.")
    rule: str | None = Field(None, description="About which rule; otherwise any.")
    subject: str | None = Field(None, description="About which currency, or whatever else; otherwise any.")
    text: Words = Field((), description="Words that stand in it.")
    repeat: bool | None = Field(None, description="Must it say that it may be a repeat? Otherwise it may.")


class Never(Section):
    """One `[[cases.never]]`: a message that must not come, whatever is expected."""

    event: Event = Field(description="What it says.")
    during: During | None = Field(
        None, description="When: FROM..TO, or while a feed is na, miss, gone or down; otherwise always."
    )
    receivers: Words | None = Field(None, description="To whom; otherwise to nobody.")
    rule: str | None = Field(None, description="About which rule; otherwise any.")
    subject: str | None = Field(None, description="About which currency; otherwise any.")


class Case(Section):
    """One `[[cases]]` entry."""

    name: str = Field(min_length=1, max_length=200, description="What is shown by it, as a sentence.")
    start: Moment = Field(START, description="The moment of the first poll.")
    account: str | None = Field(None, description="Which account; otherwise the first.")
    mode: Mode = Field("3", description="Its mode: 1 Spot, 2 Futures, 3 Multi-currency, 4 Portfolio margin.")
    scenario: str | None = Field(None, description="What is not fed: a story of riskbot simulate, or a TOML file.")
    feed: Feeds = Field({}, description='What its fields are, poll by poll: "0*5 2*10 down*40".')
    receiver: dict[str, Answers] = Field({}, description='What receivers answer, try by try: "429(7s)*2 ok".')
    do: tuple[Do, ...] = Field((), description="What happens meanwhile.")
    expect: tuple[Expect, ...] = Field((), description="The complete list of messages.")
    never: tuple[Never, ...] = Field((), description="What must not come.")

    @property
    def kills(self) -> bool:
        """Is riskbot killed meanwhile?"""
        return any(do.kill for do in self.do)

    @model_validator(mode="after")
    def _has_a_course(self) -> Case:
        if not self.feed and self.scenario is None:
            raise PydanticCustomError("case", 'nothing happens: give feed."FIELD" = "…", or a scenario')
        return self


class Suite(Section):
    """`[suite]`: what the cases of a file owe."""

    config: str | None = Field(None, min_length=1, description="The rules file that they test, relative to this one.")
    rules: tuple[str, ...] = Field((), description="The rules they are about: these are mutated; otherwise all.")
    require: tuple[Class, ...] = Field((), description="What each of these rules must have been through.")


class Cases(Section):
    """A file of cases, and that part of a rules file."""

    suite: Suite = Field(Suite(), description="What the cases of this file are about.")
    cases: tuple[Case, ...] = Field((), description="What must come of what: riskbot test.")
