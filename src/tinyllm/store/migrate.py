"""Makes the tables of a new store, or brings an older one up to this code's schema. Knows no dialect.

Each is one transaction of the engine that is given: a kill in the middle leaves the store as it was.
Raises what the database's driver raises.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tinyllm.store.schema import MIGRATIONS, metadata, newest_version

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def create(engine: "Engine") -> None:
    """Make every table, in the newest version."""
    tables = metadata()
    with _transaction(engine) as connection:
        tables.create_all(connection, checkfirst=False)
        connection.execute(tables.tables["alembic_version"].insert().values(version_num=newest_version()))


def upgrade(engine: "Engine") -> None:
    """Run the scripts between the store's version and the newest."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])
    with _transaction(engine) as connection:
        # Alembic joins the transaction that it finds; left alone it would commit each step on SQLite.
        steps = {"fn": lambda revision, _: scripts._upgrade_revs("head", revision)}
        context = MigrationContext.configure(connection, opts=steps)
        with Operations.context(context):
            context.run_migrations()


@contextmanager
def _transaction(engine: "Engine") -> Iterator["Connection"]:
    from sqlalchemy.exc import DBAPIError

    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise (error.orig or error) from error
