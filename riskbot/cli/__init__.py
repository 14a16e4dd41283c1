"""The command line. Each command is a module that is imported when it is called, so that `--help` is quick.

Exit codes: 0 all is well; 1 it failed, or an alert is open where that was asked; 2 usage or configuration.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click

COMMANDS = {
    "init": "Set riskbot up: key, receivers and rules, each tried at once.",
    "run": "Watch the accounts and tell of danger, until stopped.",
    "check": "Validate the rules file and say what would be watched.",
    "test": "Play cases and see that exactly the right messages come.",
    "show-config": "Show the whole configuration, defaults included, without secrets.",
    "notify": "Send a test message to the receivers and show what they answer.",
    "drill": "Rehearse: a scenario through rules and receivers, marked DRILL.",
    "reload": "Plan what a changed rules file does, then have it taken up.",
    "status": "Show whether all is well: accounts, receivers, the store.",
    "alerts": "Show open and pending alerts and who was told.",
    "ack": "Acknowledge open alerts: no reminders for a while.",
    "silence": "Hide alerts of some rules for a while; list and end that.",
    "history": "Show past alerts and what became of their messages.",
    "explain": "Say why a rule fires or does not, and who was told.",
    "outbox": "Show messages that wait or were given up; send again, drop.",
    "plugins": "Show the plugins and what they offer; begin a new one.",
    "rules": "Show what kinds of rules there are; write one to begin with.",
    "fields": "Show the fields of OKX that rules can name.",
    "metrics": "Show the metrics; write alerts and a dashboard of them.",
    "systemd": "Print or install the unit that makes it a service.",
    "schema": "Write the JSON Schema of the rules file, for editors.",
    "journal": "Show how much of what was seen is kept; export, import.",
    "replay": "Play a recording through your rules: what they would have done.",
    "demo": "Play a crash on this machine: no key, no network.",
    "simulate": "Serve a simulated exchange to try rules against.",
}
"""Every command and its line in `riskbot --help`."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What an OSError says when stdout, or the disk below it, takes no more."""


class _Commands(click.Group):
    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except OSError as error:  # a broken pipe is known to click
            if error.errno not in _FULL:
                raise
            click.echo(f"can't write: {error.strerror}", err=True)
            with suppress(OSError):
                sys.stdout.close()  # else Python tries once more as it ends, and fails aloud
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return _of_plugins().get(cmd_name)
        command: click.Command = importlib.import_module(f"riskbot.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and args[0] not in _of_plugins():
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _of_plugins() -> Mapping[str, click.Command]:
    """The commands of plugins: of those in the rules.toml that lies here, and of installed packages."""
    from riskbot.cli.common import plugins_here  # noqa: PLC0415 - needed for no command of riskbot's own

    return plugins_here().commands


@click.group(cls=_Commands, epilog="Exit codes: 0 well, 1 failed, 2 usage or configuration.")
@click.version_option(package_name="riskbot")
def main(**_: Any) -> None:
    """The watchman for leveraged OKX accounts: polls the balance, judges your rules, tells you in time."""
