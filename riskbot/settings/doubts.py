"""What is usable in a rules file, but should be looked at."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from riskbot.model import Severity
from riskbot.rules import Rule
from riskbot.settings.model import Loc, ReceiverSettings, named, tables
from riskbot.settings.secrets import Secrets

SILENT = {"dbus", "glib", "gnome", "kde", "macosx", "mailto", "mailtos", "qt", "rsyslog", "syslog", "windows"}
"""Schemas of Apprise that nobody hears who does not sit before a screen."""


def open_secrets(path: Path, document: dict[str, Any]) -> Iterator[Loc]:
    """Secrets that stand in a file which others may read; the first of them is told."""
    if not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return
    for i, account in tables(document, "accounts"):
        for key in ("api_key", "api_secret", "passphrase"):
            if key in account and not Secrets.refers(account[key]):
                yield Loc(("accounts", i, key), _open_secret(path, key))
                return
    if not Secrets.refers(named(document, "heartbeat").get("url", "file:")):
        yield Loc(("heartbeat", "url"), _open_secret(path, "url"))
        return
    for name, receiver in named(document, "receivers").items():
        url = receiver["url"]
        if not Secrets.refers(url) and not re.fullmatch(r"\w+://[^/?@]*/?", url):
            yield Loc(("receivers", name, "url"), _open_secret(path, "url"))
            return
    token = named(document, "web").get("token")
    if token and not Secrets.refers(token):
        yield Loc(("web", "token"), _open_secret(path, "token"))


def _open_secret(path: Path, key: str) -> str:
    return f"{key}: others can read this file and the secret in it: chmod 600 {path.name}, or write ${{NAME}}"


def unheard(receivers: dict[str, ReceiverSettings], rules: dict[int, Rule]) -> Iterator[Loc]:
    """Danger that would be told to nobody."""
    if all(receiver.severity > Severity.CRITICAL for receiver in receivers.values()):
        yield Loc(("receivers",), "critical alerts are told to nobody: each min_severity is above them")
    elif not any(map(_wakes, receivers.values())):
        yield Loc(("receivers",), "critical alerts go by e-mail or to a screen alone: nothing will wake you")
    for i, rule in rules.items():
        if rule.enabled:
            yield from _unheard_of(("rules", i), rule, receivers)
    if not any(rule.enabled and not rule.ALWAYS_ON for rule in rules.values()):
        yield Loc(("rules",), "no rule is on: only blindness will be told")


def _wakes(receiver: ReceiverSettings) -> bool:
    """May it, for all that can be known, make a sound at night that something critical has happened?"""
    schema = receiver.url.get_secret_value().partition("://")[0].lower()
    return receiver.severity <= Severity.CRITICAL and schema not in SILENT


def _unheard_of(loc: tuple[str | int, ...], rule: Rule, receivers: dict[str, ReceiverSettings]) -> Iterator[Loc]:
    for key in ("accounts", "ccy", "receivers"):
        if getattr(rule, key) == ():
            yield Loc((*loc, key), f"{key} = [] leaves nothing over: the rule will never be told; name some")
    worst = max((rung.severity for rung in rule.compiled.ladder.rungs), default=Severity.OK)
    named = receivers if rule.receivers is None else rule.receivers
    if named and all(receivers[name].severity > worst for name in named):
        yield Loc(loc, f"told to nobody: its worst tier is {worst.label}, and each min_severity is above that")
