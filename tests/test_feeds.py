"""The language of feeds: what each word means, and what is said of one that means nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from riskbot.settings.feeds import FeedError, Gap, Recording, parse


def test_each_word_stands_for_so_many_polls() -> None:
    feed = parse("details.twap/usdt", "0*5 2 4*3")

    assert (feed.path, feed.ccy, feed.key) == ("details.twap", "USDT", "details.twap/USDT")
    assert [(item.value, item.polls) for item in feed.items] == [("0", 5), ("2", 1), ("4", 3)]


def test_a_word_may_last_for_a_time_instead() -> None:
    assert [item.lasts(5.0) for item in parse("mgnRatio", "12*10m 3*90s 2*1s").items] == [120, 18, 1]


def test_numbers_are_exact_however_they_are_written() -> None:
    assert [item.value for item in parse("mgnRatio", "300% 1.5 -2 1e3").items] == ["3", "1.5", "-2", "1000"]


def test_no_value_has_four_words() -> None:
    assert [item.value for item in parse("details.liab/BTC", "na miss gone*2 down").items] == [
        Gap.NA,
        Gap.MISS,
        Gap.GONE,
        Gap.DOWN,
    ]


def test_a_line_leads_from_one_value_to_another() -> None:
    line, short = parse("mgnRatio", "1.8..1.05/60 -3..4/10m").items

    assert (line.line, line.polls) == ((Decimal("1.8"), Decimal("1.05")), 60)
    assert (short.line, short.lasts(1.0)) == ((Decimal(-3), Decimal(4)), 600)


def test_a_recording_lasts_as_long_as_its_part() -> None:
    (item,) = parse("mgnRatio", "@a b/x#1.jsonl#23:50..00:10:30".replace(" ", "_")).items

    assert item.recording == Recording("a_b/x#1.jsonl", 85800.0, 87030.0)
    assert item.lasts(1.0) == 1230


def test_flags_and_words_are_those_of_okx() -> None:
    assert [item.value for item in parse("details.collateralRestrict/BTC", "false*3 true").items] == ["false", "true"]
    assert [item.value for item in parse("details.autoLendStatus/BTC", "off active").items] == ["off", "active"]
    assert [item.value for item in parse("acctLv", "3*5 4").items] == ["3", "4"]


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("details.twap/USDT", "0*5 2x10", 'at sign 5, "2x10": is no value and none of na, miss, gone, down'),
        ("details.twap/USDT", "0*0", 'at sign 1, "0*0": after the * stands for how many polls'),
        ("details.twap/USDT", "0*5*5", "after the * stands for how many polls"),
        ("details.twap/USDT", "0*5000000", "after the * stands for how many polls"),
        ("details.twap/USDT", "0*900d", "after the * stands for how many polls"),
        ("details.twap/USDT", "  ", "says nothing: write it as 2*10 (ten polls)"),
        ("mgnRatio", "1..2", "is no value"),
        ("mgnRatio", "1.8/60", "a straight line is written FROM..TO/POLLS"),
        ("mgnRatio", "1..2/60*3", "a straight line is written FROM..TO/POLLS"),
        ("mgnRatio", "1..x/60", "is no value"),
        ("details.collateralRestrict/BTC", "maybe", "details.collateralRestrict is one of true, false; or na"),
        ("details.collateralRestrict/BTC", "true..false/3", "is no number, so no line leads"),
        ("acctLv", "5", "acctLv is one of 1, 2, 3, 4"),
        ("details.twop/USDT", "1", 'OKX has no field "details.twop" that could be fed; did you mean "details.twap"?'),
        ("details.uTime/USDT", "1", 'OKX has no field "details.uTime" that could be fed'),
        ("details.twap", "1", "say of which currency: details.twap/USDT"),
        ("mgnRatio/BTC", "1", "mgnRatio is of the account: without /BTC"),
        ("mgnRatio", "@incident.jsonl", "a recording is written @FILE#FROM..TO"),
        ("mgnRatio", "@incident.jsonl#12:00..12:60", "12:60 is no time of day"),
        ("mgnRatio", "@incident.jsonl#25:00..26:00", "25:00 is no time of day"),
        ("mgnRatio", "@incident.jsonl#12:00:61..13:00", "12:00:61 is no time of day"),
    ],
)
def test_a_word_that_means_nothing_is_told_with_its_place(key: str, text: str, said: str) -> None:
    with pytest.raises(FeedError) as caught:
        parse(key, text)

    assert said in str(caught.value)
