"""Where a value stands in a TOML document. Loaded only when there is an error to show, or a file to change."""

from __future__ import annotations

import tomllib
from typing import Any

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

Loc = tuple[str | int, ...]


class Lines:
    """Lines of all values of a document by their path of keys and indices."""

    def __init__(self, source: str) -> None:
        self._lines: dict[Loc, int] = {(): 1}
        self._spans: dict[Loc, tuple[int, int]] = {}
        self._counts: dict[Loc, int] = {}
        root = Parser(Language(tree_sitter_toml.language())).parse(source.encode()).root_node
        self._pairs((), root)
        for table in root.named_children:
            if table.type in ("table", "table_array_element"):
                self._table(table)

    def __contains__(self, loc: Loc) -> bool:
        return loc in self._lines

    def of(self, loc: Loc) -> int:
        """The line of the value at `loc`, or of the nearest thing around it that the document has."""
        while loc not in self:
            loc = loc[:-1]
        return self._lines[loc]

    def span(self, loc: Loc) -> tuple[int, int] | None:
        """Where the value of a key begins and ends, in bytes of UTF-8; None: the document has no such key."""
        return self._spans.get(loc)

    def last(self, loc: Loc) -> int | None:
        """Where the last value of a table ends; None: it has no key of its own."""
        return max((end for key, (_, end) in self._spans.items() if key[:-1] == loc), default=None)

    def _note(self, loc: Loc, node: Node) -> None:
        self._lines.setdefault(loc, node.start_point[0] + 1)

    def _table(self, node: Node) -> None:
        keys = _keys(node.named_children[0])
        loc: Loc = ()
        for key in keys[:-1]:
            self._note((*loc, key), node)
            loc = self._inside((*loc, key))
        loc = (*loc, keys[-1])
        self._note(loc, node)
        if node.type == "table_array_element":
            self._counts[loc] = self._counts.get(loc, -1) + 1
            loc = (*loc, self._counts[loc])
            self._note(loc, node)
        self._pairs(loc, node)

    def _inside(self, loc: Loc) -> Loc:
        """A key that names an array of tables means its newest element."""
        return (*loc, self._counts[loc]) if loc in self._counts else loc

    def _pairs(self, loc: Loc, node: Node) -> None:
        for pair in [child for child in node.named_children if child.type == "pair"]:
            self._pair(loc, pair)

    def _pair(self, loc: Loc, node: Node) -> None:
        key, value = node.named_children[0], node.named_children[1]
        for part in _keys(key):
            loc = (*loc, part)
            self._note(loc, node)
        self._spans.setdefault(loc, (value.start_byte, value.end_byte))
        self._value(loc, value)

    def _value(self, loc: Loc, node: Node) -> None:
        if node.type == "inline_table":
            self._pairs(loc, node)
        elif node.type == "array":
            items = [child for child in node.named_children if child.type != "comment"]
            for i, item in enumerate(items):
                self._note((*loc, i), item)
                self._value((*loc, i), item)


def _keys(node: Node) -> list[str]:
    """The parts of a key: `a."b c".d`."""
    if node.type == "dotted_key":
        return [key for child in node.named_children for key in _keys(child)]
    text = (node.text or b"").decode()
    if node.type == "quoted_key":
        parsed: dict[str, Any] = tomllib.loads(f"{text} = 0")
        return list(parsed)
    return [text]
