"""Plays all cases of a rules file, and says what they show and what they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from riskbot.casebook.books import Book, Page
from riskbot.casebook.coverage import covered, is_about, owed
from riskbot.casebook.expectations import Finding, findings, is_hopeless, violates
from riskbot.casebook.mutants import Mutant, mutants
from riskbot.casebook.play import Played, Setup, play
from riskbot.rules import Rule
from riskbot.settings.cases import CLASSES, Never

Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much."""


class Result(Struct, frozen=True):
    """What became of a case. killed: where it was killed when that went wrong; "": it went wrong without that.

    kills: how often it was killed in all, to try.
    """

    page: Page
    played: Played
    findings: tuple[Finding, ...]
    killed: str = ""
    kills: int = 0

    @property
    def ok(self) -> bool:
        """Was all as expected?"""
        return not self.findings


class Shown(Struct, frozen=True):
    """What the cases show of a rule. cases: in which anything became of it. covered: classes.

    owed: those that it can be through. tried: mutants; survivors: those that no case kills.
    """

    rule: str
    cases: int
    covered: frozenset[str]
    owed: tuple[str, ...]
    required: frozenset[str]
    tried: int = 0
    survivors: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Classes that are required, possible, and not covered."""
        return [word for word in CLASSES if word in self.required & {*self.owed} - self.covered]


class Report(Struct, frozen=True):
    """What came of a book. idle: what must never come, and never could: (case, words)."""

    book: Book
    results: tuple[Result, ...]
    shown: tuple[Shown, ...]
    idle: tuple[tuple[Page, Never], ...] = ()

    @property
    def ok(self) -> bool:
        """Was every case as expected?"""
        return all(result.ok for result in self.results)

    @property
    def tried(self) -> int:
        """Mutants of all rules."""
        return sum(one.tried for one in self.shown)

    @property
    def killed(self) -> int:
        """Of these, those that some case found out."""
        return self.tried - sum(len(one.survivors) for one in self.shown)


def examine(book: Book, progress: Progress, *, kill_each: bool, vacuity: bool, required: Iterable[str] = ()) -> Report:
    """Play every case; then, if all is well, with mutants. required: classes that every rule owes."""
    results = list[Result]()
    for i, page in enumerate(book.pages):
        progress("cases", i, len(book.pages))
        results.append(_result(page, progress, kill_each=kill_each))
    try_mutants = vacuity and all(result.ok for result in results)
    wanted = {rule.name: book.required(rule.name) | {*required} for rule in book.rules()}
    idle = tuple(_idle(book, progress)) if try_mutants else ()
    shown = [_shown(rule, results, wanted[rule.name]) for rule in book.rules()]
    if try_mutants:
        shown = [_tried(one, rule, results, progress) for one, rule in zip(shown, book.rules(), strict=True)]
    return Report(book, tuple(results), tuple(shown), idle)


# ---------------------------------------------------------------- cases


def _result(page: Page, progress: Progress, *, kill_each: bool) -> Result:
    played = play(page.setup, sampled=True)
    found = found_in(page.setup, played)
    if found or not kill_each:
        return Result(page, played, tuple(found))
    for fuse in range(played.moments):
        progress(f"kills of {page.case.name}", fuse, played.moments)
        again = play(page.setup, fuse)
        if found := found_in(page.setup, again, killed=True):
            again = play(page.setup, fuse, sampled=True)
            return Result(page, again, tuple(found), again.killed, fuse + 1)
    return Result(page, played, (), kills=played.moments)


def found_in(setup: Setup, played: Played, *, killed: bool = False) -> list[Finding]:
    """What is not as the case expects it. killed: see `findings`."""
    return findings(setup.case, setup.course, played, tuple(setup.config.receivers), killed=killed)


# ---------------------------------------------------------------- what they show


def _shown(rule: Rule, results: Iterable[Result], required: set[str]) -> Shown:
    about = [result.played for result in results if is_about(rule.name, result.played)]
    words = frozenset(word for played in about for word in covered(rule.name, played))
    return Shown(rule.name, len(about), words, owed(rule), frozenset(required))


def _tried(shown: Shown, rule: Rule, results: list[Result], progress: Progress) -> Shown:
    """With its mutants. First those cases are played that are about the rule: one of them is likely to find out.

    Of a rule that no case is about, each mutant lives.
    """
    by_interest = sorted(results, key=lambda result: not is_about(rule.name, result.played))
    pages = [result.page for result in by_interest] if shown.cases else []
    found = mutants(rule, max(result.page.setup.course.every for result in results))
    survivors = []
    for i, mutant in enumerate(found):
        progress(f"mutants of {rule.name}", i, len(found))
        if not any(_kills(page.setup, mutant) for page in pages):
            survivors.append(mutant.how)
    return Shown(shown.rule, shown.cases, shown.covered, shown.owed, shown.required, len(found), tuple(survivors))


def _kills(setup: Setup, mutant: Mutant) -> bool:
    changed = setup.having(mutant.rule)
    hopeless = None if setup.case.kills else is_hopeless(setup.case, tuple(setup.config.receivers))
    return bool(found_in(changed, play(changed, enough=hopeless)))


# ---------------------------------------------------------------- what never comes


def _idle(book: Book, progress: Progress) -> Iterator[tuple[Page, Never]]:
    """A `never` that would let everything pass shows nothing. It must fail with some mutant, or a blind riskbot."""
    pages = [page for page in book.pages if page.case.never]
    for i, page in enumerate(pages):
        progress("never", i, len(pages))
        left = list(page.case.never)
        about = [rule for rule in book.rules() if any(never.rule in (None, rule.name) for never in left)]
        for setup in _wrong_ones(page.setup, about):
            heard = play(setup).heard
            left = [never for never in left if not any(violates(never, one, page.setup.course) for one in heard)]
            if not left:
                break
        yield from ((page, never) for never in left)


def _wrong_ones(setup: Setup, rules: list[Rule]) -> Iterator[Setup]:
    """The case as one would play it who takes what is not seen for what was first, then with each mutant."""
    yield setup.seeing(setup.course.without_gaps())
    for rule in rules:
        for mutant in mutants(rule, setup.course.every):
            yield setup.having(mutant.rule)
