"""Whose key is it, at which of OKX's sites, and may riskbot have it? Each refusal says what to do."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from riskbot.builtin.key_safety import KeySafety
from riskbot.builtin.okx.errors import ERRORS
from riskbot.builtin.okx.exchange import Exchange
from riskbot.builtin.okx.source import HOSTS, Credentials, OkxSource
from riskbot.model import AccountInfo
from riskbot.setup.live import Fault, faults
from riskbot.snapshot import Snapshot
from riskbot.source import SourceError

KEY, SECRET, PASSPHRASE = "api_key", "api_secret", "passphrase"
ALL = (KEY, SECRET, PASSPHRASE)

ELSEWHERE = frozenset({"50119", "50108", "50109", "50067"})
"""Codes of a site that does not know the key: another one may."""
OTHER_ENVIRONMENT = "50101"

ADVICE: dict[str, tuple[str, tuple[str, ...]]] = {
    "50105": ("It is the one that you made up for this API key, not the password of your login.", (PASSPHRASE,)),
    "50113": ("Copy the secret key again; OKX shows it once only: if it is lost, make a new API key.", (SECRET,)),
    "50111": ("Copy the API key again, all of it.", (KEY,)),
    "50119": ("Copy the API key again, all of it; if it is right, it was deleted or has lapsed: make a new one.", ALL),
    "50110": ("On OKX, edit the API key and add this machine's address to its IP addresses.", ()),
    "50035": ("On OKX, edit the API key and bind it to this machine's IP address.", ()),
    "50102": ("Set this machine's clock, for example: timedatectl set-ntp true", ()),
    "50112": ("Set this machine's clock, for example: timedatectl set-ntp true", ()),
    "50030": ("On OKX, edit the API key and give it the Read permission.", ()),
    "50120": ("On OKX, edit the API key and give it the Read permission.", ()),
    "50121": ("OKX does not serve this country or data centre: run riskbot on a machine elsewhere.", ()),
    "50100": ("Make a new API key, or ask OKX's support.", ALL),
    "50114": ("Copy the API key, its secret and its passphrase again.", ALL),
}
"""By OKX's code: what to do, and what to ask for again; nothing: that is done elsewhere, then the same once more."""
NEITHER = "The key is neither one of live trading nor of demo trading here: make a new one."
LATER = "Try again in a minute."
ONLINE = "Is this machine online?"
PROXY = "Where a proxy or a firewall is in between, it must let riskbot through."


class Refused(Exception):  # noqa: N818 - reads as what became of the key
    """The key is of no use, or riskbot must not have it. Its text is for people, and says what to do.

    again: what to ask for again: of `ALL`; nothing: the same may work once what the text says is done.
    """

    def __init__(self, why: str, again: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.again = again


class Found(Struct, frozen=True):
    """A key that works. region: "" where base_url is given. offset: seconds that OKX's clock is ahead, if known."""

    region: str
    base_url: str
    demo: bool
    info: AccountInfo
    offset: float | None


async def find(exchange: Exchange, credentials: Credentials, sites: Mapping[str, str] = HOSTS, *, demo: bool) -> Found:
    """The site that knows the key, asked one after the other. Raises Refused.

    sites: base URLs by region. demo: is it a key of demo trading? If the site says not so, the other is tried.
    """
    errors = dict[str, SourceError]()
    for region, base_url in sites.items():
        try:
            return await _at(exchange, credentials, region, base_url, demo=demo)
        except SourceError as error:
            errors[region] = error
            if error.code and error.code not in ELSEWHERE:
                break
    raise _refusal(errors, sites)


async def _at(exchange: Exchange, credentials: Credentials, region: str, base_url: str, *, demo: bool) -> Found:
    async def ask(*, demo: bool) -> Found:
        info = await OkxSource(exchange, base_url, credentials, demo=demo).info()
        return Found(region, base_url, demo, info, exchange.offsets.get(base_url))

    try:
        return await ask(demo=demo)
    except SourceError as error:
        if error.code != OTHER_ENVIRONMENT:
            raise
    return await ask(demo=not demo)


def _refusal(errors: Mapping[str, SourceError], sites: Mapping[str, str]) -> Refused:
    """The last answer decides; that no site knows the key only if all were asked."""
    unreached = [region for region, error in errors.items() if not error.code]
    *_, last = errors.values()
    if last.code and last.code not in ELSEWHERE:
        return _told(last)
    if len(unreached) == len(errors):
        why = last.why if last.why.endswith("?") else f"{last.why}. {ONLINE}"
        return Refused(f"{why} {PROXY}")
    more = f" ({', '.join(unreached)} could not be reached)" if unreached else ""
    if len(sites) == 1:
        ((region, url),) = sites.items()
        hint = " Without --region all of OKX's sites are tried." if region else ""
        return Refused(f"OKX does not know this API key here: {url}. {ADVICE['50119'][0]}{hint}", ALL)
    return Refused(f"none of OKX's sites ({', '.join(sites)}) knows this API key{more}. {ADVICE['50119'][0]}", ALL)


def _told(error: SourceError) -> Refused:
    if error.code == OTHER_ENVIRONMENT:  # both were tried
        return Refused(f"{error.why}. {NEITHER}", ALL)
    if error.code in ADVICE:
        return Refused(advised(error), ADVICE[error.code][1])
    return Refused(f"{error.why}." if error.code in ERRORS else f"{error.why}. {LATER}")


def advised(error: SourceError) -> str:
    """What OKX's site says, and what to do about it if that is known."""
    return f"{error.why}. {ADVICE[error.code][0]}" if error.code in ADVICE else error.why


async def balance(exchange: Exchange, credentials: Credentials, found: Found) -> Snapshot:
    """The account as it is. Raises Refused."""
    try:
        return await OkxSource(exchange, found.base_url, credentials, demo=found.demo).fetch()
    except SourceError as error:
        raise _told(error) from None


def rights(info: AccountInfo, *, allow_trade: bool) -> list[Fault]:
    """What is not as it should be about the key, and yet bearable. Raises Refused for what is not."""
    rule = KeySafety.model_validate({"name": "key", "kind": "key_safety"})
    found = faults(info, rule)
    refused = [fault for fault in found if fault.fact == "withdraw" or (fault.fact == "trade" and not allow_trade)]
    if not refused:
        return found
    why = "; ".join(fault.says for fault in refused)
    hint = "" if any(fault.fact == "withdraw" for fault in refused) else " If it must, give --allow-trade-key."
    raise Refused(f"riskbot does not take this key: {why}.{hint}", ALL)
