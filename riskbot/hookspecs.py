"""What a plugin may offer: each hook is a plain function of the plugin, marked with `@hookimpl`.

Hooks are synchronous and declare; the work is in the methods of what they return. `register_…` is asked once, when
the plugin is loaded, and gives None for "nothing". A hook may leave out arguments that it does not need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from riskbot.model import Event, View
    from riskbot.notify import Notifier
    from riskbot.rules import Rule
    from riskbot.settings import AccountSettings
    from riskbot.source import Source

hookspec = pluggy.HookspecMarker("riskbot")
hookimpl = pluggy.HookimplMarker("riskbot")


@hookspec
def register_rules() -> list[type[Rule]] | None:
    """Kinds of rules: subclasses of `Rule`, each with a `kind` that nobody else has."""


@hookspec
def register_sources() -> dict[str, Callable[[AccountSettings], Source]] | None:
    """What `source = "…"` of an account may say, and how such a source is made. Making one does no I/O."""


@hookspec
def register_notifiers() -> dict[str, Callable[[str], Notifier]] | None:
    """Schemes of receivers' URLs, and how a notifier is made of such a URL: they come before Apprise's.

    Making one does no I/O and raises ValueError for a bad URL, in words that do not repeat it.
    """


@hookspec
def register_commands() -> list[click.Command] | None:
    """More words for the command line: `riskbot NAME`."""


@hookspec
def render(event: Event, view: View, headline: str, lines: list[str]) -> tuple[str, list[str]] | None:
    """Other words for a message, asked before it is saved; None: these will do. The first answer counts."""


@hookspec
def on_transition(event: Event) -> None:
    """Called for each change of an alert, after it is saved. It can only watch."""
