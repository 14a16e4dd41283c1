"""What can be replayed, by the word that a person gives for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from riskbot import simulator
from riskbot.history import Point
from riskbot.playback import Entry
from riskbot.replay.journal import Journal
from riskbot.replay.replies import BadInput, Replies, Skip
from riskbot.replay.stories import Story


class Recording(Protocol):
    """What was seen of an account."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def knows(self) -> bool:
        """Does it say what the account's configuration was?"""

    @property
    def part(self) -> float:
        """How much of it has been read, 0 to 1."""

    def past(self, span: float) -> list[Point]:
        """What is known of watched fields in so many seconds before it begins."""

    def entries(self, skip: Skip) -> Iterator[Entry]:
        """All that happened, in order. skip: told of what can't be read; raises it if nothing may be left out."""


def journal(path: Path, account: str, start: float, end: float) -> Recording:
    """What a riskbot's database has of an account, from the part on that was under way then. Raises BadInput."""
    return Journal(path, account, start, end)


def opened(word: str, poll_every: float) -> tuple[Recording, float]:
    """A scenario by its name or its file (`mine.toml`), or a file of replies; and the seconds between two looks.

    poll_every: as the account is watched; a file of replies may have been written at a slower pace. Raises BadInput.
    """
    try:
        if word in simulator.scenario_names() or word.endswith(".toml"):
            return Story(simulator.load_scenario(word), poll_every), poll_every
        replies = Replies(Path(word))
        return replies, max(poll_every, replies.pace)
    except OSError as error:
        known = ", ".join(simulator.scenario_names())
        raise BadInput(f"{word}: {error.strerror}; give a file of replies, or a scenario: {known}") from None
    except ValueError as error:
        raise BadInput(f"{word}: {error}") from None
