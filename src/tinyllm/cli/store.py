"""`tinyllm store`: how much is kept, all of it as JSON lines, a copy of it, and deleting what is old."""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import json_flag, note, print_json, settings
from tinyllm.cli.stored import with_store

if TYPE_CHECKING:
    from tinyllm.protocols import Store

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def age(text: str) -> float:
    """Seconds of `30d`, `12h`, `90m`, `2w` or `45s`. Raises click.BadParameter."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip().lower())
    if not match:
        raise click.BadParameter(f"{text!r} is not an age: write 30d, 12h or 2w")
    return float(match[1]) * _UNITS[match[2]]


@click.group()
def store() -> None:
    """Example: tinyllm store size"""


@store.command(short_help="How much is kept, and where.")
@json_flag
def size(as_json: bool) -> None:
    """Example: tinyllm store size --json"""

    from tinyllm.settings import without_password

    async def measure(store: "Store") -> Mapping[str, int]:
        return await store.size()

    counts = {**with_store(measure), "url": without_password(settings().store)}
    if as_json:
        print_json(counts)
    else:
        for name, value in counts.items():
            click.echo(f"{name:<8} {value}")


@store.command(short_help="Print all of it as JSON lines.")
def export() -> None:
    """Example: tinyllm store export > kept.jsonl"""

    async def write(store: "Store") -> None:
        async for row in store.export():
            click.echo(json.dumps(row, ensure_ascii=False))

    with_store(write)


@store.command(short_help="Write a copy of a SQLite store, also while it is used.")
@click.argument("file", type=click.Path(path_type=Path))
@json_flag
def backup(file: Path, as_json: bool) -> None:
    """Example: tinyllm store backup monday.db

    The copy is the store as it is at one moment, and a store itself: to go back to it, stop what uses the store and
    put the copy in its place.
    """
    import sqlite3
    from contextlib import closing

    from tinyllm.errors import StoreError

    scheme, _, path = settings().store.partition(":///")
    if scheme != "sqlite":
        raise StoreError("only a store in SQLite is copied so", hint="pg_dump copies one in PostgreSQL")
    try:
        # The copy must be new; one that breaks off leaves nothing behind that looks like a store.
        file.touch(0o600, exist_ok=False)
        try:
            with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as own:
                own.execute("VACUUM INTO ?", (str(file),))
        except sqlite3.Error as error:
            file.unlink(missing_ok=True)
            raise StoreError(f"the store {path!r} cannot be copied: {error}") from error
    except OSError as error:
        raise StoreError(
            f"{str(file)!r} cannot be written: {error.strerror}", hint="name a new file"
        ) from error
    size = file.stat().st_size
    if as_json:
        print_json({"file": str(file), "bytes": size})
    else:
        note(f"written: {file}, {size / 1e6:.1f} MB")


@store.command(short_help="Delete what is old.")
@click.option(
    "--older-than", required=True, metavar="AGE", callback=lambda c, p, v: age(v), help="30d, 12h, 2w."
)
@json_flag
def purge(older_than: float, as_json: bool) -> None:
    """Example: tinyllm store purge --older-than 30d"""

    async def delete(store: "Store") -> int:
        return await store.purge(time.time() - older_than)

    deleted = with_store(delete)
    if as_json:
        print_json({"deleted": deleted})
    else:
        note(f"deleted {deleted} runs and tickets")
