"""The status page: what stands on it, and that nothing of what stands on it can do any harm."""

from __future__ import annotations

import base64
import hashlib
import re
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from riskbot.health import Problem
from riskbot.history import COURSE_SPAN
from riskbot.model import Reading, Severity
from riskbot.notify import Outcome, Verdict
from riskbot.redact import Redactor
from riskbot.rules import Rule, Rung
from riskbot.source import SourceError
from riskbot.web import page
from riskbot.web.chart import HEIGHT, WIDTH, chart
from riskbot.web.page import CONTENT_POLICY, Page, facts
from tests.desk import BLIND, RATIO, rule
from tests.lookout import Lookout, get

EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&amp;{{7*7}}"


class Seen(HTMLParser):
    """What a browser would make of it: the elements, their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words.append(data)


def drawn(here: Lookout, redact: Any = str) -> Seen:
    return Seen(Page(redact).draw(facts(here.service)))


async def test_a_calm_account_is_shown_with_its_ratio_equity_and_mode() -> None:
    here = await Lookout().open()
    await here.poll()
    await here.poll()
    text = drawn(here).text
    assert "riskbot no alert 13:46:42 UTC Alerts none is open" in text
    assert "main Multi-currency margin 12 margin ratio, 1,200 % $50,000 adjusted equity" in text
    assert "seen 0 s ago" in text
    assert "phone nothing sent yet 0 0" in text
    assert "Rules without data" not in text
    assert "What is wrong" not in text


async def test_open_alerts_stand_worst_first_with_value_and_how_long() -> None:
    here = await Lookout(rule("margin_ratio", name="mild", below={"warning": 5}), RATIO, BLIND).open()
    here.market.ratio = "2.5"
    await here.poll()
    await here.carry()
    here.hands.turn(90)
    here.service.problems.fail("a part", Problem(here.hands.clock.now(), "it is broken", 0.0, 99.0))
    await here.service._self_watch.tick()
    seen = drawn(here)
    alerts = re.search("Alerts account what for (.*?) Accounts", seen.text)
    assert alerts
    assert alerts[1] == (
        "critical main margin ratio 2.5 (250 %) 1 min 30 s "
        "warning main margin ratio 2.5 (250 %) 1 min 30 s "
        "warning riskbot a part is failing it is broken 0 s"
    )
    assert seen.text.startswith("critical, can't be relied on · riskbot")
    assert "main: not seen for 1 min 30 s" in seen.text
    assert "phone works 1 0 s 2 " in seen.text  # one waits, two were sent


async def test_what_is_wrong_is_told_at_the_top_and_an_old_ratio_is_struck_through() -> None:
    here = await Lookout().open()
    assert "Starting, or wrong main: never seen" in drawn(here).text
    await here.poll()
    here.market.error = SourceError("the passphrase is wrong")
    for _ in range(30):
        await here.poll()
    seen = drawn(here)
    assert "What is wrong main: not seen for 30 s: the passphrase is wrong" in seen.text
    assert "seen 30 s ago: the passphrase is wrong" in seen.text
    assert any(name == "class" and " old" in value for name, value in seen.attributes)


async def test_a_receiver_that_fails_shows_why_and_what_waits() -> None:
    here = await Lookout().open()
    here.market.ratio = "2.5"
    await here.poll()
    here.postman.verdicts = [Verdict(Outcome.BROKEN, "HTTP 401")]
    await here.carry()
    here.hands.turn(5)
    assert "phone failing for 5 s: HTTP 401 1 5 s 0" in drawn(here).text


async def test_a_rule_without_data_is_shown_with_when_it_had_any() -> None:
    here = await Lookout(
        rule("threshold", name="doge", field="details.eqUsd", above={"warning": 1}, ccy=["DOGE"])
    ).open()
    await here.poll()
    assert "main doge never since the start" in drawn(here).text
    here.market.extra = {"details": [{"ccy": "DOGE", "eqUsd": "5"}]}
    await here.poll()
    assert "Rules without data" not in drawn(here).text
    here.market.extra = {}
    await here.poll(7)
    assert "main doge 7 s ago" in drawn(here).text


async def test_tables_end_and_say_how_much_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_ACCOUNTS", 2)
    here = await Lookout(accounts=("a", "b", "c", "d")).open()
    here.markets["d"].ratio = "2.5"
    await here.poll()
    text = drawn(here).text
    assert "and 2 more" in text
    assert text.index("d Multi-currency") < text.index("a Multi-currency")  # who is in danger comes first


# ---------------------------------------------------------------- nobody can make it do anything


class Stranger(Rule, kind="stranger", worse="above"):
    """A plugin's rule whose words are not ours."""

    def readings(self, view: Any) -> Any:
        del view
        yield Reading(5, EVIL[:90], EVIL)  # type: ignore[arg-type]
        yield Reading.missing(EVIL, "x")


