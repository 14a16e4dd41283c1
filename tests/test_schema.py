"""The JSON Schema of the rules file, as editors use it: what is right passes, what it can know to be wrong does not."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ConfigDict, Field

from riskbot.rules import Above, Duration, Number, Rule
from riskbot.settings.schema import json_schema, of_kind, type_of
from riskbot.spelling import duration
from tests.files import KINDS

ROOT = Path(__file__).parents[1]
BAD = ROOT / "tests/data/bad"
EXAMPLE = (ROOT / "rules.example.toml").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
SCHEMA = json_schema(KINDS)
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
ACCOUNT = {"name": "main", "api_key": "k", "api_secret": "s", "passphrase": "p"}
RATIO = {"name": "ratio", "kind": "margin_ratio", "below": {"warning": 5}}

CAN_NOT_KNOW = {
    "account-base-url": "which URLs are safe",
    "account-control-character": "what a secret may hold",
    "account-poll-every": "the limits of a duration with its unit",
    "account-same-name": "names are unique",
    "heartbeat-url": "which URLs are safe",
    "include-account": "what stands in another file",
    "include-again": "what stands in another file",
    "include-debt": "what stands in another file",
    "include-ratio": "what stands in another file",
    "include-syntax": "what stands in another file",
    "message-attributes": "names in a template",
    "message-braces": "names in a template",
    "message-form": "names in a template",
    "message-name": "names in a template",
    "receiver-name": "what a name may hold",
    "receiver-none": "it may stand in another file",
    "rule-min-usd": "units of fields",
    "rule-strangers": "who else is in the file",
    "rule-tiers-order": "the order of tiers",
    "secret-credential": "secrets",
    "secret-file": "secrets",
    "secret-in-tiers": "secrets",
    "secret-variable": "secrets",
    "secret-variable-form": "secrets",
    "shape-empty": "it may stand in another file",
    "web-address": "which addresses there are",
    "web-token": "what a secret may hold",
}
"""Bad files that the schema accepts, and what it would have to know. That riskbot refuses them: test_bad_rules.py."""


def refuses(document: Any) -> bool:
    return not VALIDATOR.is_valid(document)


def parsed(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def test_it_is_a_schema_of_the_draft_that_editors_know() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)

    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "x-type" not in str(SCHEMA)


@pytest.mark.parametrize(
    "text", [EXAMPLE, *(block for block in BLOCKS if "[coins" not in block and "plugins =" not in block)]
)
def test_what_is_right_passes(text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))] == []


@pytest.mark.parametrize("path", sorted(BAD.glob("*.toml")), ids=lambda path: path.stem)
def test_a_bad_file_is_refused_unless_only_riskbot_can_know(path: Path) -> None:
    document = parsed(path)

    if document is not None:  # what is no TOML, every editor says
        assert refuses(document) != (path.stem in CAN_NOT_KNOW)


@pytest.mark.parametrize(
    "keys",
    [
        {"below": {"warning": "${TIER}"}},
        {"below": {"warning": "500 %", "critical": "3e0", "emergency": 1.05}},
        {"for": "1h 30m", "keep_firing_for": 0, "hysteresis": "${H}"},
        {"repeat_every": "1h"},
        {"repeat_every": {"emergency": "5m", "warning": 0}},
        {"flap": {"changes": "${N}"}, "enabled": "${ON}"},
        {"labels": {"desk": "a"}, "message": "{value} {{}}"},
    ],
)
def test_whatever_riskbot_takes_passes(keys: dict[str, Any]) -> None:
    assert not refuses({"accounts": [ACCOUNT], "rules": [RATIO | keys]})


def test_a_field_is_offered_with_its_meaning() -> None:
    field, ratio = of_kind(KINDS["threshold"])["properties"]["field"]["anyOf"]

    meanings = dict(zip(field["enum"], field["x-taplo"]["docs"]["enumValues"], strict=True))
    assert meanings["details.liab"] == "Debt. (coin)"
    assert "details.ccy" not in meanings
    assert re.search(ratio["pattern"], "details.disEq / details.eqUsd")
    assert re.search(ratio["pattern"], "adjEq/mmr")
    assert not re.search(ratio["pattern"], "adjEq / details.eqUsd")
    assert not re.search(ratio["pattern"], "details.disEq / details.ccy")


def test_defaults_are_written_as_a_trader_writes_them() -> None:
    keys = of_kind(KINDS["change"])["properties"]

    assert keys["keep_firing_for"]["default"] == "30s"
    assert of_kind(KINDS["time_to"])["properties"]["over"]["default"] == ["5m", "15m", "1h"]
    assert of_kind(KINDS["key_safety"])["properties"]["repeat_every"]["default"] == "1d"
    assert keys["hysteresis"]["default"] == 0.05
    assert keys["min_usd"]["default"] == 0
    assert keys["flap"]["default"] == {"changes": 6, "within": "10m", "calm": "2m"}
    assert "default" not in keys["accounts"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_stock_kind_is_described(kind: str) -> None:
    keys = of_kind(KINDS[kind])["properties"]

    assert [key for key, node in keys.items() if not node.get("description")] == []
    assert [key for key, node in keys.items() if key != "kind" and type_of(node) == "value"] == []


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0s"), (0.5, "500ms"), (90, "1m30s"), (5400, "1h30m"), (604800, "7d"), (1.25, "1s250ms")],
)
def test_a_duration_is_written_with_its_units(seconds: float, written: str) -> None:
    assert duration(seconds) == written


# ---------------------------------------------------------------- a plugin's kind


class Node(Rule, kind="node"):
    """A kind with keys of
    all sorts.

    More of it.
    """

    size: int = 3
    share: Number = 1  # type: ignore[assignment]
    after: Duration | None = None
    names: dict[str, int] = Field({}, description="By name.")
    above: Above = Field({"warning": Decimal("1e2"), "critical": Decimal("150.5")})
    more: tuple[Pair, ...] = ()


class Pair(Rule):
    """One that holds itself."""

    other: Pair | None = None


class Thing:
    """A plugin's own."""


class Strange(Rule, kind="strange", worse="above"):
    """A kind with a type that JSON Schema does not know."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    thing: Thing = Thing()


def test_a_plugin_s_kind_is_described_as_far_as_it_can_be() -> None:
    kinds = {"node": Node, "strange": Strange}
    schema = json_schema(kinds)

    assert schema["$defs"]["node"]["properties"]["kind"]["description"] == "A kind with keys of all sorts."
    keys = of_kind(Node)["properties"]
    own = {key: type_of(keys[key]) for key in ("size", "share", "after", "names", "more", "above")}
    assert own == {
        "size": "whole number",
        "share": "number",
        "after": "duration",
        "names": "words by name",
        "more": "list of tables",
        "above": "tiers: number",
    }
    assert keys["above"]["default"] == {"warning": 100, "critical": 150.5}
    assert jsonschema.Draft7Validator(schema).is_valid({"rules": [{"name": "x", "kind": "strange", "thing": "x"}]})
    assert not jsonschema.Draft7Validator(schema).is_valid({"rules": [{"name": "x", "kind": "other"}]})
