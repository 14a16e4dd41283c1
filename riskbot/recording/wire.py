"""How a recording is written: a stream of short instructions, in MessagePack, and batches of it compressed.

A reply is a list of tables: the account's own fields, then one table for each currency. Their fields stand in numbered
slots, one table after the other. What a look has to say is which slots changed, and their values as they came: "" stays
"", what is absent has no slot. What seldom changes (which currencies, which fields, what is known of the account, an
outage) is an instruction of its own, in force until the next of its kind.

Moments are whole milliseconds since the instruction before, as an int; one that is not whole is itself, as a float.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
from msgspec import Struct

from riskbot.model import AccountInfo, Alerts, Gate, Outage

VERSION = b"\x01"
"""Before the instructions of a batch."""
_COMPRESSED = b"\x78"
"""What zlib begins with."""
LEVEL = 1
"""The digits of prices hardly compress: more effort costs three times as much and saves a twentieth."""

When = int | float


class Begin(Struct, array_like=True, frozen=True, tag=0):
    """`Started`; at: absolute. All else is forgotten."""

    at: float
    alerts: Alerts
    seen: float
    bundle: str


class Mark(Struct, array_like=True, frozen=True, tag=1):
    """`Checkpoint`; at: absolute. reply: the last one, whole, and when it came.

    segment, index: of the batch that would go on before it; else something is lost. segment "": left out on purpose.
    """

    at: float
    segment: str
    index: int
    alerts: Alerts
    bundle: str
    reply: dict[str, Any] | None
    fetched_at: float


class Context(Struct, array_like=True, frozen=True, tag=2):
    """What all that follows was seen with."""

    outage: Outage | None
    info: AccountInfo | None
    max_gap: float


class Layout(Struct, array_like=True, frozen=True, tag=3):
    """The tables of the next reply. top: the account's fields, None: the same keys as before.

    rows: for each currency its place in the reply before, or the whole table: it is new, or has other keys.
    """

    top: dict[str, Any] | None
    rows: list[int | dict[str, Any]]


class Seen(Struct, array_like=True, frozen=True, tag=4):
    """A `Look` at a new reply. when: the reply came; later: so much later was the look.

    slots: those that changed, each as the distance from the one before. values: what stands there now.
    """

    when: When
    later: When
    slots: list[int]
    values: list[Any]


class Still(Struct, array_like=True, frozen=True, tag=5):
    """A `Look` without a reply."""

    when: When


class Once(Struct, array_like=True, frozen=True, tag=6):
    """`Again`."""

    when: When


class Changed(Struct, array_like=True, frozen=True, tag=7):
    """`Adopted`."""

    when: When
    bundle: str


class Ahead(Struct, array_like=True, frozen=True, tag=8):
    """`Shifted`."""

    when: When
    seconds: float


class Saved(Struct, array_like=True, frozen=True, tag=9):
    """`Drained`; seen: so much after the last reply, else absolute."""

    when: When
    seen: When


class Theirs(Struct, array_like=True, frozen=True, tag=10):
    """`Taken`."""

    when: When
    alerts: Alerts


class Facts(Struct, array_like=True, frozen=True, tag=11):
    """`Learnt`."""

    when: When
    uid: str
    gate: Gate


Instruction = Begin | Mark | Context | Layout | Seen | Still | Once | Changed | Ahead | Saved | Theirs | Facts

_decode = msgspec.msgpack.Decoder(list[Instruction]).decode
encode = msgspec.msgpack.Encoder().encode


def packed(moment: float, base: float) -> When:
    """A moment as what it is after another one."""
    millis = round(moment * 1000)
    return millis - round(base * 1000) if millis / 1000 == moment else moment


def unpacked(when: When, base: float) -> float:
    """The moment that `packed` was given."""
    return when if type(when) is float else (round(base * 1000) + when) / 1000


def joined(pieces: list[bytes]) -> bytes:
    """The data of a batch, from its encoded instructions."""
    return b"".join((VERSION, b"\xdd", len(pieces).to_bytes(4, "big"), *pieces))


def compressed(data: bytes) -> bytes:
    """The same, smaller. Takes long enough (a tenth of a millisecond) to be done where nobody waits."""
    return data if data.startswith(_COMPRESSED) else zlib.compress(data, LEVEL)


def instructions(data: bytes) -> list[Instruction]:
    """What stands in the data of a batch, compressed or not. Raises ValueError."""
    try:
        plain = zlib.decompress(data) if data.startswith(_COMPRESSED) else data
        if not plain.startswith(VERSION):
            raise ValueError("a newer riskbot has written it" if plain else "it is lost")
        return _decode(memoryview(plain)[1:])
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"damaged: {error}") from None
