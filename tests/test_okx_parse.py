"""OKX's replies without the wire: what its errors mean, and that no body ever gives a wrong number."""

import copy
import json
import re
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.builtin.okx.errors import ERRORS, failure
from riskbot.builtin.okx.replies import parse, parse_info
from riskbot.fields import MISSING, NOT_APPLICABLE, Amount, Magnitude, Row, is_missing
from riskbot.model import AccountInfo, Severity
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, SourceError

REPLIES = {file.stem: file.read_bytes() for file in (Path(__file__).parent / "data" / "okx").glob("*.json")}

EXPECTED = """
1      BACK_OFF  OK          50041  SLOW      CRITICAL    50104  SLOW      CRITICAL
2      BACK_OFF  OK          50046  BACK_OFF  OK          50105  SLOW      CRITICAL
50001  BACK_OFF  OK          50051  SLOW      CRITICAL    50106  SLOW      CRITICAL
50004  RETRY     OK          50059  SLOW      CRITICAL    50107  SLOW      CRITICAL
50005  SLOW      CRITICAL    50060  SLOW      CRITICAL    50108  SLOW      CRITICAL
50007  SLOW      CRITICAL    50061  BACK_OFF  OK          50109  SLOW      CRITICAL
50008  SLOW      CRITICAL    50062  BACK_OFF  OK          50110  SLOW      CRITICAL
50009  SLOW      EMERGENCY   50064  BACK_OFF  OK          50111  SLOW      CRITICAL
50011  BACK_OFF  OK          50067  SLOW      CRITICAL    50112  RESYNC    OK
50012  SLOW      CRITICAL    50100  SLOW      CRITICAL    50113  SLOW      CRITICAL
50013  BACK_OFF  OK          50101  SLOW      CRITICAL    50114  SLOW      CRITICAL
50014  SLOW      CRITICAL    50102  RESYNC    OK          50115  SLOW      CRITICAL
50015  SLOW      CRITICAL    50103  SLOW      CRITICAL    50119  SLOW      CRITICAL
50016  SLOW      CRITICAL    50017  SLOW      EMERGENCY   50120  SLOW      CRITICAL
50024  SLOW      CRITICAL    50018  SLOW      EMERGENCY   50121  SLOW      CRITICAL
50025  SLOW      CRITICAL    50019  SLOW      EMERGENCY   51000  SLOW      CRITICAL
50026  BACK_OFF  OK          50020  SLOW      EMERGENCY   50027  SLOW      CRITICAL
50029  SLOW      CRITICAL    50021  SLOW      EMERGENCY   50030  SLOW      CRITICAL
50035  SLOW      CRITICAL    50022  SLOW      EMERGENCY   50040  BACK_OFF  OK
"""
CODES = re.findall(r"(\d+) +([A-Z_]+) +([A-Z]+)", EXPECTED)


def refused(body: bytes, status: int = 200) -> SourceError:
    with pytest.raises(SourceError) as caught:
        parse(body, status)
    return caught.value


def reply(data: Any, code: Any = "0", msg: Any = "") -> bytes:
    return json.dumps({"code": code, "data": data, "msg": msg}).encode()


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(("code", "remedy", "severity"), CODES)
def test_every_code_of_the_guide_has_its_remedy_and_its_severity(code: str, remedy: str, severity: str) -> None:
    for body in (reply([], code), json.dumps({"msg": "…", "code": code}).encode(), reply([], int(code))):
        for status in (200, 400, 401, 429, 503):
            error = refused(body, status)
            assert (error.remedy, error.severity) == (Remedy[remedy], Severity[severity])
            assert error.code == code
            assert error.why.endswith(f"(code {code})")


def test_no_code_is_in_the_table_that_the_guide_does_not_name() -> None:
    assert ERRORS.keys() == {code for code, _, _ in CODES}


def test_an_unknown_code_is_retried_less_and_less_often() -> None:
    error = refused(reply([], "59999", "Something new"))
    assert (error.remedy, error.severity, error.code) == (Remedy.BACK_OFF, Severity.OK, "59999")
    assert error.why == "OKX answers with an error that is new to riskbot (code 59999)"


