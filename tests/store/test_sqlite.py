"""SQLite: many at once, two processes, kills, full disks, damaged files."""

import asyncio
import os
import random
import sqlite3
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.store.runs import ROOT, a_run

from tinyllm.errors import StoreError
from tinyllm.store import open_store
from tinyllm.store.lock import FileLock

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
APPENDER = str(ROOT / "tests" / "store" / "runs.py")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "store.db"


def appender(url: str, prefix: str, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, APPENDER, url, prefix, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def commits_in(log: Path) -> int:
    """How many transactions a write-ahead log holds: frames that give the size of the database after them."""
    content = log.read_bytes()
    (page_size,) = struct.unpack(">I", content[8:12])
    heads = (content[at : at + 24] for at in range(32, len(content), page_size + 24))
    return sum(head[4:8] != b"\0\0\0\0" and head[8:16] == content[16:24] for head in heads)


async def stored_runs(url: str) -> set[str]:
    """The ids of all runs in the store, each checked to be whole."""
    store = await open_store(url)
    found = [row async for row in store.export()]
    await store.close()
    assert all(len(row["events"]) == 3 for row in found)
    return {row["run_id"] for row in found}


async def test_many_appends_share_a_commit(url: str, file: Path) -> None:
    store = await open_store(url)
    log = file.with_name("store.db-wal")
    await store.append("local", a_run("first"))
    before = commits_in(log)
    await asyncio.gather(*(store.append("local", a_run(f"r{number}")) for number in range(60)))
    assert 1 <= commits_in(log) - before <= 10
    assert (await store.size())["runs"] == 61
    await store.close()


def test_a_store_outlives_the_event_loop_that_opened_it(url: str) -> None:
    store = asyncio.run(open_store(url))
    asyncio.run(store.append("local", a_run("r1")))
    assert len(asyncio.run(store.runs())) == 1
    asyncio.run(store.close())


def test_making_a_store_and_appending_import_no_sqlalchemy(url: str) -> None:
    program = (
        "import asyncio, sys; from tests.store.runs import append_until_killed;"
        "asyncio.run(append_until_killed(sys.argv[1], 'r', 1));"
        "print([name for name in sys.modules if name in ('sqlalchemy', 'alembic')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, url], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["r-0", "[]"]


async def test_two_processes_share_a_new_store(url: str) -> None:
    both = [appender(url, name, 60) for name in ("a", "b")]
    acknowledged = [process.communicate(timeout=60)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    expected = {f"{name}-{number}" for name in ("a", "b") for number in range(60)}
    assert {run for runs in acknowledged for run in runs} == expected == await stored_runs(url)


async def test_nothing_acknowledged_is_lost_by_a_kill(url: str, file: Path) -> None:
    chance = random.Random(1)
    acknowledged: set[str] = set()
    for kill in range(10):
        process = appender(url, f"k{kill}", 100_000)
        assert process.stdout is not None
        # The first kills fall anywhere, even into the making of the tables; the others into the appending.
        lines = [process.stdout.readline()] if kill > 2 else []
        await asyncio.sleep(chance.uniform(0.0, 0.1 if kill > 2 else 0.6))
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        acknowledged |= {line.strip() for line in lines if line.endswith("\n")}
    assert len(acknowledged) >= 7
    stored = await stored_runs(url)
    assert acknowledged <= stored
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from tests.store.runs import a_run
from tinyllm.errors import StoreError
from tinyllm.store import open_store

async def main(url, log):
    store = await open_store(url)
    await store.append("local", a_run("before"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 9000, hard))
    outcomes = await asyncio.gather(
        *(store.append("local", a_run(f"during-{n}", question="x" * 9000)) for n in range(5)),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, StoreError) and outcome.hint for outcome in outcomes), outcomes
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await store.append("local", a_run("after"))
    await store.close()
    print(outcomes[0])

asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files is POSIX's")
def test_a_full_disk_is_told_to_each_caller_and_survived(url: str, file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, url, str(file.with_name("store.db-wal"))],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "disk" in done.stdout and "next:" in done.stdout
    assert asyncio.run(stored_runs(url)) == {"before", "after"}


async def test_a_store_locked_by_another_program_is_waited_for_then_reported(url: str, file: Path) -> None:
    store = await open_store(url, patience=0.1)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = await asyncio.gather(
        *(store.append("local", a_run(f"r{n}")) for n in range(3)), return_exceptions=True
    )
    assert all(isinstance(outcome, StoreError) and "another program" in outcome.hint for outcome in outcomes)
    other.execute("ROLLBACK")
    other.close()
    await store.append("local", a_run("r9"))

    lock = FileLock(file.with_name("store.db-lock"))
    assert lock.acquire(0.0)
    with pytest.raises(StoreError, match=r"kept the store .* for 0\.1 seconds"):
        await store.append("local", a_run("r10"))
    with pytest.raises(StoreError, match="kept the store"):
        await open_store(url, patience=0.1)
    lock.close()
    await store.append("local", a_run("r10"))
    assert [run.run_id for run in await store.runs()] == ["r10", "r9"]
    await store.close()


async def test_a_purge_that_a_reader_hinders_says_so(url: str, file: Path) -> None:
    store = await open_store(url, patience=0.1)
    await store.append("local", a_run("r1"))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM runs").fetchone()
    with pytest.raises(StoreError, match="deleted, but their text is still in"):
        await store.purge(1e12)
    other.close()
    assert await store.purge(1e12) == 0
    assert file.with_name("store.db-wal").stat().st_size == 0
    await store.close()


async def test_where_no_store_can_be_the_error_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "log.db-wal").mkdir()
    (tmp_path / "garbage.db").write_bytes(os.urandom(8192))
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE recipes (name)")
    other.close()
    for name, expected in {
        "file/store.db": "name another store",
        "folder.db": "name another store",
        "log.db": "check the disk",
        "garbage.db": "restore a back-up",
        "other.db": "another program",
    }.items():
        with pytest.raises(StoreError, match=expected) as caught:
            await open_store(f"sqlite:///{tmp_path / name}")
        assert name.partition("/")[0] in caught.value.message and caught.value.hint


READ_ONLY = """
import asyncio, os, sys
import tinyllm.store.sql
import tinyllm.store.sqlite
from tinyllm.errors import StoreError
from tinyllm.store import open_store

if os.geteuid() == 0:
    os.setuid(65534)  # root may write where the modes forbid it
try:
    asyncio.run(open_store(sys.argv[1]))
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o444, 0o644, None], ids=["file", "folder", "new"])
def test_a_read_only_store_is_refused(mode: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/store.db"
        if mode:
            asyncio.run(stored_runs(url))
            for path in Path(folder).iterdir():
                path.chmod(mode)
        Path(folder).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, url], env=ENVIRONMENT, capture_output=True, text=True
        )
    assert done.stdout.startswith(f"the store '{folder}/store.db'"), done.stderr
    assert "writable, or name another store" in done.stdout


def test_an_empty_file_becomes_a_store(url: str, file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    assert asyncio.run(stored_runs(url)) == set()


def test_a_truncated_store_is_reported(url: str, file: Path) -> None:
    subprocess.run(
        [sys.executable, APPENDER, url, "r", "50"], env=ENVIRONMENT, capture_output=True, check=True
    )
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(StoreError, match="restore a back-up"):
        asyncio.run(stored_runs(url))


@pytest.mark.parametrize(
    "url", ["", "store.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://x/y"]
)
async def test_what_is_no_store_url_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:///store\.db .*four slashes"):
        await open_store(url)
