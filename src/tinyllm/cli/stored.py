"""How commands that load no network reach the store."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from tinyllm.cli.output import settings
from tinyllm.errors import NotFound

if TYPE_CHECKING:
    from tinyllm.protocols import Store

T = TypeVar("T")


def with_store(work: Callable[["Store"], Awaitable[T]]) -> T:
    """What `work` makes of the configured store, which is closed afterwards. Raises StoreError."""
    from tinyllm.cli.wiring import open_settings_store

    async def run() -> T:
        store = await open_settings_store(settings())
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def run_named(store: "Store", name: str) -> str:
    """The id of a run; `last` is the latest one. Raises NotFound where none is kept."""
    if name != "last":
        return name
    latest = await store.runs(limit=1)
    if not latest:
        raise NotFound("no run is kept yet", hint='ask something first: tinyllm ask "what is 2 + 2?"')
    return latest[0].run_id
