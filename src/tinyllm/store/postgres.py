"""PostgreSQL as a database of the store: its lock, its lost connections, its error codes. Knows no table's columns.

Writers take turns, as on SQLite: a transaction that writes first takes one lock of the database's, which the
server frees when the transaction ends or its client dies. So what a transaction read stays true until it is
committed, and rows are numbered in the order in which they come to be seen, whatever process writes them.

A connection that was lost is made again by the next call. A call that had begun fails instead of being repeated,
for its transaction may have been committed in the moment in which the connection went.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from tinyllm.errors import RequestError, StoreError
from tinyllm.store.lock import StoreBusy
from tinyllm.store.schema import READ_VERSION, foreign, is_older, metadata, newest_version
from tinyllm.store.writer import Cursor

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection

T = TypeVar("T")

_LOCK = "SELECT pg_advisory_xact_lock(8476051)"  # any number: that of this program
_WRITING = f"BEGIN; {_LOCK}"
_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_TABLES = "FROM pg_class WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace)"
_BYTES = f"SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS BIGINT) {_TABLES}"
_NAMES = f"SELECT string_agg(quote_ident(relname), ', ') {_TABLES}"

_AWAY = "see that the server runs and that the URL is right; nothing that was acknowledged is lost"
_HINTS = {
    "23503": "append a run's first event, run_started, before its others",
    "25006": "this server only reads: name the one that writes",
    "42501": "give the user of the URL the right to make and write tables",
    "53100": "free some disk space; nothing that was acknowledged is lost",
    "55P03": "another program is using the store: close it, or try again",
}
_NAME = "look the name up, or choose another"
_UNKNOWN = "see the log of the server"


class Postgres:
    """One database (or schema, by `options=-csearch_path%3DNAME`) with a connection that writes and one that reads.

    Calls wait up to `patience` seconds for a connection, and for other writers. What is deleted can no longer be
    read; when its bytes leave the server's disk, log and back-ups is for the server to say.
    """

    def __init__(self, url: str, patience: float) -> None:
        if find_spec("psycopg") is None:
            raise StoreError(
                "a store on PostgreSQL needs psycopg", hint="pip install 'tinyllm-network[postgres]'"
            )
        self._url = url
        self._patience = patience
        self._name = _name_of(url)
        self._writer = _Line(self._connect)
        self._reader = _Line(self._connect)

    def open(self) -> None:
        """Make or migrate the tables where needed, and connect. Raises StoreError."""
        with self._mending():
            with closing(self._connect()) as connection:
                made = connection.execute("SELECT to_regclass('alembic_version')").fetchone() != (None,)
                found = connection.execute(READ_VERSION).fetchall() if made else []
            if not made or is_older(found, self._name):
                self._move()
        self.read(lambda cursor: None)

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A transaction that writes: committed durably on leaving, rolled back on any error.

        Raises StoreBusy where it could not begin or the connection was lost, StoreError for anything else.
        """
        with self._mending(), self._writer.begun(_WRITING) as connection:
            # Without a pipeline each statement waits for the server's answer: 400 times for 200 runs.
            with connection.pipeline() as pipeline:
                yield _Cursor(connection, pipeline)
            connection.commit()

    def read(self, query: Callable[[Cursor], T]) -> T:
        """What `query` finds in one unchanging view of the data. Raises StoreError."""
        with self._mending(), self._reader.begun(_READING) as connection:
            return query(_Cursor(connection))

    def reclaim(self) -> None:
        """Make the space of deleted rows free for others; at the end of a table it goes back to the disk."""
        with self._mending():
            connection = self._writer.connected()
            ((names,),) = connection.execute(_NAMES).fetchall()
            connection.execute(f"VACUUM {names}")

    def bytes(self, cursor: Cursor) -> int:
        """The size of the tables and their indexes."""
        cursor.execute(_BYTES)
        return int(cursor.fetchone()[0])

    def close(self) -> None:
        """Disconnect."""
        self._reader.close()
        self._writer.close()

    def _connect(self, *, autocommit: bool = True) -> "psycopg.Connection[Any]":
        import psycopg

        connection = psycopg.connect(
            self._url,
            autocommit=autocommit,
            client_encoding="utf8",
            connect_timeout=max(2, round(self._patience)),
            fallback_application_name="tinyllm",
        )
        connection.execute(f"SET lock_timeout = {max(1, round(self._patience * 1000))}")
        connection.commit()
        return connection

    def _move(self) -> None:
        """Make the tables, or bring them to the newest schema; of several processes the first does it."""
        from sqlalchemy import create_engine, event, insert, inspect
        from sqlalchemy.pool import NullPool

        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: self._connect(autocommit=False), poolclass=NullPool
        )

        @event.listens_for(engine, "begin")
        def begin(connection: "Connection") -> None:
            connection.exec_driver_sql(_LOCK)

        with engine.begin() as connection:
            names = inspect(connection).get_table_names()
            if not names:
                tables = metadata()
                tables.create_all(connection, checkfirst=False)
                version = insert(tables.tables["alembic_version"])
                connection.execute(version.values(version_num=newest_version()))
                return
        if "alembic_version" not in names:
            raise foreign(self._name)
        from tinyllm.store.migrate import upgrade

        upgrade(engine)

    @contextmanager
    def _mending(self) -> Iterator[None]:
        """Turn what the driver raises into an error that says what to do."""
        import psycopg

        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            raise StoreBusy(
                f"another process kept the store {self._name!r} for {self._patience:g} seconds",
                hint=_HINTS["55P03"],
            ) from error
        except psycopg.Error as error:
            state = error.sqlstate or ""
            told = f"the store {self._name!r}: {_first_line(error)}"
            if state in _HINTS:
                raise StoreError(told, hint=_HINTS[state]) from error
            lost = not isinstance(error, psycopg.errors.PipelineAborted)
            if lost and isinstance(error, psycopg.OperationalError):
                raise StoreBusy(told, hint=_AWAY) from error
            if isinstance(error, psycopg.DataError):
                raise RequestError(told, hint=_NAME) from error
            raise StoreError(told, hint=_UNKNOWN) from error
        except UnicodeEncodeError as error:
            raise RequestError(f"{error.object!r} is not valid Unicode", hint=_NAME) from error


