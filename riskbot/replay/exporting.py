"""A journal as lines of JSON: for people and other programs, or exactly as it is.

Plain lines are those that `replies.py` reads: replies, failures, and what was known of the account, not what riskbot
made of them. Exact ones are all that a database has of an account:

    {"recording": 1, "account": "main"}        the first line
    {"bundle": {"since": …, "hash": …, "bundle": "…"}}   a configuration that was in force
    {"batch": {"segment": …, "index": …, "first": …, "last": …, "looks": …, "data": "…"}}   data: in base64
    {"event": {…}}                             what came of it
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict

from riskbot.model import AccountInfo
from riskbot.playback import Entry
from riskbot.recording import Look
from riskbot.store import archive
from riskbot.store.sqlite_recording import Segment

FORMAT = 1


def plain(entries: Iterable[Entry], start: float = -inf, end: float = inf) -> Iterator[dict[str, Any]]:
    """Lines of the looks between two moments. A moment never goes back: a clock that was set back stands still."""
    last, known = 0, None
    for entry in entries:
        if not isinstance(entry, Look) or not start <= entry.seen.at <= end:
            continue
        seen = entry.seen
        last = max(last, round((seen.snapshot.fetched_at if seen.snapshot else seen.at) * 1000))
        if seen.info is not None and seen.info != known:
            known = seen.info
            yield {"t": last, "config": _config(known)}
        if seen.snapshot is not None:
            yield {"t": last, "body": seen.snapshot.raw}
        elif seen.outage is not None:
            yield {"t": last, "error": seen.outage.why}


def _config(info: AccountInfo) -> dict[str, str]:
    """As OKX spells it."""
    return {
        "uid": info.uid,
        "acctLv": info.mode,
        "label": info.label,
        "perm": ",".join(info.permissions),
        "ip": ",".join(info.ips),
        "mainUid": info.main_uid,
    }


def exact(path: Path, account: str, segments: Iterable[Segment]) -> Iterator[tuple[dict[str, Any], int]]:
    """Lines of these segments, each with how many looks it has. Raises StoreError."""
    yield {"recording": FORMAT, "account": account}, 0
    for kept in archive.kept(path):
        yield {"bundle": asdict(kept)}, 0
    first, last = inf, -inf
    for segment in segments:
        first, last = min(first, segment.first), max(last, segment.last)
        for batch in archive.batches(path, [segment]):
            fields = {name: getattr(batch, name) for name in ("segment", "index", "first", "last", "looks")}
            yield {"batch": {**fields, "data": b64encode(batch.data).decode()}}, batch.looks
    for event in archive.events(path, account, first):
        if event.at <= last:
            yield {"event": msgspec.to_builtins(event)}, 0
