"""The kind `becomes`: a flag or a word takes a value, or leaves the one that it should have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from riskbot import snapshot, spelling
from riskbot.fields import MISSING, NOT_APPLICABLE, Row
from riskbot.hookspecs import hookimpl
from riskbot.model import Event, Reading, Severity, View
from riskbot.rules import Ladder, Rule, TierName, suggest
from riskbot.snapshot import MODES

MODE = "acctLv"
"""The account's mode: no field of the balance, but of OKX's account configuration."""


def _words() -> dict[str, Mapping[str, str]]:
    """Every field that has words, and what each of them means."""
    fields = {path: snapshot.field(path) for path in snapshot.field_paths()}
    return {MODE: MODES} | {path: field.words for path, field in fields.items() if field.words}


WORDS = _words()


def _has_words(path: str) -> str:
    if path not in WORDS:
        near = suggest(path, WORDS) or f": this kind takes {', '.join(WORDS)}"
        raise PydanticCustomError("field", "{path} is no flag and no word{near}", {"path": f'"{path}"', "near": near})
    return path


def _spelt(value: object) -> list[str]:
    """`true`, `3`, `"pending"` or a list of them, as OKX spells them."""
    items = value if isinstance(value, list) else [value]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in items]


WordPath = Annotated[
    str,
    AfterValidator(_has_words),
    WithJsonSchema({"x-type": "field of OKX", "enum": list(WORDS), "examples": ["details.collateralRestrict"]}),
]
"""A flag or a word of each currency, such as `details.collateralRestrict`; or `acctLv`, the account's mode."""
Words = dict[TierName, Annotated[tuple[str, ...], BeforeValidator(_spelt), WithJsonSchema(spelling.WORDS)]]
"""One value or several for each tier: `{ warning = "pending", critical = ["off", "active"] }`."""


class Becomes(Rule, kind="becomes"):
    """A flag or a word takes a value: `details.collateralRestrict` becomes true, `acctLv` leaves 3.

    `becomes`: the values that are trouble. `leaves`: the value that it should have; every other one is trouble. An
    alert lasts as long as the trouble does. `acctLv` is the account's mode: 1 Spot, 2 Futures, 3 Multi-currency
    margin, 4 Portfolio margin.
    """

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["becomes"]}, {"required": ["leaves"]}]})

    EXAMPLE = """
[[rules]]
name = "collateral"
kind = "becomes"
field = "details.collateralRestrict"
becomes = { warning = true }
"""

    field: WordPath = Field(description="The flag or word.")
    becomes: Words | None = Field(None, description="The values that are trouble.", examples=[{"warning": "true"}])
    leaves: Words | None = Field(
        None, description="The value it should have; every other is trouble.", examples=[{"warning": "false"}]
    )

    @field_validator("becomes", "leaves")
    @classmethod
    def _are_known(cls, tiers: Words | None, info: ValidationInfo) -> Words | None:
        field = info.data.get("field", "")
        known = WORDS.get(field, {})
        for word in (word for words in (tiers or {}).values() for word in words if known):
            if word not in known:
                near = suggest(word, known) or f"; it is one of {', '.join(known)}"
                raise PydanticCustomError("word", "{field} never is that{near}", {"field": field, "near": near})
        return tiers

    @property
    def _tiers(self) -> Words:
        return self.becomes or self.leaves or {}

    def ladder(self) -> Ladder:
        """What it measures is a severity already."""
        if (self.becomes is None) == (self.leaves is None):
            raise PydanticCustomError("one_side", "give either becomes = {…} or leaves = {…}, not both")
        return self.ladder_of_severities(self._tiers)

    def columns(self) -> tuple[str, ...] | None:
        """The one field; the mode is none of the reply."""
        return None if self.field == MODE else (self.field,)

    def readings(self, view: View) -> Iterator[Reading]:
        """One for each currency, or one for the account's mode: how bad its word is. Its note is the word."""
        if self.field == MODE:
            yield self._reading(view.mode, MISSING, "")
            return
        key = self.field.removeprefix("details.")
        applies = view.mode is None or view.mode in snapshot.field(self.field).modes
        for ccy, row in view.snapshot.balances.items():
            lacking = row.lacks(key) if applies else NOT_APPLICABLE
            yield self._reading(_word(row, key) if applies else None, lacking, ccy)

    def _reading(self, word: str | None, lacking: Decimal, ccy: str) -> Reading:
        if word is None:
            return Reading(lacking, ccy, self.field)
        trouble = (
            Severity[tier.upper()] for tier, words in self._tiers.items() if (word in words) != bool(self.leaves)
        )
        return Reading(Decimal(max(trouble, default=Severity.OK)), ccy, word)

    def say(self, event: Event) -> str:
        """`collateral: details.collateralRestrict BTC is true`."""
        subject = f" {event.subject}" if event.subject else ""
        word = f" is {event.note}" if event.value is not None and event.note else ""
        return f"{self.name}: {self.field}{subject}{word}"

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """What the word means to OKX, and which one it should be."""
        del view
        known = WORDS[self.field]
        if event.value is not None and event.note in known:
            yield f"{event.note}: {known[event.note]}"
        for tier, words in (self.leaves or {}).items():
            if event.after and tier == event.after.label:
                yield f"it should be {' or '.join(words)}"


def _word(row: Row, key: str) -> str | None:
    """The value of a flag or a word, as OKX spells it; None where there is none."""
    value = row.field(key).__get__(row, type(row))
    return str(value).lower() if isinstance(value, bool) else value


@hookimpl
def register_rules() -> list[type[Rule]]:
    """What a rules file calls `becomes`."""
    return [Becomes]
