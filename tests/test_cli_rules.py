"""riskbot rules: what kinds there are, and a block to begin with; what it writes is right."""

from __future__ import annotations

import json
import tomllib
from typing import Any, Literal

import pytest
from click.testing import CliRunner, Result
from pydantic import Field

from riskbot.cli import toml
from riskbot.cli.rules import COMMENT_AT, WIDTH, command
from riskbot.cli.schema import command as schema_command
from riskbot.rules import Duration, Rule, parse_duration
from riskbot.settings.schema import json_schema
from tests.files import KINDS

ALTERNATIVES = {"above", "below", "rises_by", "falls_by", "becomes", "leaves"}


def rules(*args: str, columns: str = "100") -> Result:
    return CliRunner().invoke(command, list(args), env={"COLUMNS": columns})


def entry_of(block: str) -> dict[str, Any]:
    (entry,) = tomllib.loads(block)["rules"]
    return entry  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_stock_kind_has_an_example_that_is_right(kind: type[Rule]) -> None:
    entry = entry_of(kind.EXAMPLE)

    assert entry["kind"] == kind.KIND
    kind.model_validate(entry)


def test_all_kinds_are_listed_with_what_they_watch() -> None:
    result = rules("kinds")

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines() if line[:1] not in ("", " ")] == [
        "kind", *KINDS, "riskbot",
    ]  # fmt: skip
    assert "Any numeric field, of the account or of each currency, is above or below a tier." in result.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_shown_with_its_keys_and_its_example(kind: str) -> None:
    result = rules("kinds", kind)

    shown = result.stdout.splitlines()
    assert result.exit_code == 0
    assert shown[0].strip() == kind
    assert all(len(line) <= 100 for line in shown)
    for name, field in KINDS[kind].model_fields.items():
        assert name in ("name", "kind") or any(line.startswith(f"{field.alias or name} ") for line in shown)
    example = result.stdout.partition("Example:")[2]
    KINDS[kind].model_validate(entry_of(example))


def test_keys_are_shown_with_type_default_and_meaning() -> None:
    lines = [" ".join(line.split()) for line in rules("kinds", "change").stdout.splitlines()]

    assert "over duration required The window, 10s to 7d." in lines
    assert 'rises_by tiers: share or amount Tiers: a share, an amount, or "$500".' in lines
    assert 'keep_firing_for duration "30s" How long it must be left before the alert falls.' in " ".join(lines)
    assert 'flap table changes = 6 Too many changes: rises are told, falls wait within = "10m" for calm.' in " ".join(
        lines
    )


def test_a_machine_gets_all_of_a_kind() -> None:
    (found,) = json.loads(rules("kinds", "threshold", "--json").stdout)
    everything = json.loads(rules("kinds", "--json").stdout)

    assert [kind["kind"] for kind in everything] == list(KINDS)
    assert found in everything
    assert set(found) == {"kind", "summary", "doc", "keys", "example"}
    assert next(key for key in found["keys"] if key["key"] == "field") == {
        "key": "field", "type": "field of OKX, or ratio of two", "required": True, "common": False, "default": None,
        "meaning": "See riskbot fields.",
    }  # fmt: skip


@pytest.mark.parametrize("args", [("kinds", "levle"), ("new", "levle")])
def test_a_misspelt_kind_is_answered_with_the_one_that_was_meant(args: tuple[str, ...]) -> None:
    result = rules(*args)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == 'no kind "levle"; did you mean "level"?\n'


# ---------------------------------------------------------------- a block to begin with


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_rule_is_right_as_it_is_written(kind: str) -> None:
    block = rules("new", kind, "--name", 'my "own" rule').stdout

    entry = entry_of(block)
    assert KINDS[kind].model_validate(entry).name == 'my "own" rule'
    assert all(len(line) <= WIDTH for line in block.splitlines())
    assert all(line.index(" # ") == COMMENT_AT - 1 for line in block.splitlines() if " # " in line[2:])


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_that_is_commented_out_is_right_once_it_is_not(kind: str) -> None:
    block = rules("new", kind).stdout
    options = [line for line in block.splitlines() if line.startswith("# ") and " = " in line[:COMMENT_AT]]

    assert len(options) >= 13
    for line in options:
        entry = entry_of(block.replace(line, line.removeprefix("# ")))
        (key,) = entry.keys() - entry_of(block).keys()
        left_out = ALTERNATIVES - {key} if key in ALTERNATIVES else set()
        KINDS[kind].model_validate({name: value for name, value in entry.items() if name not in left_out})


def test_every_key_of_a_kind_stands_in_the_block() -> None:
    block = rules("new", "change").stdout
    lines = [line.removeprefix("# ") for line in block.splitlines()]

    keys = [field.alias or name for name, field in KINDS["change"].model_fields.items()]
    assert [key for key in keys if not any(line.startswith(f"{key} = ") for line in lines)] == []


def test_a_name_that_can_not_be_is_refused() -> None:
    result = rules("new", "level", "--name", "x" * 61)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "name: write at most 60 characters\n"


class Plain(Rule, kind="plain", worse="below"):
    """A plugin's kind that gives no example."""

    word: str
    within: Duration = Field(description="How long.")
    counts: int = Field(ge=4)
    share: float
    strict: bool
    names: tuple[str, ...]


def test_a_kind_without_an_example_is_filled_with_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskbot.cli.rules.known_kinds", lambda: {"plain": Plain})

    entry = entry_of(rules("new", "plain").stdout)

    assert Plain.model_validate(entry).name == "plain"
    assert parse_duration(entry["within"]) == 3600
    assert (entry["word"], entry["counts"], entry["strict"], entry["below"]) == ("…", 4, True, {"warning": 3})
    assert "[[rules]]" in rules("kinds", "plain").stdout


class Picky(Rule, kind="picky", worse="above"):
    EXAMPLE = "no = TOML ="
    word: Literal["yes"] | None = None
    odd: str = Field(pattern="^x$")


def test_a_kind_whose_samples_are_not_right_is_written_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskbot.cli.rules.known_kinds", lambda: {"picky": Picky})
    monkeypatch.setattr(Picky, "EXAMPLE", "")

    result = rules("new", "picky")

    assert result.exit_code == 0
    assert entry_of(result.stdout)["odd"] == "…"
    assert result.stderr.startswith("warning: the kind gives no example, and this is not right yet: odd: ")


@pytest.mark.parametrize("example", ["no = TOML =", "x = 1", "rules = []", "rules = 3", "rules = [3]"])
def test_an_example_that_is_none_hurts_nobody(monkeypatch: pytest.MonkeyPatch, example: str) -> None:
    monkeypatch.setattr("riskbot.cli.rules.known_kinds", lambda: {"picky": Picky})
    monkeypatch.setattr(Picky, "EXAMPLE", example)

    (shown,) = json.loads(rules("kinds", "--json").stdout)

    assert shown["summary"] == ""
    assert entry_of(shown["example"])["kind"] == "picky"


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    "value",
    [
        "a",
        'a "b" \\',
        "two\nlines",
        3,
        1.5,
        True,
        [],
        ["a", 1],
        {},
        {"a": {"b c": [1, {"d": 2}]}, "é": "ü"},
        float("inf"),
    ],
)
def test_a_value_is_written_on_one_line_and_read_back_as_it_was(value: Any) -> None:
    written = toml.value(value)

    assert "\n" not in written
    assert tomllib.loads(f"x = {written}")["x"] == value


def test_the_schema_is_written_as_json() -> None:
    result = CliRunner().invoke(schema_command, [])

    assert (result.exit_code, json.loads(result.stdout)) == (0, json_schema(KINDS))
