"""The nouns that the rest speaks in: Severity, Reading, View, Alert, Event. Values only, nothing here acts.

All moments are seconds since 1970 UTC (float); they enter as an argument and are never asked for.
"""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum, StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from msgspec import Struct, field

from riskbot.fields import MISSING, NOT_APPLICABLE, is_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from riskbot.history import History
    from riskbot.snapshot import Snapshot


class Severity(IntEnum):
    """How bad an alert is. `OK` is "no alert"; the others are the tiers a rule may have, mildest first."""

    OK = 0
    INFO = 1
    WARNING = 2
    CRITICAL = 3
    EMERGENCY = 4

    @property
    def label(self) -> str:
        """The word a trader types: `warning`."""
        return self.name.lower()


class Reading(Struct, frozen=True, gc=False):
    """What a rule measured: one number for the account, or one for each currency.

    value: compared with the rule's tiers. `NOT_APPLICABLE` and `MISSING` (see `riskbot.snapshot`) are values too, so
    that a calculation over a field without a value is by itself a reading without a value.
    ccy: the currency, or whatever else tells the rule's subjects apart; "" for the whole account.
    note: a few words for the message: why there is no value, or what the number was made of.
    """

    value: Decimal
    ccy: str = ""
    note: str = ""

    @classmethod
    def not_applicable(cls, why: str = "", ccy: str = "") -> Reading:
        """The exchange says that there is no such number in this account: a closed position, another mode."""
        return cls(NOT_APPLICABLE, ccy, why)

    @classmethod
    def missing(cls, why: str = "", ccy: str = "") -> Reading:
        """The number should be there and is not. Lasting, this is blindness and an alert of its own."""
        return cls(MISSING, ccy, why)

    @property
    def is_missing(self) -> bool:
        """True if the number should be there and is not."""
        return is_missing(self.value)


class Cause(StrEnum):
    """Why an alert changed what it says."""

    BREACH = "breach"
    RECOVERED = "recovered"
    NOT_APPLICABLE = "not_applicable"
    CALM = "calm"
    RULE_REMOVED = "rule_removed"
    RULE_CHANGED = "rule_changed"
    ONGOING = "ongoing"
    REMINDER = "reminder"


class Alert(Struct, frozen=True, omit_defaults=True):
    """The state of one rule about one subject, between ticks. `engine.py` says what moves it.

    level: what the timers have earned. shown: what the world should be told; more than `level` while it flaps.
    episode, seq, peak, opened: the present or last course from nothing told to nothing told.
    up, down: since when each tier has been met, or left. na_since, na_count: since when, and how often, the number
    has not applied. changes, flapping, calm_since: the flap latch. fresh: last observed, while a timer runs that a
    hole would falsify. mark: of the ladder that judged it last; another one says that the rule was changed since.
    All moments are absolute, so that a restart is not an event.
    """

    level: Severity = Severity.OK
    shown: Severity = Severity.OK
    episode: int = 0
    seq: int = 0
    peak: Severity = Severity.OK
    opened: float = 0.0
    up: dict[int, float] = field(default_factory=dict)
    down: dict[int, float] = field(default_factory=dict)
    fresh: float = 0.0
    na_since: float = 0.0
    na_count: int = 0
    changes: tuple[float, ...] = ()
    flapping: bool = False
    calm_since: float = 0.0
    mark: str = ""


class Told(Struct, frozen=True):
    """The last thing enqueued for one receiver about one alert.

    at: when. reminders: how often it was said again since. via: told in place of that receiver, which could not be
    reached.
    """

    episode: int
    seq: int
    level: Severity
    at: float = 0.0
    reminders: int = 0
    via: str = ""


class Alerts(Struct, frozen=True, omit_defaults=True):
    """All that riskbot remembers of one account: one value, committed with the messages it causes.

    alerts: by rule, then by subject; only those that ever left rest.
    told: by receiver, then by `rule/subject`.
    blind: since when each rule has had a reading it should have had and did not, and why.
    seen: when the last fresh snapshot was judged. exposed: it showed debt. uid: whose account it is, once known.
    gate: what the key may do, and what it might before.
    """

    alerts: dict[str, dict[str, Alert]] = field(default_factory=dict)
    told: dict[str, dict[str, Told]] = field(default_factory=dict)
    blind: dict[str, Blind] = field(default_factory=dict)
    seen: float = 0.0
    exposed: bool = False
    uid: str = ""
    gate: Gate | None = None

    def each(self) -> Iterator[tuple[str, str, Alert]]:
        """All that are remembered: rule, subject and alert."""
        return ((rule, subject, alert) for rule, some in self.alerts.items() for subject, alert in some.items())

    def near(self, at_least: Severity, besides: frozenset[str] = frozenset()) -> bool:
        """As `open`, but also what is only on its way there."""
        return any(max((alert.shown, *alert.up)) >= at_least for alert in self._besides(besides))

    def open(self, at_least: Severity = Severity.INFO, besides: frozenset[str] = frozenset()) -> bool:
        """Is any alert told, or to be told, at this severity or worse? Those of the rules `besides` don't count."""
        return any(alert.shown >= at_least for alert in self._besides(besides))

    def _besides(self, rules: frozenset[str]) -> Iterator[Alert]:
        """Those of all other rules."""
        return (alert for rule, _, alert in self.each() if rule not in rules)


class Blind(Struct, frozen=True):
    """A rule without a number that it should have. weight: grows with each poll without one, falls with each other."""

    since: float
    why: str
    weight: int = 1


