"""What the simulator does to a request when it is told to, seen by a real client."""

import asyncio
import base64
import errno
import gzip
import hmac
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from aiohttp import ClientConnectionResetError, ClientOSError, ClientPayloadError, ClientSession, ClientTimeout, web

from riskbot.simulator import Fault, SimAccount, Simulator, parse_scenario
from riskbot.simulator.errors import ERRORS, GATEWAY, Refusal
from riskbot.simulator.faults import Faults, Kind
from riskbot.simulator.faults import __doc__ as faults_doc
from riskbot.snapshot import Balance, Snapshot

BALANCE, CONFIG, TIME = "/api/v5/account/balance", "/api/v5/account/config", "/api/v5/public/time"
START = 1_700_000_000.0
STORY = """
title = "A debt"
duration = "10m"
[coins]
BTC = { price = 50000, cash = 2, discount = 0.9 }
USDT = { price = 1, cash = -100 }
"""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        self.now += 1  # a second between any two looks: no limit is ever reached
        return self.now


def signed(account: SimAccount, path: str, at: float) -> dict[str, str]:
    now = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sign = hmac.digest(account.api_secret.encode(), f"{now}GET{path}".encode(), "sha256")
    return {
        "OK-ACCESS-KEY": account.api_key,
        "OK-ACCESS-SIGN": base64.b64encode(sign).decode(),
        "OK-ACCESS-TIMESTAMP": now,
        "OK-ACCESS-PASSPHRASE": account.passphrase,
    }


class Client:
    def __init__(self, simulator: Simulator, session: ClientSession, clock: Clock) -> None:
        self.simulator, self.session, self.clock = simulator, session, clock

    async def get(self, path: str = BALANCE, key: str = "key", wait: float = 5) -> tuple[int, bytes, dict[str, str]]:
        headers = signed(self.simulator.accounts[key], path, self.clock.now)
        options: dict[str, Any] = {"allow_redirects": False, "timeout": ClientTimeout(wait)}
        async with self.session.get(self.simulator.url + path, headers=headers, **options) as response:
            return response.status, await response.read(), dict(response.headers)

    async def data(self, path: str = BALANCE) -> dict[str, Any]:
        _, body, _ = await self.get(path)
        [data] = json.loads(body)["data"]
        return data


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    clock, story = Clock(), parse_scenario(STORY)
    main = SimAccount("key", "secret", "phrase", uid="1", label="main", scenario=story)
    other = SimAccount("other", "secret", "phrase", uid="2", scenario=story)
    async with Simulator([main, other], clock=clock, speed=0) as simulator, ClientSession() as session:
        yield Client(simulator, session, clock)


@pytest.mark.parametrize("code", ERRORS)
async def test_each_error_code_comes_with_its_status(client: Client, code: str) -> None:
    client.simulator.inject(f"code={code}")

    status, body, _ = await client.get()

    assert status == ERRORS[code][0]
    assert json.loads(body)["code"] == code
    assert ("data" in json.loads(body)) == (code not in GATEWAY)
    assert client.simulator.requests[-1].code == code


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [("code=50011/200", 200, "50011"), ("code=51008_1000", 200, "51008_1000"), ("code=50102_7", 401, "50102_7")],
)
async def test_a_code_may_have_another_status_or_a_suffix(client: Client, words: str, status: int, code: str) -> None:
    client.simulator.inject(words)

    answered, body, _ = await client.get()

    assert (answered, json.loads(body)["code"]) == (status, code)
    assert client.simulator.requests[-1].status == status


def test_an_error_code_that_is_not_in_the_table_is_told_plainly() -> None:
    assert json.loads(Refusal("99999").body) == {"code": "99999", "data": [], "msg": "Refused by the simulator."}


async def test_latency_delays_the_reply(client: Client) -> None:
    client.simulator.inject("latency=40ms")
    client.simulator.inject("latency=30ms")
    loop = asyncio.get_running_loop()
    before = loop.time()

    status, _, _ = await client.get()

    assert status == 200
    assert loop.time() - before >= 0.069


async def test_a_hanging_request_has_no_reply(client: Client) -> None:
    client.simulator.inject("hang")

    with pytest.raises(TimeoutError):
        await client.get(wait=0.05)

    assert client.simulator.requests[-1].status == 0


