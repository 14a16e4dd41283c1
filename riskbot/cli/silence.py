"""riskbot silence: alerts that nobody wants to be told of for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import names, stored, times
from riskbot.cli.common import config_option, console, echo_json, fail, json_option

if TYPE_CHECKING:
    from rich.text import Text

    from riskbot.model import Event, Quiet, Silence
    from riskbot.store.peek import Look

OWN = "health"
"""The rule that judges riskbot itself."""


def _word(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Nothing that can't be written down again."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("is no text in UTF-8") from None
    return value


@click.command("silence")
@click.option("--rule", metavar="PATTERN", callback=_word, help="Alerts of these rules.")
@click.option("--account", metavar="PATTERN", callback=_word, help="Only of these accounts.")
@click.option("--ccy", metavar="PATTERN", callback=_word, help="Only about these currencies.")
@click.option("--for", "lasting", metavar="TIME", callback=times.lasting, help="For how long: 45m, 2h; at most 24h.")
@click.option("--up-to", type=click.Choice(["info", "warning", "critical"]), help="Worse is told; else critical.")
@click.option("--all-levels", is_flag=True, help="Also emergencies.")
@click.option("--why", metavar="TEXT", callback=_word, help="A word for whoever lists it.")
@click.option("--end", "ended", metavar="ID", multiple=True, help="End this one early; all: every one.")
@config_option
@json_option
def command(path: Path, ended: tuple[str, ...], *, as_json: bool, **asked: Any) -> None:
    """Hide alerts for a while: they are judged on but not told, unless they get worse than --up-to.

    When it is over, what is still open is told. The end of an alert that was told before is told during a silence
    too. Without options the silences in force are listed.

    PATTERN: a name, in which * stands for any signs, ? for one and [[] for a bracket. --rule is required, so that
    nobody hides by accident that an account can't be seen, or that riskbot itself fails: a pattern that hides that
    too is warned of.

    Exit codes: 0 done or listed, 1 the database can't be used, 2 usage, no such silence, or the rules file is wrong.
    """
    given = any(value is not None and value is not False for value in asked.values())
    if ended and given:
        raise click.UsageError("--end stands alone.")
    silence = _silence(asked, stored.now()) if given else None
    db = stored.database(path)
    seen = stored.look_into(db, ())
    if silence:
        _begin(db, seen, silence, stored.document(path), as_json=as_json)
    elif ended:
        _end(db, seen, ended, as_json=as_json)
    else:
        _list(seen, as_json=as_json)


# Beginning.


def _silence(asked: dict[str, Any], now: float) -> Silence:
    from riskbot.model import Severity, Silence  # noqa: PLC0415 - see cli/__init__.py

    if not asked["rule"]:
        raise click.UsageError("Name the rules with --rule: riskbot's own alerts must not be hidden by accident.")
    if asked["lasting"] is None:
        raise click.UsageError("Say with --for how long: 2h; at most 24h.")
    if asked["all_levels"] and asked["up_to"]:
        raise click.UsageError("Give --up-to or --all-levels, not both.")
    most = Severity.EMERGENCY if asked["all_levels"] else Severity[(asked["up_to"] or "critical").upper()]
    account, subject = ("*" if asked[key] is None else asked[key] for key in ("account", "ccy"))
    return Silence(now + asked["lasting"], account, asked["rule"], subject, most, now, asked["why"] or "")


def _begin(db: Path, seen: Look, silence: Silence, file: dict[str, Any], *, as_json: bool) -> None:
    from msgspec.structs import replace  # noqa: PLC0415 - see cli/__init__.py

    stored.quieten(db, lambda quiet: replace(quiet, silences=(*quiet.silences, silence)))
    for warning in _warnings(silence, file):
        click.echo(stored.plain(f"warning: {warning}"), err=True)
    row = _row(silence, _refs([*seen.quiet.silences, silence]), stored.open_alerts(seen, silence.since))
    if as_json:
        echo_json([row])
        return
    click.echo(stored.plain(f"silenced {stored.until(silence.until, silence.since)}: {_what(row)}"))
    for alert in row["hides"]:
        click.echo(stored.plain(f"it hides now: {stored.headline(alert)}"))
    if not row["hides"]:
        click.echo("It hides no open alert now.")
    click.echo(f"{stored.taken_up(seen.pid)} To end it early: riskbot silence --end {row['ref']}")


def _warnings(silence: Silence, file: dict[str, Any]) -> Iterator[str]:
    """What the trader may not have meant."""
    from riskbot.settings import SELF  # noqa: PLC0415 - see cli/__init__.py

    kinds = _kinds(file)
    for name, kind in kinds.items():
        if kind == "blind" and fnmatchcase(name, silence.rule) and fnmatchcase("", silence.subject):
            yield f'it also hides that an account can\'t be seen: rule "{name}"'
    if fnmatchcase(SELF, silence.account) and fnmatchcase(OWN, silence.rule) and _may_be_own(silence.subject, file):
        yield f"it also hides riskbot's own alerts: account {SELF}"
    yield from _unknown("rule", silence.rule, [*kinds, OWN] if kinds else [])
    yield from _unknown("account", silence.account, [*stored.accounts_in(file), SELF])


def _may_be_own(pattern: str, file: dict[str, Any]) -> bool:
    """Does it match what riskbot's own alerts are about? A currency does not."""
    from riskbot.delivery import about_receiver  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.health import STORE  # noqa: PLC0415 - see cli/__init__.py

    own = (STORE, *map(about_receiver, stored.receivers_in(file)))
    return any(fnmatchcase(subject, pattern) for subject in own)


def _kinds(file: dict[str, Any]) -> dict[str, Any]:
    """The kind of each rule in the file."""
    from riskbot.settings.model import tables  # noqa: PLC0415 - see cli/__init__.py

    entries = [entry for _, entry in tables(file, "rules")]
    return {name: entry.get("kind") for entry in entries if isinstance(name := entry.get("name"), str)}


def _unknown(what: str, pattern: str, known: Sequence[str]) -> Iterator[str]:
    if known and not any(fnmatchcase(name, pattern) for name in known):
        yield f"no {what} of the rules file is {pattern!r}{names.nearest(pattern, known)}"


# Ending.


def _end(db: Path, seen: Look, words: Iterable[str], *, as_json: bool) -> None:
    now = stored.now()
    silences = seen.quiet.at(now).silences
    chosen = [silence for word in words for silence in _meant(word, silences)]
    if chosen:
        stored.quieten(db, lambda quiet: _without(quiet, chosen))
    refs, opened = _refs(seen.quiet.silences), stored.open_alerts(seen, now)
    rows = [_row(silence, refs, opened) for silence in silences if silence in chosen]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        click.echo(stored.plain(f"ended: {_what(row)}"))
    click.echo(_outlook(seen.pid) if rows else NONE)


def _meant(word: str, silences: Sequence[Silence]) -> list[Silence]:
    """Those that were named; ends if there is none, or more than one it might be."""
    if word == "all":
        return list(silences)
    found = names.by_ref(word, map(repr, silences))
    if not found:
        fail(f"no silence {word!r}; `riskbot silence` shows all. Nothing was done.", 2)
    if len(found) > 1:
        fail(f"{word!r} may be several: give more of it. Nothing was done.", 2)
    return [silence for silence in silences if repr(silence) in found]


def _without(quiet: Quiet, ended: Sequence[Silence]) -> Quiet:
    from msgspec.structs import replace  # noqa: PLC0415 - see cli/__init__.py

    return replace(quiet, silences=tuple(silence for silence in quiet.silences if silence not in ended))


def _outlook(pid: int) -> str:
    return f"{stored.taken_up(pid)} What is still open is then told, unless another silence hides it."


# What it says.


NONE = "No silence is in force."


def _refs(silences: Iterable[Silence]) -> dict[str, str]:
    """A name for each that stays the same when another ends."""
    return names.refs(map(repr, silences))


def _row(silence: Silence, refs: dict[str, str], opened: list[Event]) -> dict[str, Any]:
    """For machines. hides: the open alerts that are not told on its account."""
    hidden = [event for event in opened if silence.hides(event)]
    return {
        "ref": refs[repr(silence)],
        "rule": silence.rule,
        "account": silence.account,
        "ccy": silence.subject,
        "up_to": silence.most.label,
        "since": silence.since,
        "until": silence.until,
        "why": silence.why,
        "hides": [_hidden(event) for event in hidden],
    }


def _hidden(event: Event) -> dict[str, Any]:
    return {
        "id": stored.id_of(event),
        "account": event.account,
        "rule": event.rule,
        "subject": event.subject,
        "severity": event.after.label,
    }


def _what(row: dict[str, Any]) -> str:
    """`margin*, account main, USDT, up to critical (maintenance)`."""
    parts = [row["rule"], "every account" if row["account"] == "*" else f"account {row['account']}"]
    parts += [row["ccy"] or "the whole account"] if row["ccy"] != "*" else []
    parts.append("all levels" if row["up_to"] == "emergency" else f"up to {row['up_to']}")
    return ", ".join(parts) + (f" ({row['why']})" if row["why"] else "")


def _list(seen: Look, *, as_json: bool) -> None:
    now = stored.now()
    refs, opened = _refs(seen.quiet.silences), stored.open_alerts(seen, now)
    rows = [_row(silence, refs, opened) for silence in seen.quiet.at(now).silences]
    if as_json:
        echo_json(rows)
    elif rows:
        head = ("id", "rule", "account", "ccy", "up to", "silenced", "")
        stored.listing(head, [(_cells(row, now), _below(row)) for row in rows], seen.pid)
    else:
        console().print(NONE, style="green")


def _cells(row: dict[str, Any], now: float) -> tuple[Text, ...]:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    words = (row["ref"], row["rule"], row["account"], row["ccy"] or "-")
    level = stored.badge(row["up_to"])
    return *map(Text, words), level, Text(stored.until(row["until"], now)), Text(row["why"], "dim")


def _below(row: dict[str, Any]) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    return [Text(f"hides {stored.headline(alert)}", "yellow") for alert in row["hides"]]
