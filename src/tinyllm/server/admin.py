"""What was answered, and how well, as JSON: runs, traces, grades, tickets, networks, usage; and feedback.

Everybody sees and changes what is their tenant's alone. Each path is a typed operation of the store.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, StringConstraints
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from tinyllm.engine import fold
from tinyllm.errors import NotFound, SettingsError
from tinyllm.grading import correction, thumb, verdicts
from tinyllm.graph import nearest
from tinyllm.protocols import Fact, RunRow, Store, Ticket, TrialRow, Usage, Version
from tinyllm.server.access import Caller
from tinyllm.server.endpoint import whole_body
from tinyllm.server.faults import BadParameter
from tinyllm.server.messages import Body, parsed
from tinyllm.server.operations import Operation
from tinyllm.server.service import Changes, Service
from tinyllm.types import JSON, Grade

MOST_ROWS = 1000
_LIMIT = {"type": "number", "minimum": 1, "maximum": MOST_ROWS, "default": 20}
_SINCE = {"since": {"type": "number", "minimum": 0, "maximum": 1e12, "default": 0}}
_ALL = {"all": {"type": "string", "description": "Given at all, the settled ones come too."}}

B = TypeVar("B", bound=Body)

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]


class Feedback(Body):
    """Either whether the answer was good, or what is right."""

    model_config = ConfigDict(extra="forbid")

    run_id: str = Field(max_length=100)
    good: bool | None = None
    answer: Text | None = None


class Settlement(Body):
    model_config = ConfigDict(extra="forbid")

    answer: Text


class Known(Body):
    """A fact about a user; without `user`, about whoever the key is for."""

    model_config = ConfigDict(extra="forbid")

    text: Text
    user: str | None = Field(default=None, max_length=200)


class Return(Body):
    """Back to a version: its revision, or the id of its graph."""

    model_config = ConfigDict(extra="forbid")

    to: int | str
    reason: Text = "by hand"


class Promotion(Body):
    model_config = ConfigDict(extra="forbid")

    reason: Text = "by hand"


async def keep_feedback(store: Store, said: Feedback, caller: Caller) -> dict[str, JSON]:
    """The grade that the caller gave a run, kept. Raises BadParameter, NotFound."""
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


def operations(service: Service) -> list[Operation]:
    """What can be done under `/api` that is this server's own."""
    store = service.store

    async def runs(request: Request, caller: Caller) -> JSON:
        return [asdict(row) for row in await store.runs(tenant=caller.tenant, limit=_limit(request))]

    async def run(request: Request, caller: Caller) -> JSON:
        run_id = request.path_params["run_id"]
        trace = asdict(fold(await store.events(run_id, caller.tenant)))
        grades = await store.grades(run_id=run_id, tenant=caller.tenant)
        return trace | {"grades": [asdict(grade) for grade in grades]}

    async def feedback(request: Request, caller: Caller) -> JSON:
        return await keep_feedback(store, await body(request, Feedback), caller)

    async def grades(request: Request, caller: Caller) -> JSON:
        found = await store.grades(tenant=caller.tenant, limit=_limit(request))
        return [asdict(grade) for grade in found]

    async def tickets(request: Request, caller: Caller) -> JSON:
        waiting = request.query_params.get("all") is None
        return [asdict(ticket) for ticket in await store.tickets(tenant=caller.tenant, waiting=waiting)]

    async def settle(request: Request, caller: Caller) -> JSON:
        said = await body(request, Settlement)
        return asdict(await store.settle(request.path_params["ticket"], said.answer, tenant=caller.tenant))

    async def networks(request: Request, caller: Caller) -> JSON:
        return [{"name": name, "graph": graph.id} for name, graph in service.models.items()]

    async def graph(request: Request, caller: Caller) -> JSON:
        graph_id = request.path_params["graph"]
        return {"graph": graph_id, "source": await store.graph(graph_id, tenant=caller.tenant)}

    async def versions(request: Request, caller: Caller) -> JSON:
        found = await store.versions(network(request), tenant=caller.tenant)
        return [asdict(version) | {"stage": version.stage} for version in found]

    async def trials(request: Request, caller: Caller) -> JSON:
        return [asdict(trial) for trial in await store.trials(network(request), tenant=caller.tenant)]

    async def roll_back(request: Request, caller: Caller) -> JSON:
        said = await body(request, Return)
        return asdict(await changes().roll_back(network(request), said.to, said.reason, tenant=caller.tenant))

    async def promote(request: Request, caller: Caller) -> JSON:
        said = await body(request, Promotion)
        return asdict(await changes().promote(network(request), said.reason, tenant=caller.tenant))

    async def facts(request: Request, caller: Caller) -> JSON:
        return [asdict(fact) for fact in await store.facts(user=user(request, caller), tenant=caller.tenant)]

    async def remember(request: Request, caller: Caller) -> JSON:
        said = await body(request, Known)
        return asdict(await store.remember(said.text, user=said.user or caller.user, tenant=caller.tenant))

    async def edit(request: Request, caller: Caller) -> JSON:
        said = await body(request, Known)
        fact = request.path_params["fact"]
        return asdict(await store.edit(fact, said.text, user=said.user or caller.user, tenant=caller.tenant))

    async def forget(request: Request, caller: Caller) -> JSON:
        fact = request.path_params["fact"]
        await store.forget(fact, user=user(request, caller), tenant=caller.tenant)
        return {"forgotten": fact}

    async def usage(request: Request, caller: Caller) -> JSON:
        return asdict(await store.usage(tenant=caller.tenant, since=_number(request, "since", 0.0)))

    async def backends(request: Request, caller: Caller) -> JSON:
        return [
            {"network": network, "model": model, "open": breaker.open, "failures": breaker.count}
            for (network, model), breaker in sorted(service.breakers().items(), key=lambda item: item[0])
        ]

    async def body(request: Request, kind: type[B]) -> B:
        return parsed(kind, await whole_body(request.receive, service.limits.body))

    def network(request: Request) -> str:
        name = str(request.path_params["network"])
        if name not in service.models or "/" in name:
            raise NotFound(f"there is no network {name!r}", hint=nearest(name, service.models))
        return name

    def user(request: Request, caller: Caller) -> str:
        return request.query_params.get("user", caller.user)

    def changes() -> Changes:
        if service.changes is None:
            raise SettingsError("this server changes no network", hint="serve with `tinyllm serve`")
        return service.changes

    listed = list[dict[str, Any]]
    limit, name = {"limit": _LIMIT}, {"user": {"type": "string"}}
    of = "/api/networks/{network}"
    return [
        Operation("GET", "/api/runs", "The latest runs", _told(runs), list[RunRow], query=limit),
        Operation("GET", "/api/runs/{run_id}", "A run's trace and grades", _told(run)),
        Operation("POST", "/api/feedback", "Say whether an answer was good", _told(feedback), body=Feedback),
        Operation("GET", "/api/grades", "The latest grades", _told(grades), list[Grade], query=limit),
        Operation("GET", "/api/tickets", "Questions that wait", _told(tickets), list[Ticket], query=_ALL),
        Operation("POST", "/api/tickets/{ticket}", "Answer one", _told(settle), Ticket, body=Settlement),
        Operation("GET", "/api/networks", "What is served", _told(networks), listed),
        Operation("GET", f"{of}/versions", "What a network has become", _told(versions), list[Version]),
        Operation("GET", f"{of}/trials", "What was tried on it", _told(trials), list[TrialRow]),
        Operation("POST", f"{of}/rollback", "Back to a version", _told(roll_back), Version, body=Return),
        Operation("POST", f"{of}/promote", "What rises answers all", _told(promote), Version, body=Promotion),
        Operation("GET", "/api/graphs/{graph}", "A graph's source", _told(graph)),
        Operation("GET", "/api/memory", "What is remembered of a user", _told(facts), list[Fact], query=name),
        Operation("POST", "/api/memory", "Remember a fact", _told(remember), Fact, body=Known),
        Operation("PUT", "/api/memory/{fact}", "Put another in its place", _told(edit), Fact, body=Known),
        Operation("DELETE", "/api/memory/{fact}", "Forget a fact", _told(forget), query=name),
        Operation("GET", "/api/usage", "What runs cost since a Unix time", _told(usage), Usage, query=_SINCE),
        Operation("GET", "/api/backends", "The models that were asked", _told(backends), listed),
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
