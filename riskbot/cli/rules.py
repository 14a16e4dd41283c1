"""riskbot rules: what kinds of rules there are, and a block to begin with."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import toml
from riskbot.cli.common import console, echo_json, fail, json_option, known_kinds, table

if TYPE_CHECKING:
    from riskbot.rules import Rule


@click.group("rules")
def command() -> None:
    """Show what kinds of rules there are, and write a block to begin with.

    Exit codes: 0 done, 2 usage, or no such kind.
    """


@command.command("kinds")
@click.argument("kind", required=False)
@json_option
def _kinds(kind: str | None, *, as_json: bool) -> None:
    """Show all kinds, or KIND with its keys and an example.

    Exit codes: 0 shown, 2 no such kind.
    """
    kinds = known_kinds()
    chosen = kinds if kind is None else {kind: _chosen(kind, kinds)}
    if as_json:
        echo_json([_document(found) for found in chosen.values()])
    elif kind is None:
        _show_all(kinds)
    else:
        _show(chosen[kind])


@command.command("new")
@click.argument("kind")
@click.option("--name", help="Of the rule; otherwise that of the kind's example.")
def _new(kind: str, name: str | None) -> None:
    """Write a rule of that KIND, every key with a comment: riskbot rules new change >> rules.toml.

    Exit codes: 0 written, 2 no such kind, or a name that can't be.
    """
    found = _chosen(kind, known_kinds())
    entry = _example(found) | ({"name": name} if name is not None else {})
    mistake = _mistake(found, entry)
    if mistake and found.EXAMPLE:
        fail(mistake, 2)
    click.echo("\n".join(_block(found, entry)))
    if mistake:
        click.echo(f"warning: the kind gives no example, and this is not right yet: {mistake}", err=True)


def _chosen(word: str, kinds: Mapping[str, type[Rule]]) -> type[Rule]:
    from riskbot.settings.mistakes import no_such  # noqa: PLC0415 - see cli/__init__.py

    if word not in kinds:
        fail(no_such("kind", word, kinds), 2)
    return kinds[word]


def _mistake(kind: type[Rule], entry: dict[str, Any]) -> str:
    """What is wrong with it, or ""."""
    from pydantic import ValidationError  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.settings.mistakes import explain  # noqa: PLC0415 - see cli/__init__.py

    try:
        kind.model_validate(entry)
    except ValidationError as error:
        return explain(error.errors(include_url=False)[0], kind)
    return ""


# What a kind says of itself.


def _document(kind: type[Rule]) -> dict[str, Any]:
    from riskbot.settings.schema import of_kind, summary, text_of, type_of  # noqa: PLC0415 - see cli/__init__.py

    schema = of_kind(kind)
    return {
        "kind": kind.KIND,
        "summary": summary(kind),
        "doc": text_of(kind),
        "keys": [
            {
                "key": key,
                "type": type_of(node),
                "required": key in schema.get("required", ()),
                "common": _is_common(key),
                "default": node.get("default"),
                "meaning": node.get("description", ""),
            }
            for key, node in schema["properties"].items()
        ],
        "example": "\n".join(_lines(_example(kind))),
    }


def _is_common(key: str) -> bool:
    from riskbot.rules import Rule  # noqa: PLC0415 - see cli/__init__.py

    return key in {field.alias or name for name, field in Rule.model_fields.items()}


def _example(kind: type[Rule]) -> dict[str, Any]:
    """The kind's own, or one that is made of samples."""
    from riskbot.settings.schema import of_kind  # noqa: PLC0415 - see cli/__init__.py

    with suppress(ValueError, LookupError, TypeError):  # a plugin's may be anything
        entry: dict[str, Any] = {**tomllib.loads(kind.EXAMPLE)["rules"][0]}
        return entry
    schema = of_kind(kind)
    needed = {key: _sample(schema["properties"][key]) for key in schema.get("required", ())}
    return {**needed, "name": kind.KIND.replace("_", " "), "kind": kind.KIND}


