"""The conditions of kind = "expression": comparisons of OKX's fields, joined by and, or, not. Pure.

What can't be judged is refused when it is read: names that OKX does not have, kinds of values that can't be compared,
and all of the language that a condition has no need of (patterns, the time, chance, lists of other things than words).

The language is rule-engine's; this module is imported only where a rule uses it, as that takes a third of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import rule_engine
from msgspec import Struct
from rule_engine import DataType, ast, errors

from riskbot import snapshot
from riskbot.fields import NOT_APPLICABLE, Amount, Flag, Row, Word
from riskbot.rules import suggest
from riskbot.snapshot import Balance, Snapshot

FUNCTIONS = ("abs", "max", "min")
ROW = "details"

_PARTS: dict[type, tuple[str, ...]] = {
    ast.LogicExpression: ("left", "right"),
    ast.ComparisonExpression: ("left", "right"),
    ast.ArithmeticComparisonExpression: ("left", "right"),
    ast.AddExpression: ("left", "right"),
    ast.SubtractExpression: ("left", "right"),
    ast.ArithmeticExpression: ("left", "right"),
    ast.UnaryExpression: ("right",),
    ast.TernaryExpression: ("condition", "case_true", "case_false"),
    ast.ContainsExpression: ("member", "container"),
    ast.FunctionCallExpression: ("function", "arguments"),
    ast.ArrayExpression: ("value",),
    ast.GetAttributeExpression: ("object",),
    ast.SymbolExpression: (),
    ast.FloatExpression: (),
    ast.StringExpression: (),
    ast.BooleanExpression: (),
}
"""All that a condition may be made of, and where its parts are."""

_TYPES: dict[type, Any] = {Amount: DataType.FLOAT, Flag: DataType.BOOLEAN, Word: DataType.STRING}
_SPOKEN = {DataType.FLOAT: "a number", DataType.BOOLEAN: "true or false", DataType.STRING: "a word"}


class UnfitError(ValueError):
    """That is no condition. Its words are for the trader."""


class NoValueError(Exception):
    """A field that the condition needs has no value. lacking: `NOT_APPLICABLE` or `MISSING`. path: the field."""

    def __init__(self, lacking: Decimal, path: str) -> None:
        super().__init__(path)
        self.lacking, self.path = lacking, path


class Condition(Struct, frozen=True):
    """A condition that can be judged. fields: all that it names, in the order of the text."""

    text: str
    fields: tuple[str, ...]
    rule: Any

    def holds(self, account: Snapshot, row: Row | None = None) -> bool:
        """Is it so, of the account and one of its currencies? Raises NoValueError where that can't be told."""
        try:
            return bool(self.rule.matches((account, row)))
        except errors.ArithmeticError:
            raise NoValueError(NOT_APPLICABLE, "no result: divided by 0") from None


def read(text: str) -> Condition:
    """The condition that a trader wrote. Raises UnfitError."""
    if any(sign in text for sign in ("=~", "!~")):  # before it is read: a pattern can keep a machine busy for hours
        raise UnfitError('no patterns: compare words with == or in ["…", "…"]')
    try:
        rule = rule_engine.Rule(text, context=_CONTEXT)
    except errors.EngineError as error:
        raise UnfitError(_explain(error, text)) from None
    nodes = list(_walk(rule.statement.expression))
    for node in reversed(nodes):  # parts first: what is wrong with them says more
        _check(node)
    _must_be(DataType.BOOLEAN, rule.statement.expression)
    fields = tuple(dict.fromkeys(path for node in nodes if (path := _path(node))))
    if not fields:
        raise UnfitError("it names no field of OKX, so it would always be the same")
    return Condition(text, fields, rule)


# ---------------------------------------------------------------- its names


def _types(row: type[Row]) -> dict[str, Any]:
    """The fields of a row that a condition may name."""
    return {key: kind for key, field in row.FIELDS.items() for base, kind in _TYPES.items() if isinstance(field, base)}


def _value(row: Row, key: str) -> Any:
    """The value of a field. Raises NoValueError where there is none."""
    value = row.field(key).__get__(row, type(row))
    if value is None or (isinstance(value, Decimal) and value.is_nan()):
        raise NoValueError(row.lacks(key) if value is None else value, f"{row.PREFIX}{key}")
    return value


def _resolve(place: tuple[Snapshot, Row | None], name: str) -> Any:
    """What a name stands for: a field of the account, or the row of the currency."""
    account, row = place
    return row if name == ROW else _value(account, name)


