"""The course of a margin ratio as a picture: where its lines run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from math import log

from msgspec import Struct

from riskbot.history import COURSE_SPAN
from riskbot.rules import Rung
from riskbot.text import number

WIDTH, HEIGHT = 600, 160
"""Of the plot, in the picture's own units."""
HOLE = 30.0
"""Seconds. Where nothing was seen for longer no line is drawn: nobody knows how it went."""
LIQUIDATION = 1.0
CLOSE = 14.0
"""Two words closer together than so could not be read."""


class Mark(Struct, frozen=True):
    """A tier: a level line and its word. y: its place. word: "" where there is no room for it. severity: its colour."""

    y: float
    word: str
    severity: str


class Chart(Struct, frozen=True):
    """lines: each a polyline's points. end: where the newest value is. marks: tiers in sight."""

    lines: tuple[str, ...]
    end: tuple[float, float]
    marks: tuple[Mark, ...]
    width: int = WIDTH
    height: int = HEIGHT


def chart(course: Sequence[tuple[float, Decimal]], now: float, rungs: Iterable[Rung]) -> Chart | None:
    """The last 15 minutes, liquidation at the foot, by logarithm: a fall by half is as deep anywhere.

    None: there is no course.
    """
    points = [(at, float(value)) for at, value in course if at >= now - COURSE_SPAN]
    if not points:
        return None
    top = max(2.0, 1.15 * max(value for _, value in points))

    def place(at: float, value: float) -> tuple[float, float]:
        height = log(max(value, LIQUIDATION)) / log(top)
        return WIDTH * (1 - (now - at) / COURSE_SPAN), HEIGHT * (1 - height)

    lines = tuple(" ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in run)) for run in _runs(points))
    marks = ((place(now, float(rung.enter))[1], rung) for rung in rungs if LIQUIDATION < rung.enter < top)
    return Chart(lines, place(*points[-1]), tuple(_spaced(marks)))


def _runs(points: list[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Cut where nothing was seen."""
    run = points[:1]
    for before, point in pairwise(points):
        if point[0] - before[0] > HOLE:
            yield run
            run = []
        run.append(point)
    yield run


def _spaced(marks: Iterable[tuple[float, Rung]]) -> Iterator[Mark]:
    """From the foot up; a word that would lie on the one below it is left out."""
    below = float(HEIGHT)
    for y, rung in sorted(marks, key=lambda mark: -mark[0]):
        word = number(rung.enter) if below - y >= CLOSE else ""
        below = y if word else below
        yield Mark(y, word, rung.severity.label)
