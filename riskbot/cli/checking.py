"""What `riskbot check --live` asks: the exchange through each key, each rule, each receiver's door."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

from riskbot.builtin.key_safety import KeySafety
from riskbot.builtin.okx.exchange import Exchange
from riskbot.cli import stored, wiring
from riskbot.cli.things import ALERT, OK, WARNING, WRONG, thing
from riskbot.model import AccountInfo, Severity
from riskbot.plugins import Plugins
from riskbot.rules import Rule
from riskbot.settings import OKX, AccountSettings, Config
from riskbot.setup import gate, outlook, reach
from riskbot.setup import live as looks
from riskbot.setup.live import Seen
from riskbot.setup.outlook import Prospect
from riskbot.snapshot import Snapshot

_STATES = {Prospect.NEVER: WRONG, Prospect.FAILS: WRONG, Prospect.MISSING: WARNING, Prospect.ALERT: ALERT}


async def live(config: Config, found: Plugins) -> list[dict[str, Any]]:
    """A line for each account's clock, key and rules, and for each receiver. All are asked at once."""
    exchange = Exchange(time.time)  # noqa: TID251 - signatures are made at the moment of sending
    known = looks.remembered(config.db)
    try:
        told = await asyncio.gather(
            *(_account(account, config, exchange, found, known.get(account.name, "")) for account in config.accounts),
            *(_receiver(name, config, found) for name in config.receivers),
        )
    finally:
        await exchange.close()
    return list(chain.from_iterable(told))


# Accounts.


async def _account(
    account: AccountSettings, config: Config, exchange: Exchange, found: Plugins, uid: str
) -> list[dict[str, Any]]:
    source = wiring.source(account, exchange, found)
    try:
        seen = await looks.look(source)
    finally:
        await source.close()
    things = list(_clock(account, exchange))
    if seen.info:
        things += _key(account.name, seen.info, config.rules, uid)
    if seen.error:
        why = gate.advised(seen.error) if account.source == OKX else seen.error.why
        things.append(thing("account", account.name, WRONG, f"can't be seen: {why}"))
    return [*things, *_standing(account.name, seen, config.rules, [one.name for one in config.accounts])]


def _clock(account: AccountSettings, exchange: Exchange) -> Iterator[dict[str, Any]]:
    offset = exchange.offsets.get(wiring.server_of(account))
    if account.source == OKX and offset is not None:
        off = abs(offset) >= looks.CLOCK_OFF
        more = "; riskbot allows for it, but set it right (NTP)" if off else ""
        yield thing("clock", account.name, WARNING if off else OK, looks.clock(offset) + more, offset=round(offset, 3))


def _key(name: str, info: AccountInfo, rules: tuple[Rule, ...], uid: str) -> Iterator[dict[str, Any]]:
    facts = {"uid": info.uid, "mode": info.mode, "permissions": info.permissions, "ips": info.ips}
    yield thing("key", name, OK, looks.identity(info), **facts)
    if uid and uid != info.uid:
        yield thing("key", name, WRONG, looks.another(uid))
    mine = next(rule for rule in rules if isinstance(rule, KeySafety) and rule.watches(name))
    for fault in looks.faults(info, mine):
        state = WRONG if fault.severity >= Severity.CRITICAL else WARNING
        yield thing("key", name, state, fault.says)


def _standing(name: str, seen: Seen, rules: tuple[Rule, ...], accounts: list[str]) -> Iterator[dict[str, Any]]:
    """How the account is, and what each rule would say of it."""
    if seen.info is None or seen.snapshot is None:
        return
    yield thing("account", name, OK, looks.standing(seen.snapshot))
    for rule in rules:
        if rule.watches(name) and not isinstance(rule, KeySafety):
            yield _rule(name, rule, seen.snapshot, seen.info, outlook.others(rule, name, accounts))


def _rule(account: str, rule: Rule, snapshot: Snapshot, info: AccountInfo, others: list[str]) -> dict[str, Any]:
    """others: those that it watches, too."""
    said = outlook.look(rule, account, snapshot, info, stored.now())
    hint = f"; to keep {account} out of it: accounts = {json.dumps(others, ensure_ascii=False)}"
    says = said.says + (hint if said.prospect is Prospect.NEVER and others else "")
    facts = {"account": account, "rule": rule.name, "now": said.prospect.name.lower(), "severity": said.severity.label}
    return thing("rule", f"{account} · {rule.name}", _STATES.get(said.prospect, OK), says, **facts)


# Receivers.


async def _receiver(name: str, config: Config, found: Plugins) -> list[dict[str, Any]]:
    notifier = await wiring.notifier(name, config.receivers[name].url.get_secret_value(), found)
    try:
        there = reach.address(notifier)
        if there is None:
            return [thing("receiver", name, OK, f"not tried; see: riskbot notify {name}")]
        why = await reach.connect(there)
        return [thing("receiver", name, WRONG if why else OK, why or f"{there} can be reached")]
    finally:
        await notifier.close()
