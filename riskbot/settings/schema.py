"""JSON Schema of a rules file: by it editors complete and check, and the commands show what a kind takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from riskbot.rules import Rule
from riskbot.settings.model import File
from riskbot.spelling import REFERENCE, REPEAT, SEVERITIES, Schema, duration

DRAFT = "http://json-schema.org/draft-07/schema#"


def json_schema(kinds: Mapping[str, type[Rule]]) -> Schema:
    """Of the whole file. What only riskbot can know (names, order of tiers, secrets) it does not refuse."""
    file = _of_model(File)
    file["properties"]["rules"]["items"] = {"oneOf": [{"$ref": f"#/$defs/{word}"} for word in kinds]}
    about = {"title": "riskbot's rules file", "description": "Who is watched, who is told, and when."}
    whole = {"$schema": DRAFT, **file, **about, "$defs": {word: of_kind(kind) for word, kind in kinds.items()}}
    return cast("Schema", _referable(whole))


def of_kind(kind: type[Rule]) -> Schema:
    """Of one `[[rules]]` entry of that kind."""
    try:
        found = _of_model(kind)
    except PydanticUserError:  # a type of a plugin's own: riskbot can judge it, JSON Schema can't
        found = {**_of_model(Rule), "additionalProperties": True}
    word: Schema = {"const": kind.KIND, "description": summary(kind)}
    return {**found, "title": kind.KIND, "properties": {**found["properties"], "kind": word}}


def summary(kind: type[Rule]) -> str:
    """The first paragraph of what a kind says of itself, on one line."""
    return " ".join(text_of(kind).partition("\n\n")[0].split())


def text_of(kind: type[Rule]) -> str:
    """All that a kind says of itself."""
    return inspect.cleandoc(kind.__doc__ or "")


class _Plain(GenerateJsonSchema):
    """Without titles, and without warnings about a plugin's own types."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def _of_model(model: type[BaseModel]) -> Schema:
    found = model.model_json_schema(schema_generator=_Plain)
    return cast("Schema", _tidy(found, found.pop("$defs", {})))


def _tidy(node: Any, parts: Mapping[str, Any]) -> Any:
    """As a trader writes it: parts in their place, no null, tiers by their names, defaults as they are written."""
    if isinstance(node, list):
        return [_tidy(item, parts) for item in node]
    if not isinstance(node, dict):
        return node
    node = _without_null(node)
    if ref := str(node.get("$ref", "")).rpartition("/")[2]:
        node = {**parts.get(ref, {}), **{key: value for key, value in node.items() if key != "$ref"}}
        parts = {name: part for name, part in parts.items() if name != ref}  # one that holds itself ends there
    node = _default(_tiers(node))
    return {key: _tidy(value, parts) if key != "default" else value for key, value in node.items()}


def _without_null(node: Schema) -> Schema:
    """TOML has none."""
    ways = [way for way in node.get("anyOf", []) if way != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf" and (key, value) != ("default", None)}
    if len(ways) == 1:
        return {**ways[0], **rest}
    return {**rest, "anyOf": ways} if ways else rest


def _tiers(node: Schema) -> Schema:
    """Named one by one, so that an editor can offer them."""
    names = node.get("propertyNames", {}).get("enum")
    if not names:
        return node
    each = dict.fromkeys(names, node.get("additionalProperties", {}))
    rest = {key: value for key, value in node.items() if key != "propertyNames"}
    return {**rest, "properties": each, "additionalProperties": False, "minProperties": 1}


def _default(node: Schema) -> Schema:
    """Durations with their unit, numbers as numbers; of a table the defaults of its keys."""
    value, kind = node.get("default"), node.get("x-type")
    if kind == "duration" and isinstance(value, int | float):
        return {**node, "default": duration(value)}
    if kind == "number" and isinstance(value, str):
        return {**node, "default": int(number) if (number := float(value)).is_integer() else number}
    if isinstance(value, list | tuple):
        return {**node, "default": [_default({**node.get("items", {}), "default": item})["default"] for item in value]}
    if kind == REPEAT["x-type"] and isinstance(value, dict):
        every = {name: duration(seconds) for name, seconds in value.items()}
        return {**node, "default": every if len({*every.values()}) > 1 else next(iter(every.values()))}
    if isinstance(value, dict):
        parts = node.get("properties", {})
        own = {key: _default({**parts.get(key, {}), "default": item})["default"] for key, item in value.items()}
        return {**node, "default": own}
    return node


def _referable(node: Any) -> Any:
    """Any value may be filled in from elsewhere, so flags, whole numbers and words of a few may be such a text too."""
    if isinstance(node, list):
        return [_referable(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _referable(value) for key, value in node.items() if key != "x-type"}
    if "enum" not in node and node.get("type") not in ("boolean", "integer"):
        return node
    told = {key: node.pop(key) for key in ("description", "default", "examples", "x-taplo") if key in node}
    return {**told, "anyOf": [node, REFERENCE]}


def type_of(node: Schema) -> str:
    """What a value is, in a trader's words: `duration`, `list of texts`, `tiers: number`."""
    if word := node.get("x-type"):
        return str(word)
    if "enum" in node:
        return " or ".join(str(word) for word in node["enum"])
    if tuple(node.get("properties", ())) == SEVERITIES:
        return f"tiers: {type_of(node['properties']['warning'])}"
    if "properties" in node:
        return "table"
    if node.get("type") == "array":
        return f"list of {type_of(node.get('items', {}))}s"
    words = {"string": "text", "boolean": "true or false", "integer": "whole number", "object": "words by name"}
    return words.get(str(node.get("type")), "value")
