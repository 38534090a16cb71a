"""The network as a tool of other programs, over the Model Context Protocol: `ask`, `feedback`, and its own tools.

Everybody asks in their tenant's name, as over the other paths. Knows nothing about tools that the network itself
has from other programs: those are not passed on.
"""

import asyncio
import importlib.metadata
import secrets
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from tinyllm.errors import Forbidden, NotFound, TinyLLMError, ToolTimeout
from tinyllm.protocols import Tool, ToolContext
from tinyllm.server.access import Caller
from tinyllm.server.admin import Feedback, keep_feedback
from tinyllm.server.admission import Admission
from tinyllm.server.answer import of_reply
from tinyllm.server.messages import Body, parsed
from tinyllm.server.service import Service
from tinyllm.types import JSON, Message, Request

if TYPE_CHECKING:
    from mcp.server import Server
    from mcp.server.context import ServerRequestContext
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams


class Question(Body):
    """A question to the network; those of one `session` belong together."""

    model_config = ConfigDict(extra="forbid")

    question: Annotated[str, StringConstraints(min_length=1)]
    model: str = Field(default="", description="one of the networks; the default one, if left out")
    session: str | None = Field(default=None, max_length=200)
    quality: float | None = Field(default=None, ge=0, le=1, description="0 is cheapest, 1 is best")
    right: float | None = Field(
        default=None, gt=0, lt=1, description="the share of right answers to be reached at the least price"
    )


_OURS: Mapping[str, tuple[str, type[BaseModel]]] = {
    "ask": ("Ask a network of small language models and tools. Its run_id is for feedback.", Question),
    "feedback": (
        "Say whether the answer of a run was good, or what is right: the network learns from it.",
        Feedback,
    ),
}


class McpTools:
    """What can be called, and what comes of it."""

    def __init__(self, service: Service, admission: Admission) -> None:
        self.service = service
        self.admission = admission

    async def of_network(self, caller: Caller) -> Mapping[str, Tool]:
        """The tools of the default network, as it is now, whose calls change nothing."""
        request = Request((), model=self.service.default, tenant=caller.tenant)
        parts = self.service.engine.parts(await self.service.engine.resolve(request))
        return {
            name: tool for name, tool in parts.tools.items() if tool.spec.repeatable and name not in _OURS
        }

    async def call(
        self, name: str, arguments: Mapping[str, Any], caller: Caller
    ) -> tuple[str, dict[str, JSON]]:
        """What a call comes to, in words and as data. Raises any TinyLLMError."""
        if name == "feedback":
            if "feedback" not in caller.rights:
                raise Forbidden("this key lacks the right 'feedback'", hint="ask with another key")
            kept = await keep_feedback(self.service.store, parsed(Feedback, to_json(arguments)), caller)
            return "Thank you.", kept
        async with self.admission.turn():
            if name == "ask":
                return await self._ask(parsed(Question, to_json(arguments)), caller)
            tool = (await self.of_network(caller)).get(name)
            if tool is None:
                raise NotFound(f"there is no tool {name!r}", hint="list the tools")
            context = ToolContext(time.time(), secrets.randbelow(2**31), caller.user, caller.tenant)
            try:
                async with asyncio.timeout(self.service.engine.tool_seconds):
                    result = await tool.call(arguments, context)
            except TimeoutError:
                raise ToolTimeout(f"tool {name!r} hung") from None
            return result.text, {"value": result.value}

    async def _ask(self, asked: Question, caller: Caller) -> tuple[str, dict[str, JSON]]:
        request = Request(
            (Message("user", asked.question),),
            model=self.service.model(asked.model),
            user=caller.user,
            tenant=caller.tenant,
            session=asked.session,
            quality=asked.quality,
            right=asked.right,
            budget=caller.budget,
        )
        answer = of_reply(await self.service.engine.run(request))
        if answer.error is not None:
            raise answer.error
        return answer.text, dict(answer.extra)


def build_server(tools: McpTools) -> "Server[Any]":
    """The server of the `mcp` package that tells of the tools and calls them."""
    from mcp.server import Server
    from mcp_types import CallToolResult, ListToolsResult, TextContent
    from mcp_types import Tool as Told

    async def listed(
        context: "ServerRequestContext[Any]", parameters: "PaginatedRequestParams | None"
    ) -> "ListToolsResult":
        told = [
            Told(name=name, description=description, input_schema=model.model_json_schema())
            for name, (description, model) in _OURS.items()
        ]
        for name, tool in (await tools.of_network(_caller(context))).items():
            schema = dict(tool.spec.parameters)
            told.append(Told(name=name, description=tool.spec.description, input_schema=schema))
        return ListToolsResult(tools=told)

    async def called(
        context: "ServerRequestContext[Any]", parameters: "CallToolRequestParams"
    ) -> "CallToolResult":
        try:
            text, data = await tools.call(parameters.name, parameters.arguments or {}, _caller(context))
        except TinyLLMError as error:
            return CallToolResult(content=[TextContent(text=str(error))], is_error=True)
        return CallToolResult(content=[TextContent(text=text)], structured_content=data)

    version = importlib.metadata.version("tinyllm-network")
    return Server("tinyllm", version=version, on_list_tools=listed, on_call_tool=called)


def _caller(context: "ServerRequestContext[Any]") -> Caller:
    """Whoever the server let in; over standard input and output, the user of this machine."""
    caller: Caller = Caller() if context.request is None else context.request.scope["caller"]
    return caller


class McpEndpoint:
    """An ASGI application that speaks the protocol over HTTP: each request is answered on its own, in one piece."""

    def __init__(self, tools: McpTools) -> None:
        self.tools = tools
        self.ready = asyncio.Event()
        self.manager: StreamableHTTPSessionManager | None = None
        self.holder: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.manager is None:
            if find_spec("mcp") is None:
                raise NotFound("this server speaks no MCP", hint="pip install 'tinyllm-network[mcp]'")
            self.manager = self._manager()
            self.holder = asyncio.create_task(self._hold(self.manager))
        await self.ready.wait()
        await self.manager.handle_request(scope, receive, send)

    def _manager(self) -> "StreamableHTTPSessionManager":
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        return StreamableHTTPSessionManager(
            build_server(self.tools),
            json_response=True,
            stateless=True,
            max_request_body_size=self.tools.service.limits.body,
        )

    async def _hold(self, manager: "StreamableHTTPSessionManager") -> None:
        """Keep the manager going until the event loop ends."""
        async with manager.run():
            self.ready.set()
            await asyncio.Event().wait()


async def serve_stdio(service: Service) -> None:
    """Speak the protocol over standard input and output until the other side ends."""
    from mcp.server.stdio import stdio_server

    server = build_server(McpTools(service, Admission(service.limits.running, service.limits.waiting)))
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
