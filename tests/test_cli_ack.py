"""riskbot ack: no reminders of what somebody knows of."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from riskbot.cli import names
from riskbot.cli.ack import command
from riskbot.cli.alerts import command as alerts
from riskbot.model import Acknowledgement, Quiet, Severity, Silence
from riskbot.store.hand import hush
from riskbot.store.peek import look
from tests.story import NOW, Story, run, story

RATIO = f"main/margin ratio/-{int(NOW - 300)}"
BTC = f"main/forced repayment/BTC-{int(NOW - 100)}"


@pytest.fixture
async def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    """Open: the margin ratio, critical, and a forced repayment, a warning. One is pending, one is over."""
    monkeypatch.setattr("riskbot.cli.stored.now", lambda: NOW)
    async with story(tmp_path) as found:
        await found.tick(-400, "forced repayment", 1, "ETH")
        await found.tick(-390, "forced repayment", 0, "ETH")
        await found.tick(-300, "margin ratio", 4)
        await found.tick(-200, "margin ratio", 2)
        await found.tick(-190, "forced repayment", 0, "ETH")
        await found.tick(-100, "forced repayment", 1, "BTC")
        await found.tick(-90, "margin left", 4000)
        yield found


def quiet(life: Story) -> Quiet:
    return look(life.rules.with_name("riskbot.db"), ()).quiet


def write(life: Story, value: Quiet) -> None:
    hush(life.rules.with_name("riskbot.db"), lambda _: value)


def ack(until: float, level: Severity = Severity.CRITICAL, episode: int = int(NOW - 300)) -> Acknowledgement:
    return Acknowledgement("main", "margin ratio", "", episode, level, NOW + until, level)


async def rows(life: Story, *args: str) -> list[dict[str, Any]]:
    result = await life.run(command, "--json", *args)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "word",
    [
        names.digest(RATIO)[:4],
        names.digest(RATIO)[:9].upper(),
        RATIO,
        f"#main margin ratio {int(NOW - 300):x}.2",
        f"main  margin ratio {int(NOW - 300):x}.1r14 ",
        f" #main margin ratio {int(NOW - 300):x}",
    ],
)
async def test_an_open_alert_is_acknowledged_by_any_of_its_names(life: Story, word: str) -> None:
    result = await life.run(command, word)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "CRITICAL main · margin ratio: no reminders until 22:43:20 UTC, in 30 min, unless it gets worse\n"
        "riskbot takes it up within a second.\n"
    )
    assert quiet(life) == Quiet(acks=(ack(1800),))


async def test_the_id_is_the_one_that_alerts_shows(life: Story) -> None:
    (shown,) = [row for row in json.loads((await life.run(alerts, "--json")).stdout) if row["severity"] == "critical"]

    for word in (shown["ref"], shown["id"], shown["short"]):
        assert [row["id"] for row in await rows(life, word)] == [RATIO]


async def test_all_that_are_open_are_acknowledged_at_their_present_severity(life: Story) -> None:
    assert [
        (row["id"], row["severity"], row["until"], row["state"]) for row in await rows(life, "--all", "--for=2h")
    ] == [
        (RATIO, "critical", NOW + 7200, "quiet"),
        (BTC, "warning", NOW + 7200, "quiet"),
    ]
    assert [found.level for found in quiet(life).acks] == [Severity.CRITICAL, Severity.WARNING]


async def test_of_one_that_eased_its_peak_does_not_count(life: Story) -> None:
    await life.tick(-80, "forced repayment", 3, "BTC")
    await life.tick(-70, "forced repayment", 1, "BTC")
    await life.tick(-5, "forced repayment", 1, "BTC")

    assert [row["severity"] for row in await rows(life, BTC)] == ["warning"]


async def test_of_one_that_flaps_what_is_shown_counts(life: Story) -> None:
    for at in range(-80, -40, 5):
        await life.tick(at, "forced repayment", 3 if at % 10 else 1, "BTC")

    assert [row["severity"] for row in await rows(life, names.digest(BTC)[:4])] == ["critical"]


async def test_a_machine_gets_everything(life: Story) -> None:
    assert await rows(life, RATIO) == [
        {
            "id": RATIO,
            "account": "main",
            "rule": "margin ratio",
            "subject": "",
            "severity": "critical",
            "until": NOW + 1800,
            "state": "quiet",
        }
    ]


async def test_a_newer_word_replaces_an_older_one_and_what_is_over_is_dropped(life: Story) -> None:
    silences = (Silence(NOW + 1), Silence(NOW))
    old = (ack(-5, episode=1), ack(0, episode=2), ack(5, episode=3), ack(9000))
    write(life, Quiet(silences, old))

    await life.run(command, RATIO, RATIO, "--for", "1s")

    assert quiet(life) == Quiet(silences[:1], (ack(5, episode=3), ack(1)))


async def test_alone_it_lists_what_is_acknowledged_soonest_over_first(life: Story) -> None:
    none = await life.run(command)
    gone, milder = ack(30, episode=7), ack(60, Severity.WARNING)
    write(life, Quiet(acks=(ack(-1, episode=8), milder, gone, ack(3600, episode=int(NOW - 300)))))

    shown = (await life.run(command)).stdout.splitlines()

    assert (none.exit_code, none.stdout) == (0, "No alert is acknowledged.\n")
    assert [" ".join(line.split()[1:]) for line in shown] == [
        "severity account alert acknowledged reminders",
        "CRITICAL main margin ratio until 22:13:50 UTC, in 30 s none: it is over",
        "WARNING main margin ratio until 22:14:20 UTC, in 1 min go on: it got worse",
        "CRITICAL main margin ratio until 23:13:20 UTC, in 1 h none until then",
    ]
    assert shown[3].split()[0] == names.digest(RATIO)[:4]
    assert [row["state"] for row in await rows(life)] == ["over", "worse", "quiet"]
    assert len(quiet(life).acks) == 4  # a look writes nothing


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--for", "2h"], "Name alerts by their ID, or give --all."),
        (["abcd", "--all"], "Name alerts by their ID, or give --all."),
        (["--all", "--for", "24h1s"], "more than 0s and at most 24h"),
        (["--all", "--for", "0s"], "more than 0s and at most 24h"),
        (["--all", "--for", "soon"], 'not a duration: write "90s", "1h30m" or "7d"'),
    ],
)
async def test_wrong_usage_changes_nothing(life: Story, words: list[str], why: str) -> None:
    result = await life.run(command, *words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert why in result.stderr
    assert quiet(life) == Quiet()


async def test_a_whole_day_is_allowed(life: Story) -> None:
    assert [row["until"] for row in await rows(life, RATIO, "--for", "24h")] == [NOW + 86400]


@pytest.mark.parametrize("word", ["main/mragin ratio/-1", f"#main margin ratio {1:x}.2", "abc", "", "\udcff"])
async def test_what_is_not_open_is_refused_and_nothing_is_done(life: Story, word: str) -> None:
    result = await life.run(command, RATIO, word)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"no open alert {word!r}")
    assert ("the nearest is " in result.stderr) == (len(word) > 4)
    assert "Nothing was done." in result.stderr
    assert quiet(life) == Quiet()


async def test_of_an_id_fewer_than_four_signs_are_too_few(life: Story) -> None:
    result = await life.run(command, names.digest(RATIO)[:3])

    assert result.exit_code == 2
    assert f"the nearest is '{names.digest(RATIO)[:4]}'" in result.stderr


async def test_an_id_that_may_be_several_lists_them(life: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "digest", lambda name: "abcd" + str(len(name)).rjust(12, "0"))

    result = await life.run(command, "abcd")

    assert (result.exit_code, result.stdout) == (2, "")
    assert f"'abcd' may be any of {RATIO}, {BTC}: give more of it." in result.stderr


async def test_riskbots_own_alerts_can_be_acknowledged_too(life: Story) -> None:
    await life.ail(-60, "delivery to mail", "HTTP 500")

    shown = (await life.run(command, "--all")).stdout

    assert "WARNING riskbot · delivery to mail: no reminders until" in shown
    assert [found.account for found in quiet(life).acks] == ["main", "main", "riskbot"]


async def test_with_nothing_open_there_is_nothing_to_acknowledge_and_one_that_does_not_run_is_named(
    tmp_path: Path,
) -> None:
    async with story(tmp_path) as life:
        nothing = await life.run(command, "--all")
        await life.tick(-300, "margin ratio", 2)
    done, listed = run(command, life.rules, "--all"), run(command, life.rules)

    assert (nothing.exit_code, nothing.stdout) == (0, "No alert is open.\n")
    assert done.stdout.endswith("riskbot is not running: it heeds this when it does.\n")
    assert "riskbot is not running: this is how it left things" in listed.stdout
