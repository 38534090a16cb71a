"""One store of each kind, empty."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.store.runs import SetClock

from tinyllm.protocols import Store
from tinyllm.store import open_store


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'folder' / 'store.db'}"


@pytest.fixture(params=["sqlite", "memory", "postgres"])
async def store(request: pytest.FixtureRequest, url: str, clock: SetClock) -> AsyncIterator[Store]:
    if request.param == "memory":
        url = "memory:"
    elif request.param == "postgres":
        url = os.environ.get("TINYLLM_TEST_POSTGRES", "")
        if not url:
            pytest.skip("TINYLLM_TEST_POSTGRES names no PostgreSQL database")
    opened = await open_store(url, now=clock)
    yield opened
    await opened.close()
