"""Reading a reply of OKX: the account, or whose the key is. Pure."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta, Struct

from riskbot.builtin.okx.errors import failure
from riskbot.model import AccountInfo
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, SourceError

BODY_LIMIT = 4 * 2**20
"""Bytes after decompression, of a reply that is read; the largest account seen is under 1 MiB."""
ODD_CONFIG = "OKX answers with a configuration in another form"


class _Reply(Struct):
    code: Annotated[str, Meta(pattern=r"\A[0-9]{1,6}(_[0-9]{1,6})?\Z")] | Annotated[int, Meta(ge=0, lt=10**6)]
    data: Any = None
    msg: Any = None


class _Config(Struct):
    uid: Annotated[str, Meta(min_length=1)]
    acctLv: Annotated[str, Meta(min_length=1)]  # noqa: N815 - OKX's spelling
    label: str = ""
    perm: str = ""
    ip: str = ""
    mainUid: str = ""  # noqa: N815 - OKX's spelling


def data(body: bytes, status: int) -> Any:
    """The one object in `data` of a reply. The body is judged before the status. Raises SourceError."""
    try:
        reply = orjson.loads(body)
    except (ValueError, RecursionError):
        raise failure("", status) from None
    return unpacked(reply, status)


def unpacked(reply: object, status: int = 200) -> Any:
    """The same, of a reply that is decoded."""
    try:
        said = msgspec.convert(reply, _Reply)
    except (ValueError, RecursionError):
        raise failure("", status) from None
    code = str(said.code)
    if code != "0":
        raise failure(code, status, said.msg if isinstance(said.msg, str) else "")
    if not isinstance(said.data, list) or len(said.data) != 1 or not isinstance(said.data[0], dict):
        raise SourceError("OKX answers without data", Remedy.BACK_OFF)
    return said.data[0]


def parse(body: bytes, status: int) -> Snapshot:
    """A snapshot from a reply of `account/balance`. Pure. Raises SourceError, nothing else."""
    return account(data(body, status))


def account(raw: dict[str, Any]) -> Snapshot:
    """A snapshot from the one object in `data`. Raises SourceError.

    A malformed field is that field's own matter; but where it is not certain which currency a row is about, the
    whole reply is refused: a row that is lost would look like a debt that is gone.
    """
    rows = raw.get("details")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError("OKX answers without a list of currencies", Remedy.BACK_OFF)
    names = [row.get("ccy") for row in rows]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise SourceError("OKX answers with currencies unnamed or named twice", Remedy.BACK_OFF)
    return Snapshot(raw)


def parse_info(body: bytes, status: int) -> AccountInfo:
    """Who the key belongs to, from a reply of `account/config`. Raises SourceError.

    Stricter than what was written down of one: without rights or addresses a danger that was told would look as if it
    were over. A key that asks has at least the right to read.
    """
    raw = data(body, status)
    if not raw.get("perm") or "ip" not in raw:
        raise SourceError(ODD_CONFIG, Remedy.BACK_OFF)
    return owner(raw)


def owner(raw: dict[str, Any]) -> AccountInfo:
    """The same, from the one object in `data`. Raises SourceError.

    Strict: rights that were passed over because they came in an odd form would look like a key without rights.
    """
    try:
        config = msgspec.convert(raw, _Config)
    except msgspec.ValidationError:
        raise SourceError(ODD_CONFIG, Remedy.BACK_OFF) from None
    perm, ip = (tuple(filter(None, map(str.strip, words.split(",")))) for words in (config.perm, config.ip))
    return AccountInfo(config.uid, config.acctLv, config.label, perm, ip, config.mainUid)
