"""Whether what was heard is what a case expects: all of it, and nothing else. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from riskbot.casebook.course import Course
from riskbot.casebook.people import Heard, Id
from riskbot.casebook.play import Played
from riskbot.settings.cases import Case, Expect, Never, Span
from riskbot.spelling import duration

EXACT = 0.05
"""Seconds that a message may come beside its moment."""

LATE = 11.0
"""Seconds by which a kill may delay that something gets better, never that it gets worse.

A riskbot that begins while nothing is seen believes nothing good before it knows again whose key it has; it asks every
ten seconds.
"""


class Slot(Struct, frozen=True):
    """One message that must come to one receiver. number: two may be alike."""

    number: int
    expect: Expect
    receiver: str

    def __str__(self) -> str:
        e = self.expect
        about = " ".join(filter(None, (e.rule, e.subject)))
        return f"{self.receiver}: {e.event}{f' ({about})' if about else ''}"


class Finding(Struct, frozen=True):
    """What is not as it should be. slot: what should have come. heard: what came. at: seconds of the case."""

    at: float
    why: str
    slot: Slot | None = None
    heard: Heard | None = None


def said(heard: Heard, *, named: bool = True) -> str:
    """One message on one line. named: say what it is about."""
    about = f" ({heard.rule} {heard.subject}".rstrip() + ")" if named else ""
    return f"{heard.receiver}: {heard.what}{about}{' again' if heard.repeat else ''}"


def findings(
    case: Case, course: Course, played: Played, receivers: Sequence[str], *, killed: bool = False
) -> list[Finding]:
    """All that is not as it should be, in order; none: the case is as expected.

    killed: it was killed at some moment that the case does not know of. Then what gets better may come later, and
    repeats, of messages that may not have arrived, are neither expected nor unexpected.
    """
    excused = Counter(played.excused) + Counter(played.doubted if killed else ())
    heard = _without_excused(played.heard, excused)
    slots = _slots(case, receivers, killed=killed)
    pairs = _paired(slots, heard, fits)
    missing = [slot for slot in slots if slot not in pairs]
    taken = set(map(id, pairs.values()))
    surplus = [one for one in heard if id(one) not in taken]
    found = [*_unmet(missing, surplus), *_broken(case, course, heard), *(Finding(0.0, why) for why in played.wrong)]
    return sorted(found, key=lambda finding: finding.at)


def is_hopeless(case: Case, receivers: Sequence[str]) -> Callable[[list[Heard], float], bool]:
    """Tells of what was heard until a moment whether it can't become what the case expects any more.

    Without kills. It may find out late.
    """
    slots = _slots(case, receivers, killed=False)
    open_slots = sorted(slots, key=lambda slot: slot.expect.t.end)
    checked = 0

    def hopeless(heard: list[Heard], now: float) -> bool:
        nonlocal checked
        new, checked = heard[checked:], len(heard)
        if any(not any(fits(slot, one) for slot in slots) for one in new):
            return True
        while open_slots and open_slots[0].expect.t.end + EXACT < now:
            slot = open_slots.pop(0)
            if not any(fits(slot, one) for one in heard):
                return True
        return False

    return hopeless


def _slots(case: Case, receivers: Sequence[str], *, killed: bool) -> list[Slot]:
    wanted = [_after_a_kill(expect) for expect in case.expect if not expect.repeat] if killed else case.expect
    each = ((expect, name) for expect in wanted for name in expect.receivers or receivers)
    return [Slot(number, expect, name) for number, (expect, name) in enumerate(each)]


def _after_a_kill(expect: Expect) -> Expect:
    late = LATE if expect.event.kind in ("fall", "resolve") else 0.0
    return expect.model_copy(update={"t": replace(expect.t, end=expect.t.end + late), "repeat": None})


def _without_excused(heard: Sequence[Heard], excused: Mapping[Id, int]) -> list[Heard]:
    """Without the repeats that have an excuse, and say so."""
    left, seen, kept = Counter(excused), set[Id](), []
    for one in heard:
        name = (one.message.id, one.message.at)
        if name in seen and one.repeat and left[name]:
            left[name] -= 1
        else:
            seen.add(name)
            kept.append(one)
    return kept


def fits(slot: Slot, heard: Heard) -> bool:
    """Is it that message?"""
    return heard.receiver == slot.receiver and _is_meant(slot.expect, heard) and not _but(slot, heard)


def _is_meant(words: Expect | Never, heard: Heard) -> bool:
    """Is it about that, and does it say that?"""
    same = words.rule in (None, heard.rule) and words.subject in (None, heard.subject)
    return same and words.event.covers(heard.what)


def _but(slot: Slot, heard: Heard) -> str:
    """Why a message is not quite the one that is expected; "": it is."""
    expect = slot.expect
    if not within(slot.expect.t, heard.t):
        return f"it came at {moment(heard.t)}"
    if expect.repeat is not None and expect.repeat != heard.repeat:
        return f'it {"says" if heard.repeat else "does not say"} "may be a repeat"'
    whole = f"{heard.text.title}\n{heard.text.body}"
    absent = [words for words in expect.text if words not in whole]
    return f'it came without "{absent[0]}" in its text' if absent else ""


def within(span: Span, t: float) -> bool:
    """Is that its time?"""
    return span.start - EXACT <= t <= span.end + EXACT


def _unmet(missing: list[Slot], surplus: list[Heard]) -> Iterator[Finding]:
    """What never came, or came otherwise; and what nobody expects."""
    other = _paired(missing, surplus, lambda slot, one: one.receiver == slot.receiver and _is_meant(slot.expect, one))
    changed = _paired(
        [slot for slot in missing if slot not in other],
        [one for one in surplus if id(one) not in set(map(id, other.values()))],
        lambda slot, one: one.receiver == slot.receiver and within(slot.expect.t, one.t),
    )
    for slot in missing:
        due, one = f"expected at {spelt(slot.expect.t)}: {slot}", other.get(slot) or changed.get(slot)
        why = "it never came" if one is None else _but(slot, one) if slot in other else f"got {said(one)}"
        yield Finding(slot.expect.t.start, f"{due}; {why}", slot, one)
    explained = set(map(id, [*other.values(), *changed.values()]))
    for one in surplus:
        if id(one) not in explained:
            yield Finding(one.t, f"not expected: at {moment(one.t)} {said(one)}", heard=one)


def _broken(case: Case, course: Course, heard: Sequence[Heard]) -> Iterator[Finding]:
    for never in case.never:
        for one in heard:
            if violates(never, one, course):
                yield Finding(one.t, f"never {never.event}, but at {moment(one.t)}: {said(one)}", heard=one)


def violates(never: Never, heard: Heard, course: Course) -> bool:
    """Must it not have come?"""
    if never.receivers is not None and heard.receiver not in never.receivers:
        return False
    return _is_meant(never, heard) and is_during(never, heard.t, course)


def is_during(never: Never, t: float, course: Course) -> bool:
    """Is that one of its times?"""
    if never.during is None:
        return True
    if isinstance(never.during, Span):
        return within(never.during, t)
    return never.during in course.gaps(course.poll(t))


def _paired(slots: Sequence[Slot], heard: Sequence[Heard], fits: Callable[[Slot, Heard], bool]) -> dict[Slot, Heard]:
    """As many pairs as there can be; each is in one at the most (Kuhn's way of augmenting paths)."""
    holder: dict[int, Slot] = {}

    def place(slot: Slot, tried: set[int]) -> bool:
        for i, one in enumerate(heard):
            if i not in tried and fits(slot, one):
                tried.add(i)
                if i not in holder or place(holder[i], tried):
                    holder[i] = slot
                    return True
        return False

    for slot in slots:
        place(slot, set())
    return {slot: heard[i] for i, slot in holder.items()}


def moment(t: float) -> str:
    """`1m30s`, to a tenth of a second: as it would stand in the case."""
    return duration(round(t, 1))


def spelt(span: Span) -> str:
    """`15s..16s`: as it stands in the case."""
    return moment(span.start) if span.start == span.end else f"{moment(span.start)}..{moment(span.end)}"
