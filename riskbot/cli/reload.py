"""riskbot reload: what a changed rules file would do to what is open; then, do it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import stored
from riskbot.cli.common import config_option, console, echo_json, fail, json_option, load_all

if TYPE_CHECKING:
    from riskbot.engine import Step
    from riskbot.model import Alerts, Event
    from riskbot.rules import Rule
    from riskbot.settings import Config
    from riskbot.store import Message
    from riskbot.store.peek import Look


@click.command("reload")
@config_option
@click.option("--plan", "only_plan", is_flag=True, help="Only say what it would do.")
@json_option
def command(path: Path, *, only_plan: bool, as_json: bool) -> None:
    """Check the rules file wholly, say what it changes for what is open, and have the running riskbot take it up.

    riskbot takes up a changed file by itself, too, some seconds after it was saved. To see the plan first, edit a
    copy beside it: riskbot reload --plan -c new.toml

    Exit codes: 0 done, 1 riskbot is not running or there is no database, 2 the rules file is wrong; nothing was done.
    """
    from riskbot.builtin.apprise.notifier import check_url  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store.outbox import WAITING  # noqa: PLC0415 - see cli/__init__.py

    config, found = load_all(path, check_url=check_url)
    seen = stored.look_into(config.db, WAITING)
    plan = _plan(config, found.names(), seen)
    if as_json:
        echo_json(plan)
    else:
        _show(path, plan)
    if not only_plan:
        _send(seen.pid, path, quiet=as_json)


def _send(pid: int, path: Path, *, quiet: bool) -> None:
    """Ask the running riskbot to read its file."""
    try:
        if not pid:
            raise ProcessLookupError  # noqa: TRY301 - one way out
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        fail("riskbot is not running: it takes up the file when it starts.", 1)
    except PermissionError:
        fail(f"riskbot (process {pid}) belongs to another user: do this as that user, or with systemctl reload.", 1)
    if not quiet:
        click.echo(f"riskbot (process {pid}) takes up {path} now. Should it find it bad, it tells your receivers.")


# What it would do.


def _plan(config: Config, plugins: list[str], seen: Look) -> dict[str, Any]:
    """Everything, computed as riskbot itself does it."""
    found: dict[str, Any] = {"closed": [], "renamed": [], "rejudged": [], "told": []}
    for account, alerts in _remembered(config, seen).items():
        rules = _rules_of(account, config, plugins)
        step = _adopted(account, rules, alerts)
        found["closed"] += [_closed(event) for event in step.events]
        found["renamed"] += _renamed(account, rules, alerts, step.alerts)
        found["rejudged"] += _rejudged(account, rules, step.alerts)
        found["told"] += [_said(message) for message in _messages(account, rules, step, config)]
    return {**found, **_names(config, seen)}


def _remembered(config: Config, seen: Look) -> dict[str, Alerts]:
    """The alerts of every account; of a new one there are none yet."""
    from riskbot.model import Alerts  # noqa: PLC0415 - see cli/__init__.py

    return {**{account.name: Alerts() for account in config.accounts}, **seen.alerts}


def _rules_of(account: str, config: Config, plugins: list[str]) -> list[Rule]:
    """Those in force for it; for riskbot itself its own, for an account that the file has no more, none."""
    from riskbot.service.selfwatch import health  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import SELF  # noqa: PLC0415 - see cli/__init__.py

    names = [a.name for a in config.accounts]
    if account == SELF:
        return [health(config.receivers, names, plugins)]
    return [rule for rule in config.rules if account in names and rule.watches(account)]


def _adopted(account: str, rules: list[Rule], alerts: Alerts) -> Step:
    from riskbot.engine import adopt  # noqa: PLC0415 - see cli/__init__.py

    return adopt(account, rules, alerts, stored.now())


def _closed(event: Event) -> dict[str, Any]:
    why = "its rule is gone" if event.cause == "rule_removed" else "its rule is not about it any more"
    return {**_alert(event.account, event.rule, event.subject), "severity": event.before.label, "why": why}


def _alert(account: str, rule: str, subject: str) -> dict[str, Any]:
    return {"account": account, "rule": rule, "subject": subject}


def _renamed(account: str, rules: Iterable[Rule], before: Alerts, after: Alerts) -> list[dict[str, Any]]:
    return [
        {"account": account, "from": rule.renamed_from, "to": rule.name}
        for rule in rules
        if rule.renamed_from in before.alerts and rule.renamed_from not in after.alerts
    ]


def _rejudged(account: str, rules: Iterable[Rule], alerts: Alerts) -> list[dict[str, Any]]:
    """Alerts that another ladder has judged so far."""
    return [
        {**_alert(account, rule.name, subject), "severity": alert.shown.label}
        for rule in rules
        for subject, alert in alerts.alerts.get(rule.name, {}).items()
        if (alert.shown or alert.up) and alert.mark not in ("", rule.compiled.ladder.mark)
    ]


def _messages(account: str, rules: list[Rule], step: Step, config: Config) -> tuple[Message, ...]:
    """What would be told at once: of what is closed, and to whom has not heard of what is open."""
    from riskbot import delivery  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.history import History  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.model import View  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.rules import tell  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.snapshot import Snapshot  # noqa: PLC0415 - see cli/__init__.py

    now, by_name = stored.now(), {rule.name: rule for rule in rules}
    view = View(account, now, Snapshot({"details": []}), History(), alerts=step.alerts)
    events = [*step.events, *delivery.ongoing(account, step.alerts, now)]
    receivers = [settings.receiver(name) for name, settings in config.receivers.items()]
    return delivery.plan(
        step.alerts, events, by_name, receivers, lambda event: tell(by_name.get(event.rule), view, event)
    ).messages


def _said(message: Message) -> dict[str, Any]:
    return {"receiver": message.receiver, "title": message.title, "severity": message.after.label}


def _names(config: Config, seen: Look) -> dict[str, Any]:
    """Names that come and go, as far as anything is remembered of them."""
    from riskbot.settings import SELF  # noqa: PLC0415 - see cli/__init__.py

    accounts = {name: alerts for name, alerts in seen.alerts.items() if name != SELF}
    rules = dict.fromkeys(rule for alerts in accounts.values() for rule in alerts.alerts)
    told = dict.fromkeys(name for alerts in seen.alerts.values() for name in alerts.told)
    waiting = dict.fromkeys(message.receiver for _, message in seen.rows)
    now = {rule.name for rule in config.rules if rule.enabled}
    names = {account.name for account in config.accounts}
    former = {rule.renamed_from for rule in config.rules}
    return {
        "rules_gone": [name for name in rules if name not in now and name not in former],
        "rules_without_memory": [rule.name for rule in config.rules if rule.enabled and rule.name not in rules],
        "accounts_gone": [name for name in accounts if name not in names],
        "accounts_new": [account.name for account in config.accounts if account.name not in accounts],
        "receivers_gone": [name for name in {**told, **waiting} if name not in config.receivers],
    }


# For people.


def _show(path: Path, plan: dict[str, Any]) -> None:
    out = console()
    lines = list(_lines(plan))
    out.print(f"{path} is right.", markup=False, emoji=False, soft_wrap=True, style="green")
    if not any(plan[key] for key in ("closed", "renamed", "rejudged", "told")):
        lines.append("Nothing changes for what is open.")
    for line in lines:
        out.print(stored.plain(line), markup=False, emoji=False, soft_wrap=True)


def _lines(plan: dict[str, Any]) -> Iterator[str]:
    for row in plan["closed"]:
        yield f"closes      {stored.headline(row)}: {row['why']}"
    for row in plan["renamed"]:
        yield f"renames     {row['account']} · {row['from']} → {row['to']}: its alerts move along"
    for row in plan["rejudged"]:
        yield f"re-judges   {stored.headline(row)}: its rule was changed; the next value decides"
    for row in plan["told"]:
        yield f"tells       {row['receiver']}: {row['title']}"
    for key, (what, means) in _WORDS.items():
        for name in plan[key]:
            yield f"{what:<11} {name}: {means}"
    if calm := plan["rules_without_memory"]:
        yield f"Nothing is remembered of {', '.join(calm)}: new in the file, or calm so far."


_WORDS = {
    "accounts_gone": ("account", "not in the file any more; what it had open is closed"),
    "accounts_new": ("account", "new, watched from now on"),
    "receivers_gone": ("receiver", "not in the file any more; told no more, its fallback is told what it was not"),
    "rules_gone": ("rule", "not in the file any more, or off"),
}
"""What is said of names: of what, and what has become of it."""
