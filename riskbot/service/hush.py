"""What people asked not to be told, as it stands in the store."""

from __future__ import annotations

import logging

import msgspec

from riskbot.delivery import LOUD
from riskbot.model import Quiet
from riskbot.store import QUIET, Store

log = logging.getLogger("riskbot")


class Hush:
    """Silences and acknowledgements. Somebody else writes them (`riskbot silence`, `riskbot ack`), this looks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rev = 0
        self._quiet = LOUD

    async def look(self) -> None:
        """Take up what was written since. What can't be read hides nothing."""
        state = await self._store.load(QUIET)
        if state.rev == self._rev:
            return
        self._rev = state.rev
        try:
            self._quiet = msgspec.json.decode(state.value or b"{}", type=Quiet)
        except msgspec.MsgspecError:
            log.error("silences and acknowledgements can't be read: everything is told")  # noqa: TRY400 - known
            self._quiet = LOUD

    def at(self, now: float) -> Quiet:
        """What is in force."""
        return self._quiet.at(now)
