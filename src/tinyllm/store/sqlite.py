"""SQLite as a database of the store: every pragma, file mode, lock and error code. Knows no table's columns.

How two processes share a file. SQLite before 3.51.3 can corrupt a database when one connection restarts the
write-ahead log at the instant in which another writes or checkpoints. So a lock file beside the store is held
around every transaction that writes, and checkpoints happen only inside one: automatically at the end of a
commit on the writing connection, and in `reclaim`. The connection that reads never checkpoints. (When the
last connection of all closes, SQLite folds the log in, but then it has the file to itself.) The system frees
the lock when its holder dies, so a kill needs no clean-up.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tinyllm.errors import RequestError, StoreError
from tinyllm.store.lock import FileLock, StoreBusy
from tinyllm.store.schema import READ_VERSION, SQLITE_SCRIPT, is_older

if TYPE_CHECKING:
    from sqlalchemy import Engine

T = TypeVar("T")

_HINTS = {
    sqlite3.SQLITE_FULL: "free some disk space; nothing that was acknowledged is lost",
    sqlite3.SQLITE_IOERR: "check the disk and its free space; nothing that was acknowledged is lost",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable, or name another store",
    sqlite3.SQLITE_CANTOPEN: "make the file and its folder readable and writable, or name another store",
    sqlite3.SQLITE_BUSY: "another program is using the store: close it, or try again",
    sqlite3.SQLITE_CONSTRAINT: "append a run's first event, run_started, before its others",
    sqlite3.SQLITE_NOTADB: "this is no store: name another file, or move it away and restore a back-up",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: move it away (with its -wal file) and restore a back-up",
}
_UNKNOWN = "keep a copy of the file and report this: the store or the program is at fault"


class Sqlite:
    """One database file with a connection that writes and one that reads, each for one thread at a time."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path.expanduser().absolute()
        self._patience = patience

    def open(self) -> None:
        """Make or migrate the file where needed, and connect. Raises StoreError."""
        with self._mending():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Only a new file: closing a descriptor of an open database would drop SQLite's own locks on it.
            if not self._path.exists():
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            self._lock = FileLock(self._path.with_name(self._path.name + "-lock"))
        try:
            with self._locked(), self._mending():
                self._prepare()
                self._writer = self._connect()
                self._writer.execute("PRAGMA foreign_keys = ON")
                self._reader = self._connect()
                self._reader.execute("PRAGMA query_only = ON")
                self._reader.execute("PRAGMA wal_autocheckpoint = 0")
        except StoreError:
            self._lock.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """A transaction that writes: committed durably on leaving, rolled back on any error.

        Raises StoreBusy where it could not begin, StoreError where it could not be carried out.
        """
        with self._locked(), self._mending():
            cursor = self._writer.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                self._writer.commit()
            finally:
                if self._writer.in_transaction:
                    self._writer.rollback()

    def read(self, query: Callable[[sqlite3.Cursor], T]) -> T:
        """What `query` finds in one unchanging view of the data. Raises StoreError."""
        with self._mending():
            cursor = self._reader.cursor()
            cursor.execute("BEGIN")
            try:
                return query(cursor)
            finally:
                self._reader.rollback()

    def reclaim(self) -> None:
        """Give the space of deleted rows back to the disk, and their content with it."""
        with self._locked(), self._mending():
            # As a script, which steps to the end: `execute` gives back one page and stops.
            self._writer.executescript("PRAGMA incremental_vacuum")
            busy, _, _ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreBusy(
                f"the rows are deleted, but their text is still in {self._path.name + '-wal'!r}",
                hint="another program is reading the store: close it and purge again",
            )

    def bytes(self, cursor: object) -> int:
        """The size of the database and its log on disk."""
        log = self._path.with_name(self._path.name + "-wal")
        with self._mending():
            return self._path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    def close(self) -> None:
        """Disconnect."""
        self._reader.close()
        self._writer.close()
        self._lock.close()

    def _prepare(self) -> None:
        """Bring the file to the newest schema, from nothing or from an older one; refuse what is newer."""
        connection = self._connect()
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            found = connection.execute(READ_VERSION).fetchall() if "alembic_version" in tables else []
            if not tables:
                connection.executescript(SQLITE_SCRIPT.read_text(encoding="utf-8"))
                return
        finally:
            connection.close()
        if is_older(found, str(self._path)):
            from tinyllm.store.migrate import upgrade

            upgrade(self._engine())

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            # Before the first table, or they have no effect. Pages of purged rows can then be given back; and as
            # a run writes to six pages, small ones save a fifth of the disk and a little CPU.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA page_size = 2048")
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(
                    f"{str(self._path)!r} lies where SQLite cannot keep a write-ahead log",
                    hint="put the store on a local disk",
                )
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _engine(self) -> "Engine":
        """SQLAlchemy on this file, for migrating tables."""
        from sqlalchemy import Connection, create_engine, event
        from sqlalchemy.pool import NullPool

        engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)

        # The driver opens no transaction by itself, and would open it too late for DDL if it did.
        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock.acquire(self._patience):
            raise StoreBusy(
                f"another process kept the store {str(self._path)!r} for {self._patience:g} seconds",
                hint=_HINTS[sqlite3.SQLITE_BUSY],
            )
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _mending(self) -> Iterator[None]:
        """Turn what SQLite and the system raise into an error that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raised = StoreBusy if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else StoreError
            raise raised(
                f"the store {str(self._path)!r}: {error}", hint=_HINTS.get(code, _UNKNOWN)
            ) from error
        except UnicodeEncodeError as error:
            raise RequestError(
                f"{error.object!r} is not valid Unicode, so the store cannot hold it as a name",
                hint="look the name up, or choose another",
            ) from error
        except OSError as error:
            raise StoreError(
                f"the store {str(self._path)!r}: {error.strerror or error}",
                hint=_HINTS[sqlite3.SQLITE_CANTOPEN],
            ) from error
