"""What a trader may write, ladders, and asking a rule."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from riskbot import rules
from riskbot.asker import Asker
from riskbot.builtin.blind import Blind
from riskbot.builtin.change import Change
from riskbot.builtin.level import Level
from riskbot.builtin.margin_ratio import MarginRatio
from riskbot.builtin.threshold import Threshold
from riskbot.fields import MISSING, NOT_APPLICABLE
from riskbot.history import History
from riskbot.model import AccountInfo, Cause, Event, Outage, Reading, Severity, View
from riskbot.rules import Measured, Rule, measure, parse_duration, parse_number, suggest, tell
from riskbot.snapshot import Snapshot

# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90),
        (1.5, 1.5),
        (Decimal("0.25"), 0.25),
        ("90s", 90),
        ("500ms", 0.5),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("7d", 604800),
        ("0s", 0),
        (0, 0),
    ],
)
def test_a_duration_is_written_with_its_unit(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        *("90", "", "s", "-5s", "5 seconds", "1h-30m", "٣s", "1e3s", "5s!", "9" * 400 + "d"),
        *(-1, True, None, [], float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity")),
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (3, "3"),
        (0.1, "0.1"),
        ("1.5", "1.5"),
        ("300%", "3"),
        (" 12.5 % ", "0.125"),
        ("-5", "-5"),
        (Decimal("1.50"), "1.50"),
        ("1234567890123456789012345678901234.5", "1234567890123456789012345678901234.5"),
        (0, "0"),
    ],
)
def test_a_number_is_exact(written: object, number: str) -> None:
    assert parse_number(written) == Decimal(number)


@pytest.mark.parametrize(
    "written",
    [
        *("", "%", "abc", "1,5", "NaN", "sNaN", "inf", "1e999999999", "1e99999999999999999999", "1e-60"),
        *(True, None, {}, float("nan"), float("inf"), Decimal("NaN"), 10**50),
    ],
)
def test_what_is_no_number_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="not a number"):
        parse_number(written)


@given(st.text() | st.integers() | st.floats() | st.decimals() | st.none() | st.lists(st.integers()))
def test_values_are_parsed_or_refused_and_nothing_else(written: object) -> None:
    for parse in (parse_number, parse_duration):
        try:
            value = parse(written)  # type: ignore[operator] # mypy joins the two
        except ValueError:
            continue
        assert Decimal(value).is_finite()


ABOVE: TypeAdapter[Any] = TypeAdapter(rules.Above)
BELOW: TypeAdapter[Any] = TypeAdapter(rules.Below)


def test_tiers_are_put_in_order_mildest_first() -> None:
    assert list(ABOVE.validate_python({"critical": 3, "info": 1})) == ["info", "critical"]
    assert list(BELOW.validate_python({"emergency": 1.5, "warning": "500%"}).items()) == [
        ("warning", Decimal(5)),
        ("emergency", Decimal("1.5")),
    ]


@pytest.mark.parametrize(
    ("adapter", "tiers", "said"),
    [
        (ABOVE, {"warning": 3, "critical": 3}, "critical is worse than warning, so its value must be higher"),
        (ABOVE, {"info": 9, "emergency": 8}, "emergency is worse than info, so its value must be higher"),
        (BELOW, {"info": 1, "warning": 2}, "warning is worse than info, so its value must be lower"),
        (BELOW, {}, "no tier"),
        (ABOVE, {"fatal": 3}, "Input should be 'info', 'warning', 'critical' or 'emergency'"),
        (ABOVE, {"ok": 3}, "Input should be 'info'"),
    ],
)
def test_tiers_out_of_order_are_refused(adapter: TypeAdapter[Any], tiers: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        adapter.validate_python(tiers)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("mgn_ratio", "mgnRatio"),
        ("MGNRATIO", "mgnRatio"),
        ("details.Liab", "details.liab"),
        ("liab", "details.liab"),
        ("details.lialb", "details.liab"),
        ("adjeq", "adjEq"),
    ],
)
def test_a_near_miss_is_suggested(word: str, hint: str) -> None:
    from riskbot.snapshot import field_paths  # noqa: PLC0415 - only here

    assert suggest(word, field_paths()) == f'; did you mean "{hint}"?'


def test_nothing_is_suggested_for_what_is_far() -> None:
    assert suggest("zzzzzz", ["liab", "twap"]) == ""
    assert suggest("x", []) == ""


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        (Threshold, "mgnratio", 'OKX has no field "mgnratio"; did you mean "mgnRatio"?'),
        (Threshold, "uTime", "uTime is not a number"),
        (Threshold, "details.collateralRestrict", "details.collateralRestrict is not a number"),
        (
            Level,
            "details.liab",
            "not a 0-5 level: this kind takes details.twap or details.colBorrAutoConversion; for am",
        ),
        (Level, "twap", 'OKX has no field "twap"; did you mean "details.twap"?'),
    ],
)
def test_a_field_that_can_not_be_judged_is_refused(kind: type[Rule], path: str, said: str) -> None:
    tiers = {"at_least": {"info": 1}} if kind is Level else {"above": {"info": 1}}
    with pytest.raises(ValidationError) as error:
        kind.model_validate({"name": "x", "kind": "y", "field": path, **tiers})

    assert said in str(error.value)


# ---------------------------------------------------------------- ladders


def rungs(rule: Rule) -> list[tuple[str, str, str]]:
    return [(r.severity.label, f"{r.enter:f}", f"{r.exit.normalize():f}") for r in rule.compiled.ladder.rungs]


def threshold(**keys: Any) -> Threshold:
    return Threshold.model_validate({"name": "t", "kind": "threshold", "field": "adjEq"} | keys)


def test_a_tier_is_left_a_share_of_its_entry_away_from_danger() -> None:
    assert rungs(threshold(above={"warning": 100})) == [("warning", "100", "95")]
    assert rungs(threshold(below={"warning": 100})) == [("warning", "100", "105")]
    assert rungs(threshold(above={"warning": -100})) == [("warning", "-100", "-105")]
    assert rungs(threshold(below={"warning": -100})) == [("warning", "-100", "-95")]
    assert rungs(threshold(above={"warning": 0})) == [("warning", "0", "0")]
    assert rungs(threshold(above={"warning": 100}, hysteresis="20%")) == [("warning", "100", "80")]


def test_a_level_is_left_a_whole_step_below() -> None:
    rule = Level.model_validate(
        {"name": "t", "kind": "level", "field": "details.twap", "at_least": {"info": 1, "warning": 4}}
    )

    assert rungs(rule) == [("info", "1", "0"), ("warning", "4", "3")]
    assert rule.compiled.ladder.met(Decimal(4), Decimal(4))
    assert rule.compiled.ladder.passed(Decimal(3), Decimal(3))
    down = rule.ladder_of({"info": Decimal(2)}, "below", step=Decimal(1))
    assert down.met(Decimal(2), Decimal(2))
    assert down.rungs[0].exit == 3


def test_entries_are_strict_and_a_milder_tier_is_found() -> None:
    ladder = threshold(above={"info": 1, "critical": 3}).compiled.ladder

    assert not ladder.met(Decimal(1), Decimal(1))
    assert [ladder.lower(s) for s in Severity] == [0, 0, 1, 1, 3]


def test_timers_of_a_rule_stand_in_its_ladder() -> None:
    ladder = threshold(above={"info": 1}, **{"for": "5s", "keep_firing_for": "1m"}).compiled.ladder

    assert (ladder.hold, ladder.keep) == (5, 60)


def test_a_ladder_without_tiers_is_refused() -> None:
    class Flat(Rule, kind="flat"):
        def ladder(self) -> rules.Ladder:
            return self.ladder_of({}, "above")

    with pytest.raises(ValidationError, match="would never speak"):
        Flat(name="x", kind="flat")


# ---------------------------------------------------------------- a rule as a stranger writes it


class Plugin(Rule, kind="plugin", worse="above"):
    """Gives what it is told to give."""

    gives: Any = ()

    def readings(self, view: View) -> Iterable[Reading]:
        if isinstance(self.gives, BaseException):
            raise self.gives
        yield from self.gives


def plugin(gives: Any, **keys: Any) -> Plugin:
    return Plugin(name="p", kind="plugin", above={"warning": 1}, gives=gives, **keys)  # type: ignore[call-arg] # added at run time


def view(snapshot: Snapshot | None = None, info: AccountInfo | None = None, outage: Outage | None = None) -> View:
    return View("main", 100.0, snapshot or Snapshot({"details": []}), History(), info, outage)


def event(value: Decimal | None = None, subject: str = "", note: str = "") -> Event:
    after = Severity.WARNING
    return Event("main", "p", subject, 7, 1, Severity.OK, after, after, 9.0, 9.0, Cause.BREACH, value, note)


def test_readings_are_taken_as_they_are() -> None:
    readings = (Reading(Decimal("1.5"), "A", "note"), Reading(Decimal(2)), Reading.not_applicable("why", "B"))

    assert measure(plugin(readings), view()).readings[:2] == readings[:2]
    assert measure(plugin(readings), view()).missing == ""
    assert measure(plugin(()), view()) == Measured(calm=True)


def test_plain_numbers_are_made_exact() -> None:
    given_ = [Reading(5, "A"), Reading(0.1, "B"), Reading(float("nan"), "C")]  # type: ignore[arg-type] # a plugin may

    answer = measure(plugin(given_), view())

    assert [r.value for r in answer.readings[:2]] == [Decimal(5), Decimal("0.1")]
    assert all(type(r.value) is Decimal for r in answer.readings)
    assert answer.readings[2].is_missing
    assert answer.missing == "C no value"


def test_what_can_not_be_saved_is_taken_out_of_subjects_notes_and_words() -> None:
    (reading,) = measure(plugin([Reading(Decimal(1), "cut \ud83d", "caf\udce9 é")]), view()).readings
    assert reading == Reading(Decimal(1), "cut ?", "caf? é")

    class Cut(Wordy, kind="cut", worse="above"):
        def say(self, event: Event) -> str:
            return "half \ud83d"

        def explain(self, view: View, event: Event) -> Iterable[str]:
            return ["\udce9 é"]

    assert tell(Cut(name="p", kind="cut", above={"info": 1}), view(), event()) == ("half ?", ["? é"])  # type: ignore[call-arg] # at run time


def test_a_missing_number_is_told_with_its_reason() -> None:
    answer = measure(plugin([Reading(Decimal(1)), Reading.missing("no liab", "A"), Reading.missing("x", "B")]), view())

    assert answer.missing == "A no liab"
    assert answer.complete


class MuteError(Exception):
    """Fails at its own words."""

    def __str__(self) -> str:
        raise ValueError


NONSENSE = [
    (None, "TypeError"),
    (5, "TypeError"),
    ("abc", "gave a str where a Reading is due"),
    ([Decimal(1)], "gave a Decimal where a Reading is due"),
    ([None], "gave a NoneType where a Reading is due"),
    ([Reading("5")], "gave a reading of str 5"),  # type: ignore[arg-type] # nonsense on purpose
    ([Reading(True)], "gave a reading of bool True"),  # type: ignore[arg-type] # nonsense on purpose
    ([Reading(None)], "gave a reading of NoneType"),  # type: ignore[arg-type] # nonsense on purpose
    ([Reading(Decimal("Infinity"))], "gave a reading of Decimal"),
    ([Reading(Decimal("sNaN"))], "gave a reading of Decimal"),
    ([Reading(Decimal("9e999999"))], "gave a reading of Decimal 9E[+]999999"),
    ([Reading(Decimal("9e-999999"))], "gave a reading of Decimal 9E-999999"),
    ([Reading(float("-inf"))], "gave a reading of float"),  # type: ignore[arg-type] # nonsense on purpose
    ([Reading(Decimal(1), None)], "no text"),  # type: ignore[arg-type] # nonsense on purpose
    ([Reading(Decimal(1), "A", 5)], "no text"),  # type: ignore[arg-type] # nonsense on purpose
    ([Reading(Decimal(1)), Reading(Decimal(1))], "two readings for the account"),
    ([Reading(Decimal(1), "A"), Reading(Decimal(1), "A")], "two readings for A"),
    (SystemExit(3), "SystemExit: 3"),
    (RecursionError(), "RecursionError"),
    (MuteError(), r"MuteError: \?"),
    (ZeroDivisionError("x" * 500), "ZeroDivisionError: x{119}… "),
]


@pytest.mark.parametrize(("gives", "said"), NONSENSE)
def test_a_rule_that_gives_nonsense_is_missing_and_says_why(gives: Any, said: str) -> None:
    answer = measure(plugin(gives), view())

    assert not answer.complete
    assert __import__("re").search(f"^the rule failed: .*({said})", answer.missing)
    assert "test_rules.py:" in answer.missing or "rules.py:" in answer.missing


def test_a_rule_that_raises_midway_keeps_what_it_gave() -> None:
    def half() -> Iterator[Reading]:
        yield Reading(Decimal(7), "A")
        raise KeyError("liab")

    class Halfway(Plugin, kind="half"):
        def readings(self, view: View) -> Iterable[Reading]:
            return half()

    rule = Halfway(name="p", kind="half", above={"warning": 1})  # type: ignore[call-arg] # added at run time
    answer = measure(rule, view())

    assert answer.readings == (Reading(Decimal(7), "A"),)
    assert not answer.complete
    assert "KeyError: 'liab' (test_rules.py:" in answer.missing


def test_a_kind_without_readings_is_told() -> None:
    class Empty(Rule, kind="empty", worse="below"):
        pass

    rule = Empty(name="p", kind="empty", below={"warning": 1})  # type: ignore[call-arg] # added at run time
    assert "NotImplementedError" in measure(rule, view()).missing
    assert rule.wants() == ()
    assert rule.columns() is None


def test_only_the_currencies_asked_for_are_judged() -> None:
    given_ = [Reading(Decimal(i), ccy) for i, ccy in enumerate(("", "USDT", "BTC", "ETH"))]

    def judged(**keys: Any) -> list[str]:
        return [reading.ccy for reading in measure(plugin(given_, **keys), view()).readings]

    assert judged() == ["", "USDT", "BTC", "ETH"]
    assert judged(ccy=("BTC",)) == ["", "BTC"]
    assert judged(except_ccy=("BTC",)) == ["", "USDT", "ETH"]
    assert judged(ccy=("BTC", "ETH"), except_ccy=("BTC",)) == ["", "ETH"]
    assert measure(plugin([Reading.missing("x", "DOGE")], ccy=("BTC",)), view()).missing == ""


def test_a_rule_watches_the_accounts_it_names_while_it_is_on() -> None:
    assert plugin(()).watches("main")
    assert plugin((), accounts=("main",)).watches("main")
    assert not plugin((), accounts=("other",)).watches("main")
    assert not plugin((), enabled=False).watches("main")


# ---------------------------------------------------------------- its words


class Wordy(Plugin, kind="wordy"):
    """Says what it is told to say."""

    words: Any = "said"
    lines: Any = ()

    def say(self, event: Event) -> str:
        if isinstance(self.words, BaseException):
            raise self.words
        return self.words  # type: ignore[no-any-return] # on purpose

    def explain(self, view: View, event: Event) -> Iterable[str]:
        if isinstance(self.lines, BaseException):
            raise self.lines
        return self.lines  # type: ignore[no-any-return] # on purpose


def wordy(words: Any = "said", lines: Any = ()) -> Wordy:
    return Wordy(name="p", kind="wordy", above={"info": 1}, words=words, lines=lines)  # type: ignore[call-arg] # at run time


def test_a_rule_s_own_words_are_told() -> None:
    assert tell(wordy("x", ["a", 5]), view(), event()) == ("x", ["a", "5"])
    assert tell(wordy("x", "one line"), view(), event()) == ("x", ["one line"])


@pytest.mark.parametrize(
    "rule", [wordy(ValueError("no")), wordy(SystemExit("no")), wordy("x", OSError("no")), wordy("x", 7)]
)
def test_a_rule_that_fails_at_its_words_is_told_in_plain_ones(rule: Rule) -> None:
    headline, lines = tell(rule, view(), event(Decimal("1.5000"), "USDT"))

    assert headline == "p USDT 1.5"
    assert len(lines) == 1
    assert lines[0].startswith("the rule failed: ")


def test_plain_words_are_short_whatever_the_number() -> None:
    assert plugin(()).say(event()) == "p"
    assert plugin(()).say(event(Decimal("9E+999999"))) == "p 9e+999999"
    assert plugin(()).say(event(MISSING, "A")) == "p A no value"
    assert tell(plugin(()), view(), event(note="the note"))[1] == ["the note"]
    assert tell(plugin(()), view(), event())[1] == []


def test_a_rule_that_is_gone_is_told_by_its_name() -> None:
    assert tell(None, view(), event(subject="USDT")) == ("p USDT", [])
    assert tell(None, view(), event()) == ("p", [])


# ---------------------------------------------------------------- asking all rules


def stock() -> list[Rule]:
    tiers = {"warning": 1}
    return [
        MarginRatio.model_validate({"name": "ratio", "kind": "margin_ratio", "below": tiers}),
        Level.model_validate({"name": "twap", "kind": "level", "field": "details.twap", "at_least": tiers}),
        threshold(name="eq", below=tiers),
        threshold(name="eqs", field="details.eqUsd", below=tiers),
        Level.model_validate({"name": "other", "kind": "level", "field": "details.twap", "at_least": tiers}),
        Blind.model_validate({"name": "blind", "kind": "blind"}),
    ]


def past_too() -> list[Rule]:
    """The stock rules, and some that look at the past as well."""

    def change(**keys: Any) -> Change:
        return Change.model_validate({"kind": "change", "over": "10s"} | keys)

    return [
        *stock(),
        change(name="falls", field="adjEq", falls_by={"info": "10%"}),
        change(name="rises", field="details.twap", rises_by={"info": 1}, over="25s"),
        change(name="melts", field="details.eq", falls_by={"info": "$1"}, min_usd=1),
    ]


value = st.sampled_from(["", "0", "1", "2.5", "x", None])
row = st.fixed_dictionaries({"twap": value, "mgnRatio": value}, optional={"eqUsd": value, "eq": value})
details = st.lists(st.tuples(st.sampled_from("ABCD"), row), max_size=4, unique_by=lambda pair: pair[0])
snapshots = st.fixed_dictionaries({"details": details}, optional={"mgnRatio": value, "adjEq": value})
infos = st.sampled_from([None, AccountInfo("1", "2"), AccountInfo("1", "3")])
outages = st.sampled_from([None, None, None, Outage(50.0, "x")])
repeats = st.sampled_from([1, 1, 3, 30])


@settings(max_examples=150)
@given(st.lists(st.tuples(snapshots, infos, outages, repeats), max_size=8))
def test_remembered_answers_are_those_of_asking_again(
    course: list[tuple[dict[str, Any], AccountInfo, Outage, int]],
) -> None:
    asker, now = Asker(past_too()), 100.0
    past = History(want for rule in past_too() for want in rule.wants())
    for raw, info, outage, times in course:
        for _ in range(times):
            now += 1
            rows = [{"ccy": ccy, **fields} for ccy, fields in raw["details"]]
            seen = Snapshot({**raw, "details": rows}, now)
            if not outage:
                past.add(seen)
            at = View("main", now, seen, past, info, outage)

            assert _words(asker(at)) == _words(Asker(past_too())(at))


def _words(answers: dict[str, Measured]) -> list[str]:
    """As text, since a number that is none equals nothing; without the notes of readings at rest, which may be old."""
    return [
        f"{name} {answer.missing} {answer.complete} {answer.calm} {[(r.value, r.ccy) for r in answer.readings]}"
        for name, answer in answers.items()
    ]


def test_a_number_that_passes_to_another_currency_is_asked_for_again() -> None:
    asker = Asker(stock())
    for ccy in ("A", "B"):
        answer = asker(view(Snapshot({"details": [{"ccy": ccy, "twap": "3"}]})))["twap"]
        assert [reading.ccy for reading in answer.readings] == [ccy]


class Counting(Plugin, kind="counting"):
    """Counts how often it is asked."""

    asked: list[int] = []  # noqa: RUF012 - pydantic copies it
    about: Any = None

    def readings(self, view: View) -> Iterable[Reading]:
        self.asked.append(1)
        return ()

    def columns(self) -> tuple[str, ...] | None:
        if isinstance(self.about, BaseException):
            raise self.about
        return self.about  # type: ignore[no-any-return] # on purpose


def asked(about: Any, kind: type[Counting] = Counting) -> int:
    """How often a rule with those columns is asked over three snapshots that are alike."""
    rule = kind(name="p", kind="c", above={"info": 1}, about=about, asked=[])  # type: ignore[call-arg] # at run time
    asker = Asker([rule])
    for _ in range(3):
        asker(view(Snapshot({"details": [{"ccy": "A", "liab": "1"}], "adjEq": "1"})))
    return len(rule.asked)


def test_a_rule_whose_columns_did_not_move_is_not_asked_again() -> None:
    assert asked(("details.liab",)) == 1
    assert asked(("adjEq", "details.twap")) == 1


@pytest.mark.parametrize(
    "about", [None, (), "details.liab", ("details.lialb",), ("details",), 5, KeyError("x"), SystemExit()]
)
def test_a_rule_whose_columns_can_not_be_trusted_is_asked_every_time(about: Any) -> None:
    assert asked(about) == 3


def test_columns_of_the_parent_are_not_believed_for_readings_of_one_s_own() -> None:
    class Child(Counting, kind="child"):
        def readings(self, view: View) -> Iterable[Reading]:
            self.asked.append(1)
            return ()

    class Grandchild(Child, kind="grandchild"):
        def columns(self) -> tuple[str, ...] | None:
            return ("adjEq",)

    assert asked(("adjEq",), Child) == 3
    assert asked(("adjEq",), Grandchild) == 1


def test_answers_are_the_caller_s_own() -> None:
    asker = Asker(stock())
    first = asker(view(Snapshot({"details": [], "mgnRatio": "2"})))
    kept = dict(first)
    asker(view(Snapshot({"details": [], "mgnRatio": "0.5"})))

    assert first == kept
    first.clear()
    assert len(asker(view())) == 6


def test_during_an_outage_only_rules_that_see_one_are_asked() -> None:
    answers = Asker(stock())(view(outage=Outage(50.0, "timeout")))

    assert list(answers) == ["blind"]
    assert not answers["blind"].complete  # what it does not mention is unknown, not gone


def test_asking_stays_cheap_while_nothing_moves() -> None:
    rows = [{"ccy": f"C{i}", "twap": "0", "mgnRatio": "", "eqUsd": "5"} for i in range(50)]
    asker = Asker(stock())
    info = AccountInfo("1", "3")
    seen = [view(Snapshot({"details": rows, "mgnRatio": "5", "adjEq": "9"}), info) for _ in range(3)]
    asker(seen[0])
    asker(seen[1])
    calls = 0

    def count(*_: object) -> None:  # pragma: no cover - it runs as the profiler, unseen by coverage
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    asker(seen[2])
    sys.setprofile(None)

    assert calls < 600  # most of it gathers four columns of fifty
    assert seen[2].snapshot._balances is None


def test_a_view_knows_the_mode_only_when_it_was_told() -> None:
    assert view().mode is None
    assert view(info=AccountInfo("1", "4")).mode == "4"


def test_readings_without_a_value_say_which_kind() -> None:
    assert Reading.missing("x").is_missing
    assert not Reading.not_applicable("x").is_missing
    assert Reading.not_applicable("why", "A") is not None
    assert str(NOT_APPLICABLE) != str(MISSING)


def test_growth_is_measured_again_as_its_window_passes_though_nothing_moves() -> None:
    rule = Change.model_validate(
        {"name": "c", "kind": "change", "field": "details.liab", "over": "1m", "rises_by": {"info": "1%"}}
    )
    past, asker, info = History(rule.wants()), Asker([rule]), AccountInfo("1", "3")

    def growth(at: float, liab: str, price: str = "1") -> Decimal:
        snapshot = Snapshot({"details": [{"ccy": "A", "liab": liab, "eq": "1", "eqUsd": price}]}, at)
        past.add(snapshot)
        return asker(View("main", at, snapshot, past, info))["c"].readings[0].value

    assert [growth(0, "100"), growth(1, "150"), growth(30, "150"), growth(60, "150")] == [0, Decimal("0.5")] * 1 + [
        Decimal("0.5")
    ] * 2
    assert growth(62, "150") == 0
    assert growth(63, "150", "7") == 0
    assert growth(64, "300", "7") == 1


# ---------------------------------------------------------------- account modes


def test_a_rule_is_silent_in_the_modes_that_carry_none_of_its_fields() -> None:
    debt = threshold(field="details.liab", above={"warning": 1})

    assert debt.modes() == "34"
    assert rules.no_data(debt, "3") == ""
    assert rules.no_data(debt, "1") == (
        "would have no data in Spot mode: what it reads is carried in Multi-currency margin or Portfolio margin mode"
    )
    ratio = MarginRatio.model_validate({"name": "r", "kind": "margin_ratio", "below": {"warning": 3}})
    assert [mode for mode in "1234" if rules.no_data(ratio, mode)] == ["1"]


def test_a_rule_that_does_not_say_what_it_reads_is_at_home_in_every_mode() -> None:
    assert plugin(()).modes() == "1234"
