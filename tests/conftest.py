"""What all tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

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
