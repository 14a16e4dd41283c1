"""riskbot silence: what nobody wants to be told of for a while."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from riskbot.cli import names, stored
from riskbot.cli.silence import OWN, command
from riskbot.model import Acknowledgement, Quiet, Severity, Silence
from riskbot.service.selfwatch import health
from riskbot.store.hand import hush
from riskbot.store.peek import look
from tests.story import NOW, Story, run, story

BLIND = '\n[[rules]]\nname = "can see"\nkind = "blind"\n'


@pytest.fixture
async def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    """Open: an emergency of the margin ratio, a critical and a mild forced repayment, and one of riskbot's own."""
    monkeypatch.setattr("riskbot.cli.stored.now", lambda: NOW)
    async with story(tmp_path) as found:
        found.rules.write_text(found.rules.read_text() + BLIND)
        await found.tick(-300, "margin ratio", 1)
        await found.tick(-200, "forced repayment", 3, "BTC")
        await found.tick(-100, "forced repayment", 1, "ETH")
        await found.ail(-60, "delivery to mail", "HTTP 500")
        yield found


def quiet(life: Story) -> Quiet:
    return look(life.rules.with_name("riskbot.db"), ()).quiet


def write(life: Story, *silences: Silence) -> None:
    hush(life.rules.with_name("riskbot.db"), lambda _: Quiet(silences))


def ref(silence: Silence) -> str:
    return names.digest(repr(silence))[:4]


async def rows(life: Story, *args: str) -> list[dict[str, Any]]:
    result = await life.run(command, "--json", *args)
    assert result.exit_code == 0
    return json.loads(result.stdout)  # type: ignore[no-any-return]


async def test_it_says_what_is_hidden_until_when_and_how_to_end_it(life: Story) -> None:
    result = await life.run(command, "--rule", "*ed rep*", "--for", "2h", "--why", "by hand")

    made = Silence(NOW + 7200, "*", "*ed rep*", "*", Severity.CRITICAL, NOW, "by hand")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "silenced until 00:13:20 UTC, in 2 h: *ed rep*, every account, up to critical (by hand)",
        "it hides now: CRITICAL main · forced repayment BTC",
        "it hides now: WARNING main · forced repayment ETH",
        f"riskbot takes it up within a second. To end it early: riskbot silence --end {ref(made)}",
    ]
    assert quiet(life) == Quiet((made,))


@pytest.mark.parametrize(
    ("words", "made", "hidden"),
    [
        (["--rule=*"], {"rule": "*"}, ["BTC", "ETH", "delivery to mail"]),
        (["--rule=*", "--account=main"], {"rule": "*", "account": "main"}, ["BTC", "ETH"]),
        (["--rule=forced repayment", "--ccy=B*"], {"rule": "forced repayment", "subject": "B*"}, ["BTC"]),
        (["--rule=*", "--ccy="], {"rule": "*", "subject": ""}, []),
        (["--rule=*", "--account="], {"rule": "*", "account": ""}, []),
        (["--rule=forced*", "--up-to=warning"], {"rule": "forced*", "most": Severity.WARNING}, ["ETH"]),
        (["--rule=m*", "--all-levels"], {"rule": "m*", "most": Severity.EMERGENCY}, [""]),
        (["--rule=m*"], {"rule": "m*"}, []),
    ],
    ids=" ".join,
)
async def test_only_what_was_named_is_hidden_and_nothing_worse(
    life: Story, words: list[str], made: dict[str, Any], hidden: list[str]
) -> None:
    (row,) = await rows(life, *words, "--for=1h")

    assert quiet(life) == Quiet((Silence(NOW + 3600, since=NOW, **made),))
    assert [alert["subject"] for alert in row["hides"]] == hidden


async def test_a_machine_gets_everything(life: Story) -> None:
    made = await rows(life, "--rule", "forced*", "--ccy", "BTC", "--for", "24h", "--why", "…")
    listed = await rows(life)

    assert len(made[0]["ref"]) == 4
    assert made == listed == await rows(life, "--end", "all")
    del made[0]["ref"]
    assert made == [
        {
            "rule": "forced*",
            "account": "*",
            "ccy": "BTC",
            "up_to": "critical",
            "since": NOW,
            "until": NOW + 86400,
            "why": "…",
            "hides": [
                {
                    "id": f"main/forced repayment/BTC-{int(NOW - 200)}",
                    "account": "main",
                    "rule": "forced repayment",
                    "subject": "BTC",
                    "severity": "critical",
                }
            ],
        }
    ]


