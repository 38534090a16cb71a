"""Lookup: the passage of the user's own text files that answers to some words, with its file and line.

A full-text index (SQLite FTS5) of a folder, in memory or in a file, brought up to date at every call by the
files' times and sizes. Sends nothing anywhere and changes no file but its index.
"""

import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from tinyllm.errors import ToolUnavailable
from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe, need
from tinyllm.tools.threads import run_in_thread
from tinyllm.types import JSON, ToolResult

SUFFIXES = (".txt", ".md")
MAX_FILES = 5_000
MAX_BYTES = 2 * 2**20  # of one file; larger ones are skipped
MAX_TOTAL = 64 * 2**20
PASSAGE = 800  # characters; longer paragraphs are cut into several passages
_SCHEMA = """
create table if not exists files (path text primary key, stamp text not null);
create virtual table if not exists passages using fts5
    (body, path unindexed, line unindexed, tokenize = 'porter unicode61 remove_diacritics 2');
"""
_COMMON = """
a about an and are as at be by can did do does find for from had has have how i in is it its look me my of on
or our say says search show tell that the their there they this to up was we were what when where which who
why will with you your
"""


class LookupArguments(Arguments):
    query: str = Field(min_length=1, max_length=500, description="a few words to look for")
    examples: ClassVar = ({"query": "garage door code"},)


class Lookup:
    """Finds passages in the .txt and .md files below `folder`; `index` names a file to keep the index in.

    A value is a list of {"file", "line", "passage"}, the best first, empty where nothing fits.
    """

    def __init__(self, folder: str | Path, index: str | Path | None = None, seconds: float = 20.0) -> None:
        self.folder = Path(folder)
        self.index = index
        self.seconds = seconds
        self._lock = threading.Lock()
        self._memory: sqlite3.Connection | None = None
        self.spec = describe(
            "lookup",
            "Look words up in the user's own notes: the passage and its file, or that it is not there.",
            LookupArguments,
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Search. Raises ToolUnavailable where the folder or the index cannot be read."""
        query = check(LookupArguments, arguments).query
        common = frozenset(_COMMON.split())
        words = [word for word in re.findall(r"\w+", query.lower()) if word not in common][:30]
        need(words, "the query has no word to look for", 'for example {"query": "garage door code"}')
        found = await run_in_thread(lambda: self._search(words), seconds=self.seconds, what="the lookup")
        if not found:
            return ToolResult([], f"Nothing about {' '.join(words)} is in {self.folder.name}.")
        best = found[0]
        return ToolResult(found, f"{best['passage']} ({best['file']}, line {best['line']})")

    def _search(self, words: Sequence[str]) -> list[dict[str, JSON]]:
        if not self.folder.is_dir():
            raise ToolUnavailable(
                f"there is no folder {str(self.folder)!r}", hint="create it, or name another one"
            )
        try:
            with self._lock:
                if self.index is None:
                    # only ever used under the lock, by one thread at a time
                    self._memory = self._memory or _open(":memory:")
                    return _answers(self._memory, self.folder, words)
                with closing(_open(str(self.index))) as kept:
                    return _answers(kept, self.folder, words)
        except sqlite3.Error as error:
            raise ToolUnavailable(
                f"the lookup index {str(self.index or 'in memory')!r} cannot be used: {error}",
                hint="delete the index file: it is built anew" if self.index else "free some memory",
            ) from error


def _open(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, timeout=10)
    database.executescript(_SCHEMA)
    return database


def _answers(database: sqlite3.Connection, folder: Path, words: Sequence[str]) -> list[dict[str, JSON]]:
    _refresh(database, folder)
    # quoted, a word is only ever data to FTS5
    quoted = [f'"{word}"' for word in dict.fromkeys(words)]
    for query, least in ((" AND ".join(quoted), 0), (" OR ".join(quoted), (len(quoted) + 1) // 2)):
        rows = database.execute(
            "select path, line, body from passages where passages match ? order by rank limit 20", (query,)
        )
        found = [
            {"file": path, "line": line, "passage": body}
            for path, line, body in rows
            if sum(_stem(word) in body.lower() for word in set(words)) >= least
        ]
        if found:
            return found[:3]
    return []


def _stem(word: str) -> str:
    return word[: max(4, len(word) - 2)]


def _refresh(database: sqlite3.Connection, folder: Path) -> None:
    """Bring the index up to date with the files."""
    known = dict(database.execute("select path, stamp from files"))
    present = dict(_files(folder))
    gone = [path for path in known if present.get(path) != known[path]]
    fresh = [path for path in present if known.get(path) != present[path]]
    if not gone and not fresh:
        return
    with database:
        database.executemany("delete from files where path = ?", ((path,) for path in gone))
        database.executemany("delete from passages where path = ?", ((path,) for path in gone))
        for path in fresh:
            rows = ((body, path, line) for line, body in _passages(folder / path))
            database.executemany("insert into passages (body, path, line) values (?, ?, ?)", rows)
            database.execute("insert into files (path, stamp) values (?, ?)", (path, present[path]))


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """The text files below a folder with what tells that one has changed; links are not followed."""
    count = total = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if path.suffix.lower() not in SUFFIXES or path.is_symlink():
                continue
            try:
                facts = path.stat()
            except OSError:
                continue  # gone since the folder was listed
            count, total = count + 1, total + facts.st_size
            if facts.st_size > MAX_BYTES:
                total -= facts.st_size
                continue
            if count > MAX_FILES or total > MAX_TOTAL:
                return
            yield path.relative_to(folder).as_posix(), f"{facts.st_mtime_ns} {facts.st_size}"


def _passages(path: Path) -> Iterator[tuple[int, str]]:
    """The paragraphs of a file with the lines on which they begin; none of a binary or unreadable file."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES)
    except OSError:
        return
    if b"\0" in raw:
        return
    start, lines = 1, list[str]()
    for number, line in enumerate([*raw.decode("utf-8-sig", "replace").splitlines(), ""], start=1):
        if line.strip() and sum(map(len, lines)) + len(line) <= PASSAGE:
            start = start if lines else number
            lines.append(line.strip()[:PASSAGE])
            continue
        if lines:
            yield start, " ".join(lines)
        start, lines = number, [line.strip()[:PASSAGE]] if line.strip() else []
