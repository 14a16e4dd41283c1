"""What `riskbot test` has found, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from riskbot.cli.common import console, table

if TYPE_CHECKING:
    from rich.text import Text

    from riskbot.casebook.suite import Report, Result, Shown
    from riskbot.casebook.timeline import Entry

# ---------------------------------------------------------------- for machines


def document(reports: Iterable[Report]) -> dict[str, Any]:
    """All of it."""
    found = list(reports)
    return {
        "ok": all(report.ok for report in found),
        "cases": [_case(result) for report in found for result in report.results],
        "rules": [{"config": str(report.book.path), **_rule(one)} for report in found for one in report.shown],
        "idle": [
            {"case": page.case.name, "where": page.where, "event": str(never.event)}
            for report in found
            for page, never in report.idle
        ],
    }


def _case(result: Result) -> dict[str, Any]:
    return {
        "name": result.page.case.name,
        "where": result.page.where,
        "ok": result.ok,
        "kills": result.kills,
        "killed": result.killed,
        "findings": [{"at": finding.at, "why": finding.why} for finding in result.findings],
    }


def _rule(shown: Shown) -> dict[str, Any]:
    return {
        "rule": shown.rule,
        "cases": shown.cases,
        "covered": [word for word in shown.owed if word in shown.covered],
        "missing": shown.missing,
        "mutants": shown.tried,
        "survivors": list(shown.survivors),
    }


# ---------------------------------------------------------------- for people


def show(reports: Iterable[Report]) -> None:
    """What failed, each with its time line; then what was shown of each rule."""
    out = console()
    for report in reports:
        for result in report.results:
            if not result.ok:
                _show_failure(out, result)
        _show_rules(out, report)
        out.print(_sum(report), markup=False, style="green" if report.ok else "bold red")


def _sum(report: Report) -> str:
    count, failed = len(report.results), sum(not result.ok for result in report.results)
    kills = sum(result.kills for result in report.results)
    words = f"{count} case{'s' if count != 1 else ''} of {report.book.path}: "
    words += f"{failed} not as expected" if failed else "as expected"
    words += f", also with a kill at each of {kills} moments" if kills and not failed else ""
    return words + (f"; {report.killed} of {report.tried} mutants killed" if report.tried else "")


def _show_rules(out: Any, report: Report) -> None:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    rows = table("rule", "cases", "shown", "mutants killed")
    for one in report.shown:
        killed = f"{one.tried - len(one.survivors)} of {one.tried}" if one.tried else "-"
        style = "yellow" if one.survivors else ""
        rows.add_row(Text(one.rule), Text(str(one.cases)), _covered(one), Text(killed, style))
    out.print(rows)
    for line in _doubts(report):
        out.print(line, soft_wrap=True)


def _covered(shown: Shown) -> Text:
    """The classes, in their order; what is owed and not shown in red."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    words = [Text(word) for word in shown.owed if word in shown.covered]
    words += [Text(f"not {word}", "bold red") for word in shown.missing]
    return Text(" ").join(words) if words else Text("nothing", "bold red")


def _doubts(report: Report) -> Iterator[Text]:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    for page, never in report.idle:
        yield Text(f"can't fail, so it shows nothing: never {never.event} ({page.where})", "yellow")
    if alone := [one.rule for one in report.shown if not one.cases]:
        yield Text(f"no case is about: {', '.join(alone)}", "yellow")
    for one in report.shown:
        for how in one.survivors if one.cases else ():
            yield Text(f"no case finds out: {one.rule}: {how}", "yellow")


def _show_failure(out: Any, result: Result) -> None:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    out.print(Text(f"{result.page.where}: {result.page.case.name}", "bold red"), soft_wrap=True)
    if result.killed:
        out.print(Text(f"  killed {result.killed}", "red"), soft_wrap=True)
    for finding in result.findings:
        out.print(Text(f"  {finding.why}", "red"), soft_wrap=True)
    out.print(_timeline(result))
    out.print()


def _timeline(result: Result) -> Any:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.casebook.expectations import moment  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.casebook.timeline import Timeline  # noqa: PLC0415 - see cli/__init__.py

    timeline = Timeline(result)
    drawn = table("", *result.page.case.feed, timeline.about or "alerts", "expected", "got")
    for row in timeline.rows():
        middle = Text("\n").join([*(Text(word, "cyan") for word in row.done), *map(Text, row.alerts)])
        drawn.add_row(moment(row.t), *map(Text, row.fed), middle, _entries(row.expected), _entries(row.got))
    return drawn


def _entries(entries: Iterable[Entry]) -> Text:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    return Text("\n").join(Text(f"✗ {one.text}", "bold red") if one.wrong else Text(one.text) for one in entries)