def test_a_sub_code_is_shown_and_its_code_looked_up() -> None:
    error = refused(reply([], "51000_1234"))
    assert (error.remedy, error.code) == (Remedy.SLOW, "51000")
    assert error.why.endswith("(code 51000_1234)")
    assert refused(reply([], "51008_1000")).code == "51008"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Your IP 203.0.113.7 is not included in your API key's IP whitelist.", "203.0.113.7, "),
        ("Your IP 2001:db8::7.", "2001:db8::7, "),
        ("Your IP 1.2.3 is odd", ""),
        ("", ""),
        (None, ""),
        (["203.0.113.7"], ""),
    ],
)
def test_of_the_exchanges_own_words_only_the_address_is_told(message: object, shown: str) -> None:
    error = refused(reply([], "50110", message), 401)
    assert error.why == f"this machine's IP address is not on the key's list ({shown}code 50110)"


@pytest.mark.parametrize(
    ("status", "remedy", "severity"),
    [
        (200, Remedy.BACK_OFF, Severity.OK),
        (301, Remedy.SLOW, Severity.CRITICAL),
        (307, Remedy.SLOW, Severity.CRITICAL),
        (400, Remedy.BACK_OFF, Severity.OK),
        (401, Remedy.SLOW, Severity.CRITICAL),
        (403, Remedy.SLOW, Severity.CRITICAL),
        (404, Remedy.SLOW, Severity.CRITICAL),
        (429, Remedy.BACK_OFF, Severity.OK),
        (500, Remedy.BACK_OFF, Severity.OK),
        (502, Remedy.BACK_OFF, Severity.OK),
        (503, Remedy.BACK_OFF, Severity.OK),
        (504, Remedy.BACK_OFF, Severity.OK),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b'{"error": 1}', b'{"code":"0","data":[{'])
def test_without_json_of_okx_the_status_decides(body: bytes, status: int, remedy: Remedy, severity: Severity) -> None:
    error = refused(body, status)
    assert (error.remedy, error.severity, error.code) == (remedy, severity, f"HTTP {status}")
    assert error.why.endswith(f"(HTTP {status})")


def test_the_body_is_judged_before_the_status() -> None:
    assert parse(REPLIES["multi_currency"], 502).mgn_ratio == Decimal("13.904918827741")
    assert refused(reply([], "50009"), 502).severity is Severity.EMERGENCY


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"0"',
        b"0",
        b"{}",
        b"\xff\xfe",
        b'{"code":"0","data":[{"details":[{"ccy":"\xff"}]}]}',
        b'{"code":"0","data":' + b"[" * 100_000,
        b'{"code":"0","data":[{"details":[],"x":' + b'{"x":' * 100_000,
        b'{"code":"0","data":[{"details":[],"totalEq":NaN}]}',
        b'{"code":"0","data":[{"details":[],"totalEq":1e999}]}',
        b'{"code":' + b"9" * 5000 + b',"data":[]}',
        b'\xef\xbb\xbf{"code":"0","data":[{"details":[]}]}',
        reply([{"details": []}], None),
        reply([{"details": []}], True),
        reply([{"details": []}], 0.0),
        reply([{"details": []}], ""),
        reply([{"details": []}], -1),
        reply([{"details": []}], "0\n"),
        reply([{"details": []}], "\u0660"),
        reply([{"details": []}], "50011 my-secret"),
        reply([{"details": []}], ["0"]),
    ],
)
def test_a_body_that_is_not_okxs_is_refused(body: bytes) -> None:
    assert refused(body).why == "an answer that is not OKX's (HTTP 200)"


@pytest.mark.parametrize("data", [None, [], {}, "", 0, [None], ["x"], [[]], [{"details": []}] * 2])
def test_code_0_without_one_account_is_refused(data: object) -> None:
    error = refused(reply(data))
    assert (error.why, error.remedy) == ("OKX answers without data", Remedy.BACK_OFF)
    assert refused(b'{"code":"0","msg":""}').why == "OKX answers without data"


