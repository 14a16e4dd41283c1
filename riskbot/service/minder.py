"""Calls what plugins offer while riskbot watches. What is wrong with one is told as `plugin NAME` of riskbot itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import TypeGuard

from msgspec.structs import replace

from riskbot import text
from riskbot.health import Problem, Problems, about_plugin
from riskbot.model import Event, View
from riskbot.plugins import Hook, Plugins
from riskbot.plugins.blame import raised
from riskbot.rules import Measured, Rule, measure, tell
from riskbot.service import clock as clocks
from riskbot.service.clock import Clock
from riskbot.service.leash import Overdue, leash

log = logging.getLogger("riskbot")

TOO_LONG = 0.5
"""Seconds that a plugin may take for one call. All accounts wait for it."""
SHARE, LONGEST_REST = 20, 300.0
"""One that took longer is left alone for so many times as long, so that it gets a twentieth of the time at most."""
WELL_AFTER = 600.0
"""Seconds without a failure after which a plugin works again."""


class Minder:
    """Calls what plugins offer. None of these calls raises, and none takes the others' time for long."""

    def __init__(self, clock: Clock, problems: Problems, stopwatch: Callable[[], float] = clocks.stopwatch) -> None:
        self._clock, self._problems, self._stopwatch = clock, problems, stopwatch
        self._plugins = Plugins()
        self._redact: Callable[[str], str] = text.encodable
        self._rests: dict[str, tuple[float, str]] = {}
        """Until when what took too long is left alone, and why; shared by all accounts."""
        self._failed_at: dict[str, float] = {}

    def use(self, plugins: Plugins, redact: Callable[[str], str] = str) -> None:
        """From now on these. redact: takes out of their words what nobody may see."""
        gone = set(self._plugins.names()) - set(plugins.names())
        self._plugins, self._rests, self._failed_at = plugins, {}, {}
        self._redact = lambda words: text.encodable(redact(words))
        for name in gone:
            self._problems.forget(about_plugin(name))
        for name in plugins.names():
            self._problems.clear(about_plugin(name))
        for trouble in plugins.troubles:
            self._fail(trouble.plugin, str(trouble))

    def look(self, now: float) -> None:
        """Take it that plugins work which have not failed for a while."""
        for name in [name for name, at in self._failed_at.items() if now - at > WELL_AFTER]:
            del self._failed_at[name]
            if name not in {trouble.plugin for trouble in self._plugins.troubles}:
                self._problems.clear(about_plugin(name))

    # The calls.

    def ask(self, rule: Rule, view: View) -> Measured:
        """Ask a rule. While one is left alone, since it took too long, it has no data: that is told too."""
        if not rule.PLUGIN:
            return measure(rule, view)
        key, began = f"rule {rule.name}", self._stopwatch()
        if why := self._resting(key, began):
            return Measured(missing=why, complete=False)
        answer = self._clean(self._measured(rule, view))
        if answer.failed:
            self._failed(rule.PLUGIN, f'rule "{rule.name}": {answer.missing}')
        self._mind_time(rule.PLUGIN, key, began)
        return answer

    @staticmethod
    def _measured(rule: Rule, view: View) -> Measured:
        try:
            with leash():
                return measure(rule, view)
        except Overdue as error:  # at the last moment, when the rule itself had ended
            return Measured(missing=str(error), complete=False, failed=True)

    def _clean(self, answer: Measured) -> Measured:
        """Without secrets in its words: they are told, and remembered."""
        readings = answer.readings
        if any(reading.ccy and self._redact(reading.ccy) != reading.ccy for reading in readings):
            return Measured(missing="gave a reading whose ccy holds a secret", complete=False, failed=True)
        if any(reading.note for reading in readings):
            readings = tuple(replace(reading, note=self._redact(reading.note)) for reading in readings)
        return replace(answer, readings=readings, missing=self._redact(answer.missing))

    def compose(self, rule: Rule | None, view: View, event: Event) -> tuple[str, list[str]]:
        """A message in the rule's words, or in those of the first plugin that has others."""
        headline, lines = self._composed(rule, view, event)
        return self._redact(headline), [self._redact(line) for line in lines]

    def _composed(self, rule: Rule | None, view: View, event: Event) -> tuple[str, list[str]]:
        headline, lines = self._told(rule, view, event)
        for hook in self._plugins.renders:
            given = self._call(hook, event=event, view=view, headline=headline, lines=list(lines))
            if given is None:
                continue
            if are_words(given):
                return given[0], list(given[1])
            self._failed(hook.plugin, f"{hook.file}: render gave {type(given).__name__}, not (headline, lines) or None")
        return headline, lines

    def _told(self, rule: Rule | None, view: View, event: Event) -> tuple[str, list[str]]:
        if rule is None or not rule.PLUGIN:
            return tell(rule, view, event)
        key, began = f"rule {rule.name}'s words", self._stopwatch()
        if self._resting(key, began):
            return Rule.say(rule, event), []
        try:
            with leash():
                return tell(rule, view, event)
        except Overdue as error:  # as above
            return Rule.say(rule, event), [str(error)]
        finally:
            self._mind_time(rule.PLUGIN, key, began)

    def heard(self, event: Event) -> None:
        """Have plugins hear of a change."""
        for hook in self._plugins.watchers:
            self._call(hook, event=event)

    def _call(self, hook: Hook, **given: object) -> object:
        key, began = f"{hook.plugin}.{hook.name}", self._stopwatch()
        if self._resting(key, began):
            return None
        try:
            with leash():
                return hook(**given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything; nothing is awaited here
            blamed = raised(error, hook.file)
            self._failed(hook.plugin, f"{blamed.where}: {hook.name}: {blamed.why}")
            return None
        finally:
            self._mind_time(hook.plugin, key, began)

    # How long they take.

    def _resting(self, key: str, now: float) -> str:
        until, why = self._rests.get(key, (0.0, ""))
        return why if now < until else ""

    def _mind_time(self, plugin: str, key: str, began: float) -> None:
        now = self._stopwatch()
        if now - began <= TOO_LONG:
            return
        rest = min(SHARE * (now - began), LONGEST_REST)
        why = f"{key} took {now - began:.1f} s, and all accounts wait for it: it is asked only every {text.span(rest)}"
        self._rests[key] = now + rest, why
        self._failed(plugin, why)

    # What is wrong.

    def _failed(self, plugin: str, why: str) -> None:
        self._failed_at[plugin] = self._clock.now()
        self._fail(plugin, why)

    def _fail(self, plugin: str, why: str) -> None:
        why = self._redact(why)
        if about_plugin(plugin) not in self._problems:
            log.error("plugin %s: %s", plugin, why)
        self._problems.fail(about_plugin(plugin), Problem(self._clock.now(), why, 0.0, inf))


def are_words(given: object) -> TypeGuard[tuple[str, list[str]]]:
    """Is it what a `render` may give: a headline, and the lines below it?"""
    if not isinstance(given, tuple) or len(given) != 2:
        return False
    headline, lines = given
    return (
        isinstance(headline, str) and isinstance(lines, list | tuple) and all(isinstance(line, str) for line in lines)
    )
