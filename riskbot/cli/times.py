"""Options that say when, or how long."""

from __future__ import annotations

from datetime import UTC, datetime

import click

LONGEST = 86400.0
"""Seconds that an acknowledgement or a silence lasts at most."""


def point(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Seconds since 1970 of an option `--from`."""
    try:
        found = None if value is None else datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("write 2026-03-01, or 2026-03-01T14:30:00; it is UTC") from None
    if found is None:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def duration(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Seconds of an option `--since`, which has a default."""
    from riskbot.rules import parse_duration  # noqa: PLC0415 - see cli/__init__.py

    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def lasting(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Seconds of an option `--for`."""
    seconds = None if value is None else duration(ctx, param, value)
    if seconds is not None and not 0 < seconds <= LONGEST:
        raise click.BadParameter("must be more than 0s and at most 24h")
    return seconds