@pytest.mark.parametrize("details", [None, "", {}, "BTC", [None], ["BTC"], [{"ccy": "BTC"}, []]])
def test_without_a_list_of_currencies_it_is_refused(details: object) -> None:
    assert refused(reply([{"totalEq": "1", "details": details}])).why == "OKX answers without a list of currencies"
    assert refused(reply([{"totalEq": "1"}])).why == "OKX answers without a list of currencies"


@pytest.mark.parametrize("names", [[None], [""], [1], [["BTC"]], ["BTC", "ETH", "BTC"]])
def test_where_it_is_not_certain_whose_a_row_is_all_is_refused(names: list[Any]) -> None:
    rows = [{"ccy": name, "liab": "1"} for name in names]
    assert refused(reply([{"details": rows}])).why == "OKX answers with currencies unnamed or named twice"
    assert refused(reply([{"details": [{"liab": "1"}]}])).why == "OKX answers with currencies unnamed or named twice"


def test_a_numeric_code_0_is_good() -> None:
    assert parse(reply([{"details": []}], 0), 200).details == []


# ---------------------------------------------------------------- who the key belongs to

CONFIG = {
    "uid": "77",
    "acctLv": "3",
    "label": "watch",
    "perm": "read_only, trade,",
    "ip": "203.0.113.7,2001:db8::/32",
    "mainUid": "70",
    "settleCcyList": ["USD"],
}


def test_mode_rights_addresses_uid_and_label_are_read() -> None:
    ips = ("203.0.113.7", "2001:db8::/32")
    assert parse_info(reply([CONFIG]), 200) == AccountInfo("77", "3", "watch", ("read_only", "trade"), ips, "70")


def test_what_an_old_reply_has_not_is_empty() -> None:
    old = {"uid": "77", "acctLv": "1", "perm": "read_only", "ip": ""}
    assert parse_info(reply([old]), 200) == AccountInfo("77", "1", permissions=("read_only",))


@pytest.mark.parametrize(
    "change",
    [
        {"uid": None},
        {"uid": ""},
        {"uid": 77},
        {"acctLv": None},
        {"acctLv": ""},
        {"acctLv": 3},
        {"perm": ["read_only", "withdraw"]},
        {"perm": None},
        {"perm": ""},
        {"ip": {}},
        {"label": 5},
        {"mainUid": 5},
    ],
)
def test_a_configuration_in_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="another form") as caught:
        parse_info(reply([CONFIG | change]), 200)
    assert caught.value.remedy is Remedy.BACK_OFF


@pytest.mark.parametrize("missing", ["uid", "acctLv", "perm", "ip"])
def test_a_configuration_without_one_of_what_matters_is_refused(missing: str) -> None:
    with pytest.raises(SourceError, match="another form"):
        parse_info(reply([{key: value for key, value in CONFIG.items() if key != missing}]), 200)


def test_a_configuration_that_is_an_error_is_refused() -> None:
    with pytest.raises(SourceError, match="frozen"):
        parse_info(reply([], "50009"), 200)


# ---------------------------------------------------------------- fuzz

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text("0123456789.eE+-", max_size=12),
    st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**12), max_value=10**12).map(str),
    st.sampled_from(
        ["", "0", "NaN", "Infinity", "1_000", " 1", "1,5", "\u0663", "1e400", "0x10", "--1", "true", "null"]
    ),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
GONE = object()
fuzz = settings(deadline=None)  # a busy machine is no failure


def fields_of(snapshot: Snapshot) -> list[tuple[tuple[str, str], Row]]:
    return [((ccy, key), row) for ccy, row in [("", snapshot), *snapshot.balances.items()] for key in row.FIELDS]


