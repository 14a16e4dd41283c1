"""riskbot: the watchman for leveraged OKX accounts. What can be imported from here is all that a plugin needs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from riskbot.fields import MISSING, NOT_APPLICABLE
    from riskbot.history import History, Want
    from riskbot.hookspecs import hookimpl
    from riskbot.model import AccountInfo, Cause, Event, Reading, Severity, View
    from riskbot.notify import Notifier, Outcome, Text, Verdict
    from riskbot.rules import Above, AmountPath, Below, Currency, Duration, Ladder, LevelPath, Number, Rule, TierName
    from riskbot.settings import AccountSettings
    from riskbot.snapshot import Balance, Snapshot
    from riskbot.source import Remedy, Source, SourceError

__version__ = "0.1.0"

__all__ = [
    "MISSING",
    "NOT_APPLICABLE",
    "Above",
    "AccountInfo",
    "AccountSettings",
    "AmountPath",
    "Balance",
    "Below",
    "Cause",
    "Currency",
    "Duration",
    "Event",
    "History",
    "Ladder",
    "LevelPath",
    "Notifier",
    "Number",
    "Outcome",
    "Reading",
    "Remedy",
    "Rule",
    "Severity",
    "Snapshot",
    "Source",
    "SourceError",
    "Text",
    "TierName",
    "Verdict",
    "View",
    "Want",
    "hookimpl",
]

_HOMES = {
    "fields": ("MISSING", "NOT_APPLICABLE"),
    "history": ("History", "Want"),
    "hookspecs": ("hookimpl",),
    "model": ("AccountInfo", "Cause", "Event", "Reading", "Severity", "View"),
    "notify": ("Notifier", "Outcome", "Text", "Verdict"),
    "rules": (
        *("Above", "AmountPath", "Below", "Currency", "Duration"),
        *("Ladder", "LevelPath", "Number", "Rule", "TierName"),
    ),
    "settings": ("AccountSettings",),
    "snapshot": ("Balance", "Snapshot"),
    "source": ("Remedy", "Source", "SourceError"),
}
_HOME = {name: f"riskbot.{home}" for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # or every misspelt name would be an object to mypy

    def __getattr__(name: str) -> object:
        """Import what is asked for when it is asked for: `riskbot --help` needs none of it."""
        if name not in _HOME:
            raise AttributeError(f"module 'riskbot' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOME[name]), name)
