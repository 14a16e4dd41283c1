"""What plugins/README.md says is so: every hook under its signature, every block run."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from riskbot import hookspecs, plugins, settings
from riskbot import testing as riskbot_testing
from riskbot.cli import main
from riskbot.plugins.offers import HOOKS

FOLDER = Path(__file__).parents[1] / "plugins"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
ACCOUNT = '[[accounts]]\nname = "main"\napi_key = "a-key"\napi_secret = "a-secret"\npassphrase = "a-phrase"\n'
RULE = '[[rules]]\nname = "shares"\nkind = "concentration"\nabove = { warning = 0.5 }\n'
RECEIVER = '[receivers.phone]\nurl = "json://127.0.0.1:1/"\n'


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


PLUGINS = [block for block in blocks("python") if "@hookimpl" in block]
TESTS = [block for block in blocks("python") if "def test_" in block]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples, and each plugin that the README shows."""
    found = tmp_path / "plugins"
    found.mkdir(mode=0o700)
    texts = {path.name: path.read_text() for path in FOLDER.glob("*.py")}
    shown = [text for text in PLUGINS if text not in texts.values()]
    texts |= {f"shown_{i}.py": text for i, text in enumerate(shown)}
    for name, text in texts.items():
        (found / name).write_text(text)
        (found / name).chmod(0o600)
    return found


def test_every_block_is_of_a_sort_that_is_tried() -> None:
    assert set(re.findall(r"^```(\S+)", README, re.MULTILINE)) == {"console", "python", "toml"}
    assert set(PLUGINS) | set(TESTS) == set(blocks("python"))


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_has_a_heading_with_its_exact_signature(hook: str) -> None:
    signature = str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")

    assert f"### `{hook}{signature}`\n\nCalled " in README


def test_the_whole_plugin_is_the_example() -> None:
    assert (FOLDER / "concentration.py").read_text() in PLUGINS


def test_every_plugin_that_is_shown_loads_and_all_hooks_are_among_them(folder: Path) -> None:
    found = plugins.load([folder])

    assert found.troubles == ()
    assert {hook for hook in HOOKS if any(f"def {hook}(" in text for text in PLUGINS)} >= set(HOOKS) - {
        "register_notifiers"  # desktop.py is one
    }


@pytest.mark.parametrize("block", blocks("toml"))
def test_every_toml_block_is_right(block: str, folder: Path, tmp_path: Path) -> None:
    if "[project]" in block:
        assert list(tomllib.loads(block)["project"]["entry-points"]) == [plugins.GROUP]
        return
    top, _, rest = block.partition("\n\n") if block.startswith("plugins") else ("", "", block)
    account = "" if "[[accounts]]" in block else ACCOUNT
    receiver = "" if "[receivers" in block else RECEIVER
    path = tmp_path / "rules.toml"
    path.write_text(f"{top}\n{account}{receiver}{rest}")
    found = plugins.load([folder])

    assert settings.find_plugins(path) in ((), (folder,))
    config = settings.load(path, found.kinds, {}, offered=found.sources)
    assert len([rule for rule in config.rules if not rule.ALWAYS_ON]) == block.count("[[rules]]")


@pytest.mark.parametrize("block", TESTS)
def test_every_test_that_is_shown_passes(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    names: dict[str, object] = {}
    exec(block, names)  # noqa: S102 - our own README
    tests = [test for name, test in names.items() if name.startswith("test_")]

    assert tests
    for test in tests:
        test()  # type: ignore[operator] # a function


def test_the_docstring_of_riskbot_testing_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    block = re.search(r"```python\n(.*?)```", riskbot_testing.__doc__ or "", re.DOTALL)
    assert block is not None
    names: dict[str, object] = {name: getattr(riskbot_testing, name) for name in ("coin", "load", "make", "play")}
    names["snapshot"] = riskbot_testing.snapshot
    exec(block[1], names)  # noqa: S102 - our own docstring

    names["test_it_fires"]()  # type: ignore[operator] # a function


def test_every_command_that_is_shown_works(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rules.toml"
    path.write_text(f'plugins = ["plugins"]\n{ACCOUNT}{RECEIVER}{RULE}')
    path.chmod(0o600)
    commands = [line[2:].split() for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]

    assert len(commands) == 4
    for program, *words in commands:
        assert program == "riskbot"
        result = CliRunner().invoke(main, words)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
