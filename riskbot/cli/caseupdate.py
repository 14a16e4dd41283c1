"""`riskbot test --update`: what came is written down as what is expected, for a person to review."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from riskbot.cli import toml
from riskbot.setup.files import write

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
        after = _rewritten(before, {result.page.index: _change(result) for result in results})
        write(path, after, path.stat().st_mode & 0o777)
        name, parts = str(path), (before.splitlines(keepends=True), after.splitlines(keepends=True))
        yield "".join(difflib.unified_diff(*parts, name, name))


# ---------------------------------------------------------------- what is expected now


class Change(Struct, frozen=True):
    """Of one case. entries: each expectation as it stands, with its time; None: it was not met. new: what came."""

    entries: list[tuple[float, str | None]]
    new: list[tuple[float, str]]

    def whole(self) -> str:
        """All of it as the value of `expect`."""
        kept = [(at, line) for at, line in self.entries if line is not None]
        lines = [line for _, line in sorted([*kept, *self.new], key=lambda entry: entry[0])]
        return f"[\n{''.join(lines)}]" if lines else "[]"


def _change(result: Result) -> Change:
    unmet = [finding.slot.expect for finding in result.findings if finding.slot]
    written = result.page.source.document["cases"][result.page.index].get("expect", [])
    entries = [
        (expect.t.start, None if any(expect is other for other in unmet) else _line(entry))
        for expect, entry in zip(result.page.case.expect, written, strict=True)
    ]
    came = [one for finding in result.findings if (one := finding.heard) and not finding.why.startswith("never")]
    came += [one for one in result.played.heard if one not in came and any(_met(one, expect) for expect in unmet)]
    new = _entries(came, list(result.page.setup.config.receivers))
    return Change(entries, sorted((at, _line(entry)) for at, entry in new))


def _line(entry: Any) -> str:
    return f"  {toml.value(entry)},\n"


def _met(heard: Heard, expect: Any) -> bool:
    """Was it one of several that an expectation meant, of which others did not come?"""
    from riskbot.casebook.expectations import Slot, fits  # noqa: PLC0415 - see cli/__init__.py

    return fits(Slot(0, expect, heard.receiver), heard)


def _entries(heard: Iterable[Heard], receivers: Sequence[str]) -> list[tuple[float, dict[str, Any]]]:
    """What came as it would be expected; to several receivers at once as one."""
    from riskbot.casebook.expectations import moment  # noqa: PLC0415 - see cli/__init__.py

    found: dict[str, tuple[float, dict[str, Any], list[str]]] = {}
    for one in heard:
        entry: dict[str, Any] = {"event": str(one.what), "rule": one.rule, "subject": one.subject}
        entry = {name: value for name, value in entry.items() if value} | ({"repeat": True} if one.repeat else {})
        key = f"{moment(one.t)} {entry}"
        found.setdefault(key, (one.t, {"t": moment(one.t), **entry}, []))[2].append(one.receiver)
    return [(t, entry if {*who} == {*receivers} else _to(entry, who)) for t, entry, who in found.values()]


def _to(entry: dict[str, Any], who: list[str]) -> dict[str, Any]:
    return {"t": entry["t"], "receivers": sorted({*who}), **entry}


# ---------------------------------------------------------------- where it stands


def _rewritten(text: str, changes: dict[int, Change]) -> str:
    """The file with other expectations, by the index of the case."""
    import tree_sitter_toml  # noqa: PLC0415 - see cli/__init__.py
    from tree_sitter import Language, Parser  # noqa: PLC0415 - as above

    source = text.encode()
    tables = Parser(Language(tree_sitter_toml.language())).parse(source).root_node.named_children
    index, edits = -1, list[Edit]()
    for table in tables:
        name = _name(table)
        index += name == "cases"
        if index in changes and name == "cases":
            edits += _of_case(table, changes[index], source)
        elif index in changes and name == "cases.expect":
            edits.append((table.start_byte, _pairs(table)[-1].end_byte + 1, ""))
    edits.sort(key=lambda edit: (edit[0], edit[1] > edit[0]))  # what is put in stands before what is taken away
    for start, end, new in reversed(edits):
        source = source[:start] + new.encode() + source[end:]
    return source.decode()


def _name(table: Node) -> str:
    return (table.named_children[0].text or b"").decode() if table.type == "table_array_element" else ""


def _pairs(table: Node) -> list[Node]:
    return [child for child in table.named_children if child.type == "pair"]


def _of_case(table: Node, change: Change, source: bytes) -> Iterator[Edit]:
    """In the list that stands there, line by line if it is written so; else a new one below the case's last key."""
    lists = (pair.named_children[1] for pair in _pairs(table) if pair.named_children[0].text == b"expect")
    found = next(lists, None)
    if found is None:
        last = _pairs(table)[-1].end_byte
        yield last, last, f"\nexpect = {change.whole()}"
    elif not _is_a_line_each(found):
        yield found.start_byte, found.end_byte, change.whole()
    else:
        yield from _line_by_line(found, change, source)


def _items(found: Node) -> list[Node]:
    return [child for child in found.named_children if child.type != "comment"]


def _is_a_line_each(found: Node) -> bool:
    """Does each item begin and end on lines of its own, and so do the brackets?"""
    rows = [row for item in _items(found) for row in {item.start_point[0], item.end_point[0]}]
    rows += [found.start_point[0], found.end_point[0]]
    return len(rows) == len({*rows}) and bool(_items(found))


def _line_by_line(found: Node, change: Change, source: bytes) -> Iterator[Edit]:
    """What was not met goes, what came is put behind the one before it; a comment stays above its item."""
    items = _items(found)
    for item, (_, line) in zip(items, change.entries, strict=True):
        if line is None:
            yield _line_start(item, source), _line_end(item.end_byte, source), ""
    for at, line in change.new:
        later = (i for i, (begin, kept) in enumerate(change.entries) if kept and begin > at)
        place = next(later, len(items))
        position = _line_end(items[place - 1].end_byte if place else found.start_byte, source)
        yield position, position, line
    last = items[-1]
    after = last.next_sibling
    if change.entries[-1][1] is not None and (after is None or after.type != ","):
        yield last.end_byte, last.end_byte, ","


def _line_end(position: int, source: bytes) -> int:
    """Where the next line begins."""
    return source.find(b"\n", position) + 1


def _line_start(item: Node, source: bytes) -> int:
    return source.rfind(b"\n", 0, item.start_byte) + 1
