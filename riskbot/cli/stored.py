"""What the commands share that look at what riskbot has written: the look, the file without its keys, messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riskbot.cli.common import STYLES, console, fail, load_plugins, mistakes_told, veil

if TYPE_CHECKING:
    from rich.text import Text

    from riskbot.model import Event, Quiet
    from riskbot.rules import Rule
    from riskbot.store import Message
    from riskbot.store.peek import Look


def database(path: Path) -> Path:
    """Where a rules file has its store; nothing else of the file is looked at."""
    from riskbot.settings import find_db  # noqa: PLC0415 - see cli/__init__.py

    with mistakes_told():
        return find_db(path)


@contextmanager
def trouble_told() -> Iterator[None]:
    """A database that can't be used ends the command with exit code 1."""
    from riskbot.store import StoreError  # noqa: PLC0415 - see cli/__init__.py

    try:
        yield
    except StoreError as error:
        fail(str(error), 1)


def look_into(db: Path, states: tuple[str, ...]) -> Look:
    """What is in the database, and of the outbox the rows in these states; its trouble is told with exit code 1."""
    from riskbot.store.peek import look  # noqa: PLC0415 - see cli/__init__.py

    with trouble_told():
        return look(db, states)


def now() -> float:
    """The moment at which a person asks."""
    return time.time()  # noqa: TID251 - for how long, as a person asks


def moment(at: float) -> datetime:
    """In UTC, as riskbot's messages have it."""
    return datetime.fromtimestamp(at, UTC)


def badge(severity: str) -> Text:
    """As it stands in a table: `CRITICAL`, `RESOLVED`; "": none."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    return Text("RESOLVED" if severity == "ok" else severity.upper() or "-", STYLES.get(severity, "dim"))


def named(alert: Mapping[str, Any]) -> str:
    """A row's alert within its account: `debt grows USDT`; riskbot's own are known by what they are about."""
    from riskbot.settings import SELF  # noqa: PLC0415 - see cli/__init__.py

    rule, subject = alert["rule"], alert["subject"]
    return subject if alert["account"] == SELF and subject else f"{rule} {subject}".rstrip()


def headline(alert: Mapping[str, Any]) -> str:
    """The same with how bad it is, and where: `CRITICAL main · debt grows USDT`."""
    level = "pending" if alert["severity"] == "ok" else alert["severity"].upper()
    return f"{level} {alert['account']} · {named(alert)}"


def plain(words: str) -> str:
    """On one line, without signs that a terminal would obey, nor secrets: a plugin's words may hold any."""
    from riskbot.text import printable  # noqa: PLC0415 - see cli/__init__.py

    return printable(veil().redact(words))


Line = tuple[Sequence["Text"], Sequence["Text"]]
"""The cells of a line, and what stands below it."""


def listing(head: Sequence[str], lines: Iterable[Line], pid: int) -> None:
    """A table whose lines have more below them, so that long words get the whole width. pid: 0 is told below it.

    A last cell that does not fit goes below its line.
    """
    from rich.console import Group  # noqa: PLC0415 - see `console`
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    out = console()
    rows = [([Text(word, "bold") for word in head], []), *lines] if any(head) else [*lines]
    widths = [max((cell.cell_len for cell in column), default=0) for column in zip(*(c for c, _ in rows), strict=True)]
    out.print(Group(*(part for cells, below in rows for part in _parts_of(cells, below, widths, out.width))))
    not_running(out, pid)


def _parts_of(cells: Sequence[Text], below: Sequence[Text], widths: Sequence[int], width: int) -> Iterator[Any]:
    from rich.padding import Padding  # noqa: PLC0415 - see `console`
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    for text in (*cells, *below):
        text.plain = plain(text.plain)
    *first, last = cells
    indent = sum(widths[:-1]) + 2 * len(first)
    if indent + last.cell_len > width:
        last, below = Text(), [last, *below]
    for cell, room in zip(first, widths, strict=False):
        cell.pad_right(room - cell.cell_len)
    line = Text("  ").join([*first, last])
    line.rstrip()
    yield line
    yield from (Padding(text, (0, 0, 0, widths[0] + 2), expand=False) for text in below)


def not_running(out: Any, pid: int) -> None:
    """Whoever looks at what was must not take it for what is."""
    if not pid:
        out.print("riskbot is not running: this is how it left things, and nothing is sent.", style="bold red")


# ---------------------------------------------------------------- the rules file without its keys


def document(path: Path) -> dict[str, Any]:
    """The rules file with all that it includes, `${…}` not filled in; empty if it can't be read."""
    from riskbot import settings  # noqa: PLC0415 - see cli/__init__.py

    return settings.document(path)


def accounts_in(file: dict[str, Any]) -> dict[str, float]:
    """The accounts of a file, with the seconds between two polls."""
    from riskbot.settings.model import tables  # noqa: PLC0415 - see cli/__init__.py

    entries = [entry for _, entry in tables(file, "accounts")]
    return {
        name: _seconds(entry.get("poll_every", 1)) for entry in entries if isinstance(name := entry.get("name"), str)
    }


def receivers_in(file: dict[str, Any]) -> list[str]:
    """The receivers of a file, by name."""
    from riskbot.settings.model import named  # noqa: PLC0415 - see cli/__init__.py

    return list(named(file, "receivers"))


