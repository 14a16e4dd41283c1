"""riskbot check: is the rules file right, what would be watched, and would it work?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import config_option, echo_json, json_option, load_all
from riskbot.cli.things import OK, WARNING, WRONG, show, thing, worst_first

if TYPE_CHECKING:
    from riskbot.plugins import Plugins
    from riskbot.rules import Rule
    from riskbot.settings import Config, ConfigError


@click.command("check")
@config_option
@click.option("--live", is_flag=True, help="Ask the exchange too, and whether the receivers can be reached.")
@json_option
def command(path: Path, *, live: bool, as_json: bool) -> None:
    """Validate the rules file, say what would be watched, and try what can be tried. Nothing is sent.

    Every message that a rule can make is made once, of sample data. With --live each account is asked once: its clock,
    what the key may do, its mode, and what each rule would say now; and a connection to each receiver is tried.

    Exit codes: 0 all would work, 1 something would not, 2 the rules file is wrong; of each mistake --json has a thing
    of the kind "file", named by its place.
    """
    import asyncio  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.builtin.apprise.notifier import check_url  # noqa: PLC0415 - see cli/__init__.py

    config, found = load_all(path, check_url=check_url, also=_mistakes if as_json else None)
    things = worst_first(asyncio.run(_live(config, found)) if live else _things(config, found))
    things = [_file(path, config), *things]
    well = all(one["state"] != WRONG for one in things)
    if as_json:
        echo_json({"well": well, "things": things, **_document(config)})
    else:
        show(things)
    raise SystemExit(0 if well else 1)


async def _live(config: Config, found: Plugins) -> list[dict[str, Any]]:
    from riskbot.cli.checking import live  # noqa: PLC0415 - see cli/__init__.py

    return [*_plugins(found), *_failing(config, found), *await live(config, found)]


# Without asking anybody.


def _things(config: Config, found: Plugins) -> Iterator[dict[str, Any]]:
    from riskbot.setup.tiers import fires  # noqa: PLC0415 - see cli/__init__.py

    yield from _plugins(found)
    for account in config.accounts:
        yield thing(
            "account", account.name, OK, f"{account.base_url or account.region}, every {account.poll_every:g} s"
        )
    for name, receiver in config.receivers.items():
        yield thing("receiver", name, OK, f"from {receiver.min_severity}")
    failing = {one["name"]: one for one in _failing(config, found)}
    for rule in config.rules:
        yield failing.get(rule.name) or thing("rule", rule.name, OK, f"{rule.kind} {fires(rule)}")


def _file(path: Path, config: Config) -> dict[str, Any]:
    words = [f"state in {config.db}"]
    words += [f"status at http://{config.web.listen}/"] if config.web else []
    words += [f"includes {', '.join(map(str, config.files[1:]))}"] if config.files[1:] else []
    return thing("file", path.name, OK, f"is right; {'; '.join(words)}")


def _plugins(found: Plugins) -> Iterator[dict[str, Any]]:
    wrong = {trouble.plugin: f"{trouble.where}: {trouble.why}" for trouble in found.troubles}
    for plugin in found.plugins:
        if plugin.name not in wrong:
            yield thing("plugin", plugin.name, OK, ", ".join(plugin.offers()))
    for name, why in wrong.items():
        yield thing("plugin", name, WARNING, why)  # a rule that needs it is a mistake of the file


def _failing(config: Config, found: Plugins) -> Iterator[dict[str, Any]]:
    """Rules that fail at sample data."""
    from riskbot.setup.sample import mistakes  # noqa: PLC0415 - see cli/__init__.py

    for rule in config.rules:
        if rule.enabled and (whys := list(mistakes(rule, found.renders))):
            yield thing("rule", rule.name, WRONG, f"fails at sample data: {'; '.join(whys)}")


# For machines.


def _mistakes(error: ConfigError) -> None:
    """A file that is wrong: nothing is known but what is wrong with it, and where."""
    things = [thing("file", problem.where, WRONG, problem.text) for problem in error.problems]
    echo_json({"well": False, "things": things})


def _document(config: Config) -> dict[str, Any]:
    return {
        "accounts": [
            {"name": a.name, "region": a.base_url or a.region, "poll_every": a.poll_every} for a in config.accounts
        ],
        "receivers": [{"name": name, "min_severity": r.min_severity} for name, r in config.receivers.items()],
        "rules": [_rule_document(rule) for rule in config.rules],
        "store": str(config.db),
        "web": config.web and config.web.listen,
        "files": [str(file) for file in config.files],
        "warnings": [str(warning) for warning in config.warnings],
    }


def _rule_document(rule: Rule) -> dict[str, Any]:
    from riskbot.setup.tiers import exact, unit  # noqa: PLC0415 - see cli/__init__.py

    return {
        "name": rule.name,
        "kind": rule.kind,
        "enabled": rule.enabled,
        "field": getattr(rule, "field", ""),
        "tiers": exact(rule),
        "unit": unit(rule),
        "for": rule.for_,
        "keep_firing_for": rule.keep_firing_for,
        "labels": rule.labels,
    }
