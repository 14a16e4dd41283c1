"""What the receivers would hear of a scenario, marked so that nobody takes it for true."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from riskbot.delivery import Receiver, loudness
from riskbot.notify import Text
from riskbot.replay.run import Run, play
from riskbot.replay.stories import Story
from riskbot.rules import Rule
from riskbot.simulator import Scenario
from riskbot.store import Message


def heard(
    account: str, rules: Sequence[Rule], receivers: Sequence[Receiver], scenario: Scenario, every: float
) -> list[Message]:
    """Every message of it, in order, judged, planned and worded as if it happened. every: seconds between looks."""
    said: list[Message] = []
    play(Story(scenario, every).entries(lambda _: None), [Run(account, rules, receivers, every, told=said.append)])
    return said


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
