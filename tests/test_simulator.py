"""The simulator's endpoint over real HTTP: who may ask, how often, and what is answered."""

import base64
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from riskbot.simulator import Fault, Scenario, SimAccount, Simulator, load_scenario, parse_scenario

BALANCE, CONFIG, TIME = "/api/v5/account/balance", "/api/v5/account/config", "/api/v5/public/time"
START = 1_700_000_000.0
EXAMPLE = """
title = "An example"
duration = "10m"
[coins]
BTC = { price = { 0s = 50000, 10m = 40000 }, cash = 2, discount = 0.9 }
ETH = { price = 3000, cash = -1 }
USDT = { price = 1, cash = 100 }
DOGE = { price = 0.1 }
"""

Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Client:
    """Signs like a client of OKX; `headers` replaces headers, None removes one."""

    def __init__(self, simulator: Simulator, session: ClientSession, clock: Clock) -> None:
        self.simulator, self.session, self.clock = simulator, session, clock

    def headers(self, account: SimAccount, target: str, stamp: str = "", method: str = "GET") -> dict[str, str]:
        now = datetime.fromtimestamp(self.clock.now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = (stamp or now) + method + target
        sign = base64.b64encode(hmac.digest(account.api_secret.encode(), text.encode(), "sha256")).decode()
        return {
            "OK-ACCESS-KEY": account.api_key,
            "OK-ACCESS-SIGN": sign,
            "OK-ACCESS-TIMESTAMP": stamp or now,
            "OK-ACCESS-PASSPHRASE": account.passphrase,
        }

    async def get(
        self, target: str = BALANCE, account: SimAccount | None = None, *, stamp: str = "", method: str = "GET",
        **headers: str | None,
    ) -> tuple[int, dict[str, Any]]:  # fmt: skip
        account = account or next(iter(self.simulator.accounts.values()))
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {k: v for k, v in (self.headers(account, target, stamp, method) | changed).items() if v is not None}
        url = URL(self.simulator.url + target, encoded=True)
        async with self.session.request(method, url, headers=sent, allow_redirects=False) as response:
            return response.status, await response.json()

    async def data(self, target: str = BALANCE, account: SimAccount | None = None) -> dict[str, Any]:
        status, body = await self.get(target, account)
        assert (status, body["code"], body["msg"]) == (200, "0", "")
        [data] = body["data"]
        return data


def an_account(**changes: Any) -> SimAccount:
    return replace(SimAccount("key", "secret", "phrase", uid="77", scenario=parse_scenario(EXAMPLE)), **changes)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def client(clock: Clock, session: ClientSession) -> AsyncIterator[Client]:
    async with Simulator([an_account()], clock=clock) as simulator:
        yield Client(simulator, session, clock)


def only(client: Client) -> SimAccount:
    return client.simulator.accounts["key"]


async def test_a_signed_request_is_answered_with_the_account(client: Client) -> None:
    data = await client.data()

    assert data["totalEq"] == "97100"
    assert [row["ccy"] for row in data["details"]] == ["BTC", "ETH", "USDT"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("OK_ACCESS_KEY", "50103"),
        ("OK_ACCESS_PASSPHRASE", "50104"),
        ("OK_ACCESS_SIGN", "50106"),
        ("OK_ACCESS_TIMESTAMP", "50107"),
    ],
)
async def test_each_missing_header_has_its_code(client: Client, header: str, code: str) -> None:
    status, body = await client.get(**{header: None})

    assert (status, body["code"]) == (401, code)
    assert body.keys() == {"msg", "code"}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"OK_ACCESS_KEY": "unknown"}, "50119"),
        ({"OK_ACCESS_PASSPHRASE": "wrong"}, "50105"),
        ({"OK_ACCESS_SIGN": "wrong"}, "50113"),
        ({"OK_ACCESS_SIGN": "ä"}, "50113"),
        ({"OK_ACCESS_TIMESTAMP": "1700000000"}, "50112"),
        ({"OK_ACCESS_TIMESTAMP": "2023-11-14T22:13:20Z"}, "50112"),
        ({"OK_ACCESS_TIMESTAMP": "2023-13-14T22:13:20.000Z"}, "50112"),
        ({"OK_ACCESS_TIMESTAMP": "2023-11-14T23:13:20.000Z"}, "50102"),
        ({"x_simulated_trading": "1"}, "50101"),
    ],
)
async def test_each_wrong_header_has_its_code(client: Client, headers: dict[str, str], code: str) -> None:
    status, body = await client.get(**headers)

    assert (status, body["code"]) == (401, code)
    assert body.keys() == {"msg", "code"}


