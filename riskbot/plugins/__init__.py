"""Finding what plugins offer. The stock parts come through the same hooks as a stranger's.

files.py: one-file plugins, and whether they can be trusted. offers.py: what one offers, checked. blame.py: what is
wrong with it, at which line.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from pathlib import Path
from typing import Any

import click
import pluggy
from msgspec import Struct
from msgspec.structs import replace

from riskbot import hookspecs
from riskbot.plugins import files
from riskbot.plugins.blame import Refused, Trouble, line_of, raised
from riskbot.plugins.offers import Hook, Plugin, ask
from riskbot.rules import Rule

__all__ = ["Hook", "Plugin", "Plugins", "Trouble", "kinds", "load", "manager"]

STOCK = (
    "riskbot.builtin.key_safety",
    "riskbot.builtin.expression",
    "riskbot.builtin.time_to",
    "riskbot.builtin.becomes",
    "riskbot.builtin.blind",
    "riskbot.builtin.threshold",
    "riskbot.builtin.change",
    "riskbot.builtin.level",
    "riskbot.builtin.margin_ratio",
)
"""pluggy asks the last one first."""
GROUP = "riskbot"
"""The entry points of installed packages."""


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


class Plugins(Struct, frozen=True):
    """All plugins of a rules file and what they offer; `kinds` has the stock ones too.

    troubles: what is wrong with some. renders, watchers: the hooks `render` and `on_transition`, in the order in
    which they are asked.
    """

    plugins: tuple[Plugin, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    folders: tuple[Path, ...] = ()
    kinds: Mapping[str, type[Rule]] = {}
    sources: Mapping[str, Callable[..., Any]] = {}
    notifiers: Mapping[str, Callable[..., Any]] = {}
    commands: Mapping[str, click.Command] = {}
    renders: tuple[Hook, ...] = ()
    watchers: tuple[Hook, ...] = ()

    def names(self) -> list[str]:
        """Of all that there are, sound or not."""
        return list(dict.fromkeys([*(p.name for p in self.plugins), *(t.plugin for t in self.troubles)]))

    def files(self) -> list[Path]:
        """Those that there are now, in its folders."""
        return [path for folder in self.folders for path in files.files(folder)]


def load(folders: Iterable[Path] = ()) -> Plugins:
    """The stock parts, then those of installed packages, then each file of the folders, afresh. Never raises.

    One that is wrong offers nothing. Where two offer the same word, the first has it.
    """
    found, folders = manager(), tuple(folders)
    plugins, troubles = list[Plugin](), list[Trouble]()
    for name, where, get in chain(_installed(), _in_folders(folders, troubles)):
        try:
            _check_name(name, where, plugins)
            module = get()
            plugins.append(replace(ask(found, name, module, where), hash=files.hash_of(module)))
        except Refused as error:
            troubles.append(Trouble(name, error.where, error.why))
    everybody = [Plugin("riskbot", "riskbot itself", kinds(manager())), *plugins]
    words = {what: _merged(what, everybody, troubles) for what in ("kinds", "sources", "notifiers", "commands")}
    renders, watchers = (_in_order(found, hook, plugins) for hook in ("render", "on_transition"))
    return Plugins(tuple(plugins), tuple(troubles), folders, **words, renders=renders, watchers=watchers)


def _merged(what: str, plugins: Iterable[Plugin], troubles: list[Trouble]) -> dict[str, Any]:
    """What all of them offer of one sort."""
    found, whose = dict[str, Any](), dict[str, Plugin]()
    for plugin in plugins:
        for word, offer in getattr(plugin, what).items():
            if word in found:
                why = (
                    f'the {what.removesuffix("s")} "{word}" is there already, from {whose[word].file}: that one is used'
                )
                where = line_of(getattr(offer, "readings", offer), plugin.file)
                troubles.append(Trouble(plugin.name, where, why))
            else:
                found[word], whose[word] = offer, plugin
    return found


def _in_order(found: pluggy.PluginManager, name: str, plugins: Iterable[Plugin]) -> tuple[Hook, ...]:
    """The hooks of that name as pluggy would call them: the last one registered first, but for tryfirst and trylast."""
    by_plugin = {plugin.name: hook for plugin in plugins for hook in plugin.hooks if hook.name == name}
    impls = reversed(getattr(found.hook, name).get_hookimpls())
    return tuple(by_plugin[impl.plugin_name] for impl in impls)


def _check_name(name: str, where: str, plugins: Iterable[Plugin]) -> None:
    for plugin in plugins:
        if plugin.name == name:
            raise Refused(where, f"another plugin has the same name, {plugin.file}: rename one")


_Candidate = tuple[str, str, Callable[[], object]]
"""A plugin's name, where it is, and how to get its module; that raises Refused."""


def _installed() -> Iterator[_Candidate]:
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        where = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value

        yield entry.name, where, partial(_imported, entry, where)


def _imported(entry: EntryPoint, where: str) -> object:
    try:
        return entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit included
        raise raised(error, where) from None


def _in_folders(folders: Iterable[Path], troubles: list[Trouble]) -> Iterator[_Candidate]:
    for folder in folders:
        try:
            files.trust(folder)
        except (Refused, OSError) as error:
            troubles.append(Trouble(folder.name, str(folder), str(error)))
            continue
        for path in files.files(folder):
            yield path.stem, str(path), partial(files.run, path)
