"""What the receivers would hear of a scenario, marked so that nobody takes it for true."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from riskbot.delivery import Receiver, loudness
from riskbot.model import Severity
from riskbot.notify import Text
from riskbot.replay.run import Run, play
from riskbot.replay.stories import Story
from riskbot.replay.tally import Episode
from riskbot.rules import Rule
from riskbot.simulator import Scenario
from riskbot.store import Message


class Rehearsal(Struct, frozen=True):
    """What came of a scenario. messages: all of them, in order. episodes: the courses of alerts, told or not.

    rules: those that judged it.
    """

    messages: list[Message]
    episodes: list[Episode]
    rules: dict[str, Rule]

    @property
    def unheard(self) -> list[Severity]:
        """Severities that rules have and that nothing of it reached, mildest first."""
        tiers = {rung.severity for rule in self.rules.values() for rung in rule.ladder().rungs if not rule.ALWAYS_ON}
        return sorted(tiers - {tier for episode in self.episodes for tier in episode.reached})

    def why_nothing(self, receiver: Receiver) -> str:
        """Why a receiver hears nothing of it, for people."""
        if not self.episodes:
            return "no rule fires in it"
        if theirs := [episode for episode in self.episodes if self._tells(episode.rule, receiver.name)]:
            worst = max(episode.peak for episode in theirs)
            return f"nothing of it is {receiver.min_severity.label} or worse; the worst: {worst.label}"
        return f"what fires tells others only: {', '.join(dict.fromkeys(e.rule for e in self.episodes))}"

    def _tells(self, rule: str, receiver: str) -> bool:
        chosen = self.rules[rule].receivers
        return chosen is None or receiver in chosen


def rehearse(
    account: str, rules: Sequence[Rule], receivers: Sequence[Receiver], scenario: Scenario, every: float
) -> Rehearsal:
    """All that comes of it, judged, planned and worded as if it happened. every: seconds between looks."""
    said: list[Message] = []
    run = Run(account, rules, receivers, every, told=said.append)
    play(Story(scenario, every).entries(lambda _: None), [run])
    return Rehearsal(said, run.tally.episodes, run.tally.rules)


def one_of_each(messages: Iterable[Message]) -> list[Message]:
    """Of each receiver and severity the first message that says so; in their order."""
    firsts: dict[tuple[str, int], Message] = {}
    for message in messages:
        if message.after and not message.reminder:
            firsts.setdefault((message.receiver, message.after), message)
    return list(firsts.values())


def marked(message: Message, scenario: str) -> Text:
    """As it goes out in a drill."""
    lines = ("Only a drill: nothing is wrong.", f"Played from the scenario {scenario}.", message.body)
    return Text(f"DRILL · {message.title}", "\n".join(lines), loudness(message))
