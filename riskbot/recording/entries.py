"""What happened to one account, in the order in which it happened: all that its alerts were made of. Values only."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from riskbot.history import Point
from riskbot.model import Alerts, Gate, Observation
from riskbot.snapshot import Snapshot


class Started(Struct, frozen=True):
    """The process began to watch the account: nothing was known but what follows.

    alerts: as loaded, before they were fitted to the rules. seen: when the account was last seen (0: never); its
    windows were filled from what was `Drained` until now. bundle: the hash of the configuration in force, see
    `riskbot.rulebook`; an account that it does not have any more is only brought to an end.
    """

    at: float
    alerts: Alerts
    seen: float
    bundle: str


class Taken(Struct, frozen=True):
    """Another owner had written the alerts: these were taken up in place of what was known. All else stayed."""

    at: float
    alerts: Alerts


class Checkpoint(Struct, frozen=True):
    """Reading may begin here. It changes nothing: whoever has read all that came before knows it already.

    alerts, bundle, snapshot: as they were just then; None: no reply had come. resumes: what came before is not known
    (it was forgotten, or is damaged), so this is where to begin; of the windows nothing is known then.
    """

    at: float
    alerts: Alerts
    bundle: str
    snapshot: Snapshot | None
    resumes: bool = False


class Look(Struct, frozen=True):
    """`Observer.look`: a reply came and was judged, or it was judged that nothing is seen."""

    seen: Observation


class Again(Struct, frozen=True):
    """`Observer.look_again`: the last reply was judged once more."""

    seen: Observation


class Adopted(Struct, frozen=True):
    """`Observer.use`: the rules were changed while it ran; from now on those of this bundle."""

    seen: Observation
    bundle: str


class Learnt(Struct, frozen=True):
    """`Observer.learn`: whose account it is, and what its key may do."""

    at: float
    uid: str
    gate: Gate


class Shifted(Struct, frozen=True):
    """The machine's clock was set ahead by so many seconds: what runs moved along."""

    at: float
    seconds: float


class Drained(Struct, frozen=True):
    """The newest points of the watched fields were written down: a restart restores its windows from there.

    seen: when the account was last seen, as written with them.
    """

    at: float
    seen: float


Entry = Started | Taken | Checkpoint | Look | Again | Adopted | Learnt | Shifted | Drained


def moment_of(entry: Entry) -> float:
    """When it happened."""
    return entry.seen.at if isinstance(entry, Look | Again | Adopted) else entry.at


class Batch(Struct, frozen=True):
    """Entries of one account that are written down together, in one transaction with what they caused.

    segment: names the part of the recording that it belongs to; reading can begin with its first batch, and only whole
    segments are forgotten. index: 0, 1, 2… within the segment. first, last: moments of its first and last entry.
    looks: how many of its entries are a `Look`. data: the entries, for `decode`; empty: there are none, or they were
    lost. points, seen: what a restart restores from, and when the account was last seen (0: not said).
    """

    account: str
    segment: str
    index: int
    first: float
    last: float
    looks: int
    data: bytes
    points: tuple[Point, ...] = ()
    seen: float = 0.0


def points_only(account: str, points: Iterable[Point], seen: float) -> Batch:
    """A batch of what a restart restores from, and no entries."""
    return Batch(account, "", 0, seen, seen, 0, b"", tuple(points), seen)


class BadRecording(ValueError):  # noqa: N818 - as Damaged would be; said as what it is
    """A part of a recording can't be read. The text says of which account, from when on, and why."""