class _Line:
    """A connection that is made when it is needed, and made again where it was lost."""

    def __init__(self, connect: "Callable[[], psycopg.Connection[Any]]") -> None:
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None

    def connected(self) -> "psycopg.Connection[Any]":
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    @contextmanager
    def begun(self, begin: str) -> "Iterator[psycopg.Connection[Any]]":
        """The connection in a transaction, which is rolled back if it was not committed."""
        import psycopg

        connection = self.connected()
        try:
            try:
                connection.execute(begin)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
                connection = self.connected()  # it was lost while nobody used it, and nothing is lost with it
                connection.execute(begin)
            yield connection
        finally:
            if not connection.closed:
                connection.rollback()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _Cursor:
    """A cursor that reads `?` where the driver has `%s`, and waits for the server where it is asked for results."""

    def __init__(
        self, connection: "psycopg.Connection[Any]", pipeline: "psycopg.Pipeline | None" = None
    ) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._cursor = connection.cursor()

    @property
    def rowcount(self) -> int:
        if self._pipeline is not None:
            self._pipeline.sync()
        return self._cursor.rowcount

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> None:
        self._cursor = (
            self._connection.cursor()
        )  # another: in a pipeline, one would mix the results of two statements
        self._cursor.execute(_worded(sql), values)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> None:
        self._connection.cursor().executemany(_worded(sql), rows)

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()


def _worded(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _name_of(url: str) -> str:
    """What to call the database in an error: never its password. Raises StoreError."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        known = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise StoreError(
            "the URL of the store is no PostgreSQL URL",
            hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
        ) from None
    return f"{known.get('host', 'localhost')}/{known.get('dbname', '')}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
