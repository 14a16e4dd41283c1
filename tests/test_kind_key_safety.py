"""The kind `key_safety`: what the API key may do, and from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from riskbot import engine
from riskbot.builtin.blind import Blind
from riskbot.builtin.key_safety import NO_IP, KeySafety
from riskbot.model import AccountInfo, Alert, Alerts, Gate, Outage
from riskbot.model import Blind as BlindSince
from riskbot.rules import measure, tell
from tests.kinds import CRITICAL, EMERGENCY, INFO, OK, WARNING, event, read, view
from tests.stage import Account, Program, exchange, phone, until, write_rules

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
    assert set(key_safety().compiled.repeats.values()) == {0.0, 86400.0} - {0.0}
    assert key_safety(repeat_every="1h").compiled.repeats[WARNING] == 3600


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


# ---------------------------------------------------------------- what has changed

SAFE = key("read_only")
QUIET: dict[str, object] = {"account mode": OK, "rights": OK, "IP binding": OK}


def changes(rule: KeySafety, gate: Gate, now: float) -> dict[str, object]:
    seen = read(rule, view(info=gate.info, now=now, alerts=Alerts(gate=gate)))
    return {subject: value for subject, value in seen.items() if subject in QUIET}


@pytest.mark.parametrize(
    ("after", "subject", "told"),
    [
        (key("trade", "read_only"), "rights", "read_only → read_only, trade"),
        (key("read_only", ips=("203.0.113.8",)), "IP binding", "203.0.113.7 → 203.0.113.8"),
        (key("read_only", ips=()), "IP binding", "203.0.113.7 → none"),
        (AccountInfo("1", "2", "", SAFE.permissions, SAFE.ips), "account mode", "Multi-currency margin → Futures"),
    ],
)
def test_that_something_changed_is_told_for_an_hour(after: AccountInfo, subject: str, told: str) -> None:
    gate = Gate(SAFE).then(after, 100.0)
    assert changes(key_safety(), gate, 100.0) == {**QUIET, subject: WARNING}
    assert changes(key_safety(), gate, 3699.0) == {**QUIET, subject: WARNING}
    assert changes(key_safety(), gate, 3700.0) == QUIET
    assert changes(key_safety(changed="critical"), gate, 100.0) == {**QUIET, subject: CRITICAL}
    assert changes(key_safety(changed="off"), gate, 100.0) == QUIET
    readings = measure(key_safety(), view(info=after, now=100.0, alerts=Alerts(gate=gate))).readings
    assert {reading.note for reading in readings} == {"", told}


def test_what_never_changed_is_not_spoken_of() -> None:
    assert changes(key_safety(), Gate(SAFE), 100.0) == {}


def test_another_order_or_another_label_is_no_change() -> None:
    two = key("read_only", "trade", ips=("1.1.1.1", "2.2.2.2"))
    same = AccountInfo("1", "3", "named", ("trade", "read_only"), ("2.2.2.2", "1.1.1.1"))
    assert Gate(two).then(two, 5.0) is not Gate(two)
    assert Gate(two).then(two, 5.0) == Gate(two)
    assert Gate(two).then(same, 5.0) == Gate(same)


def test_a_further_change_within_the_hour_is_one_from_the_same_beginning_and_may_be_taken_back() -> None:
    gate = Gate(SAFE).then(key("trade"), 100.0).then(key("trade", ips=()), 200.0)
    assert changes(key_safety(), gate, 201.0) == {**QUIET, "rights": WARNING, "IP binding": WARNING}
    assert changes(key_safety(), gate.then(SAFE, 300.0), 300.0) == QUIET
    later = gate.then(key("trade"), 9999.0)
    assert changes(key_safety(), later, 9999.0) == {**QUIET, "IP binding": WARNING}


def test_it_is_told_what_changed_and_what_that_may_mean() -> None:
    def told(subject: str, after: Any = WARNING) -> tuple[str, list[str]]:
        return tell(key_safety(), view(), event(int(after), subject, after, note="a → b" if after else ""))

    advice = "if nobody of you did that, somebody else is in your account: change its password, delete the key"
    assert told("rights") == ("the API key's rights changed", ["a → b", advice])
    assert told("account mode")[0] == "the account's mode changed"
    over = event(0, "IP binding", OK)
    assert key_safety().say(replace(over, at=over.opened + 60)) == "the API key's IP binding: as before again"
    assert (
        key_safety().say(replace(over, at=over.opened + 3600)) == "the API key's IP binding: no further change for 1 h"
    )


async def test_the_program_tells_what_changed_while_it_was_down(tmp_path: Path) -> None:
    async with exchange(Account()) as market, phone() as receiver:
        program = Program(write_rules(tmp_path, market.url, {"phone": {"url": receiver.url}}))
        program.start()
        await until(lambda: program.says("uid 77, mode 3"))
        await until(lambda: program.knows("main"))
        assert await program.stop() == 0
        (account,) = market.accounts.values()
        account.mode, account.permissions = "2", ("read_only", "withdraw")
        program.start()
        told = await receiver.waits_for("the account's mode changed")
        assert "Multi-currency margin → Futures" in told.body
        told = await receiver.waits_for("the API key's rights changed")
        assert "read_only → read_only, withdraw" in told.body
        await receiver.waits_for("CRITICAL · main · the API key can withdraw")
        assert not receiver.all_of("IP binding")
        await program.stop()
