"""Typed fields over a JSON object: what they are, and how each reads.

A field is kept as the text that came over the wire and becomes a Decimal, bool or datetime when somebody reads
it: typing all fields of a 50-currency account costs more than the whole fetch, and a rule reads a handful.

**No value is never zero.** An amount without a value is one of two quiet NaNs, so that it spreads through
arithmetic by itself and a comparison with it raises instead of silently being false:

- `NOT_APPLICABLE`: OKX sent `""`, "inapplicable under the current account level".
- `MISSING`: the key is absent or its value is malformed; the field cannot be judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar, overload

NOT_APPLICABLE = Decimal("NaN1")
MISSING = Decimal("NaN2")
ZERO = Decimal(0)

USD, COIN, RATIO, LEVEL = "USD", "coin", "ratio", "level"
OVER = " / "
"""Between two fields of one row, for their ratio: `details.disEq / details.eqUsd`."""

_NUMBER = "0123456789.eE+-"
_LONGEST = 100  # characters; 25 are the most that were seen
_MAX_EXPONENT = 40  # beyond 1e±40 it is no amount of money, and arithmetic with it may overflow

NO_WORDS: Mapping[str, str] = MappingProxyType({})

T = TypeVar("T")
_ABSENT = object()


def is_missing(value: Decimal) -> bool:
    """True for `MISSING` and whatever arithmetic made of it; False for a number and for `NOT_APPLICABLE`."""
    return value.is_nan() and value.as_tuple().digits != (1,)


class Malformed(ValueError):  # noqa: N818 - reads as what it says of the value
    """A field's value is not of its type; the field counts as missing."""


class Field(Generic[T]):
    """One field of the reply. On an instance it reads as its typed value, on the class as itself.

    key: OKX's spelling. unit: `USD`, `COIN`, `RATIO`, `LEVEL` or "". modes: the account modes that carry it.
    worse: "above" or "below" where one direction is danger. words: those that it may be, and what each of them means.
    """

    nothing: Any = None
    absent: Any = None

    def __init__(
        self,
        key: str,
        doc: str,
        unit: str = "",
        *,
        modes: str = "1234",
        worse: str = "",
        words: Mapping[str, str] = NO_WORDS,
    ) -> None:
        self.key, self.unit, self.modes, self.worse, self.words = key, unit, modes, worse, words
        self.__doc__ = doc
        self.name = key

    def __set_name__(self, owner: type[Row], name: str) -> None:
        self.name = name
        owner.FIELDS = {**owner.FIELDS, self.key: self}

    @overload
    def __get__(self, row: None, owner: type) -> Field[T]: ...
    @overload
    def __get__(self, row: Row, owner: type) -> T: ...
    def __get__(self, row: Row | None, owner: type) -> Field[T] | T:
        if row is None:
            return self
        raw = row.raw.get(self.key, _ABSENT)
        if raw == "":
            return self.nothing  # type: ignore[no-any-return]
        if raw is _ABSENT or raw is None:
            return self.absent  # type: ignore[no-any-return]
        try:
            return self.parse(raw, row)
        except Malformed:
            row.defects.add(f"{row.PREFIX}{self.key}")
            return self.absent  # type: ignore[no-any-return]

    def parse(self, raw: object, row: Row) -> T:
        """The typed value of what stood in the reply; raises Malformed."""
        raise NotImplementedError


class Amount(Field[Decimal]):
    """A number that OKX writes as text. Exact; `NOT_APPLICABLE` or `MISSING` where there is none."""

    nothing = NOT_APPLICABLE
    absent = MISSING

    def parse(self, raw: object, row: Row) -> Decimal:  # noqa: ARG002 - one signature for all fields
        """An exact Decimal."""
        if type(raw) is not str and type(raw) is not int:
            raise Malformed(self.key)
        try:
            return _exact(raw)
        except ValueError:
            raise Malformed(self.key) from None


@lru_cache(4096)
def _exact(raw: str | int) -> Decimal:
    """Raises ValueError. Most values of an account are the same from one reply to the next."""
    # Decimal() alone would take "1_000", " 12 ", "NaN" and other scripts' digits.
    if type(raw) is str and (len(raw) > _LONGEST or raw.strip(_NUMBER)):
        raise ValueError("no number")
    try:
        value = Decimal(raw)
    except InvalidOperation:
        raise ValueError("no number") from None
    if not value:
        return ZERO  # "0e999999" is zero too, and would be a million digits in a message
    if not -_MAX_EXPONENT < value.adjusted() < _MAX_EXPONENT:
        raise ValueError("out of all proportion")
    return value


