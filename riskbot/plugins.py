"""Finding what plugins offer. The stock parts come through the same hooks as a stranger's."""

from __future__ import annotations

import importlib
from itertools import chain

import pluggy

from riskbot import hookspecs
from riskbot.rules import Rule

STOCK = (
    "riskbot.builtin.key_safety",
    "riskbot.builtin.expression",
    "riskbot.builtin.time_to",
    "riskbot.builtin.becomes",
    "riskbot.builtin.rules",
)
"""pluggy asks the last one first."""


def manager() -> pluggy.PluginManager:
    """A manager with the stock plugins registered. Raises pluggy.PluginValidationError for a misspelt hook."""
    found = pluggy.PluginManager("riskbot")
    found.add_hookspecs(hookspecs)
    for name in STOCK:
        found.register(importlib.import_module(name), name)
    found.check_pending()
    return found


def kinds(found: pluggy.PluginManager) -> dict[str, type[Rule]]:
    """Every kind of rule by the word that a trader writes. Raises ValueError where two offer the same."""
    known: dict[str, type[Rule]] = {}
    for kind in chain.from_iterable(offered or () for offered in found.hook.register_rules()):
        if kind.KIND in known:
            raise ValueError(f'two plugins offer the kind "{kind.KIND}"')
        known[kind.KIND] = kind
    return known