_CONTEXT = rule_engine.Context(
    resolver=_resolve,
    type_resolver={**_types(Snapshot), ROW: DataType.OBJECT("currency", _types(Balance), accessor=_value)},
    default_timezone="utc",
)


# ---------------------------------------------------------------- what it may be made of


def _walk(node: Any) -> Iterator[Any]:
    """The node and all of its parts. Raises UnfitError for what is none of a condition's."""
    if type(node) not in _PARTS:
        raise UnfitError(f"only fields, numbers, words, true, false, and or not, {', '.join(map(_call, FUNCTIONS))}")
    yield node
    for name in _PARTS[type(node)]:
        part = getattr(node, name)
        for child in part if isinstance(part, list | tuple) else (part,):
            yield from _walk(child)


def _check(node: Any) -> None:
    match node:
        case ast.SymbolExpression(scope="built-in") if node.name not in FUNCTIONS:
            near = suggest(node.name, FUNCTIONS) or f": there are {', '.join(map(_call, FUNCTIONS))}"
            raise UnfitError(f"no such function{near}")
        case ast.GetAttributeExpression() if not _path(node):
            raise UnfitError("only details has parts: write details.liab, details.eqUsd and so on")
        case ast.ArithmeticExpression(type="pow"):
            raise UnfitError("no powers: write mgnRatio * mgnRatio")
        case ast.LogicExpression():
            _must_be(DataType.BOOLEAN, node.left, node.right)
        case ast.UnaryExpression(type="not"):
            _must_be(DataType.BOOLEAN, node.right)
        case ast.ComparisonExpression():
            _must_be_alike(node.left, node.right)
        case ast.ContainsExpression():
            for member in getattr(node.container, "value", ()):
                _must_be_alike(node.member, member)


def _path(node: Any) -> str:
    """The field that a node names, as a trader types it; "" for other nodes."""
    match node:
        case ast.GetAttributeExpression(object=ast.SymbolExpression(name="details")):
            return f"{ROW}.{node.name}"
        case ast.SymbolExpression(scope=None) if node.name != ROW:
            return str(node.name)
    return ""


def _must_be(kind: Any, *nodes: Any) -> None:
    for node in nodes:
        if node.result_type != kind:
            what = _path(node) or "a part of it"
            raise UnfitError(f"{what} is {_SPOKEN.get(node.result_type, 'no value')}, not {_SPOKEN[kind]}: compare it")


def _must_be_alike(left: Any, right: Any) -> None:
    """Things of two kinds are never equal; a word that a field never is neither."""
    if left.result_type != right.result_type or left.result_type not in _SPOKEN:
        kinds = (_SPOKEN.get(side.result_type, "no value") for side in (left, right))
        raise UnfitError("it compares {} with {}: that is never so".format(*kinds))
    for field, word in ((left, right), (right, left)):
        known = snapshot.field(path).words if (path := _path(field)) else {}
        if known and isinstance(word, ast.StringExpression) and word.value not in known:
            near = suggest(word.value, known) or f"; it is one of {', '.join(known)}"
            raise UnfitError(f"{path} never is that{near}")


# ---------------------------------------------------------------- what is wrong


def _call(function: str) -> str:
    return f"${function}(…)"


def _explain(error: Any, text: str) -> str:
    """Why rule-engine can't read it, in words that say what to write. No sign of the text is repeated."""
    match error:
        case errors.ObjectAttributeError():
            return _no_field(f"{ROW}.{error.attribute_name}")
        case errors.SymbolResolutionError(symbol_scope=None):
            return _no_field(error.symbol_name)
        case errors.RuleSyntaxError():
            return _unread(error.token, text)
        case errors.EvaluationError():
            return "it compares or calculates with things of different kinds: numbers, words, true or false"
    return "it can't be read"


def _unread(token: Any, text: str) -> str:
    """Where it stops being a condition. token: rule-engine's, with all that is left of the text."""
    if "%" in text:
        return "it can't be read: a percentage is written as a number, 300% as 3"
    if token is None:
        return "it ends too soon: a value or a ) is missing"
    hint = "; equal is written ==" if str(token.value).startswith("=") else ""
    return f"it can't be read from sign {token.lexpos + 1} on{hint}"


def _no_field(path: str) -> str:
    if path in snapshot.field_paths():
        return f"{path} is a time: a condition can't name it"
    near = suggest(path, snapshot.field_paths())
    return f'OKX has no field "{path}"{near}' if near else "it names a field that OKX does not have"
