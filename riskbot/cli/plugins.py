"""riskbot plugins: which there are and what is wrong with them; a new one to begin with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import config_option, console, echo_json, fail, json_option, load_plugins, mistakes_told, table

if TYPE_CHECKING:
    from riskbot.plugins import Plugin, Plugins


@click.group("plugins")
def command() -> None:
    """Show the plugins of the rules file, or begin a new one.

    Exit codes: 0 done, 1 one can't be used or a file is there already, 2 usage or configuration.
    """


@command.command("list")
@config_option
@json_option
def list_(path: Path, *, as_json: bool) -> None:
    """Show each plugin, its file, what it offers and what is wrong with it. Its file is run for that.

    Exit codes: 0 all are well, 1 one can't be used, 2 the rules file is wrong.
    """
    with mistakes_told():
        found = load_plugins(path)
    if as_json:
        echo_json(_document(found))
    else:
        _show(found, path)
    if found.troubles:
        raise SystemExit(1)


def _document(found: Plugins) -> list[dict[str, Any]]:
    sound = {plugin.name: plugin for plugin in found.plugins}
    return [_row(name, sound.get(name), found) for name in found.names()]


def _row(name: str, plugin: Plugin | None, found: Plugins) -> dict[str, Any]:
    troubles = [trouble for trouble in found.troubles if trouble.plugin == name]
    return {
        "name": name,
        "file": plugin.file if plugin else re.sub(r":\d+$", "", troubles[0].where),
        "offers": plugin.offers() if plugin else [],
        "errors": [{"where": trouble.where, "why": trouble.why} for trouble in troubles],
    }


def _show(found: Plugins, path: Path) -> None:
    if not found.names():
        click.echo(
            f'No plugins: write plugins = ["plugins"] at the top of {path}; riskbot plugins new NAME begins one.'
        )
        return
    rows = table("plugin", "file", "offers")
    for row in _document(found):
        rows.add_row(row["name"], row["file"], ", ".join(row["offers"]) or "nothing", style="red" * bool(row["errors"]))
    out = console()
    out.print(rows)
    for trouble in found.troubles:
        out.print(str(trouble), style="red", markup=False, emoji=False, soft_wrap=True)


@command.command("new")
@click.argument("name")
@config_option
@click.option("--folder", type=click.Path(path_type=Path), help="Where to; default: plugins, beside the rules file.")
def new(name: str, path: Path, folder: Path | None) -> None:
    """Write a plugin with one kind of rule, and its test, that pass at once.

    Exit codes: 0 written, 1 a file is there already, 2 usage.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise click.UsageError("NAME: small letters, digits and _, beginning with a letter: it is a file and a kind")
    folder = folder or path.parent / "plugins"
    words = {"name": name, "class_": name.title().replace("_", ""), "folder": folder}
    files = {folder / f"{name}.py": PLUGIN, folder / "tests" / f"test_{name}.py": TEST}
    for file, text in files.items():
        _write(file, text.format(**words))
    click.echo("\n".join([*(f"wrote {file}" for file in files), *_next_steps(name, path, folder)]))


def _write(file: Path, text: str) -> None:
    """A new file that only we can change, whatever the umask: others would be refused."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
        file.chmod(0o644)
    except FileExistsError:
        fail(f"{file} is there already: give another name", 1)
    except OSError as error:
        fail(f"can't write {file}: {error.strerror}", 1)


def _next_steps(name: str, path: Path, folder: Path) -> Iterator[str]:
    from riskbot import settings  # noqa: PLC0415 - see cli/__init__.py

    known: tuple[Path, ...] = ()
    with suppress(settings.ConfigError):
        known = settings.find_plugins(path)
    yield f"Its test: pytest {folder}/tests (pip install pytest)"
    if folder.resolve() not in [place.resolve() for place in known]:
        with suppress(ValueError):
            folder = folder.resolve().relative_to(path.resolve().parent)
        yield f'At the top of {path}, above the first [section]: plugins = ["{folder}"]'
    yield f'A rule with it:\n[[rules]]\nname = "{name}"\nkind = "{name}"\nabove = {{ warning = 100, critical = 1000 }}'


PLUGIN = '''\
"""{class_}: what it is about, in one line."""

from collections.abc import Iterator

from riskbot import Reading, Rule, View, hookimpl


class {class_}(Rule, kind="{name}", worse="above"):
    """What its number says, and in which unit."""

    def readings(self, view: View) -> Iterator[Reading]:
        """One number for each currency: its debt, so far. OKX's mgnRatio of the account is view.snapshot.mgn_ratio."""
        for ccy, balance in view.snapshot.balances.items():
            yield Reading(balance.liab, ccy)


@hookimpl
def register_rules() -> list[type[Rule]]:
    """The kinds of rules that this file offers."""
    return [{class_}]
'''

TEST = '''\
"""Run it with: pytest {folder}/tests"""

from pathlib import Path

from riskbot.testing import coin, load, make, play, snapshot

plugin = load(Path(__file__).parents[1] / "{name}.py")


def test_it_tells_when_the_number_is_high() -> None:
    rule = make(plugin.{class_}, above={{"warning": 100}})
    calm = snapshot(details=[coin("USDT", liab=0)])
    high = snapshot(details=[coin("USDT", liab=150)])

    played = play(rule, [calm, high])

    assert played.values("USDT") == [0, 150]
    assert played.titles == ["WARNING · main · {name} USDT 150"]
'''
