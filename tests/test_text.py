"""Numbers, spans and moments as a person reads them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot import text
from riskbot.model import Cause, Event, Severity

OK, INFO, WARNING, CRITICAL, EMERGENCY = Severity
ANY_DECIMAL = st.decimals() | st.builds(
    lambda n, e: Decimal(n).scaleb(e), st.integers(-999, 999), st.integers(-9999, 9999)
)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("1", "1"),
        ("1.4200", "1.42"),
        ("1.99996", "2"),
        ("9.99996", "10"),
        ("1234", "1,234"),
        ("1234.56", "1,235"),
        ("-1234.56", "-1,235"),
        ("99999.9", "100,000"),
        ("100", "100"),
        ("0.000012345", "0.00001234"),
        ("12345678901234567", "12,345,678,901,234,567"),
        ("123456789012345678901", "1.235e+20"),
        ("1E+999999", "1e+999999"),
        ("-1E-999999", "-1e-999999"),
        ("NaN", "no value"),
        ("sNaN", "no value"),
        ("Infinity", "no value"),
    ],
)
def test_a_number_has_few_digits(value: str, said: str) -> None:
    assert text.number(Decimal(value)) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "$0.00"),
        ("0.004", "$0.00"),
        ("12.345", "$12.34"),
        ("99.999", "$100.00"),
        ("100", "$100"),
        ("16260", "$16,300"),
        ("-16260", "-$16,300"),
        ("-1.5", "-$1.50"),
        ("999999", "$1,000,000"),
        ("1234567890123", "$1,230,000,000,000"),
        ("1E+30", "$1e+30"),
        ("NaN", "no value"),
        ("-Infinity", "no value"),
    ],
)
def test_an_estimate_in_usd_has_three_digits(value: str, said: str) -> None:
    assert text.usd(Decimal(value)) == said


@pytest.mark.parametrize(
    ("value", "said"), [("1.42", "142 %"), ("0", "0 %"), ("0.12345", "12.3 %"), ("-0.5", "-50 %"), ("NaN", "no value")]
)
def test_a_share_is_told_in_percent(value: str, said: str) -> None:
    assert text.percent(Decimal(value)) == said


@given(ANY_DECIMAL)
def test_any_number_has_short_words(value: Decimal) -> None:
    assert 0 < len(text.number(value)) < 40
    assert 0 < len(text.usd(value)) < 40
    assert 0 < len(text.percent(value)) < 40


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (420, "7 min"),
        (3599.7, "1 h"),
        (3629, "1 h"),
        (12000, "3 h 20 min"),
        (86400 * 2 + 4 * 3600 + 600, "2 d 4 h"),
    ],
)
def test_a_span_has_two_parts_at_most(seconds: float, said: str) -> None:
    assert text.span(seconds) == said


def event(before: Severity, after: Severity, cause: Cause = Cause.BREACH, subject: str = "") -> Event:
    return Event("main", "ratio", subject, 4096, 3, before, after, EMERGENCY, 43_203.0, 42_783.0, cause)


def test_a_moment_is_told_in_utc() -> None:
    assert text.clock(43_203.9) == "12:00:03 UTC"


def test_a_title_says_how_bad_where_and_what() -> None:
    assert text.title(event(OK, CRITICAL), "margin ratio 1.42 (142 %)") == "CRITICAL · main · margin ratio 1.42 (142 %)"
    assert text.title(event(CRITICAL, OK), "x") == "RESOLVED · main · x"
    assert text.title(event(CRITICAL, OK), "x", WARNING) == "EASED TO WARNING · main · x"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (event(OK, INFO), "since 11:53:03 UTC"),
        (event(INFO, CRITICAL), "up from info, since 11:53:03 UTC (7 min)"),
        (event(CRITICAL, INFO, Cause.RECOVERED), "down from critical, since 11:53:03 UTC (7 min)"),
        (event(INFO, OK, Cause.RECOVERED), "back to normal after 7 min, peak emergency"),
        (event(INFO, OK, Cause.NOT_APPLICABLE), "closed: the number no longer applies after 7 min, peak emergency"),
        (event(INFO, OK, Cause.CALM), "calm again after 7 min, peak emergency"),
        (event(INFO, OK, Cause.RULE_REMOVED), "closed: taken out of the rules file after 7 min, peak emergency"),
        (event(INFO, OK, Cause.RULE_CHANGED), "closed: the rule was changed after 7 min, peak emergency"),
        (event(INFO, OK, Cause.ONGOING), "over, peak emergency, since 11:53:03 UTC"),
        (event(OK, WARNING, Cause.ONGOING), "since 11:53:03 UTC"),
        (event(INFO, OK), "over after 7 min, peak emergency"),
    ],
)
def test_a_message_says_where_in_its_course_the_alert_is(seen: Event, said: str) -> None:
    assert text.body(seen, ["how far", "how fast"]).splitlines() == ["how far", "how fast", said, "#main ratio 1000.3"]


def test_a_fall_below_what_a_receiver_is_told_is_not_called_an_end() -> None:
    said = text.body(event(CRITICAL, OK, Cause.RECOVERED, "USDT"), [], WARNING)

    assert said == (
        "no more is told here: warning is below this receiver's min_severity; "
        "since 11:53:03 UTC (7 min), peak emergency\n#main ratio USDT 1000.3"
    )


def test_a_course_is_drawn_with_arrows() -> None:
    assert text.arrow([WARNING, CRITICAL, OK]) == "warning → critical → ok"


@pytest.mark.parametrize(
    ("unit", "ccy", "said"),
    [("USD", "BTC", "$12.50"), ("coin", "BTC", "12.5 BTC"), ("coin", "", "12.5"), ("ratio", "BTC", "12.5")],
)
def test_an_amount_is_told_in_its_unit(unit: str, ccy: str, said: str) -> None:
    assert text.amount(Decimal("12.5"), unit, ccy) == said
