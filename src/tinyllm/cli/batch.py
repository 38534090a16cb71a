"""`tinyllm batch`: a file of questions in, a file of answers out; stopped at any moment, it goes on later.

An answer is a whole line in OUT or it is not there: a torn last line is dropped and its question asked again.
"""

import asyncio
import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import click

from tinyllm.cli.output import (
    network_flag,
    no_store_flag,
    note,
    plain,
    quality_flag,
    reply_json,
    right_flag,
    seed_flag,
    settings,
)
from tinyllm.errors import BackendUnreachable, RequestError, StoreError, TinyLLMError
from tinyllm.types import JSON

MAX_LINE = 4_000_000  # bytes
_SYNC_EVERY = 64  # answers
_BEYOND = 2**31 - 2  # a byte of OUT past any answer, to lock


@dataclass(slots=True)
class Tally:
    """How a batch went. `bad` counts lines of IN that are no question or could not be asked."""

    written: int = 0
    skipped: int = 0
    bad: int = 0
    failed: int = 0
    seen: set[bytes] = field(default_factory=set)


@click.command()
@click.argument("source", metavar="IN", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="OUT.jsonl"
)
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=4, show_default=True, help="Questions at a time."
)
@click.option("--json", "as_json", is_flag=True, help="Print the totals as JSON.")
@network_flag
@no_store_flag
@quality_flag
@right_flag
@seed_flag
@click.pass_context
def batch(
    context: click.Context,
    source: Path,
    output: Path,
    jobs: int,
    as_json: bool,
    network: str | None,
    no_store: bool,
    quality: float | None,
    right: float | None,
    seed: int | None,
) -> None:
    """Example: tinyllm batch questions.jsonl -o answers.jsonl

    IN has one JSON object a line with `id` and `query`. Run the same command again to go on where it stopped;
    to ask a failed question again, delete its line in OUT first.
    """
    if output.exists() and source.samefile(output):
        raise click.UsageError("IN and OUT are the same file", context)
    from tinyllm.api import load

    chosen = settings(network=network)
    with (
        _alone(output),
        load(chosen.network, settings=chosen, store=None if no_store else "default") as net,
        source.open("rb") as lines,
        FileIO(str(output), "a") as out,  # no buffer: what a full disk refuses is not tried again
    ):
        tally = Tally(seen=finished(output))
        questions = _questions(lines, source.name, tally, frozenset(tally.seen))

        async def work() -> None:
            for row in questions:
                try:
                    reply = await net.aask(row["query"], quality=quality, right=right, seed=seed)
                    if isinstance(reply.error, BackendUnreachable):
                        raise reply.error
                except (BackendUnreachable, StoreError):
                    raise  # every other question would end the same way; a rerun goes on from here
                except TinyLLMError as error:
                    tally.bad += 1
                    note(plain(f"id {row['id']!r}: {error.message}"))
                    continue
                answer = {"id": row["id"], "query": row["query"], **reply_json(reply)}
                _append(out, json.dumps(answer, ensure_ascii=True, default=str).encode() + b"\n")
                tally.written += 1
                tally.failed += reply.status == "failed"
                if tally.written % _SYNC_EVERY == 0:
                    await asyncio.to_thread(os.fsync, out.fileno())

        async def all_of_it() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(jobs):
                    group.create_task(work())

        try:
            net.call(all_of_it())
        except* (TinyLLMError, OSError) as errors:
            raise _first(errors) from None
        finally:
            os.fsync(out.fileno())
    totals = {"written": tally.written, "skipped": tally.skipped, "bad": tally.bad, "failed": tally.failed}
    if as_json:
        click.echo(json.dumps(totals))
    else:
        note(", ".join(f"{count} {name}" for name, count in totals.items()))
    if tally.bad and not tally.written:
        note('next: give IN one JSON object a line, such as {"id": 1, "query": "3 cups in ml"}')
    context.exit(1 if tally.bad or tally.failed else 0)


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Keeps a second `batch` off OUT. Raises RequestError where one is at work."""
    from tinyllm.store.lock import FileLock

    lock = FileLock(output, byte=_BEYOND)
    try:
        if not lock.acquire(0):
            raise RequestError(
                f"another batch is writing {str(output)!r}", hint="wait for it, or name another file with -o"
            )
        yield
    finally:
        lock.close()


def finished(output: Path) -> set[bytes]:
    """The keys of the answers that stand in OUT, whose torn last line is cut off.

    Raises RequestError where the file holds something else, so that nobody's file is spoiled.
    """
    keys: set[bytes] = set()
    if not output.exists():
        return keys
    whole = 0
    with output.open("r+b") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                if not line.startswith((b"{", b"\0")):
                    raise _foreign(output, number)
                break
            try:
                keys.add(_key(json.loads(line)["id"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise _foreign(output, number) from None
            whole += len(line)
        file.truncate(whole)
    return keys


def _foreign(output: Path, number: int) -> RequestError:
    return RequestError(
        f"{str(output)!r} line {number} is not an answer of this command",
        hint="name another file with -o, or mend that line",
    )


def _key(identifier: JSON) -> bytes:
    """Sixteen bytes in place of an id of any length, so that millions of them fit."""
    return blake2b(json.dumps(identifier, sort_keys=True).encode(), digest_size=16).digest()


def _questions(
    lines: BinaryIO, name: str, tally: Tally, before: frozenset[bytes]
) -> Iterator[dict[str, JSON]]:
    for number, line in enumerate(_lines(lines), 1):
        if not line.strip():
            continue
        fault = ""
        row: JSON = None
        try:
            row = json.loads(line) if len(line) <= MAX_LINE else None
        except (ValueError, RecursionError) as error:
            fault = f"not JSON: {error}"
        if len(line) > MAX_LINE:
            fault = f"longer than {MAX_LINE} bytes"
        elif not fault and not (isinstance(row, dict) and "id" in row and isinstance(row.get("query"), str)):
            fault = 'not an object like {"id": 1, "query": "..."}'
        if not fault:
            key = _key(row["id"])
            if key in before:
                tally.skipped += 1
                continue
            if key not in tally.seen:
                tally.seen.add(key)
                yield row
                continue
            fault = f"id {row['id']!r} stands twice"
        tally.bad += 1
        note(f"{name}:{number}: {fault}")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, of which one that is too long is cut rather than held in memory."""
    while line := file.readline(MAX_LINE + 1):
        rest = line
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE + 1)
        yield line


def _append(out: FileIO, line: bytes) -> None:
    """Write the whole line or nothing of it. Raises OSError."""
    end = os.fstat(out.fileno()).st_size
    if out.write(line) < len(line):
        out.truncate(end)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), out.name)


def _first(errors: BaseExceptionGroup[TinyLLMError | OSError]) -> TinyLLMError | OSError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
