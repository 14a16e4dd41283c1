"""riskbot explain: from what was written down, why a rule fires or does not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from riskbot.cli import stored
from riskbot.cli.explain import command
from riskbot.model import Acknowledgement, Quiet, Severity, Silence
from riskbot.store.hand import hush
from tests.desk import rule
from tests.stage import Account, Program, exchange, phone, until, write_rules
from tests.test_replay_journal import RULES, Life, change

T0 = 1_767_225_600.0


async def lived(folder: Path, *polls: tuple[str, int]) -> Life:
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    life = Life(folder)
    await life.begin()
    for ratio, times in polls:
        await life.poll(ratio, times)
    await life.journal.write()
    return life


def explain(life: Life, *words: str) -> Result:
    return CliRunner().invoke(command, [*words, "-c", str(life.db.parent / "rules.toml")], env={"COLUMNS": "200"})


def screen(life: Life, *words: str) -> list[str]:
    """What is shown, by line, without the spaces that make columns of it."""
    return [" ".join(line.split()) for line in explain(life, *words).stdout.splitlines()]


def row(life: Life, *words: str) -> Any:
    (found,) = json.loads(explain(life, *words, "--json").stdout)
    return found


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "now", lambda: T0 + 100)


async def test_a_quiet_rule_says_how_far_each_tier_is(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 20))
    await life.store.close()
    found = row(life, "margin_ratio")

    assert (found["severity"], found["value"], found["since"]) == ("ok", "12", None)
    tiers = {tier["severity"]: tier for tier in found["tiers"]}
    assert (tiers["warning"]["met"], tiers["warning"]["away"]) == (False, "7")
    assert tiers["warning"]["share"] == pytest.approx(7 / 12)
    assert tiers["critical"]["away"] == "9"
    said = explain(life, "margin_ratio").stdout
    assert said.startswith("QUIET main · margin_ratio\n")
    assert "5: not met, 7 away (58.3 % of the value)" in said


async def test_what_is_open_says_since_when_and_every_try_to_tell_it(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5), ("2.5", 20))
    (message,) = await life.store.take("phone", 1, T0 + 30, 15.0)
    await life.store.nack(message, T0 + 31, T0 + 40, "HTTP 500", maybe_sent=False)
    (message,) = await life.store.take("phone", 1, T0 + 41, 15.0)
    await life.store.ack(message, T0 + 42)
    await life.store.close()
    found = row(life, "margin_ratio")

    assert (found["severity"], found["peak"], found["since"]) == ("critical", "critical", T0 + 5)
    assert [tier["met_since"] for tier in found["tiers"]] == [T0 + 5, T0 + 5]
    (receiver,) = found["receivers"]
    assert (receiver["receiver"], receiver["from"], receiver["told"]) == ("phone", "info", True)
    (told,) = receiver["messages"]
    assert [attempt["why"] for attempt in told["attempts"]][:1] == ["HTTP 500"]
    assert told["state"] == "sent"
    said = explain(life, "margin_ratio").stdout
    assert said.startswith("CRITICAL main · margin_ratio, since 00:00:05 UTC (1 min 35 s), peak critical\n")
    assert "5: met since 00:00:05 UTC; left beyond 5.25 for 30 s" in said
    assert "HTTP 500" in said


async def test_a_moment_of_the_past_is_judged_as_it_was(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5), ("4", 20), ("12", 60))
    await life.store.close()

    then = row(life, "margin_ratio", "--at", "2026-01-01T00:00:10")
    assert (then["value"], then["severity"], then["as_of"]) == ("4", "warning", T0 + 10)
    before = row(life, "margin_ratio", "--at", "2026-01-01T00:00:03")
    assert (before["value"], before["severity"]) == ("12", "ok")
    now = row(life, "margin_ratio")
    assert (now["value"], now["severity"]) == ("12", "ok")


async def test_while_nothing_is_seen_it_says_since_when_and_of_when_the_value_is(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("4", 5), ("error", 10))
    await life.store.close()
    found = row(life, "margin_ratio")
    assert found["blind"] == {"since": T0 + 4, "why": "the account can't be seen: no answer"}
    assert (found["value"], found["as_of"]) == ("4", T0 + 4)
    said = screen(life, "margin_ratio")
    assert "value 4 (as of 00:00:04 UTC, 1 min 36 s before)" in said
    assert "blind since 00:00:04 UTC, 1 min 36 s before: the account can't be seen: no answer" in said


async def test_a_rule_without_its_number_is_blind_by_itself(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5), ("twelve", 10))
    await life.store.close()
    found = row(life, "margin_ratio")
    assert found["value"] is None
    assert found["note"].startswith("missing")
    assert found["blind"]["since"] == T0 + 5
    assert "nobody knows" in explain(life, "margin_ratio").stdout


async def test_the_past_is_judged_by_the_rules_of_then_with_timers_as_they_ran(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES.replace("warning = 5", "warning = 50"), encoding="utf-8")
    life = Life(tmp_path)
    await life.begin()
    await life.poll("4", 20)
    life.watch.judge.recorder._encoder.drop()  # a part was lost: the next one begins with what was known
    await life.poll("4.1", 20)
    await life.journal.write()
    await life.store.close()

    then = row(life, "margin_ratio", "--at", "2026-01-01T00:00:30")
    assert (then["value"], then["severity"], then["rule_changed"]) == ("4.1", "warning", True)
    assert (then["tiers"][0]["enter"], then["tiers"][0]["met_since"]) == ("5", T0)
    assert "the file has it otherwise by now" in explain(life, "margin_ratio").stdout


async def test_what_is_pending_or_falls_says_how_long_it_still_has_to_last(tmp_path: Path) -> None:
    life = Life(tmp_path)
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    slow = rule("margin_ratio", below={"warning": 5, "critical": 3}, **{"for": "1m", "keep_firing_for": "2m"})
    await life.begin(slow)
    await life.poll("4", 80)
    await life.poll("5.1", 5)
    await life.poll("2", 5)
    await life.journal.write()
    await life.store.close()

    def tiers(at: int) -> list[str]:
        said = screen(life, "margin_ratio", "--at", f"2026-01-01T00:{at // 60:02}:{at % 60:02}")
        return [line.partition(" ")[2] for line in said if line.startswith(("warning", "critical"))]

    assert tiers(20)[0] == "5: met since 00:00:00 UTC, told in 40 s if that lasts; left beyond 5.25 for 2 min"
    assert tiers(82)[0] == ("5: not met, 0.1 away (1.96 % of the value); held until it is left beyond 5.25 for 2 min")
    assert tiers(88)[1] == "3: met since 00:01:25 UTC, told in 57 s if that lasts; left beyond 3.15 for 2 min"


async def test_what_is_left_says_when_it_falls_and_then_how_bad_it_was(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("4", 5), ("12", 60))
    await life.store.close()
    falling = row(life, "margin_ratio", "--at", "2026-01-01T00:00:15")["tiers"][0]
    assert (falling["left_since"], falling["falls_at"], falling["met"]) == (T0 + 5, T0 + 35, False)
    said = "\n".join(screen(life, "margin_ratio", "--at", "2026-01-01T00:00:15"))
    assert "5: not met, 7 away (58.3 % of the value); left since 00:00:05 UTC, falls in 20 s if that lasts" in said
    after = explain(life, "margin_ratio").stdout
    assert after.startswith("QUIET main · margin_ratio\n")
    assert "warning at worst, 00:00:00 UTC until 00:00:35 UTC, 1 min 5 s before" in after
    assert "RESOLVED · main" in after


async def test_what_flaps_and_what_ends_say_until_when(tmp_path: Path) -> None:
    life = Life(tmp_path)
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    flaps = {"changes": 3, "within": "10m", "calm": "2m"}
    await life.begin(rule("margin_ratio", below={"warning": 5, "critical": 3}, keep_firing_for="0s", flap=flaps))
    for ratio in ("4", "12", "12", "4", "12", "12"):
        await life.poll(ratio, 1)
    await life.poll("", 3)
    await life.journal.write()
    await life.store.close()
    found = row(life, "margin_ratio")
    assert (found["flapping"], found["calm_at"]) == (True, T0 + 125)
    assert (found["not_applicable_since"], found["ends_at"]) == (T0 + 6, T0 + 66)
    said = "\n".join(screen(life, "margin_ratio"))
    assert "rises are told, falls wait: calm at 00:02:05 UTC if nothing moves" in said
    assert "does not apply since 00:00:06 UTC; ends at 00:01:06 UTC if that lasts" in said


async def test_silences_and_acknowledgements_are_named(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("4", 20))
    await life.store.close()
    episode = int(T0)
    silence = Silence(T0 + 400, rule="margin*", most=Severity.WARNING, since=T0 + 50, why="deposit is on its way")
    ack = Acknowledgement("main", "margin_ratio", "", episode, Severity.WARNING, T0 + 300)
    hush(life.db, lambda _: Quiet((silence,), (ack,)))
    said = screen(life, "margin_ratio")
    assert "silenced up to warning, until 00:06:40 UTC, in 5 min: deposit is on its way" in said
    assert "acknowledged until 00:05:00 UTC, in 3 min 20 s" in said
    before = row(life, "margin_ratio", "--at", "2026-01-01T00:00:15")
    assert (before["silenced"], before["acknowledged"]) == (None, None)
    assert "silenced" not in explain(life, "change").stdout


async def test_the_route_says_who_hears_of_it_and_who_never_does(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5))
    await life.store.close()
    more = """