def check(row: Row, key: str) -> None:
    """The typed value is what the reply says, or it is missing; never another number."""
    raw, field = row.raw.get(key), row.FIELDS[key]
    value = getattr(row, field.name)
    if not isinstance(field, Amount):
        said = round(value.timestamp() * 1000) if isinstance(value, datetime) else value
        assert said is None or str(said).lower() == str(raw).lower().lstrip("0")
    elif raw == "":
        assert value is NOT_APPLICABLE
    elif type(raw) is int or (type(raw) is str and NUMBER.fullmatch(raw)):
        right = abs(Decimal(raw)) if isinstance(field, Magnitude) else Decimal(raw)
        assert value == right or (value is MISSING and not -40 < right.adjusted() < 40)
    else:
        assert value is MISSING


@fuzz
@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_bytes_raise_anything_else(body: bytes, status: int) -> None:
    for understand in (parse, parse_info):
        with pytest.raises(SourceError):
            understand(body, status)


@fuzz
@given(st.sampled_from(sorted(REPLIES)), st.data())
def test_no_damage_to_the_bytes_raises_anything_else(name: str, data: st.DataObject) -> None:
    body = bytearray(REPLIES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
    try:
        snapshot = parse(bytes(body), 200)
    except SourceError:
        return
    for (_, key), row in fields_of(snapshot):
        check(row, key)


@fuzz
@given(JSON, JSON, JSON, st.integers(100, 599))
def test_no_json_raises_anything_else(code: object, data: object, row: object, status: int) -> None:
    bodies = [data, {"code": code, "data": data, "msg": row}, {"code": "0", "data": data}]
    bodies += [{"code": 0, "data": [data]}, {"code": "0", "data": [{"details": data}]}]
    bodies += [{"code": "0", "data": [{"totalEq": data, "details": [{"ccy": code, "liab": data}, row]}]}]
    bodies += [{"code": "0", "data": [{"uid": code, "acctLv": data, "perm": row, "ip": code}]}]
    bodies += [{"code": "0", "data": [{"uid": "77", "acctLv": "3", "perm": row, "ip": code, "label": data}]}]
    for body in bodies:
        raw = json.dumps(body).encode()
        with suppress(SourceError):
            parse_info(raw, status)
        with suppress(SourceError):
            for (_, key), typed in fields_of(parse(raw, status)):
                check(typed, key)


@fuzz
@given(st.sampled_from(sorted(REPLIES)), st.data())
def test_no_field_is_silently_wrong(name: str, data: st.DataObject) -> None:
    good = parse(REPLIES[name], 200)
    changed = json.loads(REPLIES[name])
    account = changed["data"][0]
    rows = {"": account, **{row["ccy"]: row for row in account["details"]}}
    touched = set()
    for _ in range(data.draw(st.integers(1, 6))):
        ccy = data.draw(st.sampled_from(sorted(rows)))
        key = data.draw(st.sampled_from(sorted({*rows[ccy], "newField"} - {"ccy", "details"})))
        value = data.draw(st.just(GONE) | JSON)
        touched.add((ccy, key))
        rows[ccy].pop(key, None)
        if value is not GONE:
            rows[ccy][key] = copy.deepcopy(value)

    snapshot = parse(json.dumps(changed).encode(), 200)

    before = dict(fields_of(good))
    for (ccy, key), row in fields_of(snapshot):
        check(row, key)
        if (ccy, key) not in touched:
            attribute = row.FIELDS[key].name
            old, new = getattr(before[ccy, key], attribute), getattr(row, attribute)
            assert repr(old) == repr(new)  # NaNs are not equal to themselves


@pytest.mark.parametrize("name", sorted(REPLIES))
def test_every_field_of_a_good_reply_is_exact(name: str) -> None:
    snapshot = parse(REPLIES[name], 200)
    for (_, key), row in fields_of(snapshot):
        check(row, key)
        value = getattr(row, row.FIELDS[key].name)
        if isinstance(value, Decimal) and row.raw.get(key, "") != "":
            assert not is_missing(value)
    assert snapshot.defects == set()


def test_a_failure_without_a_code_tells_its_status() -> None:
    assert str(failure("", 502)) == "an answer that is not OKX's (HTTP 502)"