async def test_a_hanging_request_is_cut_off_when_the_faults_are_cleared(client: Client) -> None:
    client.simulator.inject("hang")
    hanging = asyncio.create_task(client.get())
    await asyncio.sleep(0.05)

    client.simulator.clear_faults()

    assert (await hanging)[0] == 200  # aiohttp's client asks once more when it is disconnected
    assert [request.status for request in client.simulator.requests] == [0, 200]


async def test_a_reset_connection_is_reset(client: Client) -> None:
    client.simulator.inject("reset")

    with pytest.raises(ClientOSError) as raised:
        await client.get()

    assert raised.value.errno == errno.ECONNRESET
    assert client.simulator.requests[-1].status == 0


async def test_a_truncated_body_ends_before_its_length(client: Client) -> None:
    client.simulator.inject("truncate")

    with pytest.raises(ClientPayloadError):
        await client.get()


async def test_bad_json_is_whole_on_the_wire_and_ends_in_the_middle(client: Client) -> None:
    _, whole, _ = await client.get()
    client.simulator.inject("bad-json")
    status, body, _ = await client.get()

    assert status == 200
    assert len(body) == len(whole) // 2
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


@pytest.mark.parametrize(("words", "status"), [("html", 502), ("html=403", 403)])
async def test_a_page_of_html_comes_with_its_status(client: Client, words: str, status: int) -> None:
    client.simulator.inject(words)

    answered, body, headers = await client.get()

    assert (answered, client.simulator.requests[-1].status) == (status, status)
    assert headers["Content-Type"].startswith("text/html")
    assert b"<title>%d</title>" % status in body


@pytest.mark.parametrize(
    ("words", "where"), [("redirect", "/elsewhere"), ("redirect=http://x.invalid/a", "http://x.invalid/a")]
)
async def test_a_redirect_points_elsewhere(client: Client, words: str, where: str) -> None:
    client.simulator.inject(words)

    status, _, headers = await client.get()

    assert (status, headers["Location"]) == (302, where)
    assert client.simulator.requests[-1].status == 302


async def test_an_empty_body_is_empty(client: Client) -> None:
    client.simulator.inject("empty-body")

    status, body, _ = await client.get()

    assert (status, body) == (200, b"")


async def test_a_huge_reply_is_as_large_as_asked_for_and_still_json(client: Client) -> None:
    client.simulator.inject("huge=300KB")

    _, body, _ = await client.get()

    assert 300_000 < len(body) < 450_000
    assert json.loads(body)["code"] == "0"


async def test_a_gzip_bomb_is_small_on_the_wire(client: Client) -> None:
    client.simulator.inject("gzip-bomb=3MB")
    async with ClientSession(auto_decompress=False) as raw:
        headers = signed(client.simulator.accounts["key"], BALANCE, client.clock.now)
        async with raw.get(client.simulator.url + BALANCE, headers=headers) as response:
            body = await response.read()

    assert response.headers["Content-Encoding"] == "gzip"
    assert len(body) < 10_000
    assert len(gzip.decompress(body)) > 3_000_000


async def test_wrong_types_are_wrong_everywhere_and_the_rows_stay(client: Client) -> None:
    good = await client.data()
    client.simulator.inject("wrong-types")
    bad = await client.data()

    assert len(bad["details"]) == 2
    places = [(bad, good), *zip(bad["details"], good["details"], strict=True)]
    for place, was in places:
        assert place.keys() == was.keys()
        for key in place.keys() - {"details"}:
            assert type(place[key]) is not type(was[key]) or place[key] == "abc"


@pytest.mark.parametrize(
    ("path", "key"), [("details.liab", "liab"), ("details.collateralEnabled", "collateralEnabled")]
)
async def test_one_field_may_have_a_wrong_type(client: Client, path: str, key: str) -> None:
    good = await client.data()
    client.simulator.inject(f"wrong-types={path}")
    bad = await client.data()

    for was, row in zip(good["details"], bad["details"], strict=True):
        assert {k for k in row if row[k] != was[k] and k != "uTime"} == {key}


