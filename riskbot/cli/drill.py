"""riskbot drill: a rehearsal with the real rules and the real receivers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import config_option, echo_json, fail, json_option, load_all, mistakes_told, secrets
from riskbot.cli.things import OK, WARNING, WRONG, show, thing

if TYPE_CHECKING:
    from riskbot.notify import Text
    from riskbot.plugins import Plugins
    from riskbot.replay.rehearsal import Rehearsal
    from riskbot.settings import Config
    from riskbot.setup.trial import Trial
    from riskbot.store import Message


@click.command("drill")
@config_option
@click.option("--scenario", default="crash", show_default=True, help="What happens; see: riskbot simulate --list")
@click.option("--account", help="Whose rules; default: the first account's.")
@click.option("--all", "everything", is_flag=True, help="Every message of it, not only the first of each severity.")
@click.option("--yes", is_flag=True, help="Send without asking.")
@json_option
def command(path: Path, scenario: str, account: str | None, *, everything: bool, yes: bool, as_json: bool) -> None:
    """Rehearse: play a scenario through your rules and send what comes of it to your receivers, marked DRILL.

    Judged, planned and worded by what does it at night. Nothing is asked of the exchange, nothing is remembered, and a
    riskbot that is running takes no notice. Of each severity a receiver gets the first message.

    Exit codes: 0 every message was taken, 1 one was not, 2 usage, or the rules file is wrong.
    """
    import asyncio  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.builtin.apprise.notifier import check_url  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.redact import Redactor  # noqa: PLC0415 - see cli/__init__.py

    config, found = load_all(path, check_url=check_url)
    played = _rehearsed(config, scenario, account)
    messages = _chosen(played, config, everything=everything)
    _ask(messages, yes=yes)
    trials = asyncio.run(_send(messages, scenario, config, found))
    redactor = Redactor(secrets(config))
    things = [_thing(name, messages[name], trials[name], redactor) for name in trials if trials[name]]
    things += [_untold(name, played, config) for name in trials if not trials[name]] + _unheard(played, scenario)
    if as_json:
        echo_json(things)
    else:
        show(things)
    raise SystemExit(1 if any(found["state"] == WRONG for found in things) else 0)


def _rehearsed(config: Config, scenario: str, account: str | None) -> Rehearsal:
    """What comes of it."""
    from riskbot import simulator  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay import rehearsal  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings.mistakes import no_such  # noqa: PLC0415 - see cli/__init__.py

    accounts = {chosen.name: chosen for chosen in config.accounts}
    if account not in (None, *accounts):
        fail(no_such("account", str(account), accounts), 2)
    watched = accounts[account] if account else config.accounts[0]
    try:
        with mistakes_told():
            story = simulator.load_scenario(scenario)
    except OSError:
        fail(f"no scenario {scenario!r}: give one of {', '.join(simulator.scenario_names())}, or a TOML file", 2)
    receivers = [settings.receiver(name) for name, settings in config.receivers.items()]
    return rehearsal.rehearse(watched.name, config.rules, receivers, story, watched.poll_every)


def _chosen(played: Rehearsal, config: Config, *, everything: bool) -> dict[str, list[Message]]:
    """What each receiver is to get."""
    from riskbot.replay import rehearsal  # noqa: PLC0415 - see cli/__init__.py

    chosen = played.messages if everything else rehearsal.one_of_each(played.messages)
    return {name: [m for m in chosen if m.receiver == name] for name in config.receivers}


def _ask(messages: Mapping[str, Sequence[Message]], *, yes: bool) -> None:
    """On a terminal; a timer can't answer."""
    if yes or not sys.stdin.isatty():
        return
    words = ", ".join(f"{len(theirs)} to {name}" for name, theirs in messages.items() if theirs) or "none to anybody"
    click.confirm(f"Send messages marked DRILL, {words}?", default=True, abort=True, err=True)


async def _send(
    messages: Mapping[str, Sequence[Message]], scenario: str, config: Config, found: Plugins
) -> dict[str, list[Trial]]:
    """All receivers at once; to each one message after the other."""
    import asyncio  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.cli import wiring  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay import rehearsal  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup import trial  # noqa: PLC0415 - see cli/__init__.py

    async def one(name: str, said: Text) -> Trial:
        notifier = await wiring.notifier(name, config.receivers[name].url.get_secret_value(), found)
        return await trial.send(name, notifier, said)

    async def all_of(name: str) -> list[Trial]:
        return [await one(name, rehearsal.marked(message, scenario)) for message in messages[name]]

    return dict(zip(messages, await asyncio.gather(*map(all_of, messages)), strict=True))


def _thing(name: str, messages: Sequence[Message], trials: Sequence[Trial], redactor: Any) -> dict[str, Any]:
    """How one receiver did."""
    tries = [
        {
            "title": message.title,
            "severity": message.after.label,
            "outcome": str(trial.outcome),
            "answer": redactor.redact(trial.answer),
            "seconds": round(trial.seconds, 3),
        }
        for message, trial in zip(messages, trials, strict=True)
    ]
    failed = [trial for trial in trials if not trial.ok]
    if failed:
        says = f"{len(failed)} of {len(trials)} not taken: {redactor.redact(failed[0].says)}"
        return thing("receiver", name, WRONG, says, tries=tries)
    return thing("receiver", name, OK, f"{_counted(messages)} in {_times(trials)}", tries=tries)


def _untold(name: str, played: Rehearsal, config: Config) -> dict[str, Any]:
    """A receiver for which there was nothing. That is no failure: it may be meant so."""
    why = played.why_nothing(config.receivers[name].receiver(name))
    return thing("receiver", name, WARNING, f"got nothing: {why}", tries=[])


def _unheard(played: Rehearsal, scenario: str) -> list[dict[str, Any]]:
    """The severities that were not rehearsed, if there are any."""
    words = ", ".join(severity.label for severity in played.unheard)
    says = f"nothing of it is {words}; --scenario plays another one"
    return [thing("scenario", scenario, WARNING, says)] if words else []


def _counted(messages: Sequence[Message]) -> str:
    """`3 messages (info, warning, critical)`."""
    words = list(dict.fromkeys(m.after.label for m in sorted(messages, key=lambda m: m.after) if m.after))
    return f"{len(messages)} message{'s' if len(messages) > 1 else ''} ({', '.join(words)}) taken"


def _times(trials: Sequence[Trial]) -> str:
    """`0.2 s`, `0.2 to 0.5 s`."""
    quick, slow = (f"{pick(trial.seconds for trial in trials):.1f}" for pick in (min, max))
    return f"{quick} s" if quick == slow else f"{quick} to {slow} s"
