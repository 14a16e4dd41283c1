"""What `riskbot replay --verify` says: is what was recorded judged again as it was?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riskbot.cli import stored
from riskbot.cli.common import console, echo_json, fail, load_plugins, mistakes_told
from riskbot.cli.progress import steps

if TYPE_CHECKING:
    from riskbot.verify import Difference, Verdict

MOST_SHOWN = 10
"""Differences of an account that are shown to people."""


def verify(path: Path, db: Path, account: str | None, *, as_json: bool) -> None:
    """Judge all again that a database has recorded, of one account or of all; ends with 1 if something differs."""
    from riskbot.recording import BadRecording  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store import StoreError, archive  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.verify import verify_stored  # noqa: PLC0415 - see cli/__init__.py

    with mistakes_told():
        kinds = load_plugins(path).kinds
    verdicts: dict[str, Verdict] = {}
    try:
        found = archive.segments(db, account or "")
        with steps(db.name, sum(segment.looks for segment in found)) as advance:
            for name in dict.fromkeys(segment.account for segment in found):
                verdicts[name] = verify_stored(db, name, kinds, advance)
    except (StoreError, BadRecording, ValueError) as error:
        fail(str(error), 1)
    if not verdicts:
        fail(f"{db}: nothing was recorded{f' of account {account!r}' if account else ''}", 1)
    if as_json:
        echo_json({name: _as_json(verdict) for name, verdict in verdicts.items()})
    else:
        _show(verdicts)
    if not all(verdict.exact for verdict in verdicts.values()):
        sys.exit(1)


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "exact": verdict.exact,
        "looks": verdict.looks,
        "events": verdict.events,
        "differences": [
            {"at": d.at, "recorded": d.recorded, "replayed": d.replayed, "doubtful": d.doubtful}
            for d in verdict.differences
        ],
        "strayed": list(verdict.strayed),
    }


def _show(verdicts: dict[str, Verdict]) -> None:
    out = console()
    for name, verdict in verdicts.items():
        for line in _lines(name, verdict):
            style = "green" if verdict.exact else "red"
            out.print(stored.plain(line), markup=False, emoji=False, soft_wrap=True, style=style)


def _lines(name: str, verdict: Verdict) -> Iterator[str]:
    count = f"{verdict.looks:,} looks, {verdict.events:,} events"
    yield f"{name}: {'exact' if verdict.exact else 'NOT the same'}; judged again: {count}"
    for difference in verdict.differences[:MOST_SHOWN]:
        yield from _difference(difference)
    if (more := len(verdict.differences) - MOST_SHOWN) > 0:
        yield f"  … and {more:,} more; --json shows all"
    for at in verdict.strayed[:MOST_SHOWN]:
        yield f"  {stored.moment(at):%d %b %H:%M:%S} the alerts were others than were recorded"


def _difference(difference: Difference) -> Iterator[str]:
    doubt = ", which no one can know: a window began before the recording" if difference.doubtful else ""
    yield f"  {stored.moment(difference.at):%d %b %H:%M:%S} not the same{doubt}"
    yield f"    recorded  {difference.recorded or 'nothing'}"
    yield f"    replayed  {difference.replayed or 'nothing'}"