async def test_a_field_may_be_missing(client: Client) -> None:
    client.simulator.inject("missing=mgnRatio")
    client.simulator.inject("missing=details.twap")
    data = await client.data()

    assert Snapshot.FIELDS.keys() - data.keys() == {"mgnRatio"}
    assert all(Balance.FIELDS.keys() - row.keys() == {"twap"} for row in data["details"])


@pytest.mark.parametrize("key", ["data", "code", "msg"])
async def test_a_part_of_the_envelope_may_be_missing(client: Client, key: str) -> None:
    client.simulator.inject(f"missing={key}")

    _, body, _ = await client.get()

    assert json.loads(body).keys() == {"data", "code", "msg"} - {key}


async def test_the_details_may_be_missing(client: Client) -> None:
    client.simulator.inject("missing=details")

    assert "details" not in await client.data()


@pytest.mark.parametrize(("words", "name"), [("new-field", "newField"), ("new-field=frpType", "frpType")])
async def test_a_new_field_appears_in_the_account_and_in_each_currency(client: Client, words: str, name: str) -> None:
    client.simulator.inject(words)
    data = await client.data()

    assert Snapshot(data, START).unknown() == {name, f"details.{name}"}


async def test_a_reply_may_be_without_an_account(client: Client) -> None:
    client.simulator.inject("no-data")

    _, body, _ = await client.get()

    assert json.loads(body) == {"code": "0", "data": [], "msg": ""}


async def test_several_spoiling_faults_work_together(client: Client) -> None:
    client.simulator.inject("no-data")
    client.simulator.inject("missing=mgnRatio")
    client.simulator.inject("wrong-types=code")

    _, body, _ = await client.get()

    assert json.loads(body) == {"code": 1.5, "data": [], "msg": ""}


@pytest.mark.parametrize("first", ["missing=data", "missing=details", "wrong-types=data", "wrong-types=details"])
async def test_what_one_fault_has_taken_away_another_can_not_spoil(client: Client, first: str) -> None:
    client.simulator.inject(first)
    client.simulator.inject("new-field")
    client.simulator.inject("missing=details.liab")

    status, body, _ = await client.get()

    assert (status, json.loads(body)["code"]) == (200, "0")


async def test_a_stale_reply_is_the_last_good_one_again(client: Client) -> None:
    older, last = await client.data(), await client.data()
    client.simulator.inject("stale times=3")
    first, second = await client.data(), await client.data()
    other, _ = (await client.get(key="other"))[1], await client.data(CONFIG)
    client.simulator.clear_faults()
    fresh = await client.data()

    assert older["uTime"] < last["uTime"]
    assert last == first == second
    assert json.loads(other)["data"][0]["uTime"] > first["uTime"]
    assert fresh["uTime"] > first["uTime"]


async def test_an_error_is_not_spoilt(client: Client) -> None:
    client.simulator.inject("bad-json")
    headers = signed(client.simulator.accounts["key"], BALANCE, client.clock.now) | {"OK-ACCESS-PASSPHRASE": "wrong"}
    async with client.session.get(client.simulator.url + BALANCE, headers=headers) as response:
        assert (await response.json())["code"] == "50105"


@pytest.mark.parametrize(("skew", "code"), [("20s", "0"), ("60s", "50102"), ("-60s", "50102")])
async def test_a_skewed_clock_judges_timestamps_and_is_the_time_that_is_told(
    client: Client, skew: str, code: str
) -> None:
    client.simulator.inject(f"skew={skew}")
    _, body, _ = await client.get()
    told = int((await client.data(TIME))["ts"]) / 1000

    assert json.loads(body)["code"] == code
    assert told == pytest.approx(client.clock.now + float(skew[:-1]), abs=10)


async def test_a_fault_ends_after_so_many_requests(client: Client) -> None:
    client.simulator.inject("html times=2")

    assert [(await client.get())[0] for _ in range(3)] == [502, 502, 200]
    assert client.simulator.faults == []


async def test_a_fault_concerns_only_its_path_and_its_account(client: Client) -> None:
    client.simulator.inject("html=502 account=main")
    client.simulator.inject("html=503 account=2 on=config")
    client.simulator.inject("html=504 on=time")

    assert (await client.get(BALANCE, "key"))[0] == 502
    assert (await client.get(BALANCE, "other"))[0] == 200
    assert (await client.get(CONFIG, "key"))[0] == 200
    assert (await client.get(CONFIG, "other"))[0] == 503
    assert (await client.get(TIME))[0] == 504


