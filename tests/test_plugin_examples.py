"""The example plugins of plugins/, as their users have them."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from riskbot import Outcome, Severity, Snapshot, Text, plugins
from riskbot.testing import coin, load, make, play, snapshot

FOLDER = Path(__file__).parents[1] / "plugins"
EXAMPLES = sorted(FOLDER.glob("*.py"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy that nobody else can change, whatever the umask of the checkout was."""
    copy = tmp_path / "plugins"
    copy.mkdir(mode=0o700)
    for path in EXAMPLES:
        shutil.copyfile(path, copy / path.name)
        (copy / path.name).chmod(0o600)
    return copy


def test_all_of_them_load_beside_each_other(folder: Path) -> None:
    found = plugins.load([folder])

    assert found.troubles == ()
    assert [plugin.name for plugin in found.plugins] == [path.stem for path in EXAMPLES]
    assert {"concentration", "depeg"} < found.kinds.keys()
    assert list(found.notifiers) == ["desktop"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_is_shorter_than_thirty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 30


# ---------------------------------------------------------------- concentration


def account(btc: int, usdt: int) -> Snapshot:
    return snapshot(totalEq=btc + usdt, details=[coin("BTC", eqUsd=btc), coin("USDT", eqUsd=usdt)])


def test_concentration_tells_of_a_currency_that_outgrows_the_others(folder: Path) -> None:
    rule = make(load(folder / "concentration.py").Concentration, above={"warning": "50%", "critical": 0.8})
    played = play(rule, [account(40, 40), account(60, 40), account(90, 10)])

    assert played.values("BTC") == [Decimal("0.5"), Decimal("0.6"), Decimal("0.9")]
    assert played.titles == ["WARNING · main · concentration BTC 0.6", "CRITICAL · main · concentration BTC 0.9"]


def test_an_empty_account_is_not_concentrated(folder: Path) -> None:
    rule = make(load(folder / "concentration.py").Concentration, above={"warning": 0.5})
    played = play(rule, [snapshot(totalEq=0, details=[coin("BTC", eqUsd=0)])])

    assert played.readings[0][0].note == "no equity"
    assert played.events == ()


# ---------------------------------------------------------------- depeg


def test_depeg_tells_what_is_at_stake_whether_held_or_owed(folder: Path) -> None:
    rule = make(load(folder / "depeg.py").Depeg, above={"warning": 1000})
    rows = [coin("USDC", eq=20000, eqUsd=18000), coin("USDT", eq=-50000, eqUsd=-53000), coin("BTC", eq=1, eqUsd=60000)]
    played = play(rule, [snapshot(details=rows)])

    assert set(played.titles) == {
        "WARNING · main · USDC is off its peg: $2,000 at stake",
        "WARNING · main · USDT is off its peg: $3,000 at stake",
    }
    assert "price 0.9000" in next(m.body for m in played.messages if "USDC" in m.title)


def test_depeg_leaves_dust_and_coins_that_are_not_there_alone(folder: Path) -> None:
    rule = make(load(folder / "depeg.py").Depeg, above={"warning": 1000}, coins=["usdc"])
    played = play(rule, [snapshot(details=[coin("USDC", eq=100, eqUsd=50), coin("USDT", eq=0, eqUsd=0)])])

    assert played.values("USDC") == [Decimal(50)]
    assert played.values("USDT") == [None]
    assert played.events == ()


# ---------------------------------------------------------------- desktop


@pytest.mark.parametrize(("severity", "urgency"), [(Severity.WARNING, "normal"), (Severity.EMERGENCY, "critical")])
async def test_desktop_hands_the_message_to_notify_send(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, severity: Severity, urgency: str
) -> None:
    shown = tmp_path / "shown"
    program = tmp_path / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {shown}\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    desktop = load(folder / "desktop.py").Desktop("desktop://")
    verdict = await desktop.send(Text("CRITICAL · main", "the body", severity))
    await desktop.close()

    assert verdict.outcome is Outcome.SENT
    assert shown.read_text() == f"--app-name=riskbot|--urgency={urgency}|--|CRITICAL · main|the body|"


async def test_desktop_tries_again_while_there_is_no_desktop(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "notify-send"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    verdict = await load(folder / "desktop.py").Desktop("desktop://").send(Text("t", "b", Severity.INFO))

    assert (verdict.outcome, verdict.why) == (Outcome.RETRY, "notify-send ended with 3")


def test_desktop_takes_no_other_words(folder: Path) -> None:
    with pytest.raises(ValueError, match="nothing more"):
        load(folder / "desktop.py").Desktop("desktop://screen2")
