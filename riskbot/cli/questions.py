"""Asking a person, or nobody: every question is also a flag, and with --yes what is missing ends the command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from riskbot.cli.common import fail
from riskbot.settings.secrets import reason


class Questions:
    """How answers are got. silent: nobody is asked; what has no default is missing."""

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent

    def secret(self, words: str, flag: str, before: str = "") -> str:
        """One line that is not shown as it is typed. before: what it was; Enter keeps it."""
        if self.silent:
            return before or self._missing(words, flag)
        hint = " (Enter keeps the one that is there)" if before else " (it is not shown)"
        typed = str(click.prompt(words + hint, default=before or None, hide_input=True, show_default=False)).strip()
        if typed.isprintable() and typed:
            return typed
        click.echo("It holds a line break or another control character: copy it again.")
        return self.secret(words, flag, before)

    def optional_secret(self, words: str, before: str = "") -> str:
        """The same where there need be none: then Enter is "", unless there is one."""
        if self.silent:
            return before
        hint = "Enter keeps the one that is there" if before else "it is not shown; Enter: none"
        typed: str = click.prompt(f"{words} ({hint})", default=before, hide_input=True, show_default=False)
        return typed.strip()

    def text(self, words: str, default: str | None = None) -> str:
        """One line; silent: the default. Enter is the default, if there is one."""
        if self.silent and default is not None:
            return default
        return str(click.prompt(words, default=default, show_default=bool(default))).strip()

    @staticmethod
    def choice(words: str, of: Sequence[str], default: str) -> str:
        """One of a few words."""
        return str(click.prompt(words, type=click.Choice(of, case_sensitive=False), default=default))

    def confirm(self, words: str, *, default: bool) -> bool:
        """Yes or no; silent: the default."""
        return default if self.silent else click.confirm(words, default=default)

    def enter(self, words: str) -> None:
        """Wait for Enter."""
        click.prompt(words, default="", show_default=False, prompt_suffix=" ")

    @staticmethod
    def _missing(words: str, flag: str) -> NoReturn:
        fail(f"{words}: not given, and --yes asks nobody. Give {flag}.", 2)


def heading(words: str) -> None:
    """Begin a part."""
    click.echo()
    click.secho(words, bold=True)


def read(source: str, flag: str) -> str:
    """A secret from a file, or from the next line of standard input (`-`). flag: by which it was named.

    What is there is named again; else it may be the secret itself, in place of its file.
    """
    try:
        text = sys.stdin.readline() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        fail(f"{flag}: there is no such file; a file that holds the secret is due, or - for a line of stdin", 2)
    except (OSError, ValueError) as error:
        there = isinstance(error, UnicodeError | PermissionError | IsADirectoryError)
        fail(f"{flag}: can't read the secret in {source if there else 'that file'}: {reason(error)}", 2)
    if not text.strip() or not text.strip().isprintable():
        fail(f"{'standard input' if source == '-' else source}: one line with the secret is due", 2)
    return text.strip()
