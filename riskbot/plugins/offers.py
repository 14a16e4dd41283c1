"""What one plugin offers, asked of it and checked. All that is wrong is told with the plugin's file and line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
import pluggy
from msgspec import Struct

from riskbot import hookspecs
from riskbot.plugins.blame import Refused, line_of, raised
from riskbot.rules import Rule, suggest

HOOKS = tuple(name for name, hook in vars(hookspecs).items() if hasattr(hook, "riskbot_spec"))
"""The names of all hooks."""


class Hook(Struct, frozen=True):
    """A function of a plugin that is called while riskbot watches. arguments: those that it takes."""

    plugin: str
    file: str
    name: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]

    def __call__(self, **given: object) -> object:
        """Call it with those of the arguments that it takes."""
        return self.function(*(given[name] for name in self.arguments))


class Plugin(Struct, frozen=True):
    """A plugin and what it offers, by the words for it. file: where it is, for people.

    hash: SHA-256 of the file as it was loaded; "": it is none.
    """

    name: str
    file: str
    kinds: Mapping[str, type[Rule]] = {}
    sources: Mapping[str, Callable[..., Any]] = {}
    notifiers: Mapping[str, Callable[..., Any]] = {}
    commands: Mapping[str, click.Command] = {}
    hooks: tuple[Hook, ...] = ()
    hash: str = ""

    def offers(self) -> list[str]:
        """Each in a few words: `kind concentration`."""
        parts = {"kind": self.kinds, "source": self.sources, "notifier": self.notifiers, "command": self.commands}
        named = [f"{what} {word}" for what, words in parts.items() for word in words]
        return [*named, *(hook.name for hook in self.hooks)]


def ask(found: pluggy.PluginManager, name: str, module: object, file: str) -> Plugin:
    """Register a plugin and ask it what it offers. Raises Refused; then it is not registered."""
    try:
        _register(found, name, module, file)
        return _offers(found, name, file)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit included
        if found.has_plugin(name):
            found.unregister(name=name)
        raise error if isinstance(error, Refused) else raised(error, file) from None


def _register(found: pluggy.PluginManager, name: str, module: object, file: str) -> None:
    for hook in sorted(vars(module)) if inspect.ismodule(module) else ():
        _check_spelling(found, module, hook, file)
    try:
        found.register(module, name)
        found.check_pending()
    except pluggy.PluginValidationError as error:
        raise Refused(file, str(error).splitlines()[-1]) from None
    if not found.get_hookcallers(module):
        why = "it offers nothing: no function is marked with @hookimpl; a file that is no plugin is named _….py"
        raise Refused(file, why)


def _check_spelling(found: pluggy.PluginManager, module: object, name: str, file: str) -> None:
    """By itself pluggy would pass over a hook without its mark, and takes an async one as it is."""
    function = getattr(module, name)
    marked = found.parse_hookimpl_opts(module, name)
    if marked is None:
        if name in HOOKS and inspect.isfunction(function):
            raise Refused(line_of(function, file), f"{name} is not marked: write @hookimpl above it")
        return
    if name not in HOOKS:
        why = f'there is no hook "{name}"{suggest(name, HOOKS) or "; there are " + ", ".join(HOOKS)}'
        raise Refused(line_of(function, file), why)
    if marked["wrapper"] or marked["hookwrapper"]:
        raise Refused(line_of(function, file), f"{name} is a wrapper: riskbot has none, write a plain @hookimpl")
    _check_arguments(function, name, file)
    _check_sync(function, name, file)


def _check_arguments(function: Callable[..., Any], name: str, file: str) -> None:
    known = list(inspect.signature(getattr(hookspecs, name)).parameters)
    for argument in inspect.signature(function).parameters:
        if argument not in known:
            takes = f"it may take {', '.join(known)}" if known else "it takes none"
            raise Refused(line_of(function, file), f'{name} has no argument "{argument}"; {takes}')


def _check_sync(function: object, name: str, file: str) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise Refused(line_of(function, file), f"{name} is async, and nobody would await it: write a plain def")


def _offers(found: pluggy.PluginManager, name: str, file: str) -> Plugin:
    given = dict[str, Any]()
    hooks = []
    for hook in HOOKS:
        for own in (impl for impl in getattr(found.hook, hook).get_hookimpls() if impl.plugin_name == name):
            if hook in _CHECKS:
                given[hook] = _asked(own.function, hook, file)
            else:
                hooks.append(Hook(name, file, hook, own.function, tuple(own.argnames)))
    kinds = given.get("register_rules", {})
    for kind in kinds.values():
        if not kind.__module__.startswith("riskbot.builtin."):  # one that is only handed on is not the plugin's
            kind.PLUGIN = name
    others = {field: given.get(f"register_{field}", {}) for field in ("sources", "notifiers", "commands")}
    return Plugin(name, file, kinds, hooks=tuple(hooks), **others)


def _asked(function: Callable[..., Any], hook: str, file: str) -> dict[str, Any]:
    """What a `register_…` gives, by the words for it."""
    given = function()
    return {} if given is None else dict(_CHECKS[hook](given, line_of(function, file), file))


# ---------------------------------------------------------------- what each may give

_METHODS = ("readings", "say", "explain", "ladder", "wants", "columns", "covers", "keeps")
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_OWN = ("okx",)


def _kinds(given: object, where: str, file: str) -> Iterator[tuple[str, type[Rule]]]:
    if not isinstance(given, list | tuple):
        raise Refused(where, f"register_rules gave {_a(given)} where a list of Rule classes is due")
    for kind in given:
        if not (isinstance(kind, type) and issubclass(kind, Rule)):
            raise Refused(where, f"register_rules gave {_a(kind)} in its list where a class of Rule is due")
        _check_kind(kind, where, file)
        yield kind.KIND, kind
    words = [kind.KIND for kind in given]
    if twice := {word for word in words if words.count(word) > 1}:
        raise Refused(where, f'it offers the kind "{twice.pop()}" twice')


def _check_kind(kind: type[Rule], where: str, file: str) -> None:
    name = kind.__name__
    if not _WORD.fullmatch(kind.KIND):
        raise Refused(where, f'{name} has no kind of small letters: write class {name}(Rule, kind="…", worse="above")')
    if kind.readings is Rule.readings:
        raise Refused(where, f"{name} measures nothing: write its method readings(self, view)")
    if kind.ladder is Rule.ladder and kind.WORSE not in kind.model_fields:
        raise Refused(where, f'{name} has no tiers: write class {name}(Rule, kind="{kind.KIND}", worse="above")')
    if kind.watches is not Rule.watches:
        raise Refused(line_of(kind.watches, file), f"{name}.watches is riskbot's own: leave it out")
    for method in _METHODS:
        _check_sync(getattr(kind, method), f"{name}.{method}", file)


def _makers(what: str, word: re.Pattern[str]) -> Callable[..., Iterator[tuple[str, Callable[..., Any]]]]:
    def check(given: object, where: str, file: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        if not isinstance(given, dict):
            raise Refused(where, f"{what} gave {_a(given)} where a dict of names and what makes one is due")
        for name, make in given.items():
            if not (isinstance(name, str) and word.fullmatch(name)):
                raise Refused(where, f"{what}: a name is written in small letters, without ://")
            if name in _OWN:
                raise Refused(where, f'{what}: "{name}" is riskbot\'s own, give another name')
            if not callable(make):
                raise Refused(where, f'{what}: "{name}" is {_a(make)} where a class or a function is due')
            _check_sync(make, f'what makes "{name}"', file)
            yield name, make

    return check


def _commands(given: object, where: str, file: str) -> Iterator[tuple[str, click.Command]]:
    del file
    if not isinstance(given, list | tuple):
        raise Refused(where, f"register_commands gave {_a(given)} where a list of click commands is due")
    for command in given:
        if not isinstance(command, click.Command) or not command.name:
            raise Refused(where, f"register_commands gave {_a(command)} in its list where a named click command is due")
        yield command.name, command


def _a(given: object) -> str:
    """`an int`, `the class Foo`."""
    word = type(given).__name__
    return f"the class {given.__name__}" if isinstance(given, type) else f"a{'n' * (word[0] in 'aeiou')} {word}"


_CHECKS: dict[str, Callable[[object, str, str], Iterator[tuple[str, Any]]]] = {
    "register_rules": _kinds,
    "register_sources": _makers("register_sources", _WORD),
    "register_notifiers": _makers("register_notifiers", _SCHEME),
    "register_commands": _commands,
}
