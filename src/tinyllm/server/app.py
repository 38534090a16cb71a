"""The paths of the server, joined into one ASGI application."""

import importlib.metadata
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from tinyllm.errors import BackendBusy, NotFound, TinyLLMError
from tinyllm.events import Event
from tinyllm.server import admin, ollama
from tinyllm.server.access import Access, Guard
from tinyllm.server.admission import Admission
from tinyllm.server.chat import read_chat
from tinyllm.server.completions import Completion, read_completion
from tinyllm.server.embeddings import Embeddings, embeddings
from tinyllm.server.endpoint import Endpoint, Read, whole_body
from tinyllm.server.faults import BadParameter, of_http, of_ours, of_surprise
from tinyllm.server.ledger import Ledger
from tinyllm.server.live import TOPICS, Live
from tinyllm.server.mcp import McpEndpoint, McpTools
from tinyllm.server.messages import Body, Chat, parsed
from tinyllm.server.metrics import MEDIA, Gauges, Labels, Metrics
from tinyllm.server.operations import EVENTS, LINES, Operation, described
from tinyllm.server.responses import Ask, read_response
from tinyllm.server.service import Service
from tinyllm.types import JSON


class Named(Body):
    """How Ollama's clients name a model that they want to see."""

    model: str = ""
    name: str = ""


def build_app(service: Service, access: Access, *, started: float) -> ASGIApp:
    """The application that serves. `started` is the Unix time that the models are said to be made at."""
    admission = Admission(service.limits.running, service.limits.waiting)
    tools = McpTools(service, admission)
    ledger = Ledger(service.store, peers=service.peers)
    metrics = Metrics()
    live = Live(service.store, service.stopping, several=service.peers is not None)
    service.watchers.extend((ledger.watch, metrics.watch, live.watch))
    models = {name: model_of(name, started) for name in service.models}

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def events(request: Request) -> Response:
        topics = request.query_params.get("topics", "run").split(",")
        if unknown := [topic for topic in topics if topic not in TOPICS]:
            raise BadParameter(f"topics are {', '.join(TOPICS)}, not {unknown[0]!r}", "topics")
        told = live.tell(request.scope["caller"].tenant, topics, request.headers.get("last-event-id"))
        return StreamingResponse(told, media_type="text/event-stream", headers={"cache-control": "no-cache"})

    async def ready(request: Request) -> Response:
        if service.stopping.is_set():
            raise BackendBusy("the server is about to end")
        await service.store.runs(limit=1)  # raises StoreError where the store cannot be read
        return JSONResponse({"status": "ready"})

    async def listed(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": list(models.values())})

    async def one(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in models:
            raise NotFound(f"there is no model {name!r}", hint=f"there is {', '.join(models)}")
        return JSONResponse(models[name])

    async def embedded(request: Request) -> Response:
        return await embeddings(await whole_body(request.receive, service.limits.body))

    def gauges() -> Gauges:
        found: dict[tuple[str, Labels], float] = {
            ("tinyllm_running", ()): admission.places - admission.free,
            ("tinyllm_waiting", ()): len(admission.line),
        }
        for (network, model), breaker in service.breakers().items():
            labels = (("network", network), ("model", model))
            found["tinyllm_breaker_open", labels] = breaker.open
        return found

    def tell(tenant: str, events: Sequence[Event]) -> None:
        if service.peers:
            service.peers.tell_soon(lambda: metrics.told(gauges()))

    service.watchers.append(tell)

    async def counted(request: Request) -> Response:
        whole, state = metrics, gauges()
        if service.peers:
            whole, state = metrics.with_others(service.peers.others(), state)
        return Response(whole.text(state), media_type=MEDIA)

    async def tags(request: Request) -> Response:
        return JSONResponse({"models": ollama.listed(service.models, started)})

    async def shown(request: Request) -> Response:
        asked = parsed(Named, await whole_body(request.receive, service.limits.body))
        name = service.model(asked.model or asked.name)
        details = ollama.listed({name: service.models[name]}, started)[0]
        return JSONResponse({**details, "model_info": {}, "capabilities": ["completion", "tools"]})

    async def version(request: Request) -> Response:
        return JSONResponse({"version": importlib.metadata.version("tinyllm-network")})

    async def openapi(request: Request) -> Response:
        version = importlib.metadata.version("tinyllm-network")
        return JSONResponse(described(operations, version))

    def answering(read: Read) -> Endpoint:
        return Endpoint(service, admission, read)

    stream, lines = ("application/json", EVENTS), ("application/json", LINES)
    shown_as = {"topics": {"type": "string", "default": "run"}}
    operations = [
        Operation("POST", "/v1/chat/completions", "Answer", answering(read_chat), body=Chat, media=stream),
        Operation(
            "POST", "/v1/completions", "Complete", answering(read_completion), body=Completion, media=stream
        ),
        Operation("POST", "/v1/responses", "Respond", answering(read_response), body=Ask, media=stream),
        Operation("POST", "/v1/embeddings", "Vectors of texts", embedded, body=Embeddings),
        Operation("GET", "/v1/models", "What can be asked", listed),
        Operation("GET", "/v1/models/{name:path}", "One of them", one),
        Operation(
            "POST", "/api/chat", "Ollama's chat", answering(ollama.read_chat), body=ollama.Chat, media=lines
        ),
        Operation(
            "POST",
            "/api/generate",
            "Ollama's answer",
            answering(ollama.read_generate),
            body=ollama.Generate,
            media=lines,
        ),
        Operation("GET", "/api/tags", "Ollama's list of models", tags),
        Operation("GET", "/api/ps", "Ollama's list of loaded models", tags),
        Operation("POST", "/api/show", "Ollama's details of a model", shown, body=Named),
        Operation("GET", "/api/version", "The version, as Ollama tells it", version),
        Operation("GET", "/metrics", "For Prometheus", counted, media=[MEDIA]),
        Operation("GET", "/api/events", "Committed runs as events", events, query=shown_as, media=[EVENTS]),
        *admin.operations(service),
        Operation("GET", "/health", "Whether the process lives", health),
        Operation("GET", "/ready", "Whether it can answer", ready),
        Operation("GET", "/openapi.json", "This description", openapi),
    ]
    routes = [
        *(operation.route for operation in operations),
        Route("/mcp", McpEndpoint(tools), methods=["POST"]),
    ]
    handlers = {TinyLLMError: of_ours, HTTPException: of_http, Exception: of_surprise}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), access, ledger)


def model_of(name: str, started: float) -> dict[str, JSON]:
    return {"id": name, "object": "model", "created": int(started), "owned_by": "tinyllm"}
