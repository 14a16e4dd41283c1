"""Playing a recording to one or more sets of rules at once: it is read only once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from riskbot.delivery import Receiver
from riskbot.model import AccountInfo, View
from riskbot.playback import Entry, Failure, Known, Player, Reply, at_once, moment_of
from riskbot.recording import Look
from riskbot.replay.tally import Tally
from riskbot.rules import Measured, Rule, measure
from riskbot.service.sight import LONGEST_GAP
from riskbot.snapshot import Snapshot
from riskbot.store import Message

_LOOKS = (Reply, Failure, Look)
_ANY = AccountInfo("any", "3", permissions=("read_only",), ips=("any",))


class Run:
    """One set of rules, and what comes of it.

    since: what is before only fills windows and states. knows: the recording says what the account's configuration
    was; rules that lack nothing else are left alone where it does not.
    """

    def __init__(
        self,
        account: str,
        rules: Sequence[Rule],
        receivers: Sequence[Receiver],
        poll_every: float,
        since: float = 0.0,
        told: Callable[[Message], None] | None = None,
        *,
        knows: bool = True,
    ) -> None:
        """told: is given each message, too."""
        self.account = account
        self.tally = Tally([rule for rule in rules if rule.watches(account)], max(LONGEST_GAP, 10 * poll_every), since)
        self._hears = told
        self.player = Player(
            account,
            rules,
            receivers,
            poll_every=poll_every,
            ask=self.tally.ask if knows else self._ask,
            heard=self.tally.heard,
            told=self._told,
        )

    def _ask(self, rule: Rule, view: View) -> Measured:
        answer = self.tally.ask(rule, view)
        if not answer.missing or view.info or measure(rule, replace(view, info=_ANY)).missing:
            return answer
        there = tuple(reading for reading in answer.readings if not reading.is_missing)
        return replace(answer, readings=there, missing="", complete=False)

    def _told(self, message: Message) -> None:
        self.tally.told(message)
        if self._hears is not None and message.at >= self.tally.since:
            self._hears(message)

    async def play(self, entry: Entry) -> None:
        """What happened next."""
        await self.player.play(entry)
        if isinstance(entry, _LOOKS):
            at, alerts, stands = moment_of(entry), self.player.judge.alerts, self.player.stands
            self.tally.looked(at, alerts, outage=self.player.blind, stands=stands)


def play(entries: Iterable[Entry], runs: Sequence[Run], look: Callable[[Snapshot], None] | None = None) -> None:
    """All of it to all of them. look: is shown each reply."""
    for entry in entries:
        for run in runs:
            at_once(run.play(entry))
        if look is not None and (snapshot := _reply(entry)) is not None:
            look(snapshot)
    for run in runs:
        run.tally.end()


def _reply(entry: Entry) -> Snapshot | None:
    if isinstance(entry, Reply):
        return entry.snapshot
    return entry.seen.snapshot if isinstance(entry, Look) else None


def between(entries: Iterable[Entry], start: float, end: float) -> Iterator[Entry]:
    """Those from `start` on, up to `end`; what was known of the account before stays known."""
    known: Known | None = None
    for entry in entries:
        at = moment_of(entry)
        if at > end:
            return
        if at >= start:
            if known is not None:
                yield Known(at, known.info)
                known = None
            yield entry
        elif isinstance(entry, Known):
            known = entry
