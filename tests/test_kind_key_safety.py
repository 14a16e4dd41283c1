"""The kind `key_safety`: what the API key may do, and from where."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from riskbot import engine
from riskbot.builtin.key_safety import NO_IP, KeySafety
from riskbot.builtin.rules import Blind
from riskbot.model import AccountInfo, Alert, Alerts, Outage
from riskbot.model import Blind as BlindSince
from riskbot.rules import measure, tell
from tests.kinds import CRITICAL, EMERGENCY, INFO, OK, WARNING, event, read, view

SOUND = ("read_only",)


def key_safety(**keys: Any) -> KeySafety:
    return KeySafety.model_validate({"name": "key", "kind": "key_safety"} | keys)


def key(*permissions: str, ips: tuple[str, ...] = ("203.0.113.7",)) -> AccountInfo:
    return AccountInfo("1", "3", permissions=permissions, ips=ips)


def test_a_key_that_only_reads_from_one_address_is_sound() -> None:
    assert read(key_safety(), view(info=key("read_only"))) == {"trade": OK, "withdraw": OK, NO_IP: OK}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (key("read_only", "trade"), {"trade": WARNING, "withdraw": OK, NO_IP: OK}),
        (key("withdraw", "read_only"), {"trade": OK, "withdraw": CRITICAL, NO_IP: OK}),
        (key("read_only", ips=()), {"trade": OK, "withdraw": OK, NO_IP: INFO}),
        (key("transfer"), {"trade": OK, "transfer": WARNING, "withdraw": OK, NO_IP: OK}),
    ],
)
def test_each_fact_is_told_by_itself(info: AccountInfo, expected: dict[str, object]) -> None:
    assert read(key_safety(), view(info=info)) == expected


def test_who_must_trade_from_everywhere_can_say_so_but_withdrawing_stays_critical() -> None:
    worst = key("read_only", "trade", "withdraw", ips=())

    tuned = key_safety(trade="off", no_ip="off")
    assert read(tuned, view(info=worst)) == {"trade": OK, "withdraw": CRITICAL, NO_IP: OK}
    stern = key_safety(trade="emergency", no_ip="critical")
    assert read(stern, view(info=worst)) == {"trade": EMERGENCY, "withdraw": CRITICAL, NO_IP: CRITICAL}
    for keys in ({"enabled": False}, {"withdraw": "off"}, {"trade": "bad"}):
        with pytest.raises(ValidationError):
            key_safety(**keys)


def test_that_okx_does_not_say_what_the_key_may_do_is_blindness() -> None:
    answer = measure(key_safety(), view())
    blind = Blind.model_validate({"name": "blind", "kind": "blind"})
    remembered = engine.step("main", [key_safety()], Alerts(), {"key": answer}, 100.0).alerts

    assert answer.missing == "OKX has not said yet what the key may do"
    assert remembered.blind == {"key": BlindSince(100.0, answer.missing)}
    assert read(blind, view(now=130.0, alerts=remembered)) == {"": OK, "key": CRITICAL}


def test_a_fact_that_stays_is_repeated_once_a_day() -> None:
    assert set(key_safety()._repeats.values()) == {0.0, 86400.0} - {0.0}
    assert key_safety(repeat_every="1h")._repeats[WARNING] == 3600


def test_every_fact_is_about_the_key_and_no_currency() -> None:
    assert key_safety(ccy=("BTC",)).covers("trade")
    assert key_safety(except_ccy=("TRADE",)).keeps("trade", {})


def test_it_is_told_what_that_means_and_what_to_do() -> None:
    def told(subject: str, after: Any = WARNING) -> tuple[str, list[str]]:
        return tell(key_safety(), view(), event(int(after), subject, after))

    assert told("trade") == (
        "the API key can trade",
        ["who gets hold of it can trade: make a key with the Read permission alone"],
    )
    assert told("withdraw")[0] == "the API key can withdraw"
    assert told(NO_IP)[0] == "the API key is bound to no IP address"
    assert told("transfer") == ("the API key can transfer", ["riskbot needs the Read permission alone"])
    assert told("trade", OK) == ("the API key can't trade any more", [])
    assert told(NO_IP, OK) == ("the API key is bound to an IP address", [])


def test_a_key_that_may_too_much_is_no_danger_that_would_hurry_blindness() -> None:
    blind = Blind.model_validate({"name": "blind", "kind": "blind"})
    remembered = Alerts({"key": {"withdraw": Alert(level=CRITICAL, shown=CRITICAL)}})

    def seen(age: float, **keys: Any) -> dict[str, object]:
        return read(blind, view(now=age, outage=Outage(0.0, "x"), alerts=remembered, **keys))

    harmless = frozenset({"key"})
    assert seen(12.0, harmless=harmless) == {"": OK}
    assert seen(999.0, harmless=harmless) == {"": WARNING}
    assert seen(12.0) == {"": CRITICAL}
    assert not KeySafety.DANGER
