"""One look at an account through its key: who it is, what the key may do, how it stands."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from riskbot.builtin.key_safety import NO_IP, KeySafety
from riskbot.history import History
from riskbot.model import AccountInfo, Severity, View
from riskbot.snapshot import MODES, Snapshot
from riskbot.source import Source, SourceError
from riskbot.store import StoreError
from riskbot.store.peek import look as peek
from riskbot.text import number, span, usd

CLOCK_OFF = 2.0
"""Seconds; a machine that keeps its time by NTP is a hundred times better."""


class Seen(Struct, frozen=True):
    """What was seen. error: why nothing more was. The snapshot may fail where the rest does not."""

    info: AccountInfo | None = None
    snapshot: Snapshot | None = None
    error: SourceError | None = None


async def look(source: Source) -> Seen:
    """Ask who the key belongs to, then for the balance; two requests."""
    info = None
    try:
        info = await source.info()
        return Seen(info, await source.fetch())
    except SourceError as error:
        return Seen(info, error=error)


def identity(info: AccountInfo) -> str:
    """`uid 77 "riskbot", Multi-currency margin mode, read_only, bound to 203.0.113.7`."""
    label = f' "{info.label}"' if info.label else ""
    mode = f"{MODES[info.mode]} mode" if info.mode in MODES else f"a mode that is new to riskbot ({info.mode})"
    rights = ", ".join(info.permissions) or "no rights"
    bound = f"bound to {', '.join(info.ips)}" if info.ips else "bound to no IP address"
    return f"uid {info.uid}{label}, {mode}, {rights}, {bound}"


def remembered(db: Path) -> dict[str, str]:
    """The uid of each account when riskbot watched it last; none: it has not run yet."""
    try:
        return {name: alerts.uid for name, alerts in peek(db, ()).alerts.items()}
    except StoreError:
        return {}


def another(uid: str) -> str:
    """What to say of a key that is not of the account that is remembered under that name."""
    return f"it belongs to another account of OKX than before (uid {uid}); if that is meant, give it another name"


class Fault(Struct, frozen=True):
    """One thing about a key that should not be so. fact: `trade`. harm: what may come of it, and what to do."""

    fact: str
    severity: Severity
    harm: str

    @property
    def says(self) -> str:
        """`it can trade: who gets hold of it …`."""
        return f"it has {self.fact}: {self.harm}" if self.fact == NO_IP else f"it can {self.fact}: {self.harm}"


def faults(info: AccountInfo, rule: KeySafety) -> list[Fault]:
    """What the rule about this account's key has to say, worst first."""
    readings = rule.readings(View("", 0.0, Snapshot({"details": []}), History(), info))
    found = [Fault(r.ccy, Severity(int(r.value)), rule.harm(r.ccy)) for r in readings if r.value]
    return sorted(found, key=lambda fault: -fault.severity)


def standing(snapshot: Snapshot) -> str:
    """`equity $130,000, margin ratio 12.3, debt in USDT`."""
    words = [f"equity {usd(snapshot.total_eq)}"] if snapshot.total_eq.is_finite() else []
    words += [f"margin ratio {number(snapshot.mgn_ratio)}"] if snapshot.mgn_ratio.is_finite() else []
    owed = [ccy for ccy, balance in snapshot.balances.items() if balance.liab.is_finite() and balance.liab]
    words += [f"debt in {', '.join(owed)}"] if owed else []
    return ", ".join(words) or "it is empty"


def clock(offset: float) -> str:
    """offset: seconds that the exchange's clock is ahead of this machine's."""
    if abs(offset) < 1:
        return "this machine's clock is right to the second"
    way = "behind" if offset > 0 else "ahead of"
    return f"this machine's clock is {span(abs(offset))} {way} the exchange's"
