"""riskbot notify: a test message, through what carries the alerts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import stored
from riskbot.cli.common import config_option, echo_json, fail, json_option, load_all, secrets
from riskbot.cli.things import OK, WRONG, show, thing

if TYPE_CHECKING:
    from riskbot.plugins import Plugins
    from riskbot.settings import Config
    from riskbot.setup.trial import Trial


@click.command("notify")
@click.argument("receivers", nargs=-1, metavar="[RECEIVER]...")
@config_option
@json_option
def command(receivers: tuple[str, ...], path: Path, *, as_json: bool) -> None:
    """Send a test message to these RECEIVERs, or to all, and show what they answer.

    It is marked as a test and goes the way of every alert, whatever the receiver's min_severity. No account is asked.

    Exit codes: 0 all have taken it, 1 one has not, 2 usage, or the rules file is wrong.
    """
    import asyncio  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.builtin.apprise.notifier import check_url  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.redact import Redactor  # noqa: PLC0415 - see cli/__init__.py

    config, found = load_all(path, check_url=check_url)
    chosen = dict.fromkeys(_known(word, config) for word in receivers) or config.receivers
    trials = asyncio.run(_try(chosen, config, found))
    redactor = Redactor(secrets(config))
    things = [_thing(trial, redactor.redact(trial.says), redactor.redact(trial.answer)) for trial in trials]
    if as_json:
        echo_json(things)
    else:
        show(things)
    raise SystemExit(0 if all(trial.ok for trial in trials) else 1)


def _known(word: str, config: Config) -> str:
    from riskbot.settings.mistakes import no_such  # noqa: PLC0415 - see cli/__init__.py

    if word not in config.receivers:
        fail(no_such("receiver", word, config.receivers), 2)
    return word


async def _try(names: Iterable[str], config: Config, found: Plugins) -> list[Trial]:
    """All at once; each in its own time."""
    import asyncio  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.cli import wiring  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup import trial  # noqa: PLC0415 - see cli/__init__.py

    async def one(name: str) -> Trial:
        notifier = await wiring.notifier(name, config.receivers[name].url.get_secret_value(), found)
        return await trial.send(name, notifier, trial.message(name, stored.now()))

    return await asyncio.gather(*map(one, names))


def _thing(trial: Trial, says: str, answer: str) -> dict[str, Any]:
    facts = {"outcome": str(trial.outcome), "answer": answer, "seconds": round(trial.seconds, 3)}
    return thing("receiver", trial.receiver, OK if trial.ok else WRONG, says, **facts)
