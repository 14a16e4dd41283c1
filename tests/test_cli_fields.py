"""riskbot fields: what OKX says of an account."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from riskbot.cli.fields import command
from riskbot.snapshot import field_paths


def fields(*args: str) -> Result:
    return CliRunner().invoke(command, list(args), env={"COLUMNS": "100"})


def names(*args: str) -> list[str]:
    return [row["field"] for row in json.loads(fields(*args, "--json").stdout)]


def test_every_field_is_shown_within_100_columns() -> None:
    shown = fields().stdout.splitlines()

    assert [path for path in field_paths() if not any(line.startswith(f"{path} ") for line in shown)] == []
    assert all(len(line) <= 100 for line in shown)
    assert shown[-1] == "modes: 1 Spot, 2 Futures, 3 Multi-currency margin, 4 Portfolio margin"


def test_a_field_has_its_unit_danger_modes_and_meaning() -> None:
    lines = [" ".join(line.split()) for line in fields().stdout.splitlines()]

    assert "adjEq USD falls 3 4 Equity that counts as margin, after" in lines
    assert "details.liab coin rises 3 4 Debt." in lines
    assert "details.collateralEnabled true or false 3 Counts as collateral." in lines
    assert "totalEq USD all Total equity, without haircuts." in lines


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("liab", ["details.liab", "details.uplLiab", "details.crossLiab", "details.isoLiab"]),
        ("MGNRATIO", ["mgnRatio", "details.mgnRatio"]),
        ("notional*swap", ["notionalUsdForSwap"]),
        ("details.?wap", ["details.twap"]),
    ],
)
def test_a_pattern_is_a_part_of_the_name_or_has_stars(pattern: str, found: list[str]) -> None:
    assert names(pattern) == found


def test_modes_are_explained_only_where_they_matter() -> None:
    assert "modes:" not in fields("totalEq").stdout


def test_a_machine_gets_everything() -> None:
    (row,) = json.loads(fields("details.isoLiab", "--json").stdout)

    assert row == {
        "field": "details.isoLiab",
        "level": "currency",
        "type": "magnitude",
        "unit": "coin",
        "danger": "rises",
        "modes": {"3": "Multi-currency margin", "4": "Portfolio margin"},
        "meaning": "Isolated debt.",
    }


def test_what_is_like_no_field_is_answered_with_the_one_that_was_meant() -> None:
    result = fields("mgnRation")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "OKX has no field like 'mgnRation'; did you mean \"mgnRatio\"?\n"
