"""riskbot show-config: all that riskbot goes by, in one piece, without secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import stored, toml
from riskbot.cli.common import config_option, load_all, secrets

if TYPE_CHECKING:
    from riskbot.plugins import Plugins
    from riskbot.redact import Redactor
    from riskbot.settings import Config, Sources

COMMENT_AT = 44
"""The column of comments."""
DEFAULT, ALWAYS = "default", "always on: it is in no file"


@click.command("show-config")
@config_option
def command(path: Path) -> None:
    """Show the rules file with all that it includes and every default, as TOML.

    A comment says in which file and line each part stands. Secrets are not filled in, and need not be there. One that
    stands in the file itself is shown as ***; if there is none such, riskbot can read what is shown.

    Exit codes: 0 shown, 2 the rules file is wrong.
    """
    from riskbot.redact import Redactor  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import Sources  # noqa: PLC0415 - see cli/__init__.py

    config, found = load_all(path, keyless=True)
    shown = Shown(Sources(path, os.environ), Redactor(secrets(config)))
    click.echo("\n".join(_lines(shown, config, found)))


def _lines(shown: Shown, config: Config, found: Plugins) -> Iterator[str]:
    from riskbot.settings.cases import Cases  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings.schema import json_schema  # noqa: PLC0415 - see cli/__init__.py

    schema = json_schema(found.kinds)
    sections = {key: node for key, node in schema["properties"].items() if key not in Cases.model_fields}
    yield f"# {', '.join(map(str, config.files))}: as riskbot reads {'it' if len(config.files) == 1 else 'them'}"
    yield from shown.top(sections)
    for section, node in sections.items():
        if section == "rules":
            yield from shown.rules(config, schema["$defs"])
        elif "properties" in node:
            if section not in shown.document and "default" not in node:
                continue
            yield from shown.table((section,), f"[{section}]", node)
        elif "additionalProperties" in node:
            for name in shown.document.get(section, {}):
                yield from shown.table((section, name), f"[{section}.{toml.key(name)}]", node["additionalProperties"])
        elif "properties" in node.get("items", {}):
            for i, _ in enumerate(shown.document.get(section, ())):
                yield from shown.table((section, i), f"[[{section}]]", node["items"])


class Shown:
    """A rules file and all that it includes, told table by table."""

    def __init__(self, sources: Sources, redactor: Redactor) -> None:
        self.document, self._where, self._redact = sources.raw(), sources.where, redactor.redact

    def top(self, sections: Mapping[str, Any]) -> Iterator[str]:
        """What stands above all sections; what was included is here already."""
        for key, value in self.document.items():
            if key in sections and key != "include" and _is_plain(value):
                yield from ("", f"{toml.key(key)} = {toml.value(self._without_secrets(value))}")

    def table(self, loc: Sequence[str | int], header: str, node: Mapping[str, Any]) -> Iterator[str]:
        """One table at that place of the document; it may be missing there."""
        entry: Any = self.document
        for part in loc:
            entry = entry.get(part, {}) if isinstance(entry, dict) else entry[part]
        yield from self._block(header, entry, node, self._where(tuple(loc)) if entry else DEFAULT)

    def rules(self, config: Config, kinds: Mapping[str, Any]) -> Iterator[str]:
        """Those of the files in their order, then those that are always on."""
        entries = self.document.get("rules", [])
        for i, rule in enumerate(config.rules):
            if i < len(entries):
                entry, where = entries[i], self._where(("rules", i))
            else:
                scope = {"accounts": list(rule.accounts)} if rule.accounts is not None else {}
                entry, where = {"name": rule.name, "kind": rule.kind, **scope}, ALWAYS
            yield from self._block("[[rules]]", entry, kinds[rule.kind], where)

    def _block(self, header: str, entry: Mapping[str, Any], node: Mapping[str, Any], where: str) -> Iterator[str]:
        from riskbot.setup.masking import is_secret, masked  # noqa: PLC0415 - see cli/__init__.py

        yield from ("", _commented(header, where))
        nodes = node["properties"]
        for key, value in entry.items():
            hide = masked if is_secret(key, nodes.get(key, {})) else self._without_secrets
            yield f"{toml.key(key)} = {toml.value(hide(value))}"
        for key, about in nodes.items():
            if key not in entry and about.get("default") not in (None, "", [], {}):
                yield _commented(f"{toml.key(key)} = {toml.value(about['default'])}", DEFAULT)

    def _without_secrets(self, value: Any) -> Any:
        from riskbot.setup.masking import each_text  # noqa: PLC0415 - see cli/__init__.py

        return each_text(value, self._redact)


def _is_plain(value: Any) -> bool:
    """No table, and no list of them."""
    return not isinstance(value, dict) and not (isinstance(value, list) and any(isinstance(i, dict) for i in value))


def _commented(line: str, comment: str) -> str:
    return f"{line:<{COMMENT_AT - 2}}  # {stored.plain(comment)}"
