"""What OKX's errors mean for the watch."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address

from msgspec import Struct

from riskbot.model import Severity
from riskbot.source import Remedy, SourceError

TOO_MANY = {"50011", "50040", "50061", "HTTP 429"}
"""Of codes and HTTP statuses those that say: too many requests."""


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
