"""The tables, once, for every database. Knows nothing about how they are read or written.

A new store is made from this page whole, through its text in `schema.sql`; an older one is brought here by the
scripts in `migrations/`. So a change of a table is two edits and a command: this page, a new script, and
`python -m tinyllm.store.schema`, which writes the text again. SQLAlchemy is imported only where a store has to
be migrated: it costs 0.17 s of CPU, Alembic as much again, and a command that answers one question has a budget
of one second.

Every key begins with the tenant, so that one tenant can neither read nor collide with another's rows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinyllm.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import MetaData

MIGRATIONS = Path(__file__).parent / "migrations"
SQLITE_SCRIPT = Path(__file__).with_name("schema.sql")
READ_VERSION = "SELECT version_num FROM alembic_version"


def newest_version() -> str:
    """The schema version of this code: the number in the name of the last migration script."""
    return max(script.name[1:5] for script in MIGRATIONS.glob("r[0-9]*.py"))


def is_older(found: Sequence[tuple[str]], name: str) -> bool:
    """Whether the store `name`, in which READ_VERSION found this, is to be migrated. Raises StoreError where it is
    newer than this code, or another program's."""
    if not found or not found[0][0].isdecimal():
        raise foreign(name)
    newest = newest_version()
    if found[0][0] > newest:
        raise StoreError(
            f"the store {name!r} has schema {found[0][0]}, newer than {newest}",
            hint="upgrade tinyllm-network, or name another store",
        )
    return found[0][0] < newest


def foreign(name: str) -> StoreError:
    """The error for tables that are not a store's."""
    return StoreError(f"{name!r} is a database of another program", hint="name another one as the store")


def metadata() -> "MetaData":
    """The tables as SQLAlchemy Core describes them."""
    from sqlalchemy import (
        BigInteger,
        Column,
        Float,
        ForeignKeyConstraint,
        Index,
        Integer,
        LargeBinary,
        MetaData,
        String,
        Table,
        Text,
        UniqueConstraint,
        text,
    )

    tables = MetaData()
    Table(
        "runs",
        tables,
        # The order in which runs were first stored: lists and exports walk along it.
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("run_id", Text, nullable=False),
        Column("user_id", Text, nullable=False),
        Column("session", Text),
        Column("graph", Text, nullable=False),
        Column("seed", Text, nullable=False),  # as text: a caller's seed may exceed 64 bits
        Column("clock", Float, nullable=False),
        Column("question", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("schema_version", Integer, nullable=False),
        # Empty until the run has finished.
        Column("answer", Text),
        Column("status", Text),
        Column("macs", BigInteger),
        Column("tokens_in", BigInteger),
        Column("tokens_out", BigInteger),
        Column("milliseconds", Float),
        Column("money", Float),
        UniqueConstraint("tenant", "run_id", name="runs_by_id"),
        Index("runs_by_age", "created"),
    )
    Table(
        "events",
        tables,
        # One row for each append: with one for each event, keeping a run cost nearly twice the CPU.
        Column("tenant", Text, primary_key=True),
        Column("run_id", Text, primary_key=True),
        Column("sequence", Integer, primary_key=True),  # of the first event
        Column("count", Integer, nullable=False),
        Column("events", Text, nullable=False),  # JSON: a list of [sequence, kind, at_ms, node, data]
        Column("schema_version", Integer, nullable=False),
        ForeignKeyConstraint(
            ["tenant", "run_id"], ["runs.tenant", "runs.run_id"], name="events_of_run", ondelete="CASCADE"
        ),
    )
    Table(
        "graphs",
        tables,
        Column("tenant", Text, primary_key=True),
        Column("graph_id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("created", Float, nullable=False),
    )
    Table(
        "tickets",
        tables,
        Column("tenant", Text, primary_key=True),
        Column("ticket_id", Text, primary_key=True),
        Column("run_id", Text, nullable=False),
        Column("question", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("answer", Text),  # empty while the question waits
    )
    Table(
        "grades",
        tables,
        # The order in which they were given: of a user's grades of one run the last one stands.
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("run_id", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("grader", Text, nullable=False),
        Column("score", Float),  # empty where the grader abstained
        Column("reason", Text, nullable=False),
        Column("reference", Text),
        Column("created", Float, nullable=False),
        Column("replaced", Float),  # when a later grade took its place
        ForeignKeyConstraint(
            ["tenant", "run_id"], ["runs.tenant", "runs.run_id"], name="grades_of_run", ondelete="CASCADE"
        ),
        Index("grades_by_run", "tenant", "run_id"),
    )
    Table(
        "versions",
        tables,
        Column("tenant", Text, primary_key=True),
        Column("network", Text, primary_key=True),
        Column("revision", Integer, primary_key=True),
        Column("graph", Text, nullable=False),
        Column("edit", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("changes", Text, nullable=False),  # JSON
        Column("trial", Text),  # empty where none proved it
        Column("created", Float, nullable=False),
        Column("share", Float, nullable=False, server_default=text("1")),  # of all conversations
        Column("evidence", Text, nullable=False, server_default="{}"),  # JSON: what live traffic said
    )
    Table(
        "trials",
        tables,
        # The order in which they were first stored.
        Column("place", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("trial_id", Text, nullable=False),
        Column("network", Text, nullable=False),
        Column("edit", Text, nullable=False),
        Column("node", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("verdict", Text, nullable=False),
        Column("number", Integer),  # in the ledger; empty where nothing was looked at
        Column("evidence", Text, nullable=False),  # JSON
        Column("created", Float, nullable=False),
        UniqueConstraint("tenant", "trial_id", name="trials_by_id"),
        UniqueConstraint("tenant", "network", "number", name="trials_by_number"),
    )
    Table(
        "files",
        tables,
        Column("tenant", Text, primary_key=True),
        Column("sha256", Text, primary_key=True),
        Column("content", LargeBinary, nullable=False),
        Column("created", Float, nullable=False),
    )
    Table(
        "facts",
        tables,
        # The order in which they were told.
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("user_id", Text, nullable=False),
        Column("fact_id", Text, nullable=False),
        Column("text", Text, nullable=False),
        Column("created", Float, nullable=False),
        UniqueConstraint("tenant", "user_id", "fact_id", name="facts_by_user"),
    )
    Table("alembic_version", tables, Column("version_num", String(32), primary_key=True))
    return tables


def sqlite_script() -> str:
    """The statements that make a new SQLite store in one transaction: what `schema.sql` is to hold."""
    from sqlalchemy import create_mock_engine
    from sqlalchemy.dialects.sqlite import dialect

    made: list[str] = []
    engine = create_mock_engine("sqlite://", lambda ddl, *_: made.append(str(ddl.compile(dialect=dialect()))))
    metadata().create_all(engine, checkfirst=False)
    made.append(f"INSERT INTO alembic_version VALUES ('{newest_version()}')")
    lines = "".join(f"{text.strip()};\n" for text in ["BEGIN IMMEDIATE", *made, "COMMIT"]).expandtabs(4)
    return "".join(f"{line.rstrip()}\n" for line in lines.splitlines())


if __name__ == "__main__":
    SQLITE_SCRIPT.write_text(sqlite_script(), encoding="utf-8", newline="\n")