async def test_that_nothing_is_hidden_now_is_said_and_odd_words_stand_on_their_line(life: Story) -> None:
    shown = (await life.run(command, "--rule", "margin left", "--for", "1h", "--why", "[red]a\x1b[2J\nb")).stdout

    assert shown.splitlines()[:2] == [
        "silenced until 23:13:20 UTC, in 1 h: margin left, every account, up to critical ([red]a [2J b)",
        "It hides no open alert now.",
    ]
    listed = (await life.run(command)).stdout
    assert "[red]a [2J b" in listed
    assert "\x1b" not in listed


async def test_alone_it_lists_those_in_force_and_what_they_hide(life: Story) -> None:
    none = await life.run(command)
    over = Silence(NOW, rule="old")
    narrow = Silence(NOW + 60, "main", "forced repayment", "ETH", Severity.WARNING, NOW - 9, "by hand")
    blank = Silence(NOW + 600, rule="x", subject="", most=Severity.EMERGENCY)
    write(life, over, narrow, blank)

    shown = (await life.run(command)).stdout.splitlines()

    assert (none.exit_code, none.stdout) == (0, "No silence is in force.\n")
    assert [" ".join(line.split()) for line in shown] == [
        "id rule account ccy up to silenced",
        f"{ref(narrow)} forced repayment main ETH WARNING until 22:14:20 UTC, in 1 min by hand",
        "hides WARNING main · forced repayment ETH",
        f"{ref(blank)} x * - EMERGENCY until 22:23:20 UTC, in 10 min",
    ]
    assert len(quiet(life).silences) == 3  # a look writes nothing


async def test_one_is_ended_by_its_id_and_the_others_keep_theirs(life: Story) -> None:
    over, first, second = Silence(NOW, rule="old"), Silence(NOW + 60, rule="a"), Silence(NOW + 60, rule="b", subject="")
    write(life, over, first, second)
    before = {row["rule"]: row["ref"] for row in await rows(life)}

    done = await life.run(command, "--end", ref(first))

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        "ended: a, every account, up to critical\n"
        "riskbot takes it up within a second. What is still open is then told, unless another silence hides it.\n"
    )
    assert quiet(life) == Quiet((second,))
    assert {row["rule"]: row["ref"] for row in await rows(life)} == {"b": before["b"]}


async def test_several_or_all_are_ended_and_nothing_in_force_is_said(life: Story) -> None:
    silences = [Silence(NOW + 60, "one", rule=name, most=Severity.EMERGENCY) for name in "abc"]
    write(life, *silences)

    several = await life.run(command, "--end", ref(silences[0]), "--end", ref(silences[2]))
    rest = await life.run(command, "--end", "all")
    nothing = await life.run(command, "--end", "all")

    assert several.stdout.startswith("ended: a, account one, all levels\nended: c, account one, all levels\n")
    assert rest.stdout.startswith("ended: b, account one, all levels\n")
    assert (nothing.exit_code, nothing.stdout) == (0, "No silence is in force.\n")
    assert quiet(life) == Quiet()


