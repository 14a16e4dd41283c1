"""OKX: `GET /api/v5/account/balance`, signed, within its limit, whatever it answers.

Facts are from OKX's API guide (REST authentication, Get balance, Get account configuration, error codes) and from
what its users have seen: error bodies often have no `data`, HTTP statuses do not fit the code, redirects would carry
the key to another host, a kept-alive connection may be re-sent behind our back.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from math import inf
from typing import Annotated, Any

import aiohttp
import msgspec
import orjson
from aiohttp import ClientRequest, ClientResponse
from msgspec import Meta, Struct
from pydantic import SecretStr
from yarl import URL

from riskbot.model import AccountInfo, Severity
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, SourceError

HOSTS = {"global": "https://www.okx.com", "eea": "https://eea.okx.com", "us": "https://us.okx.com"}
"""REST hosts by the site where the account was opened; a key exists on that one only."""

BALANCE, CONFIG, TIME = "/api/v5/account/balance", "/api/v5/account/config", "/api/v5/public/time"
LIMITS = {BALANCE: (7, 3), CONFIG: (3, 2)}
"""Requests in any 2 s window: of a user, and of all whose user is not known yet (`CONFIG`: of each of these).

OKX allows a user 10 and 5. An unknown user may be any of the known ones, so that the two must not be more together.
"""
WINDOW = 2.0
CCY_LIMIT = 20
BODY_LIMIT = 4 * 2**20
"""Bytes after decompression; the largest account seen is under 1 MiB."""
PIECE = 2**16
"""Bytes. What was unpacked from a small answer is taken piece by piece, and given up before all of it is there."""
DEADLINE = 5.0
CLOCK_EVERY = 600.0
"""Seconds after which the clock offset is learnt anew."""
TOO_MANY = {"50011", "50040", "50061", "HTTP 429"}

# ---------------------------------------------------------------- what its errors mean for the watch


class Meaning(Struct, frozen=True):
    """One row of the error table. text: for people, with what to do."""

    remedy: Remedy
    text: str
    severity: Severity = Severity.OK


def _rows(remedy: Remedy, severity: Severity, rows: dict[str, str]) -> dict[str, Meaning]:
    return {code: Meaning(remedy, text, severity) for codes, text in rows.items() for code in codes.split()}


ERRORS: dict[str, Meaning] = {
    **_rows(
        Remedy.RETRY,
        Severity.OK,
        {"50004": "OKX timed out"},
    ),
    **_rows(
        Remedy.BACK_OFF,
        Severity.OK,
        {
            "1 2": "OKX could not carry out the request",
            "50001": "OKX is down for now (maintenance?)",
            "50013": "OKX is busy",
            "50026": "OKX has a system error",
            "50011 50040 50061": "OKX says there are too many requests; does another bot use this account?",
            "50046 50062 50064": "this part of OKX is unavailable for now",
        },
    ),
    **_rows(
        Remedy.RESYNC,
        Severity.OK,
        {"50102 50112": "OKX does not accept this machine's time; is its clock right (NTP)?"},
    ),
    **_rows(
        Remedy.SLOW,
        Severity.CRITICAL,
        {
            "50005": "OKX has removed this endpoint; upgrade riskbot",
            "50103 50104 50106 50107": "OKX missed a signature header; is a proxy in between?",
            "50105": "the passphrase is wrong",
            "50111": "the API key is malformed",
            "50113": "the signature is wrong; is the API secret right?",
            "50114": "OKX refuses this authorization",
            "50119": "OKX does not know this API key: deleted, lapsed, or of another region (region = global, eea, us)",
            "50101": "the API key is of the other environment; check demo = true or false",
            "50110": "this machine's IP address is not on the key's list",
            "50035": "OKX demands a key that is bound to an IP address",
            "50121": "OKX may not be used from this IP address",
            "50100": "the API key is frozen; contact OKX",
            "50030 50120 50041": "the API key may not read the account",
            "50007 50008": "OKX has blocked the user, or does not know it",
            "50051 50059 50060": "OKX waits for a compliance or identity step of yours",
            "50108 50109 50067": "wrong OKX site for this account; check region or base_url",
            "50115 50014 50015 50016 50024 50025 51000": "OKX refuses the request; check ccy, or upgrade riskbot",
        },
    ),
    **_rows(
        Remedy.SLOW,
        Severity.EMERGENCY,
        {
            "50009": "OKX has frozen the account: stop-out",
            "50017 50018 50019": "OKX has frozen positions, a currency or the account: auto-deleveraging",
            "50020 50021 50022": "OKX has frozen positions, a currency or the account: forced liquidation",
        },
    ),
    **_rows(
        Remedy.SLOW,
        Severity.CRITICAL,
        {"50012 50027 50029": "OKX has restricted the account"},
    ),
}
"""By OKX's code. What is not here is retried ever less often, and told if it lasts.

