"""Labels and `message`: a trader's own words around the numbers; nothing in them is executed, and they never fail."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from riskbot import template
from riskbot.history import History
from riskbot.model import Cause, Event, Outage, Severity, View
from riskbot.rules import Rule, tell
from riskbot.snapshot import Snapshot, field_paths
from riskbot.template import FORMS, NUMBERS, WORDS, BadTemplateError
from tests.desk import Desk
from tests.files import KINDS

ROW = {
    "ccy": "BTC", "eq": "2", "eqUsd": "120000", "liab": "0.5", "twap": "3", "mgnRatio": "", "collateralRestrict": True,
    "autoLendStatus": "off", "uTime": "1700000000000",
}  # fmt: skip
SNAPSHOT = Snapshot({"adjEq": "16260", "mgnRatio": "1.42", "uTime": "", "details": [ROW]})


def view(snapshot: Snapshot = SNAPSHOT, outage: Outage | None = None) -> View:
    return View("main", 100.0, snapshot, History(), outage=outage)


def event(subject: str = "BTC", after: Severity = Severity.CRITICAL, **facts: Any) -> Event:
    known = {"value": Decimal("1.42"), "note": "a note", **facts}
    return Event(
        "main",
        "ratio",
        subject,
        1,
        2,
        Severity.WARNING,
        after,
        Severity.EMERGENCY,
        4000.0,
        380.0,
        Cause.BREACH,
        **known,
    )


def rule(message: str | None = None, **keys: Any) -> Rule:
    more = {} if message is None else {"message": message}
    given = {"name": "ratio", "kind": "margin_ratio", "below": {"warning": 5, "critical": 3}}
    return KINDS["margin_ratio"].model_validate(given | more | keys)


def headline(message: str, seen: Event | None = None, **keys: Any) -> str:
    return tell(rule(message, **keys), view(), seen or event())[0]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("call Anna", "call Anna"),
        ("{value} {subject}", "1.42 BTC"),
        ("{value:percent} of {tier:percent}", "142 % of 300 %"),
        ("{account}/{rule}: {severity}, at worst {peak}", "main/ratio: critical, at worst emergency"),
        ("{since}, {lasted}", "00:06:20 UTC, 1 h"),
        ("{headline}!", "margin ratio BTC 1.42 (142 %)!"),
        ("{note}", "a note"),
        ("{adjEq} or {adjEq:number}", "$16,300 or 16,260"),
        ("{mgnRatio} is {mgnRatio:percent}", "1.42 is 142 %"),
        ("{details.liab} coins are {details.liab:usd}", "0.5 coins are $30,000"),
        ("level {details.twap}", "level 3"),
        ("{details.collateralRestrict}, {details.autoLendStatus}", "true, off"),
        ("{details.uTime}", "2023-11-14 22:13:20 UTC"),
        ("{uTime} {details.mgnRatio} {details.cashBal:usd} {totalEq}", "no value no value no value no value"),
        ("{{value}} {{}}", "{value} {}"),
        ("desk {labels.desk-1}", "desk a"),
    ],
)
def test_a_name_in_braces_becomes_its_value(message: str, said: str) -> None:
    assert headline(message, labels={"desk-1": "a"}) == said


def test_the_rule_s_own_lines_stay_below_those_of_the_trader() -> None:
    said = tell(rule("{headline}\nrunbook: https://wiki/{rule}\n"), view(), event(subject=""))

    assert said[0] == "margin ratio 1.42 (142 %)"
    assert said[1][0] == "runbook: https://wiki/ratio"
    assert said[1][1].startswith("a further loss of $")


async def test_a_message_goes_out_in_the_trader_s_words() -> None:
    desk = await Desk(rule("equity {adjEq}, ratio {value}", labels={"desk": "a"})).load()
    desk.market.ratio = "4"
    await desk.poll()

    ((_, message),) = await desk.store.outbox(("queued",))

    assert message.title == "WARNING · main · equity $50,000, ratio 4"
    assert "desk: a" in message.body.splitlines()


def test_labels_are_told_on_one_line_after_the_rule_s_own() -> None:
    outage = Outage(90.0, "no answer")
    said = tell(rule(labels={"desk": "a", "team": "night shift"}), view(outage=outage), event())[1]

    assert said[-2:] == ["desk: a, team: night shift", "as last seen 00:01:30 UTC, blind since"]


def test_an_alert_that_is_over_has_no_tier_and_is_resolved() -> None:
    over = event(after=Severity.OK, value=None)

    assert headline("{severity} {value} {tier}", over) == "resolved no value no value"


def test_a_field_of_a_currency_has_no_value_where_the_alert_is_about_the_account() -> None:
    assert headline("{subject} {details.liab} {details.liab:usd}", event(subject="")) == "no value no value"


def test_a_headline_that_comes_out_empty_is_the_rule_s_own() -> None:
    assert headline("{subject}", event(subject="")) == "margin ratio 1.42 (142 %)"


def test_a_value_can_not_break_a_line_or_command_a_terminal() -> None:
    row = {"ccy": "BTC", "autoLendStatus": "a\nCRITICAL · main\x1b[2J\u202eb"}
    seen = view(Snapshot({"details": [row]}))

    assert tell(rule("{details.autoLendStatus}"), seen, event())[0] == "a CRITICAL · main [2J b"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ("{valeu}", 'no such value; did you mean "value"?'),
        ("{adjeq}", 'no such value; did you mean "adjEq"?'),
        ("{liab}", 'no such value; did you mean "details.liab"?'),
        ("{labels.dsek}", 'no such value; did you mean "labels.desk"?'),
        ("{}", "no such value"),
        ("{0}", "no such value"),
        ("{__class__}", "no such value"),
        ("{event.__class__}", "no such value"),
        ("{value.real}", 'no such value; did you mean "value"?'),
        ("{value[0]}", 'no such value; did you mean "value"?'),
        ("{view}", "no such value"),
        ("{value:percnt}", '{value} can be written as number or percent; did you mean "percent"?'),
        ("{value:usd}", "{value} can be written as number or percent"),
        ("{value:>99999999}", "{value} can be written as number or percent"),
        ("{value:{value}}", "{value} can be written as number or percent"),
        ("{value!r}", "{value} can be written as number or percent"),
        ("{adjEq:percent}", "{adjEq} can be written as usd or number"),
        ("{subject:usd}", "{subject} is always written the same: take away what follows its name"),
        ("{details.ccy!s}", "{details.ccy} is always written the same: take away what follows its name"),
        ("{value", "a { or } stands alone: write {{ or }} for one that is meant"),
        ("value}", "a { or } stands alone: write {{ or }} for one that is meant"),
        ("{val\nue}", "a { or } stands alone: write {{ or }} for one that is meant"),
        ("x" * 1001, "String should have at most 1000 characters"),
    ],
)
def test_what_can_not_be_rendered_is_a_mistake_of_the_file(message: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        rule(message, labels={"desk": "a"})

    assert [error["msg"].partition("; known")[0] for error in caught.value.errors()] == [said]
    assert [error["loc"] for error in caught.value.errors()] == [("message",)]


@pytest.mark.parametrize("labels", [{"a b": "c"}, {"": "c"}, {"a.b": "c"}, {"a": ""}, {"a": "b\nc"}, {"a": 1}, ["a"]])
def test_a_label_is_a_word_and_one_line(labels: Any) -> None:
    with pytest.raises(ValidationError):
        rule(labels=labels)


def test_words_do_not_change_how_a_rule_judges() -> None:
    worded = rule("{value}", labels={"desk": "a"}, renamed_from="x", repeat_every="1h")

    assert worded.compiled.ladder.mark == rule().compiled.ladder.mark
    assert worded.compiled.ladder.mark != rule(hysteresis="6%").compiled.ladder.mark


NAMES = [*WORDS, *NUMBERS, "labels.desk", *field_paths()]
PIECES = st.sampled_from([f"{{{name}}}" for name in NAMES] + [f"{{{n}:{f}}}" for n in NAMES for f in FORMS])
RAW = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["", "NaN", "1e39", "-0", "9e99"])
)
ROWS = st.dictionaries(st.sampled_from(field_paths()).map(lambda path: path.removeprefix("details.")), RAW)


@given(
    st.lists(PIECES | st.text(max_size=3), min_size=1, max_size=6),
    ROWS,
    ROWS,
    st.decimals() | st.none(),
    st.text(max_size=4) | st.just("BTC"),
    st.sampled_from(Severity),
)
def test_what_was_loaded_never_fails(
    pieces: list[str],
    account: dict[str, Any],
    row: dict[str, Any],
    value: Decimal | None,
    subject: str,
    after: Severity,
) -> None:
    try:
        parsed = template.parse("".join(pieces), ["desk"])
    except BadTemplateError:
        return
    seen = view(Snapshot({**account, "details": [{**row, "ccy": "BTC"}]}))

    said = template.render(parsed, template.Facts(seen, event(subject, after, value=value), "x", {}, value))

    assert len(said) == len(parsed)
    assert all(line.isprintable() for line in said)
