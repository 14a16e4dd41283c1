"""riskbot journal: what riskbot has seen of the accounts: how much it is, out of it, into it."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from riskbot.cli import stored, times
from riskbot.cli.common import config_option, console, echo_json, fail, json_option, table
from riskbot.cli.leftout import LeftOut, skip_option, unreadable
from riskbot.cli.progress import progress, steps

if TYPE_CHECKING:
    from riskbot.replay.importing import Brought
    from riskbot.store.sqlite_recording import Segment

MB = 1e6

_db_option = click.option(
    "--journal", "db", type=click.Path(dir_okay=False, path_type=Path), metavar="DB",
    help="The journal in this database; default: of the rules file.",
)  # fmt: skip


@click.group("journal")
@config_option
def command(**_: Any) -> None:
    """What riskbot has seen: every reply whole, kept for `riskbot replay`.

    How long and how much is kept stands in the rules file: [store] journal_days and journal_mb. No key is needed: of
    the rules file only [store] is looked at.

    Exit codes: 0 done, 1 it can't be read or written, 2 usage, or the rules file is wrong.
    """


def _database(db: Path | None) -> Path:
    """--journal; else that of the rules file. --config may stand before or after the subcommand."""
    ctx = click.get_current_context()
    given = ctx.get_parameter_source("path") is not ParameterSource.DEFAULT
    path = ctx.params["path"] if given or ctx.parent is None else ctx.parent.params["path"]
    return db or stored.database(Path(path))


@contextmanager
def _troubles_told() -> Iterator[None]:
    """What can't be read or written ends the command with exit code 1."""
    from riskbot.replay.importing import Overlaps  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.replies import BadInput  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store import StoreError  # noqa: PLC0415 - see cli/__init__.py

    try:
        yield
    except BadInput as error:
        unreadable(error)
    except (StoreError, Overlaps) as error:
        fail(str(error), 1)
    except OSError as error:
        if error.filename is None:  # whoever reads our stdout has gone
            raise
        fail(f"{error.filename}: {error.strerror}", 1)


# How much it is.


@command.command("size", short_help="How much there is of each account.")
@_db_option
@config_option
@json_option
def _size(db: Path | None, *, as_json: bool, **_: Any) -> None:
    """Show how much there is of each account: from when, how many looks, bytes, and bytes for each look."""
    from riskbot.store import archive  # noqa: PLC0415 - see cli/__init__.py

    with _troubles_told():
        found = archive.segments(_database(db))
    names = sorted({segment.account for segment in found})
    rows = [_row(name, [segment for segment in found if segment.account == name]) for name in names]
    if as_json:
        echo_json(rows)
    elif rows:
        _show(rows)
    else:
        click.echo("Nothing was recorded yet.")


def _row(account: str, segments: list[Segment]) -> dict[str, Any]:
    looks, size = sum(segment.looks for segment in segments), sum(segment.bytes for segment in segments)
    first, last = min(segment.first for segment in segments), max(segment.last for segment in segments)
    return {
        "account": account,
        "from": first,
        "to": last,
        "looks": looks,
        "batches": sum(segment.batches for segment in segments),
        "segments": len(segments),
        "bytes": size,
        "bytes_per_look": round(size / max(1, looks), 1),
        "bytes_per_day": round(size / max(1.0, last - first) * 86400),
    }


def _show(rows: list[dict[str, Any]]) -> None:
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    shown = table("account", "from", "span", "looks", "size", "a look", "a day")
    for row in rows:
        shown.add_row(
            stored.plain(row["account"]),
            f"{stored.moment(row['from']):%d %b %H:%M}",
            span(row["to"] - row["from"]),
            f"{row['looks']:,}",
            f"{row['bytes'] / MB:,.1f} MB",
            f"{row['bytes_per_look']:,.0f} B",
            f"{row['bytes_per_day'] / MB:,.1f} MB",
        )
    out = console()
    out.print(shown)
    if len(rows) > 1:
        out.print(f"In all {sum(row['bytes'] for row in rows) / MB:,.1f} MB.")


# Out of it.


