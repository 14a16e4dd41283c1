"""riskbot schema: what a rules file may hold, for editors."""

from __future__ import annotations

import click

from riskbot.cli.common import echo_json, known_kinds


@click.command("schema")
def command() -> None:
    """Write the JSON Schema of the rules file, for editors that complete and explain as you type.

    riskbot schema > rules.schema.json, then begin rules.toml with the line

    #:schema ./rules.schema.json

    In VS Code the extension "Even Better TOML" reads it.

    Exit codes: 0 written, 2 usage.
    """
    from riskbot.settings.schema import json_schema  # noqa: PLC0415 - see cli/__init__.py

    echo_json(json_schema(known_kinds()))
