"""What the commands share: the rules file, errors for people, tables."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

import click

if TYPE_CHECKING:
    from riskbot.plugins import Plugins
    from riskbot.redact import Redactor
    from riskbot.rules import Rule
    from riskbot.settings import Config, ConfigError

config_option = click.option(
    "--config", "-c", "path", type=click.Path(path_type=Path), default=Path("rules.toml"), show_default=True,
    help="The rules file.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="For machines.")


def fail(message: str, code: int) -> NoReturn:
    """Say what is wrong and end. 1: it failed; 2: usage or configuration."""
    click.echo(message, err=True)
    sys.exit(code)


def echo_json(value: object) -> None:
    """What `--json` prints: for machines, and still readable."""
    click.echo(json.dumps(_veiled(value), indent=2, ensure_ascii=False))


def _veiled(value: object) -> object:
    """The same value; no text in it holds what `conceal` was given."""
    if isinstance(value, Mapping):
        return {key: _veiled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_veiled(item) for item in value]
    return veil().redact(value) if isinstance(value, str) else value


def conceal(*secrets: str) -> None:
    """Show them nowhere in this command: plugins know them, and may repeat them in any of their words."""
    veil().add(*filter(_looks_secret, secrets))


def veil() -> Redactor:
    """Takes out of a text what this command must not show."""
    from riskbot.redact import Redactor  # noqa: PLC0415 - see cli/__init__.py

    context = click.get_current_context(silent=True)
    found: Redactor = context.find_root().meta.setdefault(__name__, Redactor()) if context else Redactor()
    return found


@contextmanager
def mistakes_told(path: Path | None = None, also: Callable[[ConfigError], None] | None = None) -> Iterator[None]:
    """A rules file that is wrong ends the command, with all its mistakes and exit code 2.

    path: the file whose secrets are needed. also: who else is told, before that.
    """
    from riskbot.settings import ConfigError  # noqa: PLC0415 - pydantic is not needed for --help

    try:
        yield
    except ConfigError as error:
        if also:
            also(error)
        fail("\n".join(mistakes(error, path)), 2)


def mistakes(error: ConfigError, path: Path | None = None) -> list[str]:
    """All of them, how many they are, and how to have the secrets that only this shell lacks."""
    count = len(error.problems)
    words = f"{count} mistake{'s' if count > 1 else ''}; nothing was started."
    return [*map(str, error.problems), words, *(_secrets_elsewhere(path) if path else ())]


def _secrets_elsewhere(path: Path) -> Iterator[str]:
    """What to say to a shell, for secrets that lie where `riskbot init` and `riskbot systemd` put them."""
    from riskbot.settings import ConfigError, needs  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.setup import env  # noqa: PLC0415 - see cli/__init__.py

    with suppress(ConfigError, OSError, ValueError):
        wanted = needs(path)
        folder, file = path.parent / "credentials", path.parent / "riskbot.env"
        if wanted.credentials and not os.environ.get("CREDENTIALS_DIRECTORY") and folder.is_dir():
            yield f"What only the service is given, for this shell: export CREDENTIALS_DIRECTORY={in_shell(folder)}"
        if env.parse(file.read_text(encoding="utf-8")).keys() & {*wanted.variables} - os.environ.keys():
            yield f"What is in {file}, for this shell: set -a; . {in_shell(file)}; set +a"


def in_shell(path: Path) -> str:
    """As a shell needs it: `.` looks for a bare name elsewhere."""
    return shlex.quote(str(path) if path.is_absolute() else f"./{path}")


def load(path: Path, env: Mapping[str, str] | None = None, check_url: Callable[[str], None] | None = None) -> Config:
    """The rules file, or its mistakes and exit code 2. Warnings go to stderr. See `settings.load`."""
    return load_all(path, env, check_url)[0]


def load_all(
    path: Path,
    env: Mapping[str, str] | None = None,
    check_url: Callable[[str], None] | None = None,
    *,
    keyless: bool = False,
    also: Callable[[ConfigError], None] | None = None,
) -> tuple[Config, Plugins]:
    """The same, and its plugins. A broken one is a warning; a rule that needs it is a mistake.

    keyless: nobody is asked or told, so that secrets may be absent. also: see `mistakes_told`.
    """
    with mistakes_told(path, also):
        found = load_plugins(path, env)
        for trouble in found.troubles:
            click.echo(f"warning: {trouble}", err=True)
        config = understand(path, found, env, check_url, keyless=keyless)
    for warning in config.warnings:
        click.echo(f"warning: {warning}", err=True)
    return config, found


def load_plugins(path: Path, env: Mapping[str, str] | None = None) -> Plugins:
    """The plugins of a rules file, and of installed packages. Raises ConfigError.

    What is wrong with one is told in its own words; they may not hold what the file or the environment hides.
    """
    from msgspec.structs import replace  # noqa: PLC0415 - see cli/__init__.py

    from riskbot import plugins, settings  # noqa: PLC0415 - pydantic is not needed for --help
    from riskbot.redact import Redactor, secrets_in  # noqa: PLC0415 - see cli/__init__.py

    found = plugins.load(settings.find_plugins(path, env))
    if not found.troubles and not found.plugins:
        return found
    known = [*secrets_in(os.environ), *settings.referred(path, env)]
    conceal(*known)
    if not found.troubles:
        return found
    redact = Redactor(known).redact
    return replace(found, troubles=tuple(replace(one, why=redact(one.why)) for one in found.troubles))


def understand(
    path: Path,
    found: Plugins,
    env: Mapping[str, str] | None = None,
    check_url: Callable[[str], None] | None = None,
    *,
    keyless: bool = False,
    begun: bool = False,
) -> Config:
    """A rules file by the words that its plugins know. Raises ConfigError."""
    from riskbot import settings  # noqa: PLC0415 - pydantic is not needed for --help

    def check(url: str) -> None:
        from riskbot.service.strangers import notifier  # noqa: PLC0415 - see above

        if notifier(url, found.notifiers) is None and check_url is not None:
            check_url(url)

    url_check = check if check_url else None
    config = settings.load(path, found.kinds, env, url_check, found.sources, keyless=keyless, begun=begun)
    if found.plugins:
        conceal(*secrets(config))
    return config


def plugins_here() -> Plugins:
    """Those of the rules.toml in this folder, and of installed packages."""
    from riskbot import plugins, settings  # noqa: PLC0415 - see `load_plugins`

    try:
        return load_plugins(Path("rules.toml"))
    except settings.ConfigError:
        return plugins.load()


def known_kinds() -> dict[str, type[Rule]]:
    """Every kind of rule by its name, those of `plugins_here` too."""
    return dict(plugins_here().kinds)


def secrets(config: Config) -> list[str]:
    """All that must not be seen: of accounts, rules, receivers' URLs, [web], [heartbeat] and the environment."""
    from riskbot.redact import secrets_in, secrets_of  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings.model import texts  # noqa: PLC0415 - see cli/__init__.py

    keys = [
        secret.get_secret_value()
        for account in config.accounts
        for secret in (account.api_key, account.api_secret, account.passphrase)
    ]
    options = [word for account in config.accounts for word in texts(account.options)]  # any may be a secret
    token = [config.web.token.get_secret_value()] if config.web and config.web.token else []
    urls = [receiver.url.get_secret_value() for receiver in config.receivers.values()]
    if config.heartbeat:
        urls.append(config.heartbeat.url.get_secret_value())
    return [
        *keys,
        *token,
        *secrets_of_rules(*config.rules),
        *secrets_in(os.environ),
        *filter(_looks_secret, options),
        *urls,
        *(part for url in urls for part in secrets_of(url) if _looks_secret(part)),
    ]


