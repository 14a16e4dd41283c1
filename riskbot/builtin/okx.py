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
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from typing import Any

import aiohttp
import msgspec
from aiohttp import ClientRequest, ClientResponse
from msgspec import Struct
from pydantic import SecretStr
from yarl import URL

from riskbot.model import AccountInfo, Severity
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, SourceError

HOSTS = {"global": "https://www.okx.com", "eea": "https://eea.okx.com", "us": "https://us.okx.com"}
"""REST hosts by the site where the account was opened; a key exists on that one only."""

BALANCE, CONFIG, TIME = "/api/v5/account/balance", "/api/v5/account/config", "/api/v5/public/time"
LIMITS = {BALANCE: 10, CONFIG: 5}
"""Requests in any 2 s window: per user for each of these."""
WINDOW = 2.0
CCY_LIMIT = 20
BODY_LIMIT = 8 * 2**20
"""Bytes after decompression; the largest account seen is under 1 MiB."""
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
        {"50004": "OKX timed out", "1 2": "OKX could not carry out the request"},
    ),
    **_rows(
        Remedy.BACK_OFF,
        Severity.OK,
        {
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
            "50017 50018 50019": "OKX has frozen positions or the account: auto-deleveraging",
            "50020 50021 50022": "OKX has frozen positions or the account: forced liquidation",
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
    """The error for what OKX answered. `message` is OKX's own; it is shown only for codes not in the table."""
    if code:
        base = code.partition("_")[0]  # 51008_1000: a sub-code after the underscore
        known = ERRORS.get(base) or Meaning(Remedy.BACK_OFF, f"OKX answers: {message[:100]}")
        return SourceError(f"{known.text} (code {code})", known.remedy, known.severity, code=base)
    if 300 <= status < 400:
        known = Meaning(Remedy.SLOW, "redirected elsewhere; check region or base_url", Severity.CRITICAL)
    else:
        known = STATUSES.get(status) or Meaning(Remedy.BACK_OFF, "an answer that is not OKX's")
    return SourceError(f"{known.text} (HTTP {status})", known.remedy, known.severity, code=f"HTTP {status}")


# ---------------------------------------------------------------- reading a reply


def data(body: bytes, status: int) -> list[Any]:
    """The `data` of a reply. The body is judged before the status. Raises SourceError."""
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise failure("", status) from None
    if not isinstance(reply, dict) or not isinstance(reply.get("code"), str | int):
        raise failure("", status)
    code = str(reply["code"])
    if code != "0":
        raise failure(code, status, str(reply.get("msg", "")))
    if not isinstance(reply.get("data"), list) or not reply["data"]:
        raise SourceError("OKX answers without data", Remedy.BACK_OFF)
    rows: list[Any] = reply["data"]
    return rows


def parse(body: bytes, status: int) -> Snapshot:
    """A snapshot from a reply of `account/balance`. Pure. Raises SourceError, nothing else.

    A malformed field is that field's own matter; but where it is not certain which currency a row is about, the
    whole reply is refused: a row that is lost would look like a debt that is gone.
    """
    raw = data(body, status)[0]
    rows = raw.get("details") if isinstance(raw, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError("OKX answers without a list of currencies", Remedy.BACK_OFF)
    names = [row.get("ccy") for row in rows]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise SourceError("OKX answers with currencies unnamed or named twice", Remedy.BACK_OFF)
    return Snapshot(raw)


def parse_info(body: bytes, status: int) -> AccountInfo:
    """Who the key belongs to, from a reply of `account/config`. Raises SourceError."""
    raw = data(body, status)[0]
    if not isinstance(raw, dict) or not isinstance(raw.get("uid"), str) or not isinstance(raw.get("acctLv"), str):
        raise SourceError("OKX answers without uid or acctLv", Remedy.BACK_OFF)

    def words(key: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in str(raw.get(key) or "").split(",") if word.strip())

    return AccountInfo(
        raw["uid"],
        raw["acctLv"],
        str(raw.get("label") or ""),
        words("perm"),
        words("ip"),
        str(raw.get("mainUid") or ""),
    )


# ---------------------------------------------------------------- the limit


class Limiter:
    """Never more than n requests in any window, as the server counts them.

    A slot comes back a whole window after the REPLY, so that it holds on the server's clock too, whatever the latency.
    """

    def __init__(self, n: int, per: float = WINDOW) -> None:
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
                await asyncio.sleep(wait)  # noqa: ASYNC110 - a moment in time, which may be put off meanwhile
        except BaseException:
            self._slots.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().call_later(self._per, self._slots.release)


class Exchange:
    """What all accounts share: one HTTP session, the limiters of each user, the clock offset of each host.

    wall: the machine's clock, seconds since 1970. Close it after the sources.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self.wall = wall
        self.offsets: dict[str, float] = {}
        self._limiters: dict[tuple[str, str, str], Limiter] = {}
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
                timeout=aiohttp.ClientTimeout(total=DEADLINE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "riskbot"},
            )
        return self._session

    def limiter(self, base_url: str, user: str, path: str) -> Limiter:
        """The one of this user. Users that are not known yet ("") are taken to be one and the same."""
        key = (base_url, user, path)
        if key not in self._limiters:
            self._limiters[key] = Limiter(LIMITS[path])
        return self._limiters[key]

    async def sync(self, base_url: str, older_than: float) -> None:
        """Learn how far the server's clock is from ours, if what is known is older. Raises SourceError.

        Many accounts may want it at once; one asks, and never twice within a second.
        """
        async with self._syncing:
            loop = asyncio.get_running_loop()
            if loop.time() - self._synced.get(base_url, -inf) <= max(older_than, 1.0):
                return
            sent = self.wall()
            body, status = await read(self.session.get(base_url + TIME, allow_redirects=False))
            received = self.wall()
            row = data(body, status)[0]
            if not isinstance(row, dict) or not str(row.get("ts", "")).isdecimal():
                raise SourceError("OKX answers without its time", Remedy.BACK_OFF)
            self.offsets[base_url] = int(row["ts"]) / 1000 - (sent + received) / 2
            self._synced[base_url] = loop.time()

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()


async def read(request: Any) -> tuple[bytes, int]:
    """(body, HTTP status) of a request, within the deadline and the cap on size. Raises SourceError."""
    try:
        async with request as response:
            body = bytearray()
            while chunk := await response.content.read(BODY_LIMIT):
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise SourceError(f"the answer is larger than {BODY_LIMIT >> 20} MiB", Remedy.BACK_OFF)
            return bytes(body), response.status
    except TimeoutError:
        raise SourceError(f"no answer within {DEADLINE:.0f} s") from None
    except aiohttp.ClientConnectorDNSError:
        raise SourceError("the exchange's name can't be resolved; is this machine online?") from None
    except (aiohttp.ClientError, OSError, ValueError, EOFError) as error:
        # The error's own text may hold the URL; its type says enough.
        raise SourceError(f"the connection failed ({type(error).__name__})") from None


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
        if demo:
            self._fixed["x-simulated-trading"] = "1"
        self._user = ""
        chunks = [ccys[i : i + CCY_LIMIT] for i in range(0, len(ccys), CCY_LIMIT)] or [()]
        queries = [f"?ccy={','.join(chunk)}" if chunk else "" for chunk in chunks]
        self._urls = [URL(self._base_url + BALANCE + query, encoded=True) for query in queries]
        self._asked: set[str] = set()
        self._middlewares = {path: (self._middleware(path),) for path in LIMITS}

    async def fetch(self) -> Snapshot:
        """The account as it is; more than 20 currencies are asked for in several requests and put together."""
        first: Snapshot = await self._ask(self._urls[0], BALANCE, parse)
        for url in self._urls[1:]:
            more: Snapshot = await self._ask(url, BALANCE, parse)
            first.details.extend(more.details)
        return first

    async def info(self) -> AccountInfo:
        """Mode, rights, IP binding and uid. From the first answer on the limit is counted for that uid."""
        with suppress(SourceError):  # only a clock that is far off makes a difference, and then OKX says so
            await self._exchange.sync(self._base_url, CLOCK_EVERY)
        info: AccountInfo = await self._ask(URL(self._base_url + CONFIG), CONFIG, parse_info)
        if info.uid != self._user:
            self._user = info.uid
            for path in self._asked:  # what was asked before is counted for this user too
                self._limiter(path).pause(WINDOW)
        return info

    async def _ask(self, url: URL, path: str, understand: Callable[[bytes, int], Any]) -> Any:
        """One request understood; once more with a fresh clock offset if OKX does not accept the time."""
        self._asked.add(path)
        for final in (False, True):
            request = self._exchange.session.get(url, allow_redirects=False, middlewares=self._middlewares[path])
            body, status = await read(request)
            try:
                return understand(body, status)
            except SourceError as error:
                if error.code in TOO_MANY:
                    self._limiter(path).pause(WINDOW)
                if final or error.remedy is not Remedy.RESYNC:
                    raise
            await self._exchange.sync(self._base_url, 0.0)
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def _limiter(self, path: str) -> Limiter:
        # Before the uid is known, all accounts of a host are taken to be one user. Not so for the question who it is:
        # a thousand accounts would wait for minutes, and it is asked once.
        user = self._user or (self._fixed["OK-ACCESS-KEY"] if path == CONFIG else "")
        return self._exchange.limiter(self._base_url, user, path)

    def _middleware(self, path: str) -> Any:
        """Limit and sign each attempt: aiohttp sends a GET again by itself when a kept-alive connection breaks."""

        async def attempt(request: ClientRequest, handler: Any) -> ClientResponse:
            async with self._limiter(path):
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
