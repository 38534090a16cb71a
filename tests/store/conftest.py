"""One store of each kind, empty."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.store.runs import SetClock
from tests.support.postgres import VARIABLE, schema

from tinyllm.protocols import Store
from tinyllm.store import open_store


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'folder' / 'store.db'}"


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of an empty place in a PostgreSQL database."""
    url = os.environ.get(VARIABLE, "")
    if not url:
        pytest.skip(f"{VARIABLE} names no PostgreSQL database")
    with schema(url) as empty:
        yield empty


@pytest.fixture(params=["sqlite", "postgres"])
def any_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store that outlives its process."""
    return str(request.getfixturevalue("url" if request.param == "sqlite" else "postgres"))


@pytest.fixture(params=["sqlite", "memory", "postgres"])
async def store(request: pytest.FixtureRequest, clock: SetClock) -> AsyncIterator[Store]:
    names = {"sqlite": "url", "postgres": "postgres"}
    url = request.getfixturevalue(names[request.param]) if request.param in names else "memory:"
    opened = await open_store(url, now=clock)
    yield opened
    await opened.close()
