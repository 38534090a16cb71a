"""The graded traffic that a network learns from: each request as it ran, with the verdict that counts.

Knows nothing about how a verdict comes about, or what is learned from it.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tinyllm.engine import fold, request_of
from tinyllm.grading import calibrations, passed, verdicts
from tinyllm.learning.traffic import Part, part_of
from tinyllm.protocols import Store, TrialRow
from tinyllm.slots import Slots, find
from tinyllm.slots.text import words_of
from tinyllm.types import Grade, Request, Trace

SAY = 0.2  # of all evidence, that one user's opinions may be
FREE = 20
ENOUGH = 80  # groups to confirm with, newer than an adopted change, before the older ones are learned from
# Words of manners and grammar, which make no other question of a request.
_SPARE = words_of(
    "a an and are can could do for hello hey hi i in is it me my now of ok okay on please quick question real"
    " right so tell thank thanks that the there this to um what whats will would you"
)


@dataclass(frozen=True, slots=True)
class Item:
    """One graded run. `request` holds the seed and clock that it ran under, `reference` the right answer
    where it is known, `group` names its near-duplicates; `created` is the store's time. A `spent` one has proven
    its part: its group was known when the last change was adopted."""

    request: Request
    trace: Trace
    grade: Grade
    group: str
    created: float = 0.0
    spent: bool = False

    @property
    def passed(self) -> bool:
        """Whether it was right."""
        return passed(self.grade.score or 0.0)

    @property
    def by(self) -> str | None:
        """The user on whose word it was right or wrong; None where something else tells."""
        return self.grade.grader if self.grade.kind in ("correction", "thumb") else None

    @property
    def reference(self) -> str | None:
        """The right answer, where it is known."""
        return self.grade.reference

    def chosen(self, router: str) -> str | None:
        """The route that a router chose first; None where it chose none, or was not asked."""
        return next((span.choice for span in self.trace.spans if span.node == router), None)

    def part(self, network: str) -> Part:
        """The part of the network's traffic that it belongs to: its group's, until that is spent."""
        return "propose" if self.spent else part_of(self.group, salt=network)


def group_of(text: str) -> str:
    """A name that near-duplicates share: the request's words, values and manners aside, in any order."""
    return phrasing(find(text))


def phrasing(slots: Slots) -> str:
    """The same of a request whose slots are known."""
    words = {re.sub(r"^([a-z])\d+$", r"\1#", word) for word in slots.template.split()}
    kept = sorted(word for word in words - _SPARE if any(c.isalnum() for c in word))
    return hashlib.sha256(" ".join(kept).encode()).hexdigest()[:16]


async def gather(store: Store, *, tenant: str = "local", limit: int = 1000) -> list[Item]:
    """The graded runs among the latest `limit`, oldest first, but for those not to be learned from. Raises
    StoreError."""
    rows = [row for row in await store.runs(tenant=tenant, limit=limit) if row.status is not None]
    latest = {row.run_id for row in rows}
    grades = [grade for grade in await store.grades(tenant=tenant) if grade.run_id in latest]
    trusted = [name for name, judge in calibrations(grades).items() if not judge.refused]
    counting = verdicts(grades, trusted)
    items = []
    for row in reversed(rows):
        if row.run_id in counting:
            events = await store.events(row.run_id, tenant)
            request, grade = request_of(events), counting[row.run_id]
            if request.learn:
                items.append(Item(request, fold(events), grade, group_of(row.question), row.created))
    return items


def capped(items: Sequence[Item]) -> tuple[list[Item], Mapping[str, int]]:
    """The items without what exceeds one user's say, and how many of whose grades were left out.

    Where several people ask, no user's thumbs and corrections may be more than `SAY` of the evidence (or `FREE`
    grades, where that is more); the earliest count.
    """
    if len({item.request.user for item in items}) < 2:
        return list(items), {}
    most = max(FREE, int(SAY * len(items)))
    said, left, kept = Counter[str](), Counter[str](), []
    for item in items:
        user = item.by
        if user is not None and said[user] >= most:
            left[user] += 1
            continue
        if user is not None:
            said[user] += 1
        kept.append(item)
    return kept, left


def several(items: Iterable[Item]) -> bool:
    """Whether more than one user gives their word."""
    return len({item.by for item in items} - {None}) > 1


def mostly(items: Sequence[Item]) -> str | None:
    """The user on whose word more than half of the items rest; None where there is none.

    Nobody alone says what a kind of request means, or that a change is bad, where others give their word, too: more
    than one user has to, or graders of another sort.
    """
    words = Counter(item.by for item in items if item.by is not None)
    user, most = words.most_common(1)[0] if words else (None, 0)
    return user if 2 * most > len(items) else None


def turned(items: Sequence[Item], network: str, trials: Iterable[TrialRow]) -> list[Item]:
    """The items, those marked as spent whose groups were known when a change was adopted.

    What has proven a change may be learned from, and what came since proves the next one: as soon as there is
    `ENOUGH` of that. The latest adoption counts for which this is so.
    """
    first: dict[str, float] = {}
    for item in items:
        first[item.group] = min(item.created, first.get(item.group, item.created))
    proving = [since for group, since in first.items() if part_of(group, salt=network) == "confirm"]
    seen = [float(t.evidence["newest"]) for t in trials if t.state == "adopted" and "newest" in t.evidence]
    pages = (page for page in seen if sum(since > page for since in proving) >= ENOUGH)
    page = max(pages, default=-math.inf)
    return [replace(item, spent=first[item.group] <= page) for item in items]


def among(items: Iterable[Item], network: str, part: Part) -> Sequence[Item]:
    """The items of one part of the network's traffic."""
    return [item for item in items if item.part(network) == part]