@command.command("export", short_help="Write what was seen as lines of JSON.")
@click.argument("account", required=False)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file; ….gz is packed.")
@click.option("--from", "start", callback=times.point, help="From that moment on (UTC): 2026-03-01T14:30.")
@click.option("--to", "end", callback=times.point, help="Up to that moment.")
@click.option("--exact", is_flag=True, help="All that there is, so that `import` brings back the very same journal.")
@skip_option
@_db_option
@config_option
def _export(
    account: str | None,
    output: Path | None,
    start: float | None,
    end: float | None,
    db: Path | None,
    *,
    exact: bool,
    skip_bad: bool,
    **_: Any,
) -> None:
    """Write what was seen of ACCOUNT as lines of JSON: {"t": milliseconds, "body": {…}}.

    Of one that could not be seen: {"t": …, "error": "…"}; of the key: {"t": …, "config": {…}}. Balances are in it, and
    the account's uid; no key is. Without --output it goes to stdout. With --exact whole segments are written, with the
    configurations and alerts of that time.
    """
    path, bad = _database(db), LeftOut(skip=skip_bad)
    first, last = -inf if start is None else start, inf if end is None else end
    with _troubles_told():
        name, chosen = _chosen(path, account, first, last)
        with _opened(output) as file, steps(name, sum(segment.looks for segment in chosen)) as advance:
            lines = _exact(path, name, chosen) if exact else _plain(path, chosen, first, last, bad)
            for line, step in lines:
                file.write(line)
                advance(step)
    bad.tell()


def _chosen(path: Path, account: str | None, start: float, end: float) -> tuple[str, list[Segment]]:
    """The account, and its segments in that time."""
    from riskbot.rules import suggest  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store import archive  # noqa: PLC0415 - see cli/__init__.py

    found = archive.segments(path)
    names = sorted({segment.account for segment in found})
    if not names:
        fail(f"{path}: nothing was recorded yet", 1)
    if account is None and len(names) > 1:
        raise click.UsageError(f"name the account: {', '.join(names)}")
    name = account or names[0]
    if name not in names:
        fail(f"nothing was recorded of account {name!r}{suggest(name, names)}", 2)
    chosen = [s for s in found if s.account == name and s.last >= start and s.first <= end]
    if not chosen:
        fail(f"nothing was recorded of account {name!r} in that time", 1)
    return name, chosen


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[bytes]]:
    """Where the lines go: stdout, or a file, packed by its name, which nobody else may read."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    output.touch(mode=0o600)
    packed = output.suffix == ".gz"
    with gzip.open(output, "wb", compresslevel=6) if packed else output.open("wb") as file:
        yield cast("IO[bytes]", file)


def _plain(path: Path, chosen: list[Segment], start: float, end: float, bad: LeftOut) -> Iterator[tuple[bytes, int]]:
    import orjson  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.recording import decode  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay import exporting  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.replies import BadInput  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store import archive  # noqa: PLC0415 - see cli/__init__.py

    entries = decode(archive.batches(path, chosen), lambda error: bad(BadInput(str(error))))
    for line in exporting.plain(entries, start, end):
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE), "config" not in line


def _exact(path: Path, account: str, chosen: list[Segment]) -> Iterator[tuple[bytes, int]]:
    import orjson  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.replay import exporting  # noqa: PLC0415 - see cli/__init__.py

    for line, looks in exporting.exact(path, account, chosen):
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE), looks


# Into it.


@command.command("import", short_help="Bring in what was seen elsewhere.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--account", help="Whose it is; an exact export says that itself.")
@skip_option
@_db_option
@config_option
def _import(file: Path, account: str | None, db: Path | None, *, skip_bad: bool, **_: Any) -> None:
    """Bring what was seen elsewhere into the journal: a file of replies, or an exact export, gzip or not.

    Into a time of which the account has something already nothing is brought. A riskbot that runs on that database
    forgets what is older than journal_days: give old things a database of their own with --journal. It is made if it
    is not there.
    """
    from riskbot.replay import importing  # noqa: PLC0415 - see cli/__init__.py

    path, bad = _database(db), LeftOut(skip=skip_bad)
    with _troubles_told(), progress(file.name) as tell:
        owner = importing.owner_of(file)
        if owner is None and account is None:
            raise click.UsageError("give --account: a file of replies does not say whose it is")
        if owner is not None and account not in (None, owner):
            raise click.UsageError(f"this is an exact export of account {owner!r}, and stays one")
        if owner is None:
            brought = importing.replies(path, str(account), file, bad, tell)
        else:
            brought = importing.exact(path, file, bad, tell)
    bad.tell()
    _tell(brought)


def _tell(brought: Brought) -> None:
    first, last = (stored.moment(at) for at in (brought.first, brought.last))
    console().print(
        f"{brought.account}: {brought.looks:,} looks, {first:%d %b %Y %H:%M:%S} to {last:%d %b %Y %H:%M:%S} UTC.",
        markup=False,
    )
