"""What all tests share."""

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from riskbot import virtual
from riskbot.store.sqlite import SqliteStore

# A slow machine is no finding.
settings.register_profile("riskbot", deadline=None)
settings.load_profile("riskbot")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test has its database."""
    return tmp_path / "riskbot.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """An open database that does not wait long for others."""
    store = await SqliteStore.open(path, busy_timeout=0.1)
    yield store
    await store.close()


@pytest.fixture(autouse=True)
def _virtual_loops_have_threads_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeout that ends in a loop makes coverage forget, in Python 3.11, who has called the loop."""
    monkeypatch.setattr(virtual, "run", _in_a_thread(virtual.run))


def _in_a_thread(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def ran(work: Any) -> Any:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run, work).result()

    return ran
