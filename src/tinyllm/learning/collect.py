"""Grades the stored runs that are not graded yet. Knows nothing about how a grader comes to its grade."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tinyllm.engine import fold
from tinyllm.errors import BackendError, ModelFileError
from tinyllm.grading import sampled
from tinyllm.protocols import Grader, RunRow, Store, ToolContext

PATIENCE = 3  # failures in a row after which a grader is left alone
AT_A_TIME = 8


@dataclass(slots=True)
class Collected:
    """How a collection went, by grader: how many runs it graded, and on how many it abstained. `errors` are
    those of models that did not answer; their runs stay ungraded."""

    graded: Counter[str] = field(default_factory=Counter)
    abstained: Counter[str] = field(default_factory=Counter)
    errors: list[BackendError | ModelFileError] = field(default_factory=list)


async def collect(
    store: Store,
    graders: Sequence[Grader],
    *,
    tenant: str = "local",
    share: float = 1.0,
    limit: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> Collected:
    """Grade a share of the latest `limit` runs, each once by each grader; `progress` is told (done, of how many).
    Those not to be learned from are left out.

    What a person answered (a settled ticket) is a run's reference, and is graded whatever the share. Stopped
    at any moment, the same call goes on where it stopped. Raises StoreError.
    """
    runs = [run for run in await store.runs(tenant=tenant, limit=limit) if run.status is not None]
    tickets = await store.tickets(tenant=tenant, waiting=False)
    references = {ticket.run_id: ticket.answer for ticket in tickets if ticket.answer is not None}
    done = {(grade.run_id, grade.kind, grade.grader) for grade in await store.grades(tenant=tenant)}

    def wanted(run: RunRow) -> list[Grader]:
        known, chosen = run.run_id in references, sampled(run.run_id, share)
        return [
            grader
            for grader in graders
            if (known if grader.kind == "reference" else chosen)
            and (run.run_id, grader.kind, grader.name) not in done
        ]

    work = [(run, left) for run in runs if (left := wanted(run))]
    waiting, collected, failures, finished = iter(work), Collected(), Counter[str](), 0

    async def worker() -> None:
        nonlocal finished
        for run, left in waiting:
            events = await store.events(run.run_id, tenant)
            trace = fold(events)
            context = ToolContext(run.clock, run.seed, run.user, tenant)
            learn = events[0].data.get("request", {}).get("learn", True)
            for grader in left if learn else ():
                if failures[grader.name] >= PATIENCE:
                    continue
                try:
                    grade = await grader.grade(trace, context, references.get(run.run_id))
                except (BackendError, ModelFileError) as error:
                    failures[grader.name] += 1
                    collected.errors.append(error)
                    continue
                failures[grader.name] = 0
                await store.grade(grade, tenant=tenant)
                (collected.abstained if grade.score is None else collected.graded)[grader.kind] += 1
            finished += 1
            if progress is not None:
                progress(finished, len(work))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_A_TIME, len(work))):
                group.create_task(worker())
    except ExceptionGroup as faults:  # one is enough to tell
        raise faults.exceptions[0] from None
    return collected