async def test_a_signature_over_another_query_is_answered_with_50113(client: Client) -> None:
    sign = client.headers(only(client), f"{BALANCE}?ccy=BTC%2CETH")["OK-ACCESS-SIGN"]

    _, body = await client.get(f"{BALANCE}?ccy=BTC,ETH", OK_ACCESS_SIGN=sign)
    status, _ = await client.get(f"{BALANCE}?ccy=BTC%2CETH")

    assert body["code"] == "50113"
    assert status == 200


@pytest.mark.parametrize(("late", "code"), [(-30.0, "0"), (30.0, "0"), (-30.001, "50102"), (30.001, "50102")])
async def test_a_timestamp_may_be_thirty_seconds_off(client: Client, clock: Clock, late: float, code: str) -> None:
    stamp = datetime.fromtimestamp(clock.now + late, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    _, body = await client.get(stamp=stamp)

    assert body["code"] == code


async def test_a_demo_key_needs_the_demo_header(client: Client) -> None:
    demo = an_account(api_key="demo", demo=True)
    client.simulator.add(demo)

    assert (await client.get(account=demo, x_simulated_trading="1"))[1]["code"] == "0"
    assert (await client.get(account=demo, x_simulated_trading="0"))[1]["code"] == "50101"
    assert (await client.get(account=demo))[1]["code"] == "50101"


async def test_a_key_bound_to_other_addresses_is_answered_with_50110_and_the_address(client: Client) -> None:
    only(client).ips = ("10.0.0.0/8", "::1")
    status, body = await client.get()
    only(client).ips = ("10.0.0.0/8", "127.0.0.9/24")
    allowed, _ = await client.get()

    assert (status, body["code"]) == (401, "50110")
    assert "127.0.0.1" in body["msg"]
    assert allowed == 200


async def test_ten_requests_in_two_seconds_are_answered_and_the_eleventh_is_not(client: Client, clock: Clock) -> None:
    for _ in range(10):
        await client.data()
        clock.now += 0.1

    status, body = await client.get()

    assert (status, body) == (429, {"msg": "Too Many Requests", "code": "50011"})


async def test_the_limit_slides(client: Client, clock: Clock) -> None:
    for _ in range(10):
        await client.data()
        clock.now += 0.1
    clock.now = START + 1.99
    refused, _ = await client.get()
    clock.now = START + 2.0
    allowed, _ = await client.get()
    again, _ = await client.get()

    assert (refused, allowed, again) == (429, 200, 429)


async def test_keys_of_one_user_share_the_limit_and_users_do_not(client: Client) -> None:
    sister, stranger = an_account(api_key="sister"), an_account(api_key="stranger", uid="78")
    client.simulator.add(sister)
    client.simulator.add(stranger)
    for _ in range(5):
        await client.data()
        await client.data(account=sister)

    assert (await client.get(account=sister))[0] == 429
    assert (await client.get(account=stranger))[0] == 200
    assert client.simulator.busiest_window("77") == 11
    assert client.simulator.busiest_window("78") == 1
    assert client.simulator.busiest_window("79") == 0


async def test_the_configuration_has_a_limit_of_five_of_its_own(client: Client) -> None:
    for _ in range(5):
        await client.data(CONFIG)

    assert (await client.get(CONFIG))[1]["code"] == "50011"
    assert (await client.get(BALANCE))[1]["code"] == "0"


async def test_a_request_that_is_not_let_in_does_not_count_for_the_limit(client: Client) -> None:
    for _ in range(11):
        await client.get(OK_ACCESS_SIGN="wrong")

    assert (await client.get())[1]["code"] == "0"


async def test_the_time_needs_no_key_and_is_limited_by_address(client: Client, clock: Clock) -> None:
    clock.now += 0.25
    for _ in range(10):
        async with client.session.get(client.simulator.url + TIME) as response:
            assert await response.json() == {"code": "0", "data": [{"ts": "1700000000250"}], "msg": ""}

    assert (await client.get(TIME))[0] == 429


async def test_only_the_currencies_asked_for_are_listed_and_the_totals_stay(client: Client) -> None:
    everything = await client.data()
    some = await client.data(f"{BALANCE}?ccy=USDT,BTC,NEVER")

    assert [row["ccy"] for row in some["details"]] == ["BTC", "USDT"]
    assert some["totalEq"] == everything["totalEq"]
    assert await client.data(f"{BALANCE}?ccy=") == everything


async def test_twenty_currencies_may_be_asked_for_and_no_more(client: Client) -> None:
    names = [f"C{i}" for i in range(21)]

    assert (await client.data(f"{BALANCE}?ccy={','.join(names[:20])}"))["details"] == []
    assert await client.get(f"{BALANCE}?ccy={','.join(names)}") == (
        400,
        {"code": "51000", "data": [], "msg": "Parameter ccy error"},
    )


async def test_another_method_is_answered_with_50115_and_another_path_with_404(client: Client) -> None:
    status, body = await client.get(method="POST")

    assert (status, body["code"]) == (405, "50115")
    assert (await client.get("/api/v5/account/positions"))[0] == 404


async def test_the_configuration_tells_mode_user_and_what_the_key_may_do(client: Client) -> None:
    account = only(client)
    account.mode, account.permissions, account.ips = "2", ("read_only", "trade"), ("127.0.0.1", "10.0.0.1")
    account.label, account.main_uid = "spot bot", "70"

    data = await client.data(CONFIG)

    expected = {
        "acctLv": "2", "perm": "read_only,trade", "ip": "127.0.0.1,10.0.0.1", "label": "spot bot",
        "uid": "77", "mainUid": "70", "type": "1", "autoLoan": False,
    }  # fmt: skip
    assert {key: data[key] for key in expected} == expected


async def test_a_main_account_is_its_own_main_account(client: Client) -> None:
    data = await client.data(CONFIG)

    assert (data["uid"], data["mainUid"], data["type"], data["ip"]) == ("77", "77", "0", "127.0.0.0/8,::1")


async def test_the_account_moves_with_the_clock_at_the_speed_given(client: Client, clock: Clock) -> None:
    client.simulator.speed = 60
    clock.now += 5

    assert client.simulator.now == 300
    assert (await client.data(f"{BALANCE}?ccy=BTC"))["details"][0]["eqUsd"] == "90000"


async def test_the_story_can_jump_and_stand_still(client: Client, clock: Clock) -> None:
    client.simulator.seek("5m")
    client.simulator.speed = 0
    clock.now += 100

    assert client.simulator.now == 300
    with pytest.raises(ValueError, match="a speed is 0 or more"):
        client.simulator.speed = -1


async def test_the_update_times_are_the_moment_of_asking_and_the_last_change(
    clock: Clock, session: ClientSession
) -> None:
    story = parse_scenario("""
        title = "A purchase"
        duration = "10m"
        [coins]
        BTC = { price = 50000, cash = { 1m = 1, 2m = 2 } }
        USDT = { price = 1, cash = 5 }
    """)
    async with Simulator([an_account(scenario=story)], clock=clock, speed=2) as simulator:
        clock.now += 100
        data = await Client(simulator, session, clock).data()
        simulator.speed = 0
        frozen = await Client(simulator, session, clock).data()

    assert data["uTime"] == "1700000100000"
    assert {row["ccy"]: row["uTime"] for row in data["details"]} == {"BTC": "1700000060000", "USDT": "1700000000000"}
    assert {row["uTime"] for row in frozen["details"]} == {"1700000100000"}


async def test_no_update_time_lies_in_the_future(client: Client, clock: Clock) -> None:
    only(client).scenario = load_scenario("crash")
    for _ in range(10):
        clock.now += 0.0157
        data = await client.data()
        assert all(int(row["uTime"]) <= int(data["uTime"]) for row in data["details"])
        clock.now += 10


async def test_a_function_may_play_the_account(client: Client, clock: Clock) -> None:
    raw = {"totalEq": 5, "details": [{"ccy": "BTC"}, {"ccy": "ETH"}]}
    only(client).play = lambda t: {**raw, "at": t}
    clock.now += 3

    assert await client.data() == {**raw, "at": 3}
    assert (await client.data(f"{BALANCE}?ccy=ETH"))["details"] == [{"ccy": "ETH"}]
    assert client.simulator.payload(only(client)) == {**raw, "at": 3}


def test_an_account_needs_something_to_play() -> None:
    with pytest.raises(ValueError, match="a scenario or a function"):
        SimAccount("key", "secret", "phrase")


def test_an_account_that_plays_a_function_is_in_multi_currency_mode_unless_said() -> None:
    assert SimAccount("key", "secret", "phrase", play=lambda _: {}).acct_lv == "3"
    assert an_account(mode="1").acct_lv == "1"


async def test_two_accounts_cannot_have_one_key() -> None:
    with pytest.raises(ValueError, match="two accounts have the key key"):
        Simulator([an_account(), an_account()])


async def test_a_simulator_that_never_ran_can_be_stopped() -> None:
    await Simulator([an_account()]).stop()


async def test_requests_are_logged_with_what_became_of_them(client: Client, clock: Clock) -> None:
    only(client).label = "main"
    await client.get()
    clock.now += 1
    await client.get(TIME, OK_ACCESS_KEY=None)
    await client.get(OK_ACCESS_SIGN="wrong")

    seen = [(r.at, r.path, r.account, r.status, r.code) for r in client.simulator.requests]
    assert seen == [
        (START, BALANCE, "main", 200, "0"),
        (START + 1, TIME, "", 200, "0"),
        (START + 1, BALANCE, "main", 401, "50113"),
    ]
    assert client.simulator.request_count == 3


async def test_many_different_moments_do_not_fill_the_memory(client: Client, clock: Clock) -> None:
    client.simulator.seek(0)
    for _ in range(600):
        clock.now += 0.05
        client.simulator.payload(only(client))

    assert len(client.simulator._exchange._bodies) < 512


async def control(client: Client, method: str, path: str, body: str = "") -> tuple[int, dict[str, Any]]:
    async with client.session.request(method, f"{client.simulator.url}/simulator/{path}", data=body) as response:
        return response.status, await response.json()


async def test_the_state_tells_where_it_is_and_how_the_accounts_are(client: Client) -> None:
    story = parse_scenario(EXAMPLE.replace("cash = -1", "cash = -1, twap = 2"), name="example")
    only(client).scenario, only(client).label = story, "main"
    await client.data()

    status, state = await control(client, "GET", "state")

    assert status == 200
    assert state == {
        "at": 0,
        "speed": 1,
        "faults": [],
        "requests": 1,
        "accounts": [
            {
                "account": "main",
                "uid": "77",
                "scenario": "example",
                "mode": "3",
                "mgnRatio": "1451.666666666667",
                "adjEq": "87100",
                "busiest_window": 1,
                "liab": {"ETH": "1"},
                "twap": {"ETH": "2"},
                "colBorrAutoConversion": {},
            }
        ],
    }


async def test_the_state_of_an_account_that_plays_a_function_shows_what_there_is(client: Client) -> None:
    client.simulator.accounts["key"] = SimAccount("key", "secret", "phrase", play=lambda _: {})

    _, state = await control(client, "GET", "state")

    assert state["accounts"][0]["mgnRatio"] == ""
    assert state["accounts"][0]["scenario"] == ""


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ("latency=2s times=3", ["latency=2s times=3"]),
        ("hang\n\nreset for=10s\n", ["hang", "reset for=10s"]),
        ('"hang"', ["hang"]),
        ('{"kind": "code", "value": "50001", "on": "all"}', ["code=50001 on=all"]),
        ('["reset", {"kind": "skew", "value": "45s"}]', ["reset", "skew=45s"]),
    ],
)
async def test_faults_are_injected_and_cleared_by_another_process(client: Client, body: str, faults: list[str]) -> None:
    _, state = await control(client, "POST", "faults", body)
    injected = [str(fault) for fault in client.simulator.faults]
    _, cleared = await control(client, "DELETE", "faults")

    assert state["faults"] == injected == faults
    assert cleared["faults"] == []


