"""The line of every value of a document, however it is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from riskbot.lines import Lines, Loc

INTERLEAVED = """\
title = "x"
[[rules]]
name = "a"
[receivers.phone]
url = "u"
[[rules]]
name = "b"
[rules.below]
warning = 1
[[accounts]]
name = "main"
[[rules.parts]]
x = 1
[[rules.parts]]
x = 2
[[rules]]
below.warning = 1
below.critical = 2
[[rules.parts]]
x = 3
"""

INLINE = """\
rules = [
  # a comment, [[rules]]
  { name = "a", below = { warning = 1 } },

  { name = "b", list = [1,
      2, # two
      [3,
       4]] },
]
"""

QUOTED = """\
"a b".'c.d' = 1
[ "x y" . z ]
"\\u00e9" = 1
'é.ü' = 2
"" = 3
1.2 = 4
1979-05-27 = 5
true = 6
"""

TEXTS = '''\
a = """
b = 1
[c]
"""
b = \'\'\'
x

\'\'\'
"🚨" = "über 保证金"	# tab
c = { "🚨" = 1,	d = "x" }
'''


def paths(value: Any, loc: Loc = ()) -> Iterator[Loc]:
    yield loc
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*loc, key))


@pytest.mark.parametrize(
    ("source", "places"),
    [
        (
            INTERLEAVED,
            {
                (): 1,
                ("title",): 1,
                ("rules",): 2,
                ("rules", 0): 2,
                ("rules", 0, "name"): 3,
                ("receivers",): 4,
                ("receivers", "phone"): 4,
                ("receivers", "phone", "url"): 5,
                ("rules", 1): 6,
                ("rules", 1, "below"): 8,
                ("rules", 1, "below", "warning"): 9,
                ("accounts", 0, "name"): 11,
                ("rules", 1, "parts"): 12,
                ("rules", 1, "parts", 1, "x"): 15,
                ("rules", 2): 16,
                ("rules", 2, "below"): 17,
                ("rules", 2, "below", "critical"): 18,
                ("rules", 2, "parts", 0, "x"): 20,
            },
        ),
        (
            INLINE,
            {
                ("rules",): 1,
                ("rules", 0): 3,
                ("rules", 0, "below", "warning"): 3,
                ("rules", 1, "name"): 5,
                ("rules", 1, "list"): 5,
                ("rules", 1, "list", 1): 6,
                ("rules", 1, "list", 2, 1): 8,
            },
        ),
        (
            QUOTED,
            {
                ("a b", "c.d"): 1,
                ("x y", "z"): 2,
                ("x y", "z", "é"): 3,
                ("x y", "z", "é.ü"): 4,
                ("x y", "z", ""): 5,
                ("x y", "z", "1", "2"): 6,
                ("x y", "z", "1979-05-27"): 7,
                ("x y", "z", "true"): 8,
            },
        ),
        (TEXTS, {("a",): 1, ("b",): 5, ("🚨",): 9, ("c", "🚨"): 10, ("c", "d"): 10}),
    ],
    ids=["interleaved", "inline", "quoted", "texts"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_every_value_has_its_line(source: str, places: dict[Loc, int], end: str) -> None:
    lines = Lines(source.replace("\n", end))

    assert {loc: lines.of(loc) for loc in places} == places
    assert not [loc for loc in paths(tomllib.loads(source)) if loc not in lines]


def test_what_is_not_there_has_the_line_of_what_is_around_it() -> None:
    lines = Lines(INTERLEAVED)

    assert lines.of(("rules", 1, "below", "critical", "[key]")) == 8
    assert lines.of(("rules", 9, "name")) == 2
    assert lines.of(("store", "path")) == 1


KEYS = st.text(st.characters(codec="utf-8"), max_size=4)
VALUES = st.recursive(
    st.integers(0, 9) | st.booleans() | st.text(st.characters(codec="utf-8"), max_size=4) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(document=st.dictionaries(KEYS, VALUES, max_size=4), multiline=st.booleans())
def test_no_value_of_any_document_is_overlooked(document: dict[str, Any], *, multiline: bool) -> None:
    source = tomli_w.dumps(document, multiline_strings=multiline)

    lines = Lines(source)

    found = [loc for loc in paths(tomllib.loads(source)) if loc not in lines]
    assert found == []
    assert all(1 <= lines.of(loc) <= source.count("\n") + 1 for loc in paths(document))
