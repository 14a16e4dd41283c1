"""riskbot check: is the rules file right, and what would be watched?"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import STYLES, config_option, console, echo_json, json_option, load, table

if TYPE_CHECKING:
    from rich.text import Text

    from riskbot.rules import Rule, Rung
    from riskbot.settings import Config


@click.command("check")
@config_option
@json_option
def command(path: Path, *, as_json: bool) -> None:
    """Validate the rules file and say what would be watched. Nothing is sent, nothing is asked.

    Exit codes: 0 it is right, 2 it is not.
    """
    from riskbot.builtin.apprise import check_url  # noqa: PLC0415 - see cli/__init__.py

    config = load(path, check_url=check_url)
    if as_json:
        echo_json(_document(config))
    else:
        _show(path, config)


def _document(config: Config) -> dict[str, Any]:
    return {
        "accounts": [
            {"name": a.name, "region": a.base_url or a.region, "poll_every": a.poll_every} for a in config.accounts
        ],
        "receivers": [{"name": name, "min_severity": r.min_severity} for name, r in config.receivers.items()],
        "rules": [_rule_document(rule) for rule in config.rules],
        "store": str(config.db),
        "web": config.web and config.web.listen,
        "files": [str(file) for file in config.files],
        "warnings": [str(warning) for warning in config.warnings],
    }


def _rule_document(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "kind": rule.kind,
        "enabled": rule.enabled,
        "field": getattr(rule, "field", ""),
        "tiers": {rung.severity.label: _exact(rule, rung) for rung in rule.ladder().rungs},
        "unit": _unit(rule),
        "for": rule.for_,
        "keep_firing_for": rule.keep_firing_for,
        "labels": rule.labels,
    }


def _show(path: Path, config: Config) -> None:
    out = console()
    who = ", ".join(f"{a.name} ({a.base_url or a.region}, every {a.poll_every:g} s)" for a in config.accounts)
    told = ", ".join(f"{name} (from {r.min_severity})" for name, r in config.receivers.items())
    lines = (f"{path} is right.", f"  accounts   {who}", f"  receivers  {told}", f"  state in   {config.db}")
    seen = (f"  status at  http://{config.web.listen}/",) if config.web else ()
    more = (f"  includes   {', '.join(map(str, config.files[1:]))}",) if config.files[1:] else ()
    out.print("\n".join((*lines, *seen, *more, "")), markup=False, emoji=False, soft_wrap=True)
    rows = table("rule", "kind", "fires")
    for rule in config.rules:
        rows.add_row(*_row(rule))
    out.print(rows)


def _row(rule: Rule) -> tuple[Text, ...]:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    if not rule.enabled:
        fires = Text("off", "dim")
    elif rule.ALWAYS_ON:
        fires = Text("always on")
    else:
        fires = _fires(rule)
    return Text(rule.name), Text(rule.kind), fires


def _fires(rule: Rule) -> Text:
    """`adjEq below warning $5,000, critical $3,000 for 2 s`: as the file has it."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    key, written = _tiers(rule)
    unit = _unit(rule)
    tiers = [
        Text.assemble((rung.severity.label, STYLES[rung.severity.label]), f" {_tier(written, rung, unit)}")
        for rung in rule.ladder().rungs
    ]
    reaches = getattr(rule, "reaches", None)
    goal = "" if reaches is None else f"reaches {_amount(reaches, _field_unit(rule))}"
    words = [getattr(rule, "field", ""), goal, key.replace("_", " "), Text(", ").join(tiers), _timers(rule)]
    return Text(" ").join(Text(word) if isinstance(word, str) else word for word in words if word)


def _timers(rule: Rule) -> str:
    """The window, and what is not as usual: how long it must hold, and how long it must be over."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    usual = type(rule).model_fields["keep_firing_for"].default
    over = getattr(rule, "over", None)
    words = [
        f"in {span(over)}" if isinstance(over, float) else "",
        f"for {span(rule.for_)}" if rule.for_ else "",
        f"(falls after {span(rule.keep_firing_for)})" if rule.keep_firing_for != usual else "",
    ]
    return " ".join(filter(None, words))


def _tiers(rule: Rule) -> tuple[str, dict[str, Any]]:
    """The key under which the tiers stand in the file, and what stands there."""
    from riskbot.rules import Rule as Common  # noqa: PLC0415 - see cli/__init__.py

    own = (key for key in type(rule).model_fields if key not in Common.model_fields)
    found = ((key, getattr(rule, key)) for key in own)
    return next(((key, value) for key, value in found if value and isinstance(value, dict)), ("", {}))


def _tier(written: dict[str, Any], rung: Rung, unit: str) -> str:
    """One tier as it was meant: words, a time, or an amount."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    value = written.get(rung.severity.label)
    if isinstance(value, str | tuple):
        return value if isinstance(value, str) else " or ".join(value)
    return span(value) if isinstance(value, float) else _amount(rung.enter, unit)


def _exact(rule: Rule, rung: Rung) -> str:
    """One tier for machines: words, or a number; a time in seconds."""
    _, written = _tiers(rule)
    words = isinstance(written.get(rung.severity.label), str | tuple)
    return _tier(written, rung, "") if words else f"{rung.enter:f}"


def _unit(rule: Rule) -> str:
    """Of its tiers: `%`, `USD`, `coin`, `ratio`, `level`, `s`; "" where it is not known."""
    from riskbot.snapshot import USD  # noqa: PLC0415 - see cli/__init__.py

    _, tiers = _tiers(rule)
    if any(isinstance(tier, float) for tier in tiers.values()):
        return "s"
    own = {getattr(tier, "unit", "") for tier in tiers.values()} - {""}
    if own:
        return own.pop().replace("$", USD)
    return _field_unit(rule)


def _field_unit(rule: Rule) -> str:
    """Of its field, if it has one of OKX's."""
    from riskbot.snapshot import field  # noqa: PLC0415 - see cli/__init__.py

    with suppress(KeyError):  # a field of its own
        return str(field(rule.field).unit) if hasattr(rule, "field") else ""
    return ""


def _amount(value: Decimal, unit: str) -> str:
    """Exact, as it was meant: `$10,000`, `10 %`, `1.5`."""
    plain = f"{(value * 100 if unit == '%' else value).normalize():,f}"
    return {"USD": f"${plain}", "%": f"{plain} %"}.get(unit, plain)
