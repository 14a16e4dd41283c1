"""riskbot test: do the rules tell what they should, when they should, and nothing else?"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import config_option, echo_json, fail, json_option, load_plugins, mistakes_told, understand
from riskbot.cli.progress import progress

if TYPE_CHECKING:
    from riskbot.casebook.suite import Report
    from riskbot.plugins import Plugins
    from riskbot.settings import Config

FAILED, BAD, BELOW = 1, 2, 3


def _share(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """`90%` or `0.9`."""
    from riskbot.rules import parse_number  # noqa: PLC0415 - see cli/__init__.py

    if value is None:
        return None
    try:
        share = float(parse_number(value))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise click.BadParameter("write a share: 90%")
    return share


def _classes(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    from riskbot.settings.cases import CLASSES  # noqa: PLC0415 - see cli/__init__.py

    words = tuple(word.strip() for word in (value or "").split(",") if word.strip())
    if unknown := [word for word in words if word not in CLASSES]:
        raise click.BadParameter(f"no class {unknown[0]!r}; there are {', '.join(CLASSES)}")
    return words


@click.command("test")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@click.option("--kill", type=click.Choice(["each"]), help="Play each case with a kill before and after each write.")
@click.option(
    "--mutants", "bar", metavar="SHARE", callback=_share, help="Of each rule's mutants so many must be killed."
)
@click.option("--quick", is_flag=True, help="Without mutants.")
@click.option("--require", metavar="CLASSES", callback=_classes, help="What every rule must have been through.")
@click.option("--update", is_flag=True, help="Write down what came as what is expected, and show the difference.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write a report for a CI.")
@json_option
def command(files: tuple[Path, ...], path: Path, junit: Path | None, *, as_json: bool, **asked: Any) -> None:
    """Play cases of what an account does, and see that exactly the expected messages come of it.

    FILES: rules files with cases, files of cases, or folders of them; otherwise the cases in the rules file. The
    rules, the outbox, the receivers' retries are those of `riskbot run`, on a clock that does not wait; nothing is
    sent, no key is needed.

    Then each rule is made wrong in small ways. A mutant that no case kills shows what the cases do not test.

    CLASSES: fire, rise, fall, resolve, na, gap, kill, with commas between.

    Exit codes: 0 as expected, 1 not so, 2 a file or the usage is wrong, 3 something owed is not shown: classes,
    mutants below --mutants, a `never` that can't fail.
    """
    if asked["quick"] and asked["bar"] is not None:
        raise click.UsageError("--mutants needs mutants: leave --quick out")
    if asked["update"] and as_json:
        raise click.UsageError("--update is for people: leave --json out")
    if asked["update"]:
        _update(files, path)
    reports = _examined(files, path, asked)
    if junit:
        _write(junit, reports)
    if as_json:
        from riskbot.cli.casereport import document  # noqa: PLC0415 - see cli/__init__.py

        echo_json(document(reports))
    else:
        from riskbot.cli.casereport import show  # noqa: PLC0415 - see cli/__init__.py

        show(reports)
    _end(reports, asked["bar"])


def _examined(files: tuple[Path, ...], path: Path, asked: dict[str, Any]) -> list[Report]:
    from riskbot.casebook.books import open_books  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.casebook.suite import examine  # noqa: PLC0415 - see cli/__init__.py

    with mistakes_told():
        books = open_books(files, path, _load)
    if not any(book.pages for book in books):
        fail("there is no case: write [[cases]] beside the rules; see README.md, Test your rules", BAD)
    with progress("cases") as tell, _unlogged():
        return [
            examine(
                book,
                lambda what, done, total: tell(done / total, what),
                kill_each=asked["kill"] is not None,
                vacuity=not asked["quick"],
                required=asked["require"],
            )
            for book in books
        ]


def _update(files: tuple[Path, ...], path: Path) -> None:
    """Rewrite what is expected; then all of it is looked at anew."""
    from riskbot.cli.caseupdate import update  # noqa: PLC0415 - see cli/__init__.py

    for diff in update(_examined(files, path, {"kill": None, "quick": True, "require": ()})):
        click.echo(diff)


def _load(path: Path) -> tuple[Config, Plugins]:
    """A rules file as it is, but for secrets, which it can do without."""
    found = load_plugins(path)
    for trouble in found.troubles:
        click.echo(f"warning: {trouble}", err=True)
    return understand(path, found, keyless=True), found


@contextmanager
def _unlogged() -> Iterator[None]:
    """What riskbot logs in a case is no news."""
    logger = logging.getLogger("riskbot")
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False


def _write(path: Path, reports: list[Report]) -> None:
    from riskbot.casebook.junit import junit  # noqa: PLC0415 - see cli/__init__.py

    try:
        path.write_text(junit(reports), encoding="utf-8")
    except OSError as error:
        fail(f"{path}: {error.strerror}", BAD)


def _end(reports: list[Report], bar: float | None) -> None:
    if not all(report.ok for report in reports):
        raise SystemExit(FAILED)
    shown = [one for report in reports for one in report.shown]
    below = [one for one in shown if bar is not None and one.tried and _killed(one.tried, one.survivors) < bar]
    if below or any(one.missing for one in shown) or any(report.idle for report in reports):
        raise SystemExit(BELOW)


def _killed(tried: int, survivors: tuple[str, ...]) -> float:
    return (tried - len(survivors)) / tried