async def test_ending_takes_from_what_stands_there_then(life: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = Silence(NOW + 60, rule="a"), Silence(NOW + 60, rule="b")
    write(life, mine)
    real = stored.quieten

    def late(*args: Any) -> None:
        write(life, mine, theirs)
        real(*args)

    monkeypatch.setattr(stored, "quieten", late)
    await life.run(command, "--end", "all")

    assert quiet(life) == Quiet((theirs,))


async def test_what_is_over_is_dropped_whenever_it_is_written(life: Story) -> None:
    acks = tuple(Acknowledgement("main", "r", "", 1, Severity.INFO, NOW + s) for s in (0, 1))
    silences = (Silence(NOW, rule="old"), Silence(NOW + 1, rule="new"))
    hush(life.rules.with_name("riskbot.db"), lambda _: Quiet(silences, acks))

    await life.run(command, "--rule", "forced*", "--for", "5m")

    assert quiet(life).silences == (silences[1], Silence(NOW + 300, rule="forced*", since=NOW))
    assert quiet(life).acks == acks[1:]


@pytest.mark.parametrize("word", ["abcd", "1", " ", "\udcff", None])
async def test_a_silence_that_is_not_there_or_over_is_not_ended(life: Story, word: str | None) -> None:
    silence, over = Silence(NOW + 60, rule="a"), Silence(NOW, rule="old")
    write(life, silence, over)
    word = word or ref(over)

    for words in (["--end", word], ["--end", ref(silence), "--end", word]):
        result = await life.run(command, *words)

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"no silence {word!r}; `riskbot silence` shows all. Nothing was done.\n"
    assert len(quiet(life).silences) == 2


async def test_an_id_that_may_be_several_is_refused(life: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    write(life, Silence(NOW + 60, rule="a"), Silence(NOW + 60, rule="ab"))
    monkeypatch.setattr(names, "digest", lambda name: "abcd" + str(len(name)).rjust(12, "0"))

    result = await life.run(command, "--end", "abcd")

    assert result.exit_code == 2
    assert "'abcd' may be several: give more of it." in result.stderr


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (["--rule=*"], ['it also hides that an account can\'t be seen: rule "can see"', "it also hides riskbot's own"]),
        (["--rule=can*"], ['it also hides that an account can\'t be seen: rule "can see"']),
        (["--rule=*", "--account=main"], ["it also hides that an account can't be seen"]),
        (["--rule=*", "--account=r*", "--ccy=?*"], ["it also hides riskbot's own alerts: account riskbot"]),
        (["--rule=he*", "--ccy=delivery to mail"], ["it also hides riskbot's own alerts: account riskbot"]),
        (["--rule=*", "--ccy=BTC"], []),
        (["--rule=forced*"], []),
        (["--rule=margn ratio"], ["no rule of the rules file is 'margn ratio'; the nearest is 'margin ratio'"]),
        (["--rule=§"], ["no rule of the rules file is '§'"]),
        (["--rule=forced*", "--account=mian"], ["no account of the rules file is 'mian'; the nearest is 'main'"]),
    ],
    ids=lambda words: " ".join(words)[:40],
)
async def test_what_may_not_have_been_meant_is_warned_of(life: Story, words: list[str], warned: list[str]) -> None:
    result = await life.run(command, *words, "--for=1h")

    lines = result.stderr.splitlines()
    assert result.exit_code == 0
    assert [line.startswith(f"warning: {words}") for line, words in zip(lines, warned, strict=True)] == [True] * len(
        warned
    )


def test_riskbots_own_rule_has_the_name_that_is_warned_of() -> None:
    assert health([], []).name == OWN


async def test_of_a_file_without_rules_no_name_is_wrong(life: Story) -> None:
    life.rules.write_text("")

    assert (await life.run(command, "--rule=forced*", "--for=1h")).stderr == ""


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--for=1h"], "Name the rules with --rule: riskbot's own alerts must not be hidden by accident."),
        (["--rule=", "--for=1h"], "Name the rules with --rule"),
        (["--account=main"], "Name the rules with --rule"),
        (["--all-levels"], "Name the rules with --rule"),
        (["--rule=a"], "Say with --for how long"),
        (["--rule=a", "--for=24h1s"], "more than 0s and at most 24h"),
        (["--rule=a", "--for=0"], 'not a duration: write "90s", "1h30m" or "7d"'),
        (["--rule=a", "--for=0s"], "more than 0s and at most 24h"),
        (["--rule=a", "--for=1h", "--up-to=emergency"], "'emergency' is not one of 'info', 'warning', 'critical'"),
        (["--rule=a", "--for=1h", "--up-to=info", "--all-levels"], "Give --up-to or --all-levels, not both."),
        (["--rule=\udcff", "--for=1h"], "is no text in UTF-8"),
        (["--rule=a", "--for=1h", "--why=\udcff"], "is no text in UTF-8"),
        (["--end=all", "--rule=a"], "--end stands alone."),
    ],
    ids=lambda words: " ".join(words)[:40].encode("ascii", "replace").decode(),
)
async def test_wrong_usage_changes_nothing(life: Story, words: list[str], why: str) -> None:
    result = await life.run(command, *words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert why in result.stderr
    assert quiet(life) == Quiet()


async def test_of_a_riskbot_that_does_not_run_it_is_said(tmp_path: Path) -> None:
    async with story(tmp_path) as life:
        pass
    made, listed = run(command, life.rules, "--rule=forced*", "--for=1h"), run(command, life.rules)
    ended = run(command, life.rules, "--end=all")

    assert "riskbot is not running: it heeds this when it does. To end it" in made.stdout
    assert "riskbot is not running: this is how it left things" in listed.stdout
    assert "riskbot is not running: it heeds this when it does. What is" in ended.stdout