[receivers.pager]
url = "${NO_URL}"
min_severity = "emergency"
fallback = ["phone"]

[receivers.mail]
url = "${NO_URL}"
"""
    file = tmp_path / "rules.toml"
    file.write_text(RULES.replace("[[rules]]", f"{more}\n[[rules]]", 1), encoding="utf-8")
    said = screen(life, "margin_ratio")
    assert "phone hears of info and worse" in said
    assert "pager hears of emergency and worse only: nothing of this rule; else phone" in said


async def test_what_the_journal_lacks_is_said_and_what_is_open_shown_without_it(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("4", 20))
    await life.store.close()
    change(tmp_path, "DELETE FROM segments")
    found = row(life, "margin_ratio")
    assert (found["severity"], found["value"], found["as_of"]) == ("warning", "4", T0)
    assert found["trouble"].endswith("nothing was recorded of main until then")
    assert [message["severity"] for message in found["receivers"][0]["messages"]] == ["warning"]
    assert "journal" in explain(life, "margin_ratio").stdout


async def test_a_rule_that_was_not_in_force_then_is_told_so(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5))
    await life.store.close()
    new = '\n[[rules]]\nname = "new"\nkind = "margin_ratio"\nbelow = { warning = 5 }\n'
    (tmp_path / "rules.toml").write_text(RULES + new, encoding="utf-8")
    run = explain(life, "new", "--at", "2026-01-01T00:00:03")
    assert run.exit_code == 1
    assert 'main was not judged by "new" then' in run.stderr


async def test_what_is_always_on_can_be_asked_about_too(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("4", 5), ("error", 20))
    await life.store.close()
    found = row(life, "blind")
    assert (found["severity"], found["value"], found["note"], found["as_of"]) == ("critical", "3", "no answer", T0 + 24)
    said = screen(life, "blind")
    assert "value critical no answer (as of 00:00:24 UTC, 1 min 16 s before)" in said
    assert "emergency not met" in said
    assert not [line for line in said if line.startswith("blind")]


async def test_a_time_of_which_nothing_is_known_is_told_plainly(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5))
    await life.store.close()
    run = explain(life, "margin_ratio", "--at", "2025-01-01")
    assert (run.exit_code, run.stdout) == (1, "")
    assert "nothing was recorded of main until then" in run.stderr


async def test_each_currency_stands_for_itself_and_one_can_be_asked_for(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5))
    await life.store.close()
    assert row(life, "change", "--ccy", "usdt")["subject"] == "USDT"
    run = explain(life, "change", "--ccy", "BTC")
    assert (run.exit_code, run.stderr) == (1, "change had nothing to say about BTC then\n")


async def test_a_slip_of_the_pen_is_answered_with_what_was_meant(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5))
    await life.store.close()
    run = explain(life, "margin_ration")
    assert (run.exit_code, run.stderr) == (2, 'no rule "margin_ration"; did you mean "margin_ratio"?\n')
    wrong = RULES.replace("critical = 3", "critical = 30")
    (tmp_path / "rules.toml").write_text(wrong, encoding="utf-8")
    run = explain(life, "margin_ratio")
    assert (run.exit_code, run.stderr) == (
        2,
        'the rule "margin_ratio" is wrong in the file; riskbot check says where\n',
    )
    (tmp_path / "rules.toml").write_text(RULES.replace("[[accounts]]", "[[account]]"), encoding="utf-8")
    run = explain(life, "margin_ratio")
    assert (run.exit_code, run.stderr) == (2, f"{tmp_path / 'rules.toml'}: no account is watched: add [[accounts]]\n")
    (tmp_path / "rules.toml").write_text(f'{RULES}\n[[rules]]\nname = "x"\nkind = ["x"]\n', encoding="utf-8")
    assert explain(life, "margin_ratio").exit_code == 0
    (tmp_path / "rules.toml").write_text("plugins = 3\n" + RULES, encoding="utf-8")
    assert explain(life, "margin_ratio").exit_code == 2
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    run = explain(life, "margin_ratio", "--account", "mian")
    assert (run.exit_code, run.stderr) == (2, 'no account "mian"; did you mean "main"?\n')


async def test_the_built_program_explains_a_riskbot_that_runs(tmp_path: Path) -> None:
    story = Account(ratio="4")
    async with exchange(story) as market, phone() as mine, phone(answer=lambda: 401) as pager:
        receivers = {"phone": {"url": mine.url}, "pager": {"url": f"{pager.url}?+X-Auth=planted-secret"}}
        program = Program(write_rules(tmp_path, market.url, receivers))
        program.start()
        await mine.waits_for("WARNING · main · margin ratio 4")
        words = [Path(sys.executable).with_name("riskbot"), "explain", "margin ratio", "-c", program.rules]

        def ask(*more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*words, *more], capture_output=True, text=True, check=False, env=os.environ)

        await until(lambda: all(message.attempts for _, message in program.rows()))
        (found,) = json.loads((await asyncio.to_thread(ask, "--json")).stdout)
        assert (found["severity"], found["value"], found["blind"]) == ("warning", "4", None)
        assert [receiver["messages"][0]["state"] for receiver in found["receivers"]] == ["sent", "queued"]
        assert "401" in found["receivers"][1]["messages"][0]["attempts"][0]["why"]
        shown = await asyncio.to_thread(ask)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout.startswith("WARNING main · margin ratio, since ")
        assert "planted" not in shown.stdout
        assert await program.stop() == 0
