"""What was answered, and how well, as JSON: runs, traces, grades, tickets, networks, usage; and feedback.

Everybody sees and changes what is their tenant's alone. Each path is a typed operation of the store.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tinyllm.engine import fold
from tinyllm.grading import correction, thumb, verdicts
from tinyllm.server.access import Caller
from tinyllm.server.endpoint import whole_body
from tinyllm.server.faults import BadParameter
from tinyllm.server.messages import parsed
from tinyllm.server.service import Service
from tinyllm.types import JSON

MOST_ROWS = 1000

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]


class Feedback(BaseModel):
    """Either whether the answer was good, or what is right."""

    model_config = ConfigDict(extra="forbid")

    run_id: str = Field(max_length=100)
    good: bool | None = None
    answer: Text | None = None


class Settlement(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answer: Text


def routes(service: Service) -> list[Route]:
    """The paths under `/api` that are this server's own."""
    store = service.store

    async def runs(request: Request, caller: Caller) -> JSON:
        return [asdict(row) for row in await store.runs(tenant=caller.tenant, limit=_limit(request))]

    async def run(request: Request, caller: Caller) -> JSON:
        run_id = request.path_params["run_id"]
        trace = asdict(fold(await store.events(run_id, caller.tenant)))
        grades = await store.grades(run_id=run_id, tenant=caller.tenant)
        return trace | {"grades": [asdict(grade) for grade in grades]}

    async def feedback(request: Request, caller: Caller) -> JSON:
        said = parsed(Feedback, await whole_body(request.receive, service.limits.body))
        if (said.good is None) == (said.answer is None):
            raise BadParameter("say `good`, true or false, or give the right `answer`", "good")
        trace = fold(await store.events(said.run_id, caller.tenant))
        if said.answer is None:
            grade = thumb(trace, caller.user, bool(said.good))
        else:
            grade = correction(trace, caller.user, said.answer)
        new = await store.grade(grade, tenant=caller.tenant)
        counts = verdicts(await store.grades(run_id=said.run_id, tenant=caller.tenant))
        counted = counts.get(said.run_id, grade)
        return {**asdict(grade), "new": new, "counts": counted.kind == grade.kind}

    async def grades(request: Request, caller: Caller) -> JSON:
        found = await store.grades(tenant=caller.tenant, limit=_limit(request))
        return [asdict(grade) for grade in found]

    async def tickets(request: Request, caller: Caller) -> JSON:
        waiting = request.query_params.get("all") is None
        return [asdict(ticket) for ticket in await store.tickets(tenant=caller.tenant, waiting=waiting)]

    async def settle(request: Request, caller: Caller) -> JSON:
        said = parsed(Settlement, await whole_body(request.receive, service.limits.body))
        return asdict(await store.settle(request.path_params["ticket"], said.answer, tenant=caller.tenant))

    async def networks(request: Request, caller: Caller) -> JSON:
        return [{"name": name, "graph": graph.id} for name, graph in service.models.items()]

    async def network(request: Request, caller: Caller) -> JSON:
        graph_id = request.path_params["graph"]
        return {"graph": graph_id, "source": await store.graph(graph_id, tenant=caller.tenant)}

    async def versions(request: Request, caller: Caller) -> JSON:
        found = await store.versions(request.path_params["network"], tenant=caller.tenant)
        return [{**asdict(version), "stage": version.stage} for version in found]

    async def usage(request: Request, caller: Caller) -> JSON:
        return asdict(await store.usage(tenant=caller.tenant, since=_number(request, "since", 0.0)))

    async def backends(request: Request, caller: Caller) -> JSON:
        return [
            {"network": network, "model": model, "open": breaker.open, "failures": breaker.count}
            for (network, model), breaker in sorted(service.breakers().items(), key=lambda item: item[0])
        ]

    return [
        Route("/api/runs", _told(runs)),
        Route("/api/runs/{run_id}", _told(run)),
        Route("/api/feedback", _told(feedback), methods=["POST"]),
        Route("/api/grades", _told(grades)),
        Route("/api/tickets", _told(tickets)),
        Route("/api/tickets/{ticket}", _told(settle), methods=["POST"]),
        Route("/api/networks", _told(networks)),
        Route("/api/networks/{network}/versions", _told(versions)),
        Route("/api/graphs/{graph}", _told(network)),
        Route("/api/usage", _told(usage)),
        Route("/api/backends", _told(backends)),
    ]


def _told(find: Callable[[Request, Caller], Awaitable[JSON]]) -> Callable[[Request], Awaitable[Response]]:
    """The handler that tells as JSON what is found for the caller."""

    async def handle(request: Request) -> Response:
        found = await find(request, request.scope["caller"])
        return Response(to_json(found, inf_nan_mode="null"), media_type="application/json")

    return handle


def _limit(request: Request) -> int:
    return int(_number(request, "limit", 20, 1, MOST_ROWS))


def _number(request: Request, name: str, default: float, least: float = 0.0, most: float = 1e12) -> float:
    """A number of the query. Raises BadParameter."""
    given: Any = request.query_params.get(name, default)
    try:
        number = float(given)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise BadParameter(f"{name} is a number from {least:g} to {most:g}, not {given!r}", name)
    return number
