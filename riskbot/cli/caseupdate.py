"""`riskbot test --update`: what came is written down as what is expected, for a person to review."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riskbot.cli import toml

if TYPE_CHECKING:
    from tree_sitter import Node

    from riskbot.casebook.people import Heard
    from riskbot.casebook.suite import Report, Result

Edit = tuple[int, int, str]
"""From, to (bytes), and what stands there instead."""


def update(reports: Iterable[Report]) -> Iterator[str]:
    """Rewrite the expectations of all cases that failed; give the changes as diffs. Comments beside them stay."""
    by_file: dict[Path, list[Result]] = {}
    for report in reports:
        for result in report.results:
            if result.findings:
                by_file.setdefault(result.page.source.path, []).append(result)
    for path, results in by_file.items():
        before = results[0].page.source.text
        after = _rewritten(before, {result.page.index: _expectations(result) for result in results})
        path.write_text(after, encoding="utf-8")
        name = str(path)
        yield "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, name))


# ---------------------------------------------------------------- what is expected now


def _expectations(result: Result) -> str:
    """The value of `expect`: those that were met as they stand, and what came besides, in order."""
    unmet = [finding.slot.expect for finding in result.findings if finding.slot]
    written = result.page.source.document["cases"][result.page.index].get("expect", [])
    kept = [
        (expect.t.start, entry)
        for expect, entry in zip(result.page.case.expect, written, strict=True)
        if not any(expect is other for other in unmet)
    ]
    lost = [one for finding in result.findings if (one := finding.heard) and not finding.why.startswith("never")]
    partly = [one for one in result.played.heard if any(_met(one, expect) for expect in unmet)]
    new = _entries([*lost, *(one for one in partly if one not in lost)], list(result.page.setup.config.receivers))
    lines = [f"  {toml.value(entry)},\n" for _, entry in sorted([*kept, *new], key=lambda item: item[0])]
    return f"[\n{''.join(lines)}]" if lines else "[]"


def _met(heard: Heard, expect: Any) -> bool:
    """Was it one of several that an expectation meant, of which others did not come?"""
    from riskbot.casebook.expectations import Slot, fits  # noqa: PLC0415 - see cli/__init__.py

    return fits(Slot(0, expect, heard.receiver), heard)


def _entries(heard: Iterable[Heard], receivers: Sequence[str]) -> list[tuple[float, dict[str, Any]]]:
    """What came as it would be expected; to several receivers at once as one."""
    from riskbot.casebook.expectations import moment  # noqa: PLC0415 - see cli/__init__.py

    found: dict[tuple[float, str], dict[str, Any]] = {}
    who: dict[tuple[float, str], list[str]] = {}
    for one in heard:
        entry: dict[str, Any] = {"t": moment(one.t), "event": str(one.what), "rule": one.rule, "subject": one.subject}
        if one.repeat:
            entry["repeat"] = True
        key = (round(one.t, 1), str(entry))
        found[key] = {name: value for name, value in entry.items() if value != ""}
        who.setdefault(key, []).append(one.receiver)
    for key, entry in found.items():
        if {*who[key]} != {*receivers}:
            found[key] = {"t": entry["t"], "receivers": sorted(who[key]), **entry}
    return [(key[0], entry) for key, entry in found.items()]


# ---------------------------------------------------------------- where it stands


def _rewritten(text: str, values: dict[int, str]) -> str:
    """The file with other values of `expect`, by the index of the case."""
    import tree_sitter_toml  # noqa: PLC0415 - see cli/__init__.py
    from tree_sitter import Language, Parser  # noqa: PLC0415 - as above

    source = text.encode()
    tables = Parser(Language(tree_sitter_toml.language())).parse(source).root_node.named_children
    index, edits = -1, list[Edit]()
    for table in tables:
        name = _name(table)
        index += name == "cases"
        if index in values and name == "cases":
            edits.append(_replaced(table, values[index]))
        elif index in values and name == "cases.expect":
            edits.append((table.start_byte, _end(table), ""))
    for start, end, new in reversed(edits):
        source = source[:start] + new.encode() + source[end:]
    return source.decode()


def _name(table: Node) -> str:
    return (table.named_children[0].text or b"").decode() if table.type == "table_array_element" else ""


def _pairs(table: Node) -> list[Node]:
    return [child for child in table.named_children if child.type == "pair"]


def _replaced(table: Node, value: str) -> Edit:
    """In place of the one that stands there; else below the case's last key."""
    for pair in _pairs(table):
        key, old = pair.named_children[:2]
        if key.text == b"expect":
            return old.start_byte, old.end_byte, value
    last = _pairs(table)[-1].end_byte
    return last, last, f"\nexpect = {value}"


def _end(table: Node) -> int:
    """Of its last key; what follows, a comment perhaps, is of the next table."""
    return _pairs(table)[-1].end_byte + 1