EMERGENCY: the answer itself is the danger. CRITICAL: riskbot is blind until somebody acts.
"""

STATUSES: dict[int, Meaning] = {
    401: Meaning(Remedy.SLOW, "refused", Severity.CRITICAL),
    403: Meaning(Remedy.SLOW, "forbidden; is this machine's address or country blocked?", Severity.CRITICAL),
    404: Meaning(Remedy.SLOW, "not there; check region or base_url", Severity.CRITICAL),
    429: Meaning(Remedy.BACK_OFF, "too many requests"),
}
"""By HTTP status, for answers without a code of OKX."""


def failure(code: str, status: int, message: str = "") -> SourceError:
    """The error for what OKX answered: in our words, for its own could hold anything, a key sent to it included.

    From OKX's `message` only the IP address is told, which a trader needs who has bound the key to one.
    """
    if code:
        base = code.partition("_")[0]  # 51008_1000: a sub-code after the underscore
        known = ERRORS.get(base) or Meaning(Remedy.BACK_OFF, "OKX answers with an error that is new to riskbot")
        return SourceError(f"{known.text} ({_address(message)}code {code})", known.remedy, known.severity, code=base)
    if 300 <= status < 400:
        known = Meaning(Remedy.SLOW, "redirected elsewhere; check region or base_url", Severity.CRITICAL)
    else:
        known = STATUSES.get(status) or Meaning(Remedy.BACK_OFF, "an answer that is not OKX's")
    return SourceError(f"{known.text} (HTTP {status})", known.remedy, known.severity, code=f"HTTP {status}")


def _address(message: str) -> str:
    for word in re.findall(r"[0-9A-Fa-f:.]+", message[:1000]):
        with suppress(ValueError):
            return f"{ip_address(word.rstrip('.'))}, "
    return ""


# ---------------------------------------------------------------- reading a reply


class _Reply(Struct):
    code: Annotated[str, Meta(pattern=r"\A[0-9]{1,6}(_[0-9]{1,6})?\Z")] | Annotated[int, Meta(ge=0, lt=10**6)]
    data: Any = None
    msg: Any = None


class _Config(Struct):
    uid: Annotated[str, Meta(min_length=1)]
    acctLv: Annotated[str, Meta(min_length=1)]  # noqa: N815 - OKX's spelling
    label: str = ""
    perm: str = ""
    ip: str = ""
    mainUid: str = ""  # noqa: N815 - OKX's spelling


ODD_CONFIG = "OKX answers with a configuration in another form"


def data(body: bytes, status: int) -> Any:
    """The one object in `data` of a reply. The body is judged before the status. Raises SourceError."""
    try:
        reply = orjson.loads(body)
    except (ValueError, RecursionError):
        raise failure("", status) from None
    return unpacked(reply, status)


def unpacked(reply: object, status: int = 200) -> Any:
    """The same, of a reply that is decoded."""
    try:
        said = msgspec.convert(reply, _Reply)
    except (ValueError, RecursionError):
        raise failure("", status) from None
    code = str(said.code)
    if code != "0":
        raise failure(code, status, said.msg if isinstance(said.msg, str) else "")
    if not isinstance(said.data, list) or len(said.data) != 1 or not isinstance(said.data[0], dict):
        raise SourceError("OKX answers without data", Remedy.BACK_OFF)
    return said.data[0]


def parse(body: bytes, status: int) -> Snapshot:
    """A snapshot from a reply of `account/balance`. Pure. Raises SourceError, nothing else."""
    return account(data(body, status))


def account(raw: dict[str, Any]) -> Snapshot:
    """A snapshot from the one object in `data`. Raises SourceError.

    A malformed field is that field's own matter; but where it is not certain which currency a row is about, the
    whole reply is refused: a row that is lost would look like a debt that is gone.
    """
    rows = raw.get("details")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError("OKX answers without a list of currencies", Remedy.BACK_OFF)
    names = [row.get("ccy") for row in rows]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise SourceError("OKX answers with currencies unnamed or named twice", Remedy.BACK_OFF)
    return Snapshot(raw)


def parse_info(body: bytes, status: int) -> AccountInfo:
    """Who the key belongs to, from a reply of `account/config`. Raises SourceError.

    Stricter than what was written down of one: without rights or addresses a danger that was told would look as if it
    were over. A key that asks has at least the right to read.
    """
    raw = data(body, status)
    if not raw.get("perm") or "ip" not in raw:
        raise SourceError(ODD_CONFIG, Remedy.BACK_OFF)
    return owner(raw)


def owner(raw: dict[str, Any]) -> AccountInfo:
    """The same, from the one object in `data`. Raises SourceError.

    Strict: rights that were passed over because they came in an odd form would look like a key without rights.
    """
    try:
        config = msgspec.convert(raw, _Config)
    except msgspec.ValidationError:
        raise SourceError(ODD_CONFIG, Remedy.BACK_OFF) from None
    perm, ip = (tuple(filter(None, map(str.strip, words.split(",")))) for words in (config.perm, config.ip))
    return AccountInfo(config.uid, config.acctLv, config.label, perm, ip, config.mainUid)


# ---------------------------------------------------------------- the limit


class Limiter:
    """Never more than n requests in any window, as the server counts them.

    A slot comes back a whole window after the REPLY, so that it holds on the server's clock too, whatever the latency.
    """

    def __init__(self, n: int, per: float) -> None:
        self._slots = asyncio.Semaphore(n)
        self._per = per
        self._resume = 0.0

    def pause(self, seconds: float) -> None:
        """Start no request before then (the server said: too many)."""
        self._resume = max(self._resume, asyncio.get_running_loop().time() + seconds)

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        try:
            while (wait := self._resume - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
        except BaseException:
            self._slots.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().call_later(self._per, self._slots.release)


class Exchange:
    """What all accounts share: one HTTP session, the limiters of each user, the clock offset of each host.

    wall: the machine's clock, seconds since 1970. deadline: seconds for one request, waiting for its turn included.
    Belongs to one event loop. Close it after the sources.
    """

    def __init__(self, wall: Callable[[], float], deadline: float = DEADLINE) -> None:
        self.wall = wall
        self.deadline = deadline
        self.offsets: dict[str, float] = {}
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self._session: aiohttp.ClientSession | None = None
        self._synced: dict[str, float] = {}
        self._syncing = asyncio.Lock()

    @property
    def session(self) -> aiohttp.ClientSession:
        """Made at first use, inside the running loop."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=75)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self.deadline),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "riskbot"},
            )
        return self._session

    def limiter(self, path: str, uid: str) -> Limiter:
        """The one of this user at whichever host: two ways to OKX lead to the same user. "": not known yet."""
        if (path, uid) not in self._limiters:
            known, unknown = LIMITS[path]
            self._limiters[path, uid] = Limiter(known if uid else unknown, WINDOW)
        return self._limiters[path, uid]

    async def get(self, url: URL, middlewares: tuple[Any, ...] = ()) -> tuple[bytes, int]:
        """(body, HTTP status), without following redirects: they would carry the key along. Raises SourceError."""
        return await read(self.session.get(url, allow_redirects=False, middlewares=middlewares), self.deadline)

    async def sync(self, base_url: str, older_than: float) -> None:
        """Learn how far the server's clock is from ours, if what is known is older. Raises SourceError.

        Many accounts may want it at once; one asks, and if it asks in vain, the others do not wait in line to do
        the same. Never twice within a second.
        """
        async with self._syncing:
            loop = asyncio.get_running_loop()
            if loop.time() - self._synced.get(base_url, -inf) <= max(older_than, 1.0):
                return
            try:
                sent = self.wall()
                row = data(*await self.get(URL(base_url + TIME)))
                received = self.wall()
            finally:
                self._synced[base_url] = loop.time()
            if not re.fullmatch("[0-9]{13}", str(row.get("ts"))):
                raise SourceError("OKX answers without its time", Remedy.BACK_OFF)
            self.offsets[base_url] = int(row["ts"]) / 1000 - (sent + received) / 2

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()


