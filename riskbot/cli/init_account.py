"""The part of `riskbot init` about the account: its key, where it is known, what it may do, how the account stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from pydantic import SecretStr, ValidationError

from riskbot.builtin.okx.source import HOSTS, Credentials
from riskbot.cli.common import fail
from riskbot.cli.interview import Interview
from riskbot.cli.questions import heading, read
from riskbot.cli.things import OK, WARNING, WRONG, show, thing
from riskbot.settings import AccountSettings, find_db
from riskbot.settings.mistakes import explain
from riskbot.setup import gate, live
from riskbot.setup.gate import ALL, Found, Refused
from riskbot.setup.known import credential
from riskbot.setup.live import Fault
from riskbot.snapshot import Snapshot

WORDS = {gate.KEY: "API key", gate.SECRET: "API secret", gate.PASSPHRASE: "Passphrase"}
FLAGS = {key: f"--{key.replace('_', '-')}-file" for key in ALL}
HOW = """\
On OKX: your profile, API, "Create API key". Permission: Read, and nothing else. Bind it to this machine's IP address.
"""


class Account(Struct, frozen=True):
    """An account that riskbot can watch. keys: for the rules file; None: the key is not to be there."""

    name: str
    found: Found
    snapshot: Snapshot
    keys: Mapping[str, Any]

    @property
    def about(self) -> str:
        """Who it is, in a comment."""
        return live.identity(self.found.info).partition(" mode,")[0]


def account(talk: Interview) -> Account:
    """Ask until there is a key that works and that riskbot may have. Ends the command if nobody can be asked."""
    name = _name(talk)
    entry = talk.before.account(name)
    heading(f"The account {name}")
    if not talk.ask.silent:
        print_how(entry)
    given = {key: read(file, FLAGS[key]) for key in ALL if (file := getattr(talk.options, f"{key}_file"))}
    parts = {key: given.get(key, "") or _before(talk, entry, name, key) for key in ALL}
    asked = tuple(key for key in ALL if key not in given)
    while True:
        for key in asked:
            parts[key] = talk.ask.secret(
                WORDS[key], f"{FLAGS[key]} FILE, or {_variable(talk, entry, name, key)}", parts[key]
            )
        try:
            found, faults, snapshot = talk.run(_try(talk, _credentials(parts), entry))
            _same(talk, name, found)
        except Refused as error:
            show([thing("key", name, WRONG, str(error))])
            if talk.ask.silent:
                fail("Nothing was written.", 1)
            asked = error.again
            parts.update(dict.fromkeys(asked, ""))
            if not asked:
                talk.ask.enter("Press Enter to try again once that is done, or Ctrl-C to stop.")
            continue
        _tell(name, found, faults, snapshot, _twin(talk, name, parts[gate.KEY]))
        return Account(name, found, snapshot, _keys(talk, name, entry, found, parts))


def _twin(talk: Interview, name: str, key: str) -> str:
    """Another account of the file with the same key, or ""."""
    keys = {other: talk.before.value(talk.before.account(other).get(gate.KEY)) for other in talk.before.accounts()}
    return next((other for other, value in keys.items() if other != name and value == key), "")


def print_how(entry: Mapping[str, Any]) -> None:
    """Where a key comes from; who has one knows."""
    import click  # noqa: PLC0415 - see cli/__init__.py

    if not entry:
        click.echo(HOW)


def _name(talk: Interview) -> str:
    """The account that is meant: by its flag, or the one that there is."""
    known = talk.before.accounts()
    name = talk.options.account or (known[0] if known else "main")
    _check({"name": name})
    return name


def _check(keys: dict[str, str]) -> None:
    """Nothing is sent anywhere on the word of a key that the rules file could not have."""
    try:
        AccountSettings.model_validate({"name": "main", **keys})
    except ValidationError as error:
        fail(explain(error.errors(include_url=False)[0], AccountSettings), 2)


def _before(talk: Interview, entry: Mapping[str, Any], name: str, key: str) -> str:
    return talk.before.value(entry.get(key)) or talk.before.env.get(_variable(talk, entry, name, key), "")


def _variable(talk: Interview, entry: Mapping[str, Any], name: str, key: str) -> str:
    """The one for that part of the key, which no other account has."""
    return talk.before.free(credential(name, key), entry.get(key))


def _credentials(parts: Mapping[str, str]) -> Credentials:
    return Credentials(*(SecretStr(parts[key]) for key in ALL))


async def _try(
    talk: Interview, credentials: Credentials, entry: Mapping[str, Any]
) -> tuple[Found, list[Fault], Snapshot]:
    """Raises Refused."""
    demo = talk.options.demo or bool(entry.get("demo"))
    found = await gate.find(talk.exchange, credentials, _sites(talk, entry), demo=demo)
    faults = gate.rights(found.info, allow_trade=talk.options.allow_trade_key)
    return found, faults, await gate.balance(talk.exchange, credentials, found)


def _same(talk: Interview, name: str, found: Found) -> None:
    """Raises Refused if the account that riskbot remembers under that name is another one: it would not be watched."""
    uid = live.remembered(find_db(talk.before.path)).get(name, "") if talk.before.text else ""
    if uid not in ("", found.info.uid):
        raise Refused(f"{live.another(uid)}: --account NAME", ALL)


def _sites(talk: Interview, entry: Mapping[str, Any]) -> dict[str, str]:
    """Where to ask: by the flags; else where it was before, then everywhere."""
    base_url = talk.options.base_url
    if not base_url and talk.options.region == "auto":
        base_url = talk.before.value(entry.get("base_url"))
    if base_url:
        _check({"base_url": base_url})
        return {"": base_url.rstrip("/")}
    if talk.options.region != "auto":
        return {talk.options.region: HOSTS[talk.options.region]}
    region = talk.before.value(entry.get("region"))
    return {name: HOSTS[name] for name in sorted(HOSTS, key=lambda name: name != region)}


def _tell(name: str, found: Found, faults: list[Fault], snapshot: Snapshot, twin: str) -> None:
    where = f"found at {found.region or found.base_url}{' (demo trading)' if found.demo else ''}"
    lines = [thing("key", name, OK, f"{where}: {live.identity(found.info)}")]
    lines += [thing("key", name, WARNING, fault.says) for fault in faults]
    if twin:
        lines.append(thing("key", name, WARNING, f"{twin} has the same key: both are one account, told of twice"))
    if found.offset is not None:
        off = abs(found.offset) >= live.CLOCK_OFF
        hint = "; riskbot allows for it, but set it right (NTP)" if off else ""
        lines.append(thing("clock", name, WARNING if off else OK, live.clock(found.offset) + hint))
    lines.append(thing("account", name, OK, live.standing(snapshot)))
    show(lines)


def _keys(
    talk: Interview, name: str, entry: Mapping[str, Any], found: Found, parts: Mapping[str, str]
) -> dict[str, Any]:
    """As they are to stand in the file. What is the default and was not written is not written now either."""
    secrets = {key: talk.refer((name, key), entry.get(key), parts[key], credential(name, key)) for key in ALL}
    region = found.region if found.region != "global" or not entry or "region" in entry else ""
    demo = found.demo if found.demo or "demo" in entry else None
    return {"name": name, **secrets, "region": region or None, "base_url": _url(found), "demo": demo}


def _url(found: Found) -> str | None:
    return None if found.region else found.base_url