async def test_no_name_or_text_of_others_becomes_markup() -> None:
    strange = Stranger.model_validate({"name": EVIL[:60], "kind": "stranger", "above": {"critical": 1}})
    silent = rule("threshold", name="</td>" + EVIL[:50], field="details.eqUsd", above={"warning": 1}, ccy=["X"])
    here = await Lookout(strange, silent, accounts=(EVIL,), receiver=EVIL).open()
    await here.poll()
    here.market.error = SourceError(EVIL)
    for _ in range(30):
        await here.poll()
    here.service.problems.fail(EVIL, Problem(0.0, EVIL, 0.0, 0.0))
    here.service.problems.fail(f"delivery to {EVIL}", Problem(0.0, EVIL, 0.0, 0.0))
    await here.service._self_watch.tick()
    seen = drawn(here)
    assert not {"script", "img", "iframe", "object", "form", "base"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name in {"style", "src"}]
    assert seen.text.count("<script>alert(1)</script>") >= 8
    assert {value for name, value in seen.attributes if name == "href"} == {"data:,", "metrics", "healthz"}
    assert "49" not in seen.text


async def test_no_secret_of_ours_and_no_sign_that_misleads_is_on_it() -> None:
    here = await Lookout().open()
    await here.poll()
    here.market.error = SourceError("refused: Zk9vQ2x7LmP4wT8s \u202egnp.exe\x1b[2J")
    for _ in range(30):
        await here.poll()
    redact = Redactor(["Zk9vQ2x7LmP4wT8s"]).redact
    text = drawn(here, redact).text
    assert "refused: *** gnp.exe [2J" in text
    assert not {"\u202e", "\x1b"} & set(text)
    async with here.served(redact) as url:
        for path in ("", "healthz", "metrics"):
            assert "Zk9v" not in (await get(url + path))[1]


async def test_a_secret_is_not_saved_by_being_cut_in_two() -> None:
    here = await Lookout().open()
    here.market.error = SourceError("x" * (page.LONGEST - 20) + "Zk9vQ2x7LmP4wT8s")
    await here.poll()
    text = drawn(here, Redactor(["Zk9vQ2x7LmP4wT8s"]).redact).text
    assert "Zk9" not in text
    assert "***" in text


async def test_the_browser_is_allowed_that_style_and_nothing_else() -> None:
    here = await Lookout().open()
    text = Page().draw(facts(here.service))
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_POLICY
    assert not re.search(r"url\(|@import|https?://", text)


# ---------------------------------------------------------------- the course

RUNGS = [Rung(Severity.WARNING, Decimal(5), Decimal(6)), Rung(Severity.EMERGENCY, Decimal("1.5"), Decimal(2))]


def course(*values: float, step: float = 5.0) -> list[tuple[float, Decimal]]:
    return [(1000 - step * (len(values) - 1 - i), Decimal(str(value))) for i, value in enumerate(values)]


def points(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]


def test_without_a_course_there_is_no_picture() -> None:
    assert chart([], 1000, RUNGS) is None
    assert chart([(1000 - COURSE_SPAN - 1, Decimal(5))], 1000, RUNGS) is None


def test_the_course_ends_at_the_right_and_liquidation_is_at_the_foot() -> None:
    found = chart(course(10, 5, 1), 1000, RUNGS)
    assert found
    line = points(found.lines[0])
    assert line[-1] == found.end == (WIDTH, HEIGHT)
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert [y for _, y in line] == sorted(y for _, y in line)
    assert 0 < line[0][1] < HEIGHT / 10


def test_a_fall_by_half_is_as_deep_anywhere() -> None:
    found = chart(course(16, 8, 4, 2), 1000, [])
    assert found
    heights = [y for _, y in points(found.lines[0])]
    falls = [b - a for a, b in pairwise(heights)]
    assert max(falls) - min(falls) < 0.2


def test_what_is_below_liquidation_stays_in_the_picture() -> None:
    found = chart(course(0.5, 0, -3), 1000, RUNGS)
    assert found
    assert {y for _, y in points(found.lines[0])} == {HEIGHT}


def test_where_nothing_was_seen_no_line_is_drawn() -> None:
    found = chart([(500.0, Decimal(5)), (505.0, Decimal(5)), (700.0, Decimal(4)), (1000.0, Decimal(3))], 1000, [])
    assert found
    assert [len(points(line)) for line in found.lines] == [2, 1, 1]


def test_tiers_in_sight_are_marked_and_words_do_not_lie_on_each_other() -> None:
    found = chart(course(20), 1000, RUNGS)
    assert found
    assert [(mark.word, mark.severity) for mark in found.marks] == [("1.5", "emergency"), ("5", "warning")]
    assert found.marks[0].y > found.marks[1].y
    found = chart(course(1.2), 1000, RUNGS)
    assert found
    assert [mark.word for mark in found.marks] == ["1.5"]
    close = [
        *RUNGS,
        Rung(Severity.CRITICAL, Decimal("1.55"), Decimal(2)),
        Rung(Severity.INFO, Decimal("1.01"), Decimal(2)),
    ]
    found = chart(course(20), 1000, close)
    assert found
    assert [mark.word for mark in found.marks] == ["", "1.5", "", "5"]