class Magnitude(Amount):
    """An amount that is documented positive but has been seen negative: its size is what counts."""

    def parse(self, raw: object, row: Row) -> Decimal:
        """Its size; a minus sign is noted."""
        value = super().parse(raw, row)
        if value >= 0:
            return value
        row.defects.add(f"{row.PREFIX}{self.key} (negative)")
        return value.copy_abs()  # abs() would round it to 28 digits


class Ratio(Amount):
    """One amount of a row divided by another; without a value where either has none, or the second is 0."""

    def __init__(self, top: Field[Any], bottom: Field[Any]) -> None:
        modes = "".join(mode for mode in top.modes if mode in bottom.modes)
        super().__init__(f"{top.key}{OVER}{bottom.key}", f"{top.key} for each {bottom.key}.", RATIO, modes=modes)
        self.top, self.bottom, self.worse = top, bottom, top.worse

    def __get__(self, row: Any, owner: type) -> Any:
        """The quotient; there is none on a class, as no class has it for a field."""
        top, bottom = self.top.__get__(row, owner), self.bottom.__get__(row, owner)
        return top / bottom if bottom or top.is_nan() else NOT_APPLICABLE


class Flag(Field["bool | None"]):
    """true or false; None where it does not apply or is missing."""

    def parse(self, raw: object, row: Row) -> bool:  # noqa: ARG002 - one signature for all fields
        """A JSON boolean, or the same as text."""
        if raw is True or raw == "true":
            return True
        if raw is False or raw == "false":
            return False
        raise Malformed(self.key)


class Word(Field["str | None"]):
    """One of a few words; None where it does not apply or is missing."""

    def parse(self, raw: object, row: Row) -> str:  # noqa: ARG002 - one signature for all fields
        """As it is."""
        if type(raw) is not str:
            raise Malformed(self.key)
        return raw


class Time(Field["datetime | None"]):
    """A moment, from milliseconds since 1970 to an aware datetime in UTC."""

    def parse(self, raw: object, row: Row) -> datetime:  # noqa: ARG002 - one signature for all fields
        """Milliseconds since 1970."""
        if type(raw) is str and raw.isascii() and raw.isdigit() and len(raw) <= 14:
            raw = int(raw)
        if type(raw) is not int or not 0 <= raw < 10**14:
            raise Malformed(self.key)
        seconds, millis = divmod(raw, 1000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)


class Row:
    """A JSON object of the reply with typed fields over it."""

    __slots__ = ("defects", "raw")
    FIELDS: ClassVar[dict[str, Field[Any]]] = {}
    PREFIX: ClassVar[str] = ""

    def __init__(self, raw: dict[str, Any], defects: set[str]) -> None:
        self.raw = raw
        self.defects = defects

    @classmethod
    def field(cls, key: str) -> Field[Any]:
        """The field that OKX spells `key`, or the ratio of two; raises KeyError."""
        if OVER not in key:
            return cls.FIELDS[key]
        top, bottom = cls.keys(key)
        return Ratio(cls.FIELDS[top], cls.FIELDS[bottom])

    @classmethod
    def keys(cls, ratio: str) -> tuple[str, str]:
        """The two keys of a ratio."""
        top, _, bottom = ratio.partition(OVER)
        return top, bottom.removeprefix(cls.PREFIX)

    def amount(self, key: str) -> Decimal:
        """The value of the amount that OKX spells `key`."""
        value: Decimal = self.field(key).__get__(self, type(self))
        return value

    def said(self, key: str) -> object:
        """What stood in the reply under that key; of a ratio both."""
        if OVER not in key:
            return self.raw.get(key)
        top, bottom = self.keys(key)
        return self.raw.get(top), self.raw.get(bottom)

    def lacks(self, key: str) -> Decimal:
        """What a field without a value is: `NOT_APPLICABLE` where OKX sent `""`, else `MISSING`."""
        return NOT_APPLICABLE if self.raw.get(key) == "" else MISSING

    def unknown(self) -> set[str]:
        """Keys that came but are not in the table: new fields of the exchange. They stay in `raw`."""
        return self.raw.keys() - self.FIELDS.keys()