class Event(Struct, frozen=True):
    """One change of what the world should be told about one alert. `seq` counts within the episode."""

    account: str
    rule: str
    subject: str
    episode: int
    seq: int
    before: Severity
    after: Severity
    peak: Severity
    at: float
    opened: float
    cause: Cause
    value: Decimal | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """Names the alert within the account: `rule/subject`."""
        return f"{self.rule}/{self.subject}"


class AccountInfo(Struct, frozen=True):
    """Who the key belongs to and what it may do, from `GET /api/v5/account/config`.

    mode: `acctLv` "1" to "4". permissions: of read_only, trade, withdraw. ips: the key is bound to; empty: to none.
    """

    uid: str
    mode: str
    label: str = ""
    permissions: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    main_uid: str = ""

    @property
    def gate(self) -> tuple[str, frozenset[str], frozenset[str]]:
        """What must not change unnoticed, in whatever order OKX gives it."""
        return self.mode, frozenset(self.permissions), frozenset(self.ips)


CHANGE_LASTS = 3600.0
"""Seconds for which it is told that a key, or the account's mode, has changed."""


class Gate(Struct, frozen=True, omit_defaults=True):
    """The key and the account's mode as last read. before: as they were before they changed; changed: when they did.

    Until a change is told no more, a further one is one from the same beginning.
    """

    info: AccountInfo
    before: AccountInfo | None = None
    changed: float = 0.0

    def then(self, info: AccountInfo, now: float) -> Gate:
        """As it is now; the very same object if nothing has changed."""
        if info == self.info:
            return self
        if info.gate == self.info.gate:
            return Gate(info, self.before, self.changed)
        return Gate(info, self.told_before(now) or self.info, now)

    def told_before(self, now: float) -> AccountInfo | None:
        """From what they changed, as long as that is told."""
        return self.before if now - self.changed < CHANGE_LASTS else None


class Outage(Struct, frozen=True):
    """The account can't be seen: the last polls failed.

    since: when the last good reply was judged. never: there was none; `since` is when the watch began.
    why: the newest failure, for people. severity: how bad that failure is by itself, at once, whatever its age
    (a dead key, an account frozen by the exchange). stale_after: seconds in which three polls are due; a shorter
    outage is none yet.
    """

    since: float
    why: str
    severity: Severity = Severity.OK
    never: bool = False
    stale_after: float = 0.0


class Observation(Struct, frozen=True):
    """One look at an account: all that its rules are asked with, besides the past.

    at: the moment. snapshot: a reply that came just then; None: the last one stands. outage: nothing is seen, or the
    last reply is not true any more. info: what was known of the account by then. max_gap: the longest pause, seconds,
    after which a fall need not be earned anew.
    """

    at: float
    snapshot: Snapshot | None
    outage: Outage | None
    info: AccountInfo | None
    max_gap: float


class View(Struct, frozen=True):
    """All that a rule may look at. Pure: the same view gives the same readings.

    now: the moment to judge. snapshot: the newest reply. history: the past of the fields that rules asked for.
    info: mode and rights, None until they are known. outage: set while the account can't be seen; `snapshot` is
    then the last one that was. alerts: what was remembered before this tick. harmless: rules whose alerts say nothing
    about the money.
    """

    account: str
    now: float
    snapshot: Snapshot
    history: History
    info: AccountInfo | None = None
    outage: Outage | None = None
    alerts: Alerts = Alerts()
    harmless: frozenset[str] = frozenset()

    @property
    def mode(self) -> str | None:
        """`acctLv`: "1" Spot, "2" Futures, "3" Multi-currency margin, "4" Portfolio margin; None: not known yet."""
        return self.info.mode if self.info else None


class Silence(Struct, frozen=True, omit_defaults=True):
    """Until then nobody is told of these alerts, unless they are worse than `most`. They are judged all the same.

    account, rule, subject: patterns with `*`. since, why: for people.
    """

    until: float
    account: str = "*"
    rule: str = "*"
    subject: str = "*"
    most: Severity = Severity.CRITICAL
    since: float = 0.0
    why: str = ""

    def hides(self, event: Event) -> bool:
        """Is that one of them, and no worse? That one is over is never hidden from who heard of it."""
        mine = ((self.account, event.account), (self.rule, event.rule), (self.subject, event.subject))
        return Severity.OK < event.after <= self.most and all(fnmatchcase(word, like) for like, word in mine)


class Acknowledgement(Struct, frozen=True):
    """Somebody knows of this episode: no reminders until then. That it gets worse than `level` or `peak` voids it."""

    account: str
    rule: str
    subject: str
    episode: int
    level: Severity
    until: float
    peak: Severity = Severity.EMERGENCY

    def quiets(self, event: Event) -> bool:
        """Is that reminder one that nobody needs?"""
        mine = (self.account, self.rule, self.subject, self.episode)
        same = mine == (event.account, event.rule, event.subject, event.episode)
        return same and event.after <= self.level and event.peak <= self.peak


class Quiet(Struct, frozen=True, omit_defaults=True):
    """What people asked not to be told. It holds back the telling, never the judging."""

    silences: tuple[Silence, ...] = ()
    acks: tuple[Acknowledgement, ...] = ()

    def at(self, now: float) -> Quiet:
        """What of it is still in force; the very same object if all is."""
        silences = tuple(silence for silence in self.silences if now < silence.until)
        acks = tuple(ack for ack in self.acks if now < ack.until)
        return self if (silences, acks) == (self.silences, self.acks) else Quiet(silences, acks)

    def holds_back(self, event: Event) -> bool:
        """Is this not to be told now to who has not heard of anything so bad?"""
        if event.cause is Cause.REMINDER and any(ack.quiets(event) for ack in self.acks):
            return True
        return any(silence.hides(event) for silence in self.silences)