async def test_a_fault_may_be_everywhere(client: Client) -> None:
    client.simulator.inject("html on=all")

    assert [(await client.get(path))[0] for path in (BALANCE, CONFIG, TIME, "/")] == [502] * 4


async def test_a_client_may_go_away_from_a_huge_reply(client: Client) -> None:
    client.simulator.inject("huge=1GB times=1")
    headers = signed(client.simulator.accounts["key"], BALANCE, client.clock.now)
    async with client.session.get(client.simulator.url + BALANCE, headers=headers) as response:
        assert len(await response.content.read(1000)) == 1000
        response.close()

    assert (await client.get())[0] == 200


async def test_that_a_client_is_gone_in_the_middle_is_no_error(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def write(_: web.StreamResponse, __: bytes) -> None:
        raise ClientConnectionResetError("Cannot write to closing transport")

    client.simulator.inject("huge=1MB times=1")
    monkeypatch.setattr(web.StreamResponse, "write", write)

    assert (await client.get())[:2] == (200, b"")
    assert caplog.text == ""


def test_a_fault_ends_after_its_time() -> None:
    faults = Faults()
    faults.add(Fault.parse("hang for=10s"), START)
    faults.add(Fault.parse("skew=5s for=20s"), START)

    assert len(faults.active(START + 9.9)) == 2
    assert faults.active(START + 10) == [Fault("skew", "5s", lasts=20)]
    assert (faults.skew(START + 19), faults.skew(START + 20)) == (5, 0)


def test_a_skewed_clock_is_not_used_up_by_requests() -> None:
    faults = Faults()
    faults.add(Fault.parse("skew=5s times=1 on=all"), START)

    assert faults.take(BALANCE, (), START) == []
    assert faults.skew(START) == 5


def test_a_fault_hits_by_chance_and_the_same_requests_each_time() -> None:
    def hits() -> list[int]:
        faults = Faults()
        faults.add(Fault("reset", chance=0.3), START)
        return [i for i in range(1000) if faults.take(BALANCE, (), START)]

    assert 200 < len(hits()) < 400
    assert hits() == hits()


@pytest.mark.parametrize(
    "words",
    [
        "latency=2s", "hang times=3", "reset on=all for=90s chance=0.25", "html=503 account=main", "code=50011/200",
        "missing=details.twap", "huge=50MB", "redirect=/elsewhere", "skew=-45s for=0.5s",
    ],
)  # fmt: skip
def test_a_fault_is_written_as_it_is_read(words: str) -> None:
    assert str(Fault.parse(words)).startswith(words.partition(" ")[0])
    assert set(str(Fault.parse(words)).split()) == set(words.split())
    assert Fault.parse(str(Fault.parse(words))) == Fault.parse(words)


@pytest.mark.parametrize("words", re.findall(r"^    (\S+)  ", faults_doc, re.MULTILINE))
def test_each_word_of_the_documentation_is_a_fault(words: str) -> None:
    assert str(Fault.parse(words)).startswith(words)


def test_each_fault_is_documented() -> None:
    assert set(re.findall(r"^    ([a-z-]+)", faults_doc, re.MULTILINE)) == set(get_args(Kind))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", "there is no fault ''"),
        ("slow", "there is no fault 'slow'; there are latency, hang"),
        ("latency", "'' is no duration"),
        ("latency=-2s", "'-2s' is no duration"),
        ("skew=soon", "'soon' is no duration"),
        ("huge=50", "'50' is no size"),
        ("huge=muchMB", "'muchMB' is no size"),
        ("missing", "which field"),
        ("code", "'' is no code"),
        ("code=abc", "'abc' is no code"),
        ("code=50011/", "'50011/' is no code"),
        ("html=page", "invalid literal"),
        ("hang on=orders", "on=orders is none of balance, config, time, all"),
        ("hang twice", "'twice' is none of on, account, times, for, chance"),
        ("hang times=-1", "not negative"),
        ("hang chance=0", "chance is above 0"),
    ],
)
def test_words_that_are_no_fault_are_refused_with_the_reason(words: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Fault.parse(words)
