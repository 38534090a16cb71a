"""Questions are private: what is purged or has expired is gone from the disk, too."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.store.runs import SetClock, a_run

from tinyllm.store import open_store
from tinyllm.store.memory import MemoryStore


async def test_purged_text_is_nowhere_in_the_files(url: str, tmp_path: Path, clock: SetClock) -> None:
    file = tmp_path / "folder" / "store.db"
    log = file.with_name("store.db-wal")
    store = await open_store(url, now=clock)
    for number in range(60):
        # Old and new rows share pages, so that a page given back does not explain the absence.
        clock.time += 100 if number % 2 else -100
        word = "keepthis" if number % 2 else "secretword"
        await store.append("local", a_run(f"r{number}", question=f"{word} " * (number * 4)))
    assert b"secretword" in log.read_bytes()
    full = (await store.size())["bytes"]
    assert await store.purge(clock.time) == 30
    assert log.stat().st_size == 0
    assert (await store.size())["bytes"] < full / 2
    await store.close()
    content = file.read_bytes()
    assert b"secretword" not in content
    assert b"keepthis" in content
    free_pages = int.from_bytes(content[36:40], "big")
    assert free_pages == 0


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
async def test_only_the_owner_can_read_the_files(url: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = await open_store(url)
    finally:
        os.umask(before)
    await store.append("local", a_run("r1"))
    await store.runs()
    folder = tmp_path / "folder"
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {"store.db", "store.db-wal"} <= set(modes)
    assert set(modes.values()) == {0o600}
    await store.close()


async def test_expired_rows_are_purged_on_opening(url: str, clock: SetClock) -> None:
    store = await open_store(url, now=clock)
    await store.append("local", a_run("old"))
    clock.time += 60
    await store.append("local", a_run("new"))
    await store.close()
    clock.time += 60
    store = await open_store(url, retention=100.0, now=clock)
    assert [run.run_id for run in await store.runs()] == ["new"]
    await store.close()


async def test_rows_expire_while_the_store_is_open(url: str, clock: SetClock) -> None:
    store = await open_store(url, retention=0.2, now=clock)
    await store.append("local", a_run("r1"))
    clock.time += 1
    async with asyncio.timeout(10):
        while (await store.size())["runs"]:  # noqa: ASYNC110 (the store announces no purge)
            await asyncio.sleep(0.02)
    await store.append("local", a_run("r2"))
    assert len(await store.runs()) == 1
    await store.close()


async def test_memory_keeps_the_latest_runs_only(clock: SetClock) -> None:
    store = MemoryStore(limit=3, retention=100.0, now=clock)
    for number in range(5):
        await store.append("local", a_run(f"r{number}"))
    assert [run.run_id for run in await store.runs()] == ["r4", "r3", "r2"]
    clock.time += 101
    await store.append("local", a_run("r5"))
    assert [run.run_id for run in await store.runs()] == ["r5"]
