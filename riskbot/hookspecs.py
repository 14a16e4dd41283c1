"""What a plugin may offer. Every hook is asked once, when riskbot starts.

A hook is a plain function marked with `@hookimpl`; it gives a list, or None for "nothing". The work is in the
methods of what it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from riskbot.rules import Rule

hookspec = pluggy.HookspecMarker("riskbot")
hookimpl = pluggy.HookimplMarker("riskbot")


@hookspec
def register_rules() -> list[type[Rule]] | None:
    """Kinds of rules: subclasses of `Rule`, each with a `kind` that nobody else has."""
