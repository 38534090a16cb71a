"""An older store is brought forward, whole or not at all; a newer one is left alone."""

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from tests.store.runs import ROOT, a_run

from tinyllm.errors import StoreError
from tinyllm.store import open_store
from tinyllm.store.schema import SQLITE_SCRIPT, metadata, newest_version, sqlite_script
from tinyllm.types import Grade

NOW = newest_version()
NEXT = f"{int(NOW) + 1:04}"

# A migration of a later release: slow, so that a kill can fall into it.
LATER = f"""
import time

revision = "{NEXT}"
down_revision = "{NOW}"


def upgrade() -> None:
    from alembic import op
    from sqlalchemy import Column, Text, text

    print("begun", flush=True)
    op.add_column("runs", Column("note", Text))
    for number in range(1, 41):
        op.execute(text("UPDATE runs SET note = 'n' WHERE number = %d" % number))
        time.sleep(0.02)
    op.create_table("notes", Column("note", Text))
"""

# Patient, as one process waits here for another's migration on a machine that may be busy.
OPEN = (
    "import asyncio, sys; from tinyllm.store import open_store;"
    "asyncio.run(open_store(sys.argv[1], patience=50))"
)


@pytest.fixture
def later_release(tmp_path: Path) -> Path:
    """A folder with the package as a later release might be: one more migration."""
    package = tmp_path / "later" / "tinyllm"
    package.mkdir(parents=True)
    for module in ("__init__", "errors", "types", "events", "protocols"):
        shutil.copy(ROOT / "src" / "tinyllm" / f"{module}.py", package)
    shutil.copytree(ROOT / "src" / "tinyllm" / "store", package / "store")
    (package / "store" / "migrations" / f"r{NEXT}_notes.py").write_text(LATER)
    return package.parent


def open_with(release: Path, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(release)},
    )


def state(file: Path) -> tuple[str, bool, int]:
    """Version, whether the migration's last table exists, and how many runs it has rewritten."""
    connection = sqlite3.connect(file)
    ((version,),) = connection.execute("SELECT version_num FROM alembic_version")
    names = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('runs')")}
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    noted = 0
    if "note" in names:
        ((noted,),) = connection.execute("SELECT count(note) FROM runs")
    connection.close()
    return version, "notes" in tables, noted


async def test_a_kill_in_mid_migration_leaves_the_old_store_and_a_rerun_the_new(
    url: str, tmp_path: Path, later_release: Path
) -> None:
    file = tmp_path / "folder" / "store.db"
    store = await open_store(url)
    await asyncio.gather(*(store.append("local", a_run(f"r{number}")) for number in range(40)))
    await store.close()

    chance = random.Random(2)
    for _ in range(3):
        process = open_with(later_release, url)
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        await asyncio.sleep(chance.uniform(0.0, 0.15))
        process.kill()
        process.communicate()
        assert state(file) == (NOW, False, 0)

    both = [open_with(later_release, url) for _ in range(2)]
    told, faults = zip(*(process.communicate(timeout=60) for process in both), strict=True)
    assert [process.returncode for process in both] == [0, 0], faults
    assert sorted(told) == ["", "begun\n"], "two processes migrate once"
    assert state(file) == (NEXT, True, 40)

    with pytest.raises(StoreError, match=f"schema {NEXT}, newer than {NOW}") as caught:
        await open_store(url)
    assert "tinyllm-network" in caught.value.hint


async def test_a_failing_migration_is_an_error_of_the_store(
    url: str, tmp_path: Path, later_release: Path
) -> None:
    await (await open_store(url)).close()
    script = later_release / "tinyllm" / "store" / "migrations" / f"r{NEXT}_notes.py"
    script.write_text(LATER.replace("UPDATE runs", "UPDATE no_such_table"))
    process = open_with(later_release, url)
    _, told = process.communicate(timeout=60)
    assert "tinyllm.errors.StoreError: the store" in told and "no_such_table" in told
    assert state(tmp_path / "folder" / "store.db") == (NOW, False, 0)


def test_a_new_store_is_what_the_schema_says() -> None:
    kept = SQLITE_SCRIPT.read_text(encoding="utf-8")
    assert kept == sqlite_script(), "write it again: python -m tinyllm.store.schema"


def restore(dump: Path, file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.executescript(dump.read_text())
    connection.close()


@pytest.mark.parametrize(
    "version", sorted(Path(__file__).with_name("versions").glob("*.sql")), ids=lambda p: p.stem
)
async def test_a_store_of_each_version_ends_up_as_the_schema_says(tmp_path: Path, version: Path) -> None:
    file = tmp_path / "store.db"
    restore(version, file)
    store = await open_store(f"sqlite:///{file}")
    assert [run.answer for run in await store.runs()] == ["4", "4"]
    assert await store.events("r1") == [event for event in a_run("r1") if event.kind != "token"]
    assert (await store.size())["events"] == 6
    assert {grade.run_id for grade in await store.grades()} == ({"r1"} if version.stem > "0001" else set())
    assert [(made.graph, made.share, made.evidence) for made in await store.versions("net")] == (
        [("g0", 1.0, {}), ("g1", 1.0, {})] if version.stem > "0003" else []
    )
    await store.append("local", a_run("r3"))
    assert await store.grade(Grade("r3", "thumb", "ann", 1.0))
    await store.close()
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as opened:
        differences = compare_metadata(MigrationContext.configure(opened), metadata())
    engine.dispose()
    assert differences == []
