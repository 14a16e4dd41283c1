"""What of a recording can't be read: told and left out if --skip-bad says so, else the end of the command."""

from __future__ import annotations

from typing import NoReturn

import click

from riskbot.cli.common import fail

MOST_SHOWN = 5
"""Parts that can't be read, told one by one; the rest is counted."""

skip_option = click.option("--skip-bad", is_flag=True, help="Leave out what can't be read; say how much that was.")


class LeftOut:
    """Parts that can't be read. skip: they are left out, and counted; else the first is raised."""

    def __init__(self, *, skip: bool) -> None:
        self.count, self._skip = 0, skip

    def __call__(self, error: Exception) -> None:
        """What is wrong with one."""
        if not self._skip:
            raise error
        self.count += 1
        if self.count <= MOST_SHOWN:
            click.echo(f"left out: {error}", err=True)

    def tell(self) -> None:
        """How much it was, where not each was told."""
        if self.count > MOST_SHOWN:
            click.echo(f"left out: {self.count:,} parts in all", err=True)


def unreadable(error: Exception) -> NoReturn:
    """Say what can't be read, and end with exit code 1."""
    fail(f"{error}\n--skip-bad leaves out what can't be read.", 1)
