"""Finding what plugins offer."""

from __future__ import annotations

import types

import pluggy
import pytest

from riskbot import plugins
from riskbot.hookspecs import hookimpl
from riskbot.rules import Rule


class Own(Rule, kind="own", worse="above"):
    """A stranger's kind."""


def module(name: str, **hooks: object) -> types.ModuleType:
    made = types.ModuleType(name)
    for key, hook in hooks.items():
        setattr(made, key, hookimpl(hook))  # type: ignore[call-overload] # a function each time
    return made


def test_the_stock_kinds_are_found() -> None:
    kinds = plugins.kinds(plugins.manager())

    assert set(kinds) == {
        "margin_ratio",
        "level",
        "change",
        "threshold",
        "blind",
        "becomes",
        "key_safety",
        "time_to",
        "expression",
    }
    assert all(word == kind.KIND and kind.__doc__ for word, kind in kinds.items())


def test_a_stranger_s_kind_stands_beside_them() -> None:
    found = plugins.manager()
    found.register(module("own", register_rules=lambda: [Own]))
    found.register(module("none", register_rules=lambda: None))

    assert plugins.kinds(found)["own"] is Own
    assert len(plugins.kinds(found)) == 1 + len(plugins.kinds(plugins.manager()))


def test_two_kinds_of_one_name_are_refused() -> None:
    class Impostor(Rule, kind="margin_ratio", worse="above"):
        """Would take the stock one's place."""

    found = plugins.manager()
    found.register(module("impostor", register_rules=lambda: [Impostor]))

    with pytest.raises(ValueError, match='two plugins offer the kind "margin_ratio"'):
        plugins.kinds(found)


def test_a_misspelt_hook_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = module("wrong", register_rule=lambda: [Own])
    monkeypatch.setattr(plugins, "STOCK", (*plugins.STOCK, "wrong"))
    monkeypatch.setitem(__import__("sys").modules, "wrong", wrong)

    with pytest.raises(pluggy.PluginValidationError, match="register_rule"):
        plugins.manager()
