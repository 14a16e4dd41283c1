"""riskbot replay: what rules would have done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import replayed
from riskbot.cli.common import config_option, fail, load_all

if TYPE_CHECKING:
    from riskbot.playback import Entry
    from riskbot.replay.recordings import Recording
    from riskbot.replay.replies import BadInput
    from riskbot.replay.run import Run
    from riskbot.settings import AccountSettings, Config
    from riskbot.store import Message


def _moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    try:
        found = None if value is None else datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("write 2026-03-01, or 2026-03-01T14:30:00; it is UTC") from None
    if found is None:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


@click.command("replay")
@click.argument("recording")
@config_option
@click.option("--account", help="Whose rules and name; default: the first account of the file.")
@click.option("--from", "start", callback=_moment, help="Count from that moment on (UTC).")
@click.option("--to", "end", callback=_moment, help="Up to that moment.")
@click.option("--messages", "show_messages", is_flag=True, help="Show each message as a phone would.")
@click.option("--skip-bad", is_flag=True, help="Leave out what can't be read; say how much that was.")
@click.option("--format", "form", type=click.Choice(["table", "json", "md"]), default="table", show_default=True)
@click.option("--json", "form", flag_value="json", help="For machines; the same as --format json.")
def command(
    recording: str,
    path: Path,
    account: str | None,
    start: float | None,
    end: float | None,
    form: str,
    *,
    show_messages: bool,
    skip_bad: bool,
) -> None:
    """Play a recording through your rules: the very code that watches live, on the recording's own clock.

    RECORDING is a scenario of the simulator (its name, or a TOML file), or a file of OKX's replies, one JSON object a
    line (riskbot/replay/replies.py has the format), gzip or not. No key is needed, and nobody is told anything.

    Exit codes: 0 played, 1 the recording can't be read, 2 usage, or the rules file is wrong.
    """
    from riskbot.replay import recordings, run  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.replies import BadInput  # noqa: PLC0415 - see cli/__init__.py

    config, _ = load_all(path, keyless=True)
    watched = _account(config, account)
    said: list[Message] = []
    bad = _Bad(skip_bad=skip_bad)
    try:
        source, poll_every = recordings.opened(recording, watched.poll_every)
        mine = _run(config, watched.name, source, poll_every, start or 0.0, said.append if show_messages else None)
        early = -inf if start is None else start - run.warm_up(config.rules)
        chosen = run.between(source.entries(bad), early, inf if end is None else end)
        run.play(_shown(chosen, source), [mine])
    except BadInput as error:
        fail(f"{error}\n--skip-bad leaves out what can't be read.", 1)
    replayed.show(form, _told(source, mine, bad), said if show_messages else None)


def _account(config: Config, name: str | None) -> AccountSettings:
    from riskbot.rules import suggest  # noqa: PLC0415 - see cli/__init__.py

    found = next((account for account in config.accounts if name in (None, account.name)), None)
    if found is None:
        names = [account.name for account in config.accounts]
        fail(f"no account {name!r} in the rules file{suggest(str(name), names)}", 2)
    return found


def _run(
    config: Config,
    account: str,
    source: Recording,
    poll_every: float,
    since: float,
    told: Callable[[Message], None] | None,
) -> Run:
    from riskbot.replay.run import Run  # noqa: PLC0415 - see cli/__init__.py

    receivers = [settings.receiver(name) for name, settings in config.receivers.items()]
    return Run(account, config.rules, receivers, poll_every, since, told, knows=source.knows)


MOST_SHOWN = 5
"""Parts that can't be read, told one by one; the rest is counted."""


class _Bad:
    """What can't be read. skip_bad: it is left out, and counted; else it ends the replay."""

    def __init__(self, *, skip_bad: bool) -> None:
        self.count, self._skip_bad = 0, skip_bad

    def __call__(self, error: BadInput) -> None:
        if not self._skip_bad:
            raise error
        self.count += 1
        if self.count <= MOST_SHOWN:
            click.echo(f"left out: {error}", err=True)


def _shown(entries: Iterable[Entry], source: Recording) -> Iterator[Entry]:
    """The same, with a bar on the terminal that shows how far it is."""
    if not sys.stderr.isatty():
        yield from entries
        return
    from rich.console import Console  # noqa: PLC0415 - see cli/__init__.py
    from rich.progress import Progress  # noqa: PLC0415 - see cli/__init__.py

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(source.name, total=1.0)
        for i, entry in enumerate(entries):
            if not i % 256:
                bar.update(task, completed=source.part)
            yield entry


def _told(source: Recording, mine: Run, bad: _Bad) -> dict[str, Any]:
    from riskbot.replay.report import summary  # noqa: PLC0415 - see cli/__init__.py

    return {"recording": source.name, "account": mine.account, "left_out": bad.count, **summary(mine.tally)}