async def test_time_is_set_by_another_process(client: Client, clock: Clock) -> None:
    await control(client, "POST", "seek", '{"at": "9m"}')
    _, state = await control(client, "POST", "speed", '{"speed": 30}')
    clock.now += 1

    assert state["at"] == 540
    assert client.simulator.now == 570


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", "nonsense"),
        ("faults", '{"kind": "nonsense"}'),
        ("faults", "7"),
        ("seek", '{"at": "later"}'),
        ("seek", '{"at": null}'),
        ("seek", "10m"),
        ("speed", '{"at": "10m"}'),
        ("speed", "[]"),
        ("speed", '{"speed": -1}'),
        ("speed", '{"speed": []}'),
    ],
)
async def test_what_cannot_be_understood_is_refused_and_changes_nothing(client: Client, path: str, body: str) -> None:
    status, answer = await control(client, "POST", path, body)

    assert status == 400
    assert answer["error"]
    assert (client.simulator.faults, client.simulator.now, client.simulator.speed) == ([], 0, 1)


async def test_the_simulator_takes_a_free_port_and_can_run_beside_another(client: Client) -> None:
    async with Simulator([an_account()]) as other:
        assert other.url.startswith("http://127.0.0.1:")
        assert other.url != client.simulator.url


def test_the_public_names_are_what_they_say() -> None:
    assert isinstance(load_scenario("crash"), Scenario)
    assert str(Fault("hang")) == "hang"
