"""What was watched and by which rules, as it is remembered: enough to judge again, and no secret. Pure.

A rule is kept as data that its kind validates again. Receivers have no URL here, accounts no key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from riskbot.delivery import Receiver
from riskbot.rules import Rule


class Watched(Protocol):
    """What is remembered of an account."""

    @property
    def name(self) -> str:
        """Names it in messages."""

    @property
    def poll_every(self) -> float:
        """Seconds between two polls."""


class Account(Struct, frozen=True):
    """An account that was watched; poll_every: seconds."""

    name: str
    poll_every: float


class PluginFile(Struct, frozen=True):
    """A plugin that was loaded. hash: SHA-256 of its file; "": it is of an installed package, which `file` names."""

    name: str
    file: str
    hash: str = ""


class Rulebook(Struct, frozen=True):
    """A configuration. rules: each as its kind validates it, in the order in which they are asked."""

    accounts: tuple[Account, ...] = ()
    rules: tuple[dict[str, Any], ...] = ()
    receivers: tuple[Receiver, ...] = ()
    plugins: tuple[PluginFile, ...] = ()

    @property
    def text(self) -> str:
        """As it is kept: JSON, the same for the same configuration."""
        return msgspec.json.encode(self, order="sorted").decode()

    @property
    def hash(self) -> str:
        """Names it: sixteen signs of its text's hash."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()

    def rules_of(self, account: str, kinds: Mapping[str, type[Rule]]) -> list[Rule]:
        """The rules that judged an account; of one that was not watched any more, none.

        Raises ValueError, in words for people: a kind is not known any more, or takes other values.
        """
        if account not in {known.name for known in self.accounts}:
            return []
        return [_rule(entry, kinds) for entry in self.rules]


def of(
    accounts: Iterable[Watched], rules: Iterable[Rule], receivers: Iterable[Receiver], plugins: Iterable[PluginFile]
) -> Rulebook:
    """The configuration that these are of."""
    watched = tuple(Account(account.name, account.poll_every) for account in accounts)
    return Rulebook(watched, tuple(_entry(rule) for rule in rules), tuple(receivers), tuple(plugins))


def read(text: str) -> Rulebook:
    """A configuration that was kept. Raises ValueError."""
    return msgspec.json.decode(text, type=Rulebook)


def _entry(rule: Rule) -> dict[str, Any]:
    """What its kind validates again. A secret that a plugin's kind declares as one is blotted out."""
    try:
        entry = rule.model_dump(mode="json", by_alias=True, exclude_none=True)
        msgspec.json.encode(entry)
    except Exception:  # noqa: BLE001 - a plugin's kind may hold anything; then it can be named only
        return {"name": rule.name, "kind": rule.kind}
    return entry


def _rule(entry: Mapping[str, Any], kinds: Mapping[str, type[Rule]]) -> Rule:
    word = entry["kind"]
    if word not in kinds:
        raise ValueError(f'rule "{entry["name"]}": there is no kind "{word}" any more; is its plugin missing?')
    try:
        return kinds[word].model_validate(entry)
    except Exception as error:  # noqa: BLE001 - a plugin's kind may raise anything
        why = f'rule "{entry["name"]}": the kind "{word}" does not take what it took then ({type(error).__name__})'
        raise ValueError(why) from None
