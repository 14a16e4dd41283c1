"""For the tests of plugins: plays snapshots through a rule and all that judges it live. No I/O, no clock.

```python
plugin = load("plugins/concentration.py")

def test_it_fires():
    rule = make(plugin.Concentration, above={"warning": 0.5})
    played = play(rule, [snapshot(totalEq=100, details=[coin("BTC", eqUsd=80)])])
    assert played.titles == ["WARNING · main · concentration BTC 0.8"]
```
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from msgspec import Struct

from riskbot import plugins
from riskbot.delivery import Receiver
from riskbot.model import AccountInfo, Event, Reading, Severity
from riskbot.playback import Failure, Known, Player, Reply, at_once
from riskbot.plugins import files
from riskbot.rules import Measured, Rule, suggest
from riskbot.snapshot import Snapshot, field_paths
from riskbot.source import SourceError
from riskbot.store import Message as Sent

START = 1_700_000_000.0
"""The moment of the first snapshot: 14 Nov 2023, 22:13:20 UTC."""


def load(path: str | Path) -> ModuleType:
    """The module of a one-file plugin, checked as riskbot checks it. Raises AssertionError with its file and line."""
    path = Path(path)
    found = plugins.load([path.parent])
    for trouble in found.troubles:
        if trouble.plugin in (path.stem, path.parent.name):
            raise AssertionError(str(trouble))
    return files.run(path)


def make(kind: type[Rule], **keys: Any) -> Rule:
    """A rule as `[[rules]]` of the rules file makes it; its name is its kind unless you give another.

    A key that is a word of Python is given with `_`: `for_="5s"`.
    """
    written = {key.removesuffix("_"): value for key, value in keys.items()}
    return kind.model_validate({"name": kind.KIND, "kind": kind.KIND, **written})


def snapshot(*, details: Iterable[Mapping[str, Any]] = (), **account: object) -> Snapshot:
    """What OKX says of an account, its fields spelt as OKX does: `snapshot(mgnRatio="4", details=[coin("BTC")])`."""
    return Snapshot({**_fields("", account), "details": [dict(row) for row in details]})


def coin(ccy: str, **fields: object) -> dict[str, Any]:
    """One currency of it: `coin("BTC", eqUsd="60000")`. What is not given is missing; OKX's "does not apply" is ""."""
    return {"ccy": ccy, **_fields("details.", fields)}


def _fields(prefix: str, given: Mapping[str, object]) -> dict[str, Any]:
    known = field_paths()
    for key in given:
        if prefix + key not in known:
            raise AssertionError(f'OKX has no field "{prefix}{key}"{suggest(prefix + key, known)}')
    return {key: value if isinstance(value, bool) else str(value) for key, value in given.items()}


class Message(Struct, frozen=True):
    """What a receiver is sent."""

    title: str
    body: str


class Played(Struct, frozen=True):
    """What came of it. readings: what the rule gave at each snapshot that was seen. start: moment of the first."""

    readings: tuple[tuple[Reading, ...], ...]
    events: tuple[Event, ...]
    messages: tuple[Message, ...]
    start: float = START

    @property
    def titles(self) -> list[str]:
        """The first line of each message."""
        return [message.title for message in self.messages]

    def values(self, ccy: str = "") -> list[Any]:
        """The number that the rule gave for that subject at each snapshot; None: no reading."""
        return [next((r.value for r in readings if r.ccy == ccy), None) for readings in self.readings]


def play(
    rule: Rule, snapshots: Iterable[Snapshot | None], every: float = 1.0, *, mode: str = "3", account: str = "main"
) -> Played:
    """Show the rule one snapshot after another, `every` so many seconds; None: a poll that failed.

    It is asked, judged and told exactly as `riskbot run` does it. mode: the account's `acctLv`. A rule that raises, or
    gives what is no reading, fails the test.
    """
    stage = _Stage(rule, every, AccountInfo("1", mode), account)
    for seen in snapshots:
        stage.show(seen)
    return Played(tuple(stage.readings), tuple(stage.events), tuple(stage.messages))


class _Stage:
    """One account with one rule and one receiver that hears all."""

    def __init__(self, rule: Rule, every: float, info: AccountInfo, account: str) -> None:
        self.rule, self.every, self.now = rule, every, START
        self.readings: list[tuple[Reading, ...]] = []
        self.events: list[Event] = []
        self.messages: list[Message] = []
        hears = [Receiver("test", Severity.INFO)]
        self.player = Player(account, [rule], hears, poll_every=every, heard=self.events.append, told=self._told)
        at_once(self.player.play(Known(START, info)))

    def show(self, seen: Snapshot | None) -> None:
        if seen is None:
            at_once(self.player.play(Failure(self.now, SourceError("the poll failed"))))
        else:
            seen.fetched_at = self.now
            at_once(self.player.play(Reply(seen)))
        if seen is not None or self.rule.SEES_OUTAGE:
            self._note(self.player.judge.measured[self.rule.name])
        self.now += self.every

    def _note(self, answer: Measured) -> None:
        if answer.failed:
            raise AssertionError(answer.missing)
        self.readings.append(answer.readings)

    def _told(self, message: Sent) -> None:
        self.messages.append(Message(message.title, message.body))