def secrets_of_rules(*rules: Rule) -> list[str]:
    """What their kinds declare as such."""
    from pydantic import SecretStr  # noqa: PLC0415 - see cli/__init__.py

    return [value.get_secret_value() for rule in rules for _, value in rule if isinstance(value, SecretStr)]


def _looks_secret(part: str) -> bool:
    """A short plain word of a path, such as `hook`, is none: it would be blotted out of every line that has it."""
    return len(part) >= 8 or not part.isalpha()


PIPED_WIDTH = 160
"""Columns when stdout is no terminal and $COLUMNS says nothing: wide enough that rows are not folded."""


def console(**options: Any) -> Any:
    """A rich console on stdout: colours on a terminal, plain text when piped."""
    from rich.console import Console  # noqa: PLC0415 - only where something is drawn

    found = Console(highlight=False, **options)
    if not found.is_terminal:
        found.width = found.width if os.environ.get("COLUMNS") else PIPED_WIDTH
        found.file = cast("IO[str]", _Trimmed(found.file))
    return found


class _Trimmed:
    """A stream whose lines end with their last word: cells are filled up with blanks, which nobody sees or wants."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Of whole lines, as rich writes them."""
        trimmed: int = self._stream.write(re.sub(r" +(?=\n)", "", text))
        return trimmed


def table(*columns: str) -> Any:
    """A table without lines."""
    from rich.table import Table  # noqa: PLC0415 - see `console`

    found = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        found.add_column(column)
    return found


STYLES = {"info": "cyan", "warning": "yellow", "critical": "red", "emergency": "bold white on red", "ok": "green"}
"""How severities look in the terminal."""