def add_labels(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """To each row the labels that its rule has in the file now."""
    from riskbot.settings.model import named, tables  # noqa: PLC0415 - see cli/__init__.py

    labels = {
        str(entry.get("name")): {name: str(word) for name, word in named(entry, "labels").items()}
        for _, entry in tables(document(path), "rules")
    }
    for row in rows:
        row["labels"] = labels.get(row["rule"], {})


def rules_in(path: Path) -> dict[str, Rule]:
    """The rules of a file, by name, with those that are always on; without those that are wrong."""
    from riskbot.settings import ConfigError  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings.loading import with_defaults  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings.model import tables  # noqa: PLC0415 - see cli/__init__.py

    try:
        kinds = load_plugins(path).kinds
    except ConfigError:  # whoever needs the file whole says so
        return {}
    file = document(path)
    entries = [entry for _, entry in tables(file, "rules") if str(entry.get("kind")) in kinds]
    found = tuple(rule for entry in entries if (rule := _valid(kinds[str(entry["kind"])], entry)) is not None)
    return {rule.name: rule for rule in with_defaults(found, kinds, list(accounts_in(file)))}


def _valid(kind: type[Rule], entry: dict[str, Any]) -> Rule | None:
    try:
        return kind.model_validate(entry)
    except Exception:  # noqa: BLE001 - a plugin's kind may raise anything; `riskbot check` tells what is wrong
        return None


def _seconds(value: object) -> float:
    from riskbot.rules import parse_duration  # noqa: PLC0415 - see cli/__init__.py

    try:
        return parse_duration(value)
    except ValueError:
        return 1.0


# ---------------------------------------------------------------- messages


def as_row(state: str, message: Message, ref: str) -> dict[str, Any]:
    """A message for machines. ref: its name in tables. news: it is about no alert. next_try: None unless queued."""
    account, rule, subject = _parts(message)
    return {
        "ref": ref,
        "id": message.id,
        "short": short(message),
        "account": account,
        "rule": rule,
        "subject": subject,
        "receiver": message.receiver,
        "severity": message.after.label,
        "before": message.before.label,
        "urgency": message.urgency.label,
        "news": not message.peak,
        "title": message.title,
        "state": state,
        "at": message.at,
        "tries": message.tries,
        "next_try": message.due_at if state == "queued" else None,
        "error": message.error,
        "maybe_sent": message.maybe_sent,
        "unsaved": message.unsaved,
        "reminder": message.reminder,
        "covers": len(message.covers),
        "attempts": [{"at": a.at, "outcome": a.outcome, "why": a.why} for a in message.attempts],
    }


def short(message: Message) -> str:
    """Its `#…` name, as its last line has it."""
    name = " ".join(_parts(message)).rstrip()
    return f"#{name} {message.episode:x}.{message.seq}{f'r{message.reminder}' if message.reminder else ''}"


def _parts(message: Message) -> tuple[str, str, str]:
    """Account, rule and subject."""
    rule, _, subject = message.alert.removeprefix(f"{message.account}/").rpartition("/")
    return message.account, rule, subject


def standing(row: dict[str, Any], at: float) -> str:
    """What has become of a message, in words: `failing (3 tries, next in 12 s): HTTP 500`."""
    why = f": {row['error']}" if row["error"] else ""
    if row["state"] == "dead":
        return f"given up{why}"
    if fails(row):
        count = row["tries"]
        return f"failing ({count} {'try' if count == 1 else 'tries'}, next {due(row, at)}){why}"
    return f"{STATES[row['state']]}{' (may be a repeat)' if row['maybe_sent'] else ''}"


STATES = {
    "queued": "waits",
    "sending": "being sent",
    "sent": "sent",
    "superseded": "covered by a later message",
    "dead": "given up",
    "dropped": "dropped by hand",
}
"""Where a message stands, in words."""


def due(row: dict[str, Any], at: float) -> str:
    """When a queued message is tried next: `in 12 s`."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    wait = row["next_try"] - at
    return f"in {span(wait)}" if wait >= 0.5 else "now"


def fails(row: dict[str, Any]) -> bool:
    """Has it been tried, for nothing so far? What a person wants sent again begins anew."""
    return bool(row["state"] == "queued" and row["tries"])


def style(row: dict[str, Any]) -> str:
    """How a message looks: red if it fails, yellow while it is on its way."""
    if row["state"] == "dead" or fails(row):
        return "red"
    return {"queued": "yellow", "sending": "yellow"}.get(row["state"], "dim")


# ---------------------------------------------------------------- open alerts, and what is not to be told of them


def open_alerts(seen: Look, at: float) -> list[Event]:
    """What is open, as it stands, worst first; then what lasts longest."""
    from riskbot.delivery import ongoing  # noqa: PLC0415 - see cli/__init__.py

    found = [event for account, alerts in seen.alerts.items() for event in ongoing(account, alerts, at) if event.after]
    return sorted(found, key=lambda event: (-event.after, event.opened))


def alert_id(account: str, rule: str, subject: str, episode: int) -> str:
    """Names one course of an alert, from its opening to its end."""
    return f"{account}/{rule}/{subject}-{episode}"


def id_of(event: Event) -> str:
    """The id of the alert that it is about."""
    return alert_id(event.account, event.rule, event.subject, event.episode)


def until(at: float, now: float) -> str:
    """`until 22:43:20 UTC, in 30 min`."""
    from riskbot.text import clock, span  # noqa: PLC0415 - see cli/__init__.py

    return f"until {clock(at)}, in {span(at - now)}"


def quieten(db: Path, change: Callable[[Quiet], Quiet]) -> None:
    """Change what nobody wants to be told; what is over by now is dropped."""
    from riskbot.store.hand import hush  # noqa: PLC0415 - see cli/__init__.py

    with trouble_told():
        hush(db, lambda quiet: change(quiet.at(now())))


def taken_up(pid: int) -> str:
    """When a change by hand is heeded."""
    return "riskbot takes it up within a second." if pid else "riskbot is not running: it heeds this when it does."
