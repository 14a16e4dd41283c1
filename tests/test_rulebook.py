"""What is remembered of a configuration: enough to judge again, and no secret."""

from __future__ import annotations

import tomllib

import pytest
from pydantic import SecretStr

from riskbot import rulebook
from riskbot.delivery import Receiver
from riskbot.rulebook import Account, PluginFile
from riskbot.rules import Rule
from riskbot.settings import load
from tests.desk import DEBT, KINDS, RATIO, rule
from tests.files import EXAMPLE, KEYS

MAIN, PHONE = Account("main", 0.5), Receiver("phone", fallback=("mail",))


class Odd(Rule, kind="odd", worse="above"):
    token: SecretStr
    thing: object = None


ODD = {"name": "odd", "kind": "odd", "above": {"warning": 1}, "token": "planted-secret"}


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_rule_of_every_kind_can_be_validated_again_and_judges_the_same(kind: type[Rule]) -> None:
    mine = kind.model_validate(tomllib.loads(kind.EXAMPLE)["rules"][0])
    book = rulebook.read(rulebook.of([MAIN], [mine], [PHONE], []).text)

    (again,) = book.rules_of("main", KINDS)

    assert again == mine
    assert again.compiled.ladder == mine.compiled.ladder


def test_the_example_is_remembered_whole() -> None:
    config = load(EXAMPLE, KINDS, KEYS)
    book = rulebook.of(config.accounts, config.rules, [PHONE], [])
    again = rulebook.read(book.text)

    assert again == book
    assert [(account.name, account.poll_every) for account in again.accounts] == [
        (account.name, account.poll_every) for account in config.accounts
    ]
    assert again.rules_of(config.accounts[0].name, KINDS) == list(config.rules)


def test_a_hash_names_what_is_remembered() -> None:
    book = rulebook.of([MAIN], [RATIO, DEBT], [PHONE], [PluginFile("mine", "plugins/mine.py", "abc")])
    same = rulebook.of([MAIN], [RATIO, DEBT], [PHONE], [PluginFile("mine", "plugins/mine.py", "abc")])
    others = [
        rulebook.of([Account("main", 1.0)], [RATIO, DEBT], [PHONE], same.plugins),
        rulebook.of([MAIN], [DEBT, RATIO], [PHONE], same.plugins),
        rulebook.of([MAIN], [RATIO, DEBT], [], same.plugins),
        rulebook.of([MAIN], [RATIO, DEBT], [PHONE], [PluginFile("mine", "plugins/mine.py", "abd")]),
    ]

    assert book.hash == same.hash == rulebook.read(book.text).hash
    assert len({book.hash, *(other.hash for other in others)}) == 5


def test_an_account_that_is_not_watched_any_more_has_no_rules() -> None:
    assert rulebook.of([MAIN], [RATIO], [], []).rules_of("gone", KINDS) == []


def test_no_secret_is_remembered() -> None:
    config = load(EXAMPLE, KINDS, KEYS)
    odd = Odd.model_validate(ODD)
    receivers = [settings.receiver(name) for name, settings in config.receivers.items()]
    text = rulebook.of(config.accounts, [*config.rules, odd], receivers, []).text

    assert [word for word in (*KEYS.values(), "planted-secret") if word in text] == []
    assert '"odd"' in text


def test_a_rule_that_cannot_be_written_down_is_named_and_later_told_of() -> None:
    book = rulebook.of([MAIN], [Odd.model_validate({**ODD, "thing": object()})], [], [])

    assert book.rules == ({"name": "odd", "kind": "odd"},)
    with pytest.raises(ValueError, match=r'rule "odd": the kind "odd" does not take what it took then'):
        book.rules_of("main", {"odd": Odd})


def test_a_kind_that_is_gone_is_told_of() -> None:
    book = rulebook.of([MAIN], [rule("margin_ratio", below={"warning": 3})], [], [])

    with pytest.raises(ValueError, match=r'rule "margin_ratio": there is no kind "margin_ratio" any more'):
        book.rules_of("main", {})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"rules": 3}'])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        rulebook.read(text)