def _sample(node: Mapping[str, Any]) -> Any:
    """A value of that type."""
    for key in ("default", "const"):
        if key in node and node[key] not in ([], {}):
            return node[key]
    for key in ("examples", "enum"):
        if node.get(key):
            return node[key][0]
    if "warning" in node.get("properties", {}):
        return {"warning": _sample(node["properties"]["warning"])}
    samples = {"boolean": True, "integer": node.get("minimum", 1), "number": 1, "array": [], "object": {}}
    return samples.get(str(node.get("type")), "…")


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    yield "[[rules]]"
    yield from (f"{toml.key(key)} = {toml.value(value)}" for key, value in entry.items())


# A block to begin with.

COMMENT_AT, WIDTH = 44, 100
"""The column of comments, and where they end; one without room beside its line stands above it."""


def _block(kind: type[Rule], entry: dict[str, Any]) -> Iterator[str]:
    """The entry with its comments; below it, commented out, what else could be said."""
    from riskbot.settings.schema import of_kind, summary  # noqa: PLC0415 - see cli/__init__.py

    nodes = of_kind(kind)["properties"]
    rest = [key for key in nodes if key not in entry]
    yield from _wrapped(summary(kind))
    yield "[[rules]]"
    for key, value in entry.items():
        yield from _commented(
            f"{key} = {toml.value(value)}", "" if key == "kind" else nodes[key].get("description", "")
        )
    for title, keys in (
        ("This kind takes these too:", [key for key in rest if not _is_common(key)]),
        ("Every kind takes these (so they are by default; without one, an example):", filter(_is_common, rest)),
    ):
        lines = [line for key in keys for line in _option(key, nodes[key])]
        yield from (["", f"# {title}", *lines] if lines else [])


def _option(key: str, node: Mapping[str, Any]) -> Iterator[str]:
    yield from _commented(f"# {key} = {toml.value(_sample(node))}", node.get("description", ""))


def _commented(line: str, comment: str) -> Iterator[str]:
    if not comment:
        yield line
    elif len(line) < COMMENT_AT and COMMENT_AT + len(comment) + 2 <= WIDTH:
        yield f"{line:<{COMMENT_AT}}# {comment}"
    else:
        yield f"# {comment}"
        yield line


def _wrapped(words: str) -> Iterator[str]:
    import textwrap  # noqa: PLC0415 - see cli/__init__.py

    yield from textwrap.wrap(words, WIDTH, initial_indent="# ", subsequent_indent="# ")


# For people.


def _show_all(kinds: Mapping[str, type[Rule]]) -> None:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.settings.schema import summary  # noqa: PLC0415 - see cli/__init__.py

    rows = table("kind", "what it watches")
    for word, kind in kinds.items():
        rows.add_row(Text(word), Text(summary(kind)))
    out = console()
    out.print(rows)
    out.print("\nriskbot rules kinds KIND: its keys and an example. riskbot rules new KIND: a block to begin with.")


def _show(kind: type[Rule]) -> None:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    out, found = console(), _document(kind)
    paragraphs = (" ".join(words.split()) for words in found["doc"].split("\n\n"))
    out.print(Text(kind.KIND, "bold"), *map(Text, paragraphs), sep="\n\n", end="\n\n")
    out.print(_keys([key for key in found["keys"] if not key["common"]]))
    out.print("\nEvery kind takes these too:\n")
    out.print(_keys([key for key in found["keys"] if key["common"] and key["key"] not in ("name", "kind")]))
    out.print(Text(f"\nExample:\n\n{found['example']}"))


def _keys(keys: list[dict[str, Any]]) -> Any:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    rows = table("key", "type", "default", "meaning")
    for key in keys:
        default = "required" if key["required"] else _written(key["default"])
        rows.add_row(*map(Text, (key["key"], key["type"], default, key["meaning"])))
    return rows


def _written(default: Any) -> str:
    """As it would stand in the file; a table with a line for each of its keys."""
    if default in (None, [], {}):
        return ""
    if isinstance(default, dict):
        return "\n".join(f"{toml.key(key)} = {toml.value(value)}" for key, value in default.items())
    return toml.value(default)