async def read(request: Any, deadline: float = DEADLINE) -> tuple[bytes, int]:
    """(body, HTTP status) of a request, within its deadline and the cap on size. Raises SourceError."""
    try:
        async with request as response:
            body = bytearray()
            while chunk := await response.content.read(PIECE):
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise SourceError(f"the answer is larger than {BODY_LIMIT >> 20} MiB", Remedy.BACK_OFF)
            return bytes(body), response.status
    except TimeoutError:
        raise SourceError(f"no answer within {deadline:g} s") from None
    except aiohttp.ClientConnectorDNSError:
        raise SourceError("the exchange's name can't be resolved; is this machine online?") from None
    except aiohttp.ClientConnectorError as error:
        raise SourceError(f"can't connect to the exchange ({type(error).__name__})") from None
    except aiohttp.ClientPayloadError as error:
        raise SourceError(f"the answer broke off ({type(error).__name__})") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The error's own text may hold the URL; its type says enough.
        raise SourceError(f"the connection broke ({type(error).__name__})") from None


# ---------------------------------------------------------------- one account


class Credentials(Struct, frozen=True):
    """An API key of OKX, read-only for preference."""

    key: SecretStr
    secret: SecretStr
    passphrase: SecretStr


class OkxSource:
    """One account. `ccys`: ask for these currencies only; none: all that have a balance."""

    def __init__(
        self,
        exchange: Exchange,
        base_url: str,
        credentials: Credentials,
        *,
        demo: bool = False,
        ccys: tuple[str, ...] = (),
    ) -> None:
        self._exchange = exchange
        self._base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._fixed = {
            "OK-ACCESS-KEY": credentials.key.get_secret_value(),
            "OK-ACCESS-PASSPHRASE": credentials.passphrase.get_secret_value(),
        }
        self._sendable = all(value.isprintable() for value in self._fixed.values())
        if demo:
            self._fixed["x-simulated-trading"] = "1"
        chunks = [ccys[i : i + CCY_LIMIT] for i in range(0, len(ccys), CCY_LIMIT)]
        url = URL(self._base_url + BALANCE)
        self._urls = [url.with_query(ccy=",".join(chunk)) for chunk in chunks] or [url]
        # Before the uid is known, all accounts are taken to be one user. Not so for the question who it is: a
        # thousand accounts would wait for minutes, and it is asked once.
        self._limiters = {BALANCE: exchange.limiter(BALANCE, ""), CONFIG: Limiter(LIMITS[CONFIG][1], WINDOW)}
        self._middlewares = {path: (self._middleware(path),) for path in LIMITS}

    async def fetch(self) -> Snapshot:
        """The account as it is; more than 20 currencies are asked for in several requests and put together."""
        snapshot: Snapshot = await self._ask(self._urls[0], BALANCE, parse)
        for url in self._urls[1:]:
            more: Snapshot = await self._ask(url, BALANCE, parse)
            rows = {row["ccy"]: row for row in (*snapshot.details, *more.details)}
            snapshot.raw["details"] = list(rows.values())
        return snapshot

    async def info(self) -> AccountInfo:
        """Mode, rights, IP binding and uid. From the first answer on the limit is counted for that uid."""
        with suppress(SourceError):  # only a clock that is far off makes a difference, and then OKX says so
            await self._exchange.sync(self._base_url, CLOCK_EVERY)
        info: AccountInfo = await self._ask(URL(self._base_url + CONFIG), CONFIG, parse_info)
        self._limiters = {path: self._exchange.limiter(path, info.uid) for path in LIMITS}
        return info

    async def _ask(self, url: URL, path: str, understand: Callable[[bytes, int], Any]) -> Any:
        """One request understood; once more with a fresh clock offset if OKX does not accept the time."""
        if not self._sendable:
            why = "the API key or the passphrase holds a line break or another sign that can't be sent"
            raise SourceError(why, Remedy.SLOW, Severity.CRITICAL)
        try:
            return await self._attempt(url, path, understand)
        except SourceError as error:
            if error.remedy is not Remedy.RESYNC:
                raise
        with suppress(SourceError):  # then OKX says the same again, and that is what to tell
            await self._exchange.sync(self._base_url, 0.0)
        return await self._attempt(url, path, understand)

    async def _attempt(self, url: URL, path: str, understand: Callable[[bytes, int], Any]) -> Any:
        body, status = await self._exchange.get(url, self._middlewares[path])
        try:
            return understand(body, status)
        except SourceError as error:
            if error.code in TOO_MANY:
                self._limiters[path].pause(WINDOW)
            raise

    def _middleware(self, path: str) -> Any:
        """Limit and sign each attempt: aiohttp sends a GET again by itself when a kept-alive connection breaks."""

        async def attempt(request: ClientRequest, handler: Any) -> ClientResponse:
            async with self._limiters[path]:
                self._sign(request)
                response: ClientResponse = await handler(request)
                return response

        return attempt

    def _sign(self, request: ClientRequest) -> None:
        now = self._exchange.wall() + self._exchange.offsets.get(self._base_url, 0.0)
        timestamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        signed = f"{timestamp}GET{request.url.raw_path_qs}".encode()
        digest = hmac.digest(self._credentials.secret.get_secret_value().encode(), signed, hashlib.sha256)
        request.headers.update(self._fixed)
        request.headers["OK-ACCESS-TIMESTAMP"] = timestamp
        request.headers["OK-ACCESS-SIGN"] = base64.b64encode(digest).decode()

    async def close(self) -> None:
        """Nothing of its own to give back: the session is the exchange's."""
