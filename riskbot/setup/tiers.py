"""When a rule fires, as its file has it: `adjEq below warning $5,000, critical $3,000 for 2 s`."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

from riskbot.fields import USD
from riskbot.rules import Rule, Rung
from riskbot.snapshot import field
from riskbot.text import span


def fires(rule: Rule) -> str:
    """All of it, in one line."""
    if not rule.enabled:
        return "off"
    if rule.ALWAYS_ON:
        return "always on"
    key, written = _written(rule)
    tiers = [f"{rung.severity.label} {_tier(written, rung, unit(rule))}" for rung in rule.ladder().rungs]
    reaches = getattr(rule, "reaches", None)
    goal = "" if reaches is None else f"reaches {amount(reaches, _field_unit(rule))}"
    words = (getattr(rule, "field", ""), goal, key.replace("_", " "), ", ".join(tiers), _timers(rule))
    return " ".join(filter(None, words))


def exact(rule: Rule) -> dict[str, str]:
    """The tiers for machines: words, or numbers; times in seconds."""
    _, written = _written(rule)
    rungs = {rung.severity.label: rung for rung in rule.ladder().rungs}
    words = {label: isinstance(written.get(label), str | tuple) for label in rungs}
    return {label: _tier(written, rung, "") if words[label] else f"{rung.enter:f}" for label, rung in rungs.items()}


def unit(rule: Rule) -> str:
    """Of its tiers: `%`, `USD`, `coin`, `ratio`, `level`, `s`; "" where it is not known."""
    _, tiers = _written(rule)
    if any(isinstance(tier, float) for tier in tiers.values()):
        return "s"
    own = {getattr(tier, "unit", "") for tier in tiers.values()} - {""}
    if own:
        return own.pop().replace("$", USD)
    return _field_unit(rule)


def amount(value: Decimal, unit: str) -> str:
    """Exact, as it was meant: `$10,000`, `10 %`, `1.5`."""
    plain = f"{(value * 100 if unit == '%' else value).normalize():,f}"
    return {"USD": f"${plain}", "%": f"{plain} %"}.get(unit, plain)


def _timers(rule: Rule) -> str:
    """The window, and what is not as usual: how long it must hold, and how long it must be over."""
    usual = type(rule).model_fields["keep_firing_for"].default
    over = getattr(rule, "over", None)
    words = [
        f"in {span(over)}" if isinstance(over, float) else "",
        f"for {span(rule.for_)}" if rule.for_ else "",
        f"(falls after {span(rule.keep_firing_for)})" if rule.keep_firing_for != usual else "",
    ]
    return " ".join(filter(None, words))


def _written(rule: Rule) -> tuple[str, dict[str, Any]]:
    """The key under which the tiers stand in the file, and what stands there."""
    own = (key for key in type(rule).model_fields if key not in Rule.model_fields)
    found = ((key, getattr(rule, key)) for key in own)
    return next(((key, value) for key, value in found if value and isinstance(value, dict)), ("", {}))


def _tier(written: dict[str, Any], rung: Rung, unit: str) -> str:
    """One tier as it was meant: words, a time, or an amount."""
    value = written.get(rung.severity.label)
    if isinstance(value, str | tuple):
        return value if isinstance(value, str) else " or ".join(value)
    return span(value) if isinstance(value, float) else amount(rung.enter, unit)


def _field_unit(rule: Rule) -> str:
    """Of its field, if it has one of OKX's."""
    with suppress(KeyError):  # a field of its own
        return str(field(rule.field).unit) if hasattr(rule, "field") else ""
    return ""
