"""Names of messages, alerts and silences that are quickly typed, and what a person means by one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

from riskbot.cli.common import fail

SHORTEST = 4
"""Signs of a ref at least."""


def digest(name: str) -> str:
    """Sixteen signs that stand for an id: a ref is their beginning."""
    return hashlib.blake2b(name.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def refs(ids: Iterable[str]) -> dict[str, str]:
    """A name for each id that is quickly typed: as many signs as tell all of them apart."""
    digests = {name: digest(name) for name in ids}
    lengths = range(SHORTEST, 17)
    n = next((n for n in lengths if len({d[:n] for d in digests.values()}) == len(digests)), lengths[-1])
    return {name: found[:n] for name, found in digests.items()}


def by_ref(word: str, ids: Iterable[str]) -> list[str]:
    """Those that it may be the name of."""
    begin = word.lower()
    return [name for name in dict.fromkeys(ids) if len(begin) >= SHORTEST and digest(name).startswith(begin)]


def meant(
    word: str, shorts: Mapping[str, str], kind: str, shown_by: str, core: Callable[[str], str] = lambda name: name
) -> list[str]:
    """The ids that it names: as they are, by their `#…` line, or by a ref. Ends if there is none, or it may be several.

    shorts: the `#…` line of each id; several may share one. core: what of a name tells. kind, shown_by: what they are
    and the command that shows all, for the errors.
    """
    known: dict[str, list[str]] = {}
    for found, short in shorts.items():
        for name in (found, short):
            known.setdefault(_plain(core(name)), []).append(found)
    if named := known.get(_plain(core(word))):
        return named
    may_be = by_ref(word, shorts)
    if not may_be:
        every = (*refs(shorts).values(), *(name for pair in shorts.items() for name in pair))
        fail(f"no {kind} {word!r}{nearest(word, every)}; `{shown_by}` shows all. Nothing was done.", 2)
    if len(may_be) > 1:
        fail(f"{word!r} may be any of {', '.join(may_be)}: give more of it. Nothing was done.", 2)
    return may_be


def _plain(name: str) -> str:
    """Without what a person may leave out; a shell takes a bare `#` for a comment."""
    return " ".join(name.replace("/", " ").strip().removeprefix("#").split())


def nearest(word: str, known: Iterable[str]) -> str:
    """`; the nearest is 'main'`, or "" if nothing is near."""
    import difflib  # noqa: PLC0415 - see cli/__init__.py

    near = difflib.get_close_matches(word, [*known][:3000], 1, 0.5)
    return f"; the nearest is {near[0]!r}" if near else ""
