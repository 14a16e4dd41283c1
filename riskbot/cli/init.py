"""riskbot init: from nothing to a file that works, one question after the other."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import (
    conceal,
    config_option,
    fail,
    in_shell,
    load_plugins,
    mistakes_told,
    secrets,
    understand,
    veil,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from riskbot.cli.interview import Interview
    from riskbot.plugins import Plugins
    from riskbot.settings import Problem
    from riskbot.setup.draft import Sketch
    from riskbot.setup.known import Known

_FILE = "FILE"


@click.command("init")
@config_option
@click.option("--env-file", type=click.Path(path_type=Path), help="For secrets; default: riskbot.env, beside it.")
@click.option("--account", default="", help="Its name in messages; default: the one of the file, or main.")
@click.option("--api-key-file", default="", metavar=_FILE, help="Instead of OKX_API_KEY; -: the next line of stdin.")
@click.option("--api-secret-file", default="", metavar=_FILE, help="Instead of OKX_API_SECRET.")
@click.option("--passphrase-file", default="", metavar=_FILE, help="Instead of OKX_API_PASSPHRASE.")
@click.option(
    "--region", type=click.Choice(["auto", "global", "eea", "us"]), default="auto", help="auto: found by trying."
)
@click.option("--base-url", default="", help="Another server with OKX's endpoints, such as riskbot simulate.")
@click.option("--demo", is_flag=True, help="The key is one of OKX's demo trading.")
@click.option("--allow-trade-key", is_flag=True, help="Take a key that can trade; one that can withdraw never.")
@click.option(
    "--receiver", "receivers", multiple=True, metavar="NAME[=FILE]",
    help="An Apprise URL, from the file or from RISKBOT_NAME.",
)  # fmt: skip
@click.option("--telegram-token-file", default="", metavar=_FILE, help="Instead of TELEGRAM_BOT_TOKEN.")
@click.option("--telegram-chat", default="", metavar="ID", help="The chat; default: the one that presses Start.")
@click.option("--telegram-api", metavar="URL", help="A Bot API server of your own.")
@click.option("--telegram-wait", type=click.FloatRange(0), default=180.0, show_default=True, help="Seconds, for Start.")
@click.option("--test/--no-test", default=True, help="Send test messages.")
@click.option("--rule", "rules", multiple=True, metavar="NAME", help="Of rules.example.toml; all; none. Default: all.")
@click.option("--heartbeat-file", default="", metavar=_FILE, help="With its URL; instead of RISKBOT_HEARTBEAT.")
@click.option("--yes", is_flag=True, help="Ask nothing; what is missing ends it with exit code 2.")
def command(path: Path, env_file: Path | None, *, yes: bool, **given: Any) -> None:
    """Set riskbot up: a key that is checked, receivers that are tried, rules that can work; then write rules.toml.

    Secrets go to an env file that only you can read. Run it again whenever you like: what is there is where it begins,
    and what it replaces is kept. Every question is a flag too; secrets come from files, stdin or the environment, never
    from the command line.

    Exit codes: 0 written, 1 refused, failed or stopped, 2 usage, something is missing, or the rules file is wrong.
    """
    from riskbot.cli.interview import Interview, Options  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.cli.questions import Questions  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup.telegram import API  # noqa: PLC0415 - see cli/__init__.py

    if given["base_url"] and given["region"] != "auto":
        raise click.UsageError("give either --region or --base-url: a server of its own is of no region")
    before = _known(path, env_file or path.parent / "riskbot.env")
    options = Options(**{**given, "telegram_api": given["telegram_api"] or API})
    talk = Interview(options, Questions(silent=yes), before, _plugins(path))
    _look(talk)
    try:
        _talk(talk)
    except SystemExit as end:
        if end.code and not yes and (kept := _save(talk)):
            click.echo(kept.strip(), err=True)
        raise
    except (click.Abort, KeyboardInterrupt, EOFError):
        click.echo()
        fail(f"Stopped; {path} is as it was.{_save(talk)}", 1)
    finally:
        talk.close()


def _known(path: Path, env_path: Path) -> Known:
    from riskbot.setup.files import try_file  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup.known import Known  # noqa: PLC0415 - see cli/__init__.py

    try:
        for file in (path, env_path):
            try_file(file)
        with mistakes_told():
            return Known(path, env_path)
    except (OSError, ValueError) as error:
        file = getattr(error, "filename", None) or env_path
        fail(f"{file}: can't read it: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}", 2)


def _plugins(path: Path) -> Plugins:
    from riskbot import plugins  # noqa: PLC0415 - see cli/__init__.py

    with mistakes_told():
        return load_plugins(path) if path.exists() else plugins.load()


def _look(talk: Interview) -> None:
    """Nobody is asked anything if it would come to nothing: a file with mistakes, a folder that takes none."""
    from riskbot.setup.files import try_folder  # noqa: PLC0415 - see cli/__init__.py

    before = talk.before
    for folder in dict.fromkeys((before.path.resolve().parent, before.env_path.resolve().parent)):
        try:
            try_folder(folder)
        except OSError as error:
            fail(f"{folder}: can't write there: {error.strerror}. Nothing was written.", 1)
    with mistakes_told():
        if before.text:
            understand(before.path, talk.found, before.env, keyless=True, begun=True)


def _talk(talk: Interview) -> None:
    """All of it, in order. What was checked is in `talk.env` at once, so that nobody has to type it twice."""
    from riskbot.cli.init_account import account  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.cli.init_heartbeat import heartbeat  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.cli.init_receivers import receivers  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.cli.init_rules import rules  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup.draft import Sketch  # noqa: PLC0415 - see cli/__init__.py

    if not talk.ask.silent:
        click.echo(f"{talk.before.path} is written at the end, when you say so. Ctrl-C ends this at any time;")
        click.echo(f"what was checked by then is kept in {talk.before.env_path}, so that nobody has to type it twice.")
    mine = account(talk)
    told = receivers(talk)
    watched = rules(talk, mine)
    _write(talk, Sketch(mine.keys, mine.about, told, watched.blocks, heartbeat(talk), watched.kept_to))


# ---------------------------------------------------------------- writing


def _write(talk: Interview, sketch: Sketch) -> None:
    from riskbot.cli.questions import heading  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup import draft, env  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup.files import OWNER_ONLY  # noqa: PLC0415 - see cli/__init__.py

    before = talk.before
    try:
        text = draft.changed(before.text, sketch) if before.text else draft.fresh(sketch, before.env_path.name)
        env_text = env.update(before.env_text, talk.env)
    except ValueError as error:
        fail(f"{before.path}: {error}. It is as it was.", 1)
    heading("To be written")
    _check(talk, text)
    _preview(talk, text, env_text)
    if text == before.text and env_text == before.env_text:
        click.echo("Both files are right as they are.")
    elif talk.ask.confirm("Write this?", default=True):
        _put(before.env_path, env_text, before.env_text, OWNER_ONLY)
        _put(before.path, text, before.text, before.path.stat().st_mode & 0o777 if before.text else 0o644)
    else:
        raise click.Abort
    _next(before, old_secrets=bool(before.text) and env_text != before.env_text)


def _check(talk: Interview, text: str) -> None:
    """The file as it would be, read as `riskbot run` would read it."""
    from riskbot.settings import ConfigError  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup.files import OWNER_ONLY, write  # noqa: PLC0415 - see cli/__init__.py

    path = talk.before.path
    trial = path.with_name(f".{path.name}.init")
    try:
        write(trial, text, OWNER_ONLY)
        warnings = _understood(talk, trial)
    except ConfigError as error:
        fail(f"{str(error).replace(str(trial), str(path))}\nNothing was written.", 2)
    except OSError as error:
        fail(f"{path.parent}: can't write there: {error.strerror}. Nothing was written.", 1)
    finally:
        trial.unlink(missing_ok=True)
    for warning in warnings:
        click.echo(f"warning: {str(warning).replace(str(trial), str(path))}", err=True)


def _understood(talk: Interview, trial: Path) -> Iterable[Problem]:
    """What to think of, where it can be used; a secret that somebody else has to put in its place does not stop this.

    Raises ConfigError.
    """
    from riskbot.builtin.apprise.notifier import check_url  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import ConfigError  # noqa: PLC0415 - see cli/__init__.py

    env = {**talk.before.env, **talk.env}
    warnings: Iterable[Problem]
    try:
        config = understand(trial, talk.found, env, check_url)
        warnings = config.warnings
    except ConfigError as error:
        config, warnings = understand(trial, talk.found, env, keyless=True), error.problems
    conceal(*secrets(config))
    return warnings


def _preview(talk: Interview, text: str, env_text: str) -> None:
    """A new file is only named, of one that is there the difference is shown; of secrets only the names, ever."""
    from riskbot.setup import env  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup.masking import masked_file  # noqa: PLC0415 - see cli/__init__.py

    before = talk.before
    if before.text:
        names = (f"{before.path} now", f"{before.path} then")
        old, new = (masked_file(found).splitlines() for found in (before.text, text))
        lines = difflib.unified_diff(old, new, *names, n=1, lineterm="")
        shown = map(veil().redact, lines)  # comments may hold what a key beside them held once
        click.echo("\n".join(map(_coloured, shown)) or f"{before.path}: stays as it is")
    else:
        click.echo(f"{before.path}: new, {len(text.splitlines())} lines")
    was, will = env.parse(before.env_text), env.parse(env_text)
    said = [f"{name} {'changed' if name in was else 'new'}" for name in will if will[name] != was.get(name)]
    click.echo(f"{before.env_path}: {', '.join(said) or 'stays as it is'}")


def _coloured(line: str) -> str:
    return click.style(line, fg={"+": "green", "-": "red"}.get(line[:1]))


def _put(path: Path, text: str, before: str, mode: int) -> None:
    """Write it if it is another; what was there is kept beside it."""
    from riskbot.setup.files import keep, write  # noqa: PLC0415 - see cli/__init__.py

    if text == before:
        return
    try:
        kept = keep(path, mode)
        write(path, text, mode)
    except OSError as error:
        fail(f"{path}: can't write it: {error.strerror}; it is as it was", 1)
    click.echo(f"wrote {path}" + (f"; what was there is in {kept}" if kept else ""))


def _save(talk: Interview) -> str:
    """On the way out: what was checked is kept, so that nobody has to type it twice. Gives what to say of it."""
    from riskbot.setup import env  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup.files import OWNER_ONLY  # noqa: PLC0415 - see cli/__init__.py

    before = talk.before
    text = env.update(before.env_text, talk.env)
    if not talk.env or text == before.env_text:
        return ""
    _put(before.env_path, text, before.env_text, OWNER_ONLY)
    return f" What was checked so far is in {before.env_path}: riskbot init goes on from there."


def _next(before: Known, *, old_secrets: bool) -> None:
    """old_secrets: has a riskbot that may be running others than those that were written?"""
    from riskbot.cli.questions import heading  # noqa: PLC0415 - see cli/__init__.py

    option = "" if before.path == Path("rules.toml") else f" -c {in_shell(before.path)}"
    beside = before.env_path == before.path.parent / "riskbot.env"
    secrets_too = option if beside else f"{option} --env-file {in_shell(before.env_path)}"
    heading("What is next")
    click.echo(f"  set -a; . {in_shell(before.env_path)}; set +a      the secrets, for this shell")
    click.echo(f"  riskbot run{option}")
    click.echo(f"  riskbot systemd{secrets_too}      the same as a service that starts by itself")
    click.echo(f"  riskbot init{secrets_too} --account NAME      another account")
    if old_secrets:
        click.echo("A riskbot that is running does not have the new secrets: restart it.")
