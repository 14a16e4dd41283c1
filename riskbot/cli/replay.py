"""riskbot replay: what rules would have done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from riskbot.cli import replayed, stored, times, verifying
from riskbot.cli.common import config_option, fail, load_all, mistakes_told
from riskbot.cli.leftout import LeftOut, skip_option, unreadable
from riskbot.cli.progress import progress

if TYPE_CHECKING:
    from riskbot.playback import Entry
    from riskbot.replay.incidents import Spotter
    from riskbot.replay.recordings import Recording
    from riskbot.replay.run import Run
    from riskbot.replay.trial import Trial
    from riskbot.replay.verdict import Verdict
    from riskbot.rules import Rule
    from riskbot.settings import Config
    from riskbot.store import Message

WARM_UP = 3600.0
"""Seconds before the time that is counted from which on it is played, at least: alerts may be open by then."""
CURRENT = "current"
"""In place of a file: the rules file itself."""


class _Asked(Struct, frozen=True):
    """What a person wants to know; see the options."""

    recording: str | None
    path: Path
    rules: Path | None
    journal: Path | None
    account: str | None
    start: float | None
    end: float | None
    against: str | None
    labels: Path | None
    lead_to: str | None
    within: float
    sweep: str | None
    fail_if: str | None
    show_messages: bool
    skip_bad: bool
    verify: bool
    form: str

    @property
    def db(self) -> Path:
        """The database whose journal is meant."""
        return self.journal or stored.database(self.path)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("replay")
@click.argument("recording", required=False)
@config_option
@click.option("--rules", type=_FILE, help="The rules to try; default: those of the rules file.")
@click.option("--journal", type=_FILE, metavar="DB", help="The journal in this database; default: of the rules file.")
@click.option("--account", help="Whose rules and name; default: the first account of the file.")
@click.option("--from", "start", callback=times.point, help="Count from that moment on (UTC).")
@click.option("--to", "end", callback=times.point, help="Up to that moment.")
@click.option("--against", metavar="current|FILE", help="Compare with these rules; current: those of the rules file.")
@click.option("--labels", type=_FILE, help="A file of incidents that should be told of.")
@click.option("--lead-to", metavar="CONDITION", help="The same, where a condition comes to hold: 'mgnRatio <= 1'.")
@click.option(
    "--within", default="1h", callback=times.duration, show_default=True, help="How long before it an alert counts."
)
@click.option("--sweep", metavar="RULE.KEY=FROM:TO:STEP", help="Try a number at several values.")
@click.option("--fail-if", metavar="CONDITION", help="Exit code 1 if so: 'missed>0 or messages_per_day.phone>20'.")
@click.option("--messages", "show_messages", is_flag=True, help="Show each message as a phone would.")
@skip_option
@click.option("--verify", is_flag=True, help="Judge the journal by the rules of then: it must come out the same.")
@click.option("--format", "form", type=click.Choice(["table", "json", "md"]), default="table", show_default=True)
@click.option("--json", "form", flag_value="json", help="For machines; the same as --format json.")
def command(**options: Any) -> None:
    """Play a recording through your rules: the very code that watches live, on the recording's own clock.

    Without RECORDING it is what riskbot itself has seen: its journal. Else a scenario of the simulator (its name, or a
    TOML file), or a file of OKX's replies, one JSON object a line, gzip or not: {"t": milliseconds, "body": {…}}.
    No key is needed, and nobody is told anything. All receivers are taken to work.

    Exit codes: 0 played, 1 the recording can't be read, what --fail-if says is so, or --verify finds something that
    is not the same, 2 usage, or a file is wrong.
    """
    from riskbot.replay.replies import BadInput  # noqa: PLC0415 - see cli/__init__.py

    asked = _Asked(**options)
    if asked.recording and asked.journal:
        raise click.UsageError("give either a RECORDING or --journal")
    if asked.verify:
        if asked.recording:
            raise click.UsageError("--verify is about the journal: a RECORDING has no events of its own")
        verifying.verify(asked.path, asked.db, asked.account, as_json=asked.form == "json")
        return
    try:
        _replay(asked)
    except BadInput as error:
        fail(str(error), 2)


def _replay(asked: _Asked) -> None:
    """Raises BadInput for what was asked in words that make no sense."""
    from riskbot.rules import longest_window  # noqa: PLC0415 - see cli/__init__.py

    config = _config(asked.rules or asked.path)
    account, poll_every = _account(config, asked.account)
    source, poll_every = _opened(asked, config, account, poll_every)
    making = _Making(account, poll_every, asked.start or 0.0, source.knows)
    said: list[Message] = []
    trial = _trial(asked, config, making, said.append if asked.show_messages else None)
    trial.seed(source.past(longest_window(config.rules)))
    verdict = _verdict(asked, config)
    bad = LeftOut(skip=asked.skip_bad)
    trial.play(_shown(_chosen(asked, config, source, bad), source))
    found = {"recording": source.name, "account": account, "left_out": bad.count, **trial.report()}
    if asked.against:
        found["against"]["rules"] = asked.against
    failed = verdict is not None and verdict.holds(found)
    replayed.show(asked.form, found | ({"failed": failed} if verdict else {}), said if asked.show_messages else None)
    if failed:
        fail(f"it is so: {asked.fail_if}", 1)


def _config(path: Path) -> Config:
    return load_all(path, keyless=True)[0]


def _account(config: Config, name: str | None) -> tuple[str, float]:
    """Its name, and the seconds between two polls."""
    from riskbot.rules import suggest  # noqa: PLC0415 - see cli/__init__.py

    found = next((account for account in config.accounts if name in (None, account.name)), None)
    if found is None:
        fail(f"no account {name!r} in the rules file{suggest(str(name), [a.name for a in config.accounts])}", 2)
    return found.name, found.poll_every


def _opened(asked: _Asked, config: Config, account: str, poll_every: float) -> tuple[Recording, float]:
    """What is to be played, and the seconds between two looks."""
    from riskbot.replay import recordings  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.replies import BadInput  # noqa: PLC0415 - see cli/__init__.py

    try:
        if asked.recording:
            return recordings.opened(asked.recording, poll_every)
        return recordings.journal(asked.db, account, *_times(asked, config)), poll_every
    except BadInput as error:
        fail(str(error), 1)


def _times(asked: _Asked, config: Config) -> tuple[float, float]:
    """From when to when it is to be read: from as far back as windows need, and what may be open."""
    from riskbot.rules import longest_window  # noqa: PLC0415 - see cli/__init__.py

    start = -inf if asked.start is None else asked.start - max(WARM_UP, longest_window(config.rules))
    return start, inf if asked.end is None else asked.end


class _Making(Struct, frozen=True):
    """What all runs have in common: see `Run`."""

    account: str
    poll_every: float
    since: float
    knows: bool

    def run(self, config: Config, rules: Sequence[Rule], told: Callable[[Message], None] | None = None) -> Run:
        """One set of rules, to be played."""
        from riskbot.replay.run import Run  # noqa: PLC0415 - see cli/__init__.py

        receivers = [settings.receiver(name) for name, settings in config.receivers.items()]
        return Run(self.account, rules, receivers, self.poll_every, self.since, told, knows=self.knows)


def _trial(asked: _Asked, config: Config, making: _Making, told: Callable[[Message], None] | None) -> Trial:
    from riskbot.replay.incidents import labelled  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.trial import Trial  # noqa: PLC0415 - see cli/__init__.py

    trial = Trial(making.run(config, config.rules, told), spotter=_spotter(asked))
    if asked.labels:
        with mistakes_told():
            trial.incidents = labelled(asked.labels, asked.within)
    if asked.against:
        base = _config(asked.path if asked.against == CURRENT else Path(asked.against))
        trial.base = making.run(base, base.rules)
    if asked.sweep:
        _sweep(trial, asked, config, making)
    return trial


def _spotter(asked: _Asked) -> Spotter | None:
    if asked.lead_to is None:
        return None
    from riskbot.builtin import conditions  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.incidents import Spotter  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.replies import BadInput  # noqa: PLC0415 - see cli/__init__.py

    try:
        return Spotter(conditions.read(asked.lead_to), asked.start or 0.0, asked.within)
    except conditions.UnfitError as error:
        raise BadInput(f"--lead-to: {error}") from None


def _sweep(trial: Trial, asked: _Asked, config: Config, making: _Making) -> None:
    """The same rules once for each value."""
    from riskbot.replay import sweep  # noqa: PLC0415 - see cli/__init__.py

    found = trial.sweep = sweep.read(str(asked.sweep), config.rules)
    entries = stored.document(asked.rules or asked.path).get("rules", [])
    entry = next(
        (e for e in entries if e.get("name") == found.rule.name), {"name": found.rule.name, "kind": found.rule.kind}
    )
    swept = [sweep.tried(found, value, entry) for value in found.values]
    trial.swept = [making.run(config, [rule if old is found.rule else old for old in config.rules]) for rule in swept]


def _verdict(asked: _Asked, config: Config) -> Verdict | None:
    if asked.fail_if is None:
        return None
    from riskbot.replay.verdict import Verdict  # noqa: PLC0415 - see cli/__init__.py

    return Verdict(asked.fail_if, tuple(config.receivers))


def _chosen(asked: _Asked, config: Config, source: Recording, bad: LeftOut) -> Iterator[Entry]:
    """What is to be played."""
    from riskbot.replay import run  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.replies import BadInput  # noqa: PLC0415 - see cli/__init__.py

    try:
        yield from run.between(source.entries(bad), *_times(asked, config))
    except BadInput as error:
        unreadable(error)


def _shown(entries: Iterable[Entry], source: Recording) -> Iterator[Entry]:
    """The same, with a bar that shows how far it is."""
    with progress(source.name) as tell:
        for i, entry in enumerate(entries):
            if not i % 256:
                tell(source.part)
            yield entry
