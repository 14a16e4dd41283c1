"""riskbot plugins: which there are, a new one to begin with; commands of plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskbot import plugins
from riskbot.cli import main

RULES = """plugins = ["plugins"]
[[accounts]]
name = "main"
source = "paper"
options = { token = "a-secret-token" }

[receivers.desk]
url = "desk://somewhere"

[[rules]]
name = "mine"
kind = "mine"
above = { warning = 100 }
"""
MINE = """
import click
from riskbot import *

class Mine(Rule, kind="mine", worse="above"):
    def readings(self, view):
        yield Reading(1)

class Paper:
    def __init__(self, account): pass
    async def fetch(self): raise SourceError("nothing yet")
    async def info(self): raise SourceError("nothing yet")
    async def close(self): pass

class Desk:
    def __init__(self, url):
        if url != "desk://somewhere":
            raise ValueError("write desk://somewhere")
    async def send(self, text): return Verdict(Outcome.SENT)
    async def close(self): pass

@click.command("hello")
def hello():
    click.echo("good morning")

@hookimpl
def register_rules(): return [Mine]
@hookimpl
def register_sources(): return {"paper": Paper}
@hookimpl
def register_notifiers(): return {"desk": Desk}
@hookimpl
def register_commands(): return [hello]
@hookimpl
def on_transition(event): pass
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").mkdir(mode=0o700)
    put(tmp_path / "plugins/mine.py", MINE)
    put(tmp_path / "rules.toml", RULES)
    return tmp_path


def put(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words, env={"COLUMNS": "200"})


def test_the_list_says_what_each_offers(here: Path) -> None:
    shown = run("plugins", "list")

    assert shown.exit_code == 0
    head, mine = shown.stdout.splitlines()
    assert head.split() == ["plugin", "file", "offers"]
    offers = "kind mine, source paper, notifier desk, command hello, on_transition"
    assert mine.split(maxsplit=2) == ["mine", "plugins/mine.py", offers]


def test_the_list_says_what_is_wrong_and_ends_with_1(here: Path) -> None:
    put(here / "plugins/bad.py", "\n1/0")
    shown = run("plugins", "list")

    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[2].split() == ["bad", "plugins/bad.py", "nothing"]
    assert shown.stdout.splitlines()[3] == "plugins/bad.py:2: ZeroDivisionError: division by zero"
    (_, bad) = json.loads(run("plugins", "list", "--json").stdout)
    error = {"where": "plugins/bad.py:2", "why": "ZeroDivisionError: division by zero"}
    assert bad == {"name": "bad", "file": "plugins/bad.py", "offers": [], "errors": [error]}


def test_without_plugins_the_list_says_how_to_begin(here: Path) -> None:
    put(here / "rules.toml", RULES.partition("\n")[2])

    assert "riskbot plugins new NAME begins one" in run("plugins", "list").stdout


def test_check_takes_kinds_sources_and_receivers_of_plugins(here: Path) -> None:
    shown = run("check")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "mine mine above warning 100" in " ".join(shown.stdout.split())


def test_kinds_of_plugins_are_listed_beside_the_stock_ones(here: Path) -> None:
    assert " mine " in " ".join(run("rules", "kinds").stdout.split())
    assert '"#/$defs/mine"' in run("schema").stdout


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("desk://somewhere", "desk://secret-place", "rules.toml:8: url: write desk://somewhere"),
        ('"paper"', '"papre"', 'rules.toml:4: no source "papre"; did you mean "paper"?'),
        ('"mine"\nabove', '"mien"\nabove', 'rules.toml:12: no kind "mien"; did you mean "mine"?'),
        ('source = "paper"', 'source = "okx"', 'rules.toml:2: api_key is missing: write api_key = "…"'),
        ('["plugins"]', '["plugs"]', "rules.toml:1: plugins: there is no folder plugs"),
        ('["plugins"]', '"plugins"', 'rules.toml:1: plugins: write a list: plugins = ["…", "…"]'),
        ("[receivers", 'plugins = ["x"]\n[receivers', "rules.toml:7: plugins: belongs at the top of the file, above"),
    ],
)
def test_what_a_plugin_does_not_know_is_a_mistake_with_its_line(here: Path, old: str, new: str, said: str) -> None:
    put(here / "rules.toml", RULES.replace(old, new, 1))
    shown = run("check")

    assert shown.exit_code == 2
    assert said in shown.stderr
    assert "secret-place" not in shown.stderr


def test_a_broken_plugin_is_a_warning_and_a_rule_that_needs_it_a_mistake(here: Path) -> None:
    put(here / "plugins/other.py", "1/0")
    shown = run("check")
    assert shown.exit_code == 0
    assert shown.stderr == "warning: plugins/other.py:1: ZeroDivisionError: division by zero\n"

    put(here / "plugins/mine.py", "1/0")
    shown = run("check")
    assert shown.exit_code == 2
    assert "warning: plugins/mine.py:1: ZeroDivisionError: division by zero\n" in shown.stderr
    assert "rules.toml:12: no such kind; known are " in shown.stderr


# ---------------------------------------------------------------- a new one


def test_a_new_plugin_and_its_test_pass_at_once(here: Path) -> None:
    umask = os.umask(0)
    try:
        shown = run("plugins", "new", "basis_risk")
    finally:
        os.umask(umask)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.splitlines()[:2] == ["wrote plugins/basis_risk.py", "wrote plugins/tests/test_basis_risk.py"]
    assert "plugins = [" not in shown.stdout
    block = shown.stdout.partition("A rule with it:\n")[2]
    put(here / "rules.toml", RULES + block)
    assert run("check").exit_code == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins/tests"]
    tested = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert "1 passed" in tested.stdout, tested.stdout


def test_a_new_plugin_beside_no_rules_file_says_where_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run("plugins", "new", "basis", "--folder", "mine")

    assert shown.exit_code == 0
    assert 'At the top of rules.toml, above the first [section]: plugins = ["mine"]' in shown.stdout
    assert "basis" in plugins.load([tmp_path / "mine"]).kinds


def test_nothing_is_written_over(here: Path) -> None:
    shown = run("plugins", "new", "mine")

    assert (shown.exit_code, shown.stderr) == (1, "plugins/mine.py is there already: give another name\n")
    assert (here / "plugins/mine.py").read_text() == MINE


@pytest.mark.parametrize("name", ["Basis", "basis-risk", "../basis", "", "1"])
def test_a_name_is_one_of_a_file_and_a_kind(here: Path, name: str) -> None:
    shown = run("plugins", "new", name)

    assert shown.exit_code == 2
    assert "small letters" in shown.stderr


def test_a_place_that_can_not_be_written_is_told(here: Path) -> None:
    put(here / "file", "")
    shown = run("plugins", "new", "basis", "--folder", "file/plugins")

    assert (shown.exit_code, shown.stderr) == (1, "can't write file/plugins/basis.py: Not a directory\n")


# ---------------------------------------------------------------- commands of plugins


def test_a_plugin_s_command_is_run(here: Path) -> None:
    assert run("hello").stdout == "good morning\n"


def test_without_its_rules_file_it_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run("hello")

    assert shown.exit_code == 2
    assert "no command 'hello'" in shown.stderr
