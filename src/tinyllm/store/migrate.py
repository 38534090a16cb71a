"""Brings an older store up to this code's schema. Knows no dialect."""

from typing import TYPE_CHECKING

from tinyllm.store.schema import MIGRATIONS

if TYPE_CHECKING:
    from sqlalchemy import Engine


def upgrade(engine: "Engine") -> None:
    """Run the scripts between the store's version and the newest, in one transaction.

    A kill in the middle leaves the store as it was. Raises what the database's driver raises.
    """
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory
    from sqlalchemy.exc import DBAPIError

    scripts = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])
    try:
        with engine.begin() as connection:
            # Alembic joins the transaction that it finds; left alone it would commit each step on SQLite.
            steps = {"fn": lambda revision, _: scripts._upgrade_revs("head", revision)}
            context = MigrationContext.configure(connection, opts=steps)
            with Operations.context(context):
                context.run_migrations()
    except DBAPIError as error:
        raise (error.orig or error) from error
