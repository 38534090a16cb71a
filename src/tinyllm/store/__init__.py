"""Keeps what happened: runs, their events, the graphs that answered and the questions parked for people.

`open_store` is the way in. Knows nothing about engines, nodes or settings; the seam it fills is
`tinyllm.protocols.Store`.
"""

import asyncio
import time
from collections.abc import Callable

from tinyllm.errors import StoreError
from tinyllm.protocols import Store


async def open_store(
    url: str,
    *,
    retention: float | None = None,
    patience: float = 10.0,
    now: Callable[[], float] = time.time,
) -> Store:
    """Open the store behind `url`, making or migrating it where needed, and return it ready for use.

    `sqlite:///PATH` is a file (`sqlite:////var/x.db` an absolute one), `postgresql://USER:PASSWORD@HOST/DATABASE`
    a database that several machines may share, and `memory:` keeps a bounded number of runs for the life of the
    process only. Runs and tickets older than `retention` seconds are purged on
    opening and from time to time; None keeps them. `patience` is how many seconds a call waits for another
    process that is writing. `now` is the clock that rows are stamped with, in Unix time.

    Raises StoreError where the store cannot be opened, is damaged, or was written by a newer version.
    """
    if url == "memory:":
        from tinyllm.store.memory import MemoryStore

        return MemoryStore(retention=retention, now=now)
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite" and path not in ("", ":memory:"):
        from pathlib import Path

        from tinyllm.store.sql import SqlStore
        from tinyllm.store.sqlite import Sqlite

        return await asyncio.to_thread(SqlStore, Sqlite(Path(path), patience), retention, now)
    if url.startswith(("postgresql://", "postgres://")):
        from tinyllm.store.postgres import Postgres
        from tinyllm.store.sql import SqlStore

        return await asyncio.to_thread(lambda: SqlStore(Postgres(url, patience), retention, now))
    raise StoreError(
        f"{url!r} is not the URL of a store (the setting `store`, or TINYLLM_STORE)",
        hint="write sqlite:///store.db (a file in this folder), sqlite:////home/you/store.db (four slashes: from the "
        "root), postgresql://USER@HOST/DATABASE, or memory: to keep nothing",
    )


__all__ = ["open_store"]
