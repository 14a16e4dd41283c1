"""riskbot systemd: the unit that makes it a service."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskbot.cli.common import config_option, fail, mistakes_told

if TYPE_CHECKING:
    from riskbot.cli.unit import Unit
    from riskbot.settings import Needs

NAME = "riskbot.service"
STATE = "/var/lib/riskbot"
"""What StateDirectory=riskbot stands for."""


@click.command("systemd")
@config_option
@click.option("--install", is_flag=True, help="Write the unit where systemd looks for it.")
@click.option("--user", is_flag=True, help="For your own systemd, without root: riskbot may lie in your home then.")
@click.option("--to", type=click.Path(path_type=Path), help="Write it there instead.")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path),
    help="The folder with the files of credential:NAME; default: credentials, beside the rules file.",
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="The file with the variables of ${NAME}; default: riskbot.env, beside the rules file.",
)
@click.option("--force", is_flag=True, help="Replace a unit that was changed; write one that can't work yet.")
def command(
    path: Path,
    *,
    install: bool,
    user: bool,
    to: Path | None,
    credentials: Path | None,
    env_file: Path | None,
    force: bool,
) -> None:
    """Print the unit with which systemd runs riskbot, watches over it and locks it in; or write it.

    It names this riskbot, the rules file, and what that needs: a file for each credential:NAME, one file for all
    ${NAME}.

    Exit codes: 0 done, 1 it can't be written, or the service could not use its files (it is printed all the same; with
    --force that is no failure), 2 the rules file is wrong.
    """
    from riskbot.settings import needs  # noqa: PLC0415 - see cli/__init__.py

    with mistakes_told():
        wanted = needs(path)
        in_the_way = [] if user else [*_obstacles(path, wanted)]
    unit = _unit(path.absolute(), wanted, credentials, env_file, user=user)
    for words in in_the_way:
        click.echo(f"the service can't use {words}", err=True)
    if not (install or to):
        click.echo(unit.text(), nl=False)
        raise SystemExit(1 if in_the_way and not force else 0)
    if in_the_way and not force:
        fail("Nothing was written; --force writes it all the same.", 1)
    target = to or _place(user=user)
    there = _write(target, unit.text(), force=force)
    click.echo("\n".join(_next(unit, target, wanted, anew=not there)))


def _obstacles(path: Path, wanted: Needs) -> Iterator[str]:
    """What keeps the locked-in service from its work. Raises ConfigError."""
    from riskbot.cli.reach import obstacles, own_files  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import find_db  # noqa: PLC0415 - see cli/__init__.py

    yield from obstacles([*own_files(), *wanted.files])
    for file in wanted.secrets:
        yield f'{file}: its user is made anew at each start; write "credential:NAME", and systemd hands it over'
    db = find_db(path, {"STATE_DIRECTORY": STATE})
    if not db.is_relative_to(STATE):
        yield f"{db}: it may write in {STATE} only; leave [store] path out, or write a name without a folder"


def _unit(rules: Path, wanted: Needs, credentials: Path | None, env_file: Path | None, *, user: bool) -> Unit:
    from riskbot.cli.unit import Unit  # noqa: PLC0415 - see cli/__init__.py

    folder = (credentials or rules.parent / "credentials").absolute()
    for name in wanted.credentials:
        if not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII):
            fail(f"credential:{name}: a name has letters, digits, _, - and . only", 2)
    files = {name: folder / name for name in wanted.credentials}
    variables = (env_file or rules.parent / "riskbot.env").absolute() if wanted.variables else None
    for file in (rules, *files.values(), *filter(None, [variables])):
        if not str(file).isprintable():
            fail(f"{str(file)!r}: systemd takes no path with such signs", 2)
    return Unit(_program(), rules, files, variables, user)


def _program() -> tuple[str, ...]:
    """What started us: the script beside its Python; where there is none, its module."""
    script = Path(sys.executable).with_name("riskbot")
    return (str(script),) if script.exists() else (sys.executable, "-m", "riskbot.cli")


def _place(*, user: bool) -> Path:
    if not user:
        return Path("/etc/systemd/system") / NAME
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd/user" / NAME


def _write(target: Path, text: str, *, force: bool) -> bool:
    """Whole or not at all; was there one before? One that somebody has changed stays."""
    from riskbot.setup.files import try_file, write  # noqa: PLC0415 - see cli/__init__.py

    try:
        try_file(target)
        before = target.read_text(encoding="utf-8") if target.exists() else None
        if before not in (None, text) and not force:
            fail(f"{_diff(before or '', text)}\n{target} is there already and differs so; --force replaces it.", 1)
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, text, 0o644)
    except OSError as error:
        hint = "; run it with sudo, or with --user" if isinstance(error, PermissionError) else ""
        fail(f"can't write {target}: {error.strerror}{hint}", 1)
    return before is not None


def _diff(before: str, after: str) -> str:
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), "there", "new", n=0, lineterm=""))


# What to do next.


def _next(unit: Unit, target: Path, wanted: Needs, *, anew: bool) -> Iterator[str]:
    sudo = "" if unit.user or os.geteuid() == 0 else "sudo "
    name, systemctl = target.stem, f"{sudo}systemctl{' --user' if unit.user else ''}"
    yield f"Wrote {target}. Next:"
    yield from _secrets_to_put(unit, wanted, sudo)
    yield f"  {systemctl} daemon-reload"
    yield f"  {systemctl} enable --now {name}" if anew else f"  {systemctl} restart {name}"
    if unit.user:
        yield "  loginctl enable-linger          # it runs while you are not logged in, too"
    yield f"  systemctl {'--user ' if unit.user else ''}status {name}       # with the worst alert in its Status line"
    yield f"  journalctl {'--user-unit' if unit.user else '-u'} {name} -f"
    state = "" if unit.user else f"{sudo}STATE_DIRECTORY={STATE} "
    yield f"  {state}riskbot status -c {shlex.quote(str(unit.rules))}"


def _secrets_to_put(unit: Unit, wanted: Needs, sudo: str) -> Iterator[str]:
    """Commands for those whose files are not there; what is written does not land in the shell's history."""
    put = f"{sudo}install -D -m 600 /dev/stdin"
    for file in unit.credentials.values():
        if not file.exists():
            yield f"  {put} {shlex.quote(str(file))}   # paste it, Enter, Ctrl-D"
    if unit.env_file and not unit.env_file.exists():
        lines = ", ".join(f"{name}=…" for name in wanted.variables)
        yield f"  {put} {shlex.quote(str(unit.env_file))}   # {lines}, each on its line; Ctrl-D"
