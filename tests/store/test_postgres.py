"""PostgreSQL: several processes, kills, lost connections, older and newer stores."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from tests.store.runs import a_run
from tests.store.test_migration import NEXT, NOW, later_release, open_with
from tests.store.test_sqlite import ENVIRONMENT, appender, stored_runs
from tests.support.postgres import Postgres
from tests.support.postgres import postgres as own_server

from tinyllm.errors import StoreError
from tinyllm.protocols import Version
from tinyllm.store import open_store
from tinyllm.store.postgres import _LOCK
from tinyllm.store.schema import metadata
from tinyllm.types import Grade

__all__ = ["later_release"]  # fixture


@pytest.fixture
def admin(postgres: str) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    """Another program that is connected to the same place."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


@pytest.fixture
def server(postgres: str) -> Iterator[Postgres]:
    """A server that may be stopped; only where there is one at all."""
    with own_server(durable=False) as running:
        yield running


def cut(admin: "psycopg.Connection[tuple[object, ...]]") -> None:
    """End every connection of the store's."""
    found = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'tinyllm'"
    assert admin.execute(found).fetchall()


async def test_two_processes_share_a_new_store(postgres: str) -> None:
    both = [appender(postgres, name, 60) for name in ("a", "b")]
    acknowledged = [process.communicate(timeout=60)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    expected = {f"{name}-{number}" for name in ("a", "b") for number in range(60)}
    assert {run for runs in acknowledged for run in runs} == expected == await stored_runs(postgres)


async def test_nothing_acknowledged_is_lost_by_a_kill(postgres: str) -> None:
    chance = random.Random(1)
    acknowledged: set[str] = set()
    for kill in range(6):
        process = appender(postgres, f"k{kill}", 100_000)
        assert process.stdout is not None
        # The first kills fall anywhere, even into the making of the tables; the others into the appending.
        lines = [process.stdout.readline()] if kill > 1 else []
        await asyncio.sleep(chance.uniform(0.0, 0.1 if kill > 1 else 0.6))
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        acknowledged |= {line.strip() for line in lines if line.endswith("\n")}
    assert len(acknowledged) >= 4 and acknowledged <= await stored_runs(postgres)


async def test_of_many_that_promote_at_once_one_is_first(postgres: str) -> None:
    stores = [await open_store(postgres) for _ in range(4)]
    version = Version("net", 0, "g", "file", "first")
    outcomes = await asyncio.gather(
        *(store.promote(version, expected=-1) for store in stores), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 3 + ["NoneType"]
    await stores[0].append("local", a_run("r1"))
    kept = await asyncio.gather(*(store.grade(Grade("r1", "recompute", "tools", 1.0)) for store in stores))
    assert kept.count(True) == 1
    for store in stores:
        await store.close()


async def test_a_lost_connection_is_made_again(
    postgres: str, admin: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    store = await open_store(postgres)
    for number in range(3):
        cut(admin)
        await store.append("local", a_run(f"r{number}"))
        assert (await store.size())["runs"] == number + 1
    await store.close()


async def test_a_server_that_stops_is_told_and_found_again(server: Postgres) -> None:
    store = await open_store(server.url)
    await store.append("local", a_run("before"))
    server.stop()
    outcomes = await asyncio.gather(
        *(store.append("local", a_run(f"during-{number}")) for number in range(5)),
        store.runs(),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, StoreError) and "server runs" in outcome.hint for outcome in outcomes)
    server.start()
    await store.append("local", a_run("after"))
    assert [run.run_id for run in await store.runs()] == ["after", "before"]
    await store.close()


async def test_another_writer_is_waited_for_then_reported(
    postgres: str, admin: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    store = await open_store(postgres, patience=0.1)
    with admin.transaction():
        admin.execute(_LOCK)
        with pytest.raises(StoreError, match=r"kept the store .* for 0\.1 seconds"):
            await store.append("local", a_run("r1"))
    await store.append("local", a_run("r1"))
    assert [run.run_id for run in await store.runs()] == ["r1"]
    await store.close()


async def test_a_new_store_is_what_the_schema_says(postgres: str) -> None:
    await (await open_store(postgres)).close()
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(postgres))
    with engine.connect() as opened:
        assert compare_metadata(MigrationContext.configure(opened), metadata()) == []
    engine.dispose()


async def test_a_kill_in_mid_migration_leaves_the_old_store_and_a_rerun_the_new(
    postgres: str, later_release: Path, admin: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    store = await open_store(postgres)
    await asyncio.gather(*(store.append("local", a_run(f"r{number}")) for number in range(40)))
    await store.close()
    process = open_with(later_release, postgres)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.kill()
    process.communicate()
    assert admin.execute("SELECT version_num FROM alembic_version").fetchall() == [(NOW,)]
    await (await open_store(postgres)).close()

    both = [open_with(later_release, postgres) for _ in range(2)]
    told, faults = zip(*(process.communicate(timeout=60) for process in both), strict=True)
    assert [process.returncode for process in both] == [0, 0], faults
    assert sorted(told) == ["", "begun\n"], "two processes migrate once"
    assert admin.execute("SELECT count(note) FROM runs").fetchall() == [(40,)]
    with pytest.raises(StoreError, match=f"schema {NEXT}, newer than {NOW}"):
        await open_store(postgres)


async def test_another_program_s_database_is_left_alone(
    postgres: str, admin: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    admin.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="another program"):
        await open_store(postgres)
    admin.execute("CREATE TABLE alembic_version (version_num TEXT)")
    admin.execute("INSERT INTO alembic_version VALUES ('ae1027a6acf')")
    with pytest.raises(StoreError, match="another program"):
        await open_store(postgres)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ann:secret@127.0.0.1:1/db", "'127.0.0.1/db': .*refused"),
        ("postgresql://ann:secret@[h/db", "no PostgreSQL URL"),
    ],
)
async def test_where_no_store_can_be_the_error_says_so_without_the_password(url: str, told: str) -> None:
    with pytest.raises(StoreError, match=told) as caught:
        await open_store(url, patience=2.0)
    assert caught.value.hint and "secret" not in str(caught.value)


def test_opening_and_appending_import_no_sqlalchemy_once_the_tables_are_there(postgres: str) -> None:
    program = (
        "import asyncio, sys; from tests.store.runs import append_until_killed;"
        "asyncio.run(append_until_killed(sys.argv[1], sys.argv[2], 1));"
        "print([name for name in sys.modules if name in ('sqlalchemy', 'alembic')])"
    )

    def told(prefix: str) -> list[str]:
        command = [sys.executable, "-c", program, postgres, prefix]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        return done.stdout.split(maxsplit=1)

    assert told("first") == ["first-0", "['sqlalchemy']\n"]
    assert told("second") == ["second-0", "[]\n"]
