"""The part of `riskbot init` about what is watched: which rules can work in this account, and what each says now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import click
from msgspec import Struct
from pydantic import ValidationError

from riskbot.cli import stored
from riskbot.cli.common import conceal, fail, secrets_of_rules
from riskbot.cli.init_account import Account
from riskbot.cli.interview import Interview
from riskbot.cli.questions import heading
from riskbot.cli.things import ALERT, OK, WARNING, WRONG, show, thing
from riskbot.rules import Rule
from riskbot.settings.mistakes import no_such
from riskbot.setup import draft
from riskbot.setup.draft import Block
from riskbot.setup.outlook import Outlook, Prospect, look, others

NONE, ALL = "none", "all"
_STATES = {Prospect.ALERT: ALERT, Prospect.MISSING: WARNING, Prospect.NEVER: WRONG, Prospect.FAILS: WRONG}


class Watched(Struct, frozen=True):
    """The texts of rules to add; and of those that are there, by name, the accounts to which they are to keep."""

    blocks: tuple[str, ...]
    kept_to: Mapping[str, list[str]]


def rules(talk: Interview, account: Account) -> Watched:
    """Of the example's rules those that can work here and are wanted; those of before only where they can work.

    May end the command.
    """
    heading("What is watched")
    mine = [Block("", entry) for entry in talk.before.rules()]
    taken = {block.entry.get("name") for block in mine}
    offered = [block for block in draft.blocks(draft.EXAMPLE.read_text("utf-8")) if block.entry["name"] not in taken]
    looks = [*_outlooks(talk, account, [*mine, *offered])]
    says = {rule.name: said for rule, said in looks}
    show(_line(name, said, written=name in taken) for name, said in says.items())
    fit = {block.entry["name"]: block.text for block in offered if says[block.entry["name"]].works}
    kept_to = _kept_to(talk, account, looks)
    return Watched(tuple(fit[name] for name in _chosen(talk, fit, says, anew=not mine) if name in fit), kept_to)


def _kept_to(talk: Interview, account: Account, looks: Iterable[tuple[Rule, Outlook]]) -> dict[str, list[str]]:
    """Rules that are there for other accounts, and could never speak of this one: without it, if that is wanted."""
    ours = {rule.name: others(rule, account.name, talk.before.accounts()) for rule, said in looks if not said.works}
    found = {name: left for name, left in ours.items() if left and talk.before.owns(name)}
    if found and talk.ask.confirm(f"Keep {account.name} out of {', '.join(found)}?", default=True):
        return found
    return {}


def _outlooks(talk: Interview, account: Account, blocks: Iterable[Block]) -> Iterator[tuple[Rule, Outlook]]:
    """What each says of the account now. What can't be read by itself is told when the file is checked as a whole."""
    for block in blocks:
        kind = talk.found.kinds.get(str(block.entry.get("kind")))
        try:
            rule = kind.model_validate(block.entry) if kind else None
        except ValidationError:
            continue
        if rule and rule.watches(account.name):
            conceal(*secrets_of_rules(rule))
            yield rule, look(rule, account.name, account.snapshot, account.found.info, stored.now())


def _line(name: str, said: Outlook, *, written: bool) -> dict[str, object]:
    if said.works or written:
        return thing("rule", name, _STATES.get(said.prospect, OK), said.says)
    return thing("rule", name, OK, f"left out: {said.says}")


def _chosen(talk: Interview, fit: Iterable[str], says: Mapping[str, Outlook], *, anew: bool) -> list[str]:
    """Names of rules to have: by flags, or asked for. A new file gets all that fit, unless somebody says otherwise."""
    names, usual = list(fit), ALL if anew else NONE
    if talk.options.rules:
        return _flagged(talk, names, says)
    if not names:
        return []
    while True:
        words = "Take these rules" if anew else f"Add any of {', '.join(names)}"
        said = talk.ask.text(f"{words} (all, none, or names with commas between)", usual)
        unknown = [word for word in _split(said) if word not in (ALL, NONE, *names)]
        if not unknown:
            return _named(_split(said), names)
        click.echo(no_such("rule", unknown[0], names))


def _flagged(talk: Interview, names: list[str], says: Mapping[str, Outlook]) -> list[str]:
    """One that is there already may be named again: the same command sets up the same twice. May end the command."""
    wanted = _named(talk.options.rules, names)
    there = [entry.get("name") for entry in talk.before.rules()]
    for word in wanted:
        if word not in (*names, *there):
            fail(f"--rule: {f'{word} {says[word].says}' if word in says else no_such('rule', word, [*says])}", 2)
    return wanted


def _named(words: Iterable[str], names: list[str]) -> list[str]:
    return names if ALL in words else [word for word in words if word != NONE]


def _split(words: str) -> list[str]:
    return [part.strip() for part in words.split(",") if part.strip()]
