"""Finding cases: in a rules file and what it includes, in files of their own; each with what it is played with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property, partial
from os.path import normpath
from pathlib import Path

from msgspec import Struct
from pydantic import ValidationError

from riskbot.casebook import recordings
from riskbot.casebook.course import Course, Recorded
from riskbot.casebook.play import Setup
from riskbot.lines import Lines
from riskbot.plugins import Plugins
from riskbot.rules import Rule
from riskbot.settings import Config, ConfigError
from riskbot.settings.cases import Case, Cases, Do, Expect, Never, Suite
from riskbot.settings.feeds import FeedError, Gap, Value
from riskbot.settings.files import Source, Sources
from riskbot.settings.mistakes import explain, no_such
from riskbot.settings.model import Loc
from riskbot.settings.secrets import reason
from riskbot.simulator import Scenario, load_scenario, scenario_names

Load = Callable[[Path], tuple[Config, Plugins]]
"""Reads a rules file. Raises ConfigError."""


class Page(Struct, frozen=True, dict=True):
    """One case: where it stands, and what it is played with."""

    source: Source
    index: int
    setup: Setup

    @property
    def case(self) -> Case:
        """What stands there."""
        return self.setup.case

    @cached_property
    def line(self) -> int:
        """Of its beginning."""
        return Lines(self.source.text).of(("cases", self.index))

    @property
    def where(self) -> str:
        """`rules.toml:12`."""
        return f"{self.source.path}:{self.line}"


class Book(Struct, frozen=True):
    """All cases of one rules file."""

    path: Path
    config: Config
    plugins: Plugins
    pages: tuple[Page, ...]
    suites: tuple[Suite, ...]

    def rules(self) -> list[Rule]:
        """Those that the cases are about: all but those that are always on, unless the suites name some."""
        mine = [rule for rule in self.config.rules if rule.enabled and not rule.ALWAYS_ON]
        named = {name for suite in self.suites for name in suite.rules}
        return [rule for rule in self.config.rules if rule.name in named] if self._all_name() else mine

    def _all_name(self) -> bool:
        return bool(self.suites) and all(suite.rules for suite in self.suites)

    def required(self, rule: str) -> set[str]:
        """The classes that the suites want that rule to have been through."""
        return {word for suite in self.suites if not suite.rules or rule in suite.rules for word in suite.require}


def open_books(paths: Iterable[Path], config: Path, load: Load) -> list[Book]:
    """The cases of these files and folders, one book for each rules file; of none: of `config` itself.

    A file of cases that does not say whose they are is about `config`. Raises ConfigError with all mistakes.
    """
    shelf: dict[Path, list[Source]] = {}
    for path in _files(paths) or [config]:
        source = Source(path)
        whose, sources = _whose(source, config)
        shelf.setdefault(whose, []).extend(sources)
    return [_book(path, sources, load) for path, sources in shelf.items()]


def _files(paths: Iterable[Path]) -> list[Path]:
    found = [sorted(path.glob("*.toml")) if path.is_dir() else [path] for path in paths]
    return [file for files in found for file in files]


def _whose(source: Source, config: Path) -> tuple[Path, list[Source]]:
    """The rules file that its cases are about, and all files that hold them."""
    if "accounts" in source.document:
        return source.path, [one for one in Sources(source.path, {}).all if "cases" in one.document]
    suite = source.document.get("suite")
    named = suite.get("config") if isinstance(suite, dict) else None
    return (Path(normpath(source.path.parent / named)) if isinstance(named, str) else config), [source]


def _book(path: Path, sources: list[Source], load: Load) -> Book:
    config, found = load(path)
    pages, suites = list[Page](), list[Suite]()
    for source in sources:
        part = _part(source)
        suites.append(part.suite)
        source.found += _unknown_rules(("suite", "rules"), part.suite.rules, config)
        for index, case in enumerate(part.cases):
            reader = _Reader(source, index, case, config)
            setup = Setup(case, config, found, reader.course(), partial(_read, source.path.parent, load))
            reader.check(setup.course)
            pages.append(Page(source, index, setup))
    if told := [problem for source in sources for problem in source.told()]:
        raise ConfigError(told)
    return Book(path, config, found, tuple(pages), tuple(suites))


def _read(folder: Path, load: Load, name: str) -> tuple[Config, Plugins]:
    return load(folder / name)


def _part(source: Source) -> Cases:
    """What a file says of cases. Raises ConfigError."""
    whole = source.document
    mine = {key: whole[key] for key in whole if key in Cases.model_fields or "accounts" not in whole}
    try:
        return Cases.model_validate(mine)
    except ValidationError as error:
        source.found += [Loc(detail["loc"], explain(detail, Cases)) for detail in error.errors(include_url=False)]
        raise ConfigError(source.told()) from None


def _unknown_rules(loc: tuple[str | int, ...], names: Collection[str], config: Config) -> Iterator[Loc]:
    known = [rule.name for rule in config.rules] + ["health"]
    for i, name in enumerate(names):
        if name not in known:
            yield Loc((*loc, i), no_such("rule", name, known))


class _Reader:
    """What one case says, held against its rules file; what is wrong is noted with its source."""

    def __init__(self, source: Source, index: int, case: Case, config: Config) -> None:
        self._source, self._loc, self._case, self._config = source, ("cases", index), case, config
        named = (account for account in config.accounts if account.name == case.account)
        self._account = next(named, config.accounts[0])

    def _note(self, why: str, *at: str | int) -> None:
        self._source.found.append(Loc((*self._loc, *at), why))

    def course(self) -> Course:
        return Course(self._case, self._account.poll_every, self._story(), self._recorded())

    def _story(self) -> Scenario | None:
        name = self._case.scenario
        if name is None:
            return None
        try:
            return load_scenario(name if name in scenario_names() else self._source.path.parent / name)
        except OSError as error:
            self._note(f"scenario: {reason(error)}; shipped are {', '.join(scenario_names())}", "scenario")
        except ValueError as error:
            self._note(f"scenario: {str(error).splitlines()[0]}", "scenario")
        return None

    def _recorded(self) -> Recorded:
        found: dict[tuple[str, str], tuple[Value, ...]] = {}
        every = self._account.poll_every
        for key, feed in self._case.feed.items():
            for item in feed.items:
                if item.recording:
                    try:
                        replies = recordings.Recorded(self._source.path.parent / item.recording.path)
                        values = replies.values(feed, item.recording, item.lasts(every), every)
                    except FeedError as error:
                        self._note(f'{key}: "{item.word}": {error}', "feed", key)
                        values = (Gap.DOWN,)
                    found[feed.key, item.word] = values
        return found

    def check(self, course: Course) -> None:
        """Names that the rules file does not have, and times after the end."""
        case, accounts = self._case, [account.name for account in self._config.accounts]
        if case.account is not None and case.account not in accounts:
            self._note(no_such("account", case.account, accounts), "account")
        self._check_receivers(case.receiver, "receiver")
        for i, do in enumerate(case.do):
            self._check_do(do, course, "do", i)
        for i, expect in enumerate(case.expect):
            self._check_words(expect, "expect", i)
        for i, never in enumerate(case.never):
            self._check_words(never, "never", i)

    def _check_do(self, do: Do, course: Course, *at: str | int) -> None:
        self._check_receivers(do.receiver or (), *at, "receiver")
        if do.t >= course.length:
            self._note(f"t: the case is over after {course.length:g} s", *at, "t")
        if do.reload and not (self._source.path.parent / do.reload).is_file():
            self._note(f"reload: there is no file {self._source.path.parent / do.reload}", *at, "reload")

    def _check_words(self, words: Expect | Never, *at: str | int) -> None:
        self._check_receivers(words.receivers or (), *at, "receivers")
        if words.rule is not None:
            for problem in _unknown_rules((), [words.rule], self._config):
                self._note(f"rule: {problem.text}", *at, "rule")

    def _check_receivers(self, names: Iterable[str], *at: str | int) -> None:
        for name in names:
            if name not in self._config.receivers:
                self._note(no_such("receiver", name, self._config.receivers), *at)
