"""Any server that speaks OpenAI's chat API: Ollama, llama.cpp, vLLM, LM Studio, or a hosted one.

One connection pool per backend, made at the first question inside the running event loop, to which the
backend then belongs. Knows nothing about what the model is asked.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr, field_validator

from tinyllm.backends.deadline import Deadline
from tinyllm.backends.openai_faults import Faults
from tinyllm.backends.openai_format import Assembly, chat_body
from tinyllm.backends.pricing import Rates
from tinyllm.backends.sse import Events
from tinyllm.errors import BackendError
from tinyllm.types import JSON, Chunk, Prompt

if TYPE_CHECKING:
    import aiohttp

# What a server may not know and an answer can do without. Stop sequences and tools are not among them.
_DISPENSABLE = ("stream_options", "logprobs", "seed", "response_format", "top_p", "temperature")
_SETTLE = 0.2  # seconds


class Options(Rates):
    """Where the server is and how long it may take; times are in seconds, the whole answer's in the prompt.

    `first_token_timeout` covers a cold start, when a server first loads the model. `extra` is merged into
    every request, for what one server has and others have not. `key` and `headers` never appear in messages.
    `slots`, `wait` and `parallel` are for a server with memory for `slots` of its models (see `collation`).
    """

    base_url: str
    model: str
    key: SecretStr | None = None
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    extra: Mapping[str, JSON] = Field(default_factory=dict)
    connect_timeout: float = Field(default=5.0, gt=0)
    first_token_timeout: float = Field(default=120.0, gt=0)
    token_timeout: float = Field(default=30.0, gt=0)
    max_bytes: int = Field(default=16_000_000, ge=1000)
    slots: int | None = Field(default=None, ge=1)
    wait: float = Field(default=30.0, gt=0)
    parallel: int = Field(default=4, ge=1)

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("write it like http://localhost:11434/v1")
        if "@" in value:
            raise ValueError("credentials belong in `key` or `headers`, which are never shown")
        return value.rstrip("/")


class OpenAI:
    """Answers of one model of one server."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options
        self._headers = {header: value.get_secret_value() for header, value in options.headers.items()}
        secrets = list(self._headers.values())
        if options.key is not None:
            secrets.append(options.key.get_secret_value())
            self._headers.setdefault("Authorization", f"Bearer {secrets[-1]}")
        self._faults = Faults(name, options.base_url, options.model, secrets)
        self._unsupported: set[str] = set()
        self._session: aiohttp.ClientSession | None = None
        self._reading: set[aiohttp.ClientResponse] = set()
        self._closed = False

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        deadline = Deadline(self.name, prompt.timeout)
        body, patience = {**chat_body(prompt), **self.options.extra}, self.options.first_token_timeout
        if not prompt.listened and patience >= prompt.timeout:
            body["stream"] = False  # hundreds of chunks less to read, and no first one to wait for
            body.pop("stream_options", None)
        response = await self._ask(body, deadline, patience)
        assembly = Assembly(self.name)
        self._reading.add(response)
        try:
            if "event-stream" not in response.content_type:
                yield Chunk(self._fed(assembly, self._parse(await self._read(response, deadline))))
            else:
                async with aclosing(self._chunks(response, deadline)) as chunks:
                    async for data in chunks:
                        if text := self._fed(assembly, data):
                            yield Chunk(text)
            yield assembly.last(prompt, self.options, deadline.spent_ms)
        finally:
            self._reading.discard(response)
            response.close()  # of an answer that was left early, this tells the server to stop

    def _fed(self, assembly: Assembly, data: Mapping[str, Any]) -> str:
        """The text that the data adds. Raises what it tells of."""
        if data.get("error"):
            raise self._faults.in_stream(data)
        return assembly.feed(data)

    async def _ask(
        self, body: dict[str, JSON], deadline: Deadline, patience: float
    ) -> "aiohttp.ClientResponse":
        """The response whose body is the answer. Raises BackendError for every status but 200."""
        body["model"] = self.options.model
        while True:
            for field in self._unsupported & body.keys():
                del body[field]
            response = await deadline.wait(
                self._faults.watch(self._send("POST", f"{self.options.base_url}/chat/completions", body)),
                "did not begin to answer",
                patience,
            )
            if response.status == 200:
                return response
            text = await self._read(response, deadline)
            refused = {field for field in _DISPENSABLE if field in body and field in text}
            if response.status not in (400, 422) or not refused:
                raise self._faults.of_status(response.status, response.headers, text)
            self._unsupported |= refused

    async def _chunks(
        self, response: "aiohttp.ClientResponse", deadline: Deadline
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """The JSON objects of a stream."""
        events, size = Events(), 0
        limit, missing = self.options.first_token_timeout, "said nothing"
        while data := await deadline.wait(self._faults.watch(response.content.readany()), missing, limit):
            limit, missing = self.options.token_timeout, "said nothing more"
            if (size := size + len(data)) > self.options.max_bytes:
                raise self._faults.too_large(self.options.max_bytes)
            for text in events.feed(data):
                if text == "[DONE]":
                    await self._settle(response)
                    return
                yield self._parse(text)
        for text in events.end():
            if text != "[DONE]":
                yield self._parse(text)

    async def _settle(self, response: "aiohttp.ClientResponse") -> None:
        """Wait a moment for the end of the body, without which the connection cannot be used again."""
        try:
            async with asyncio.timeout(_SETTLE):
                while await self._faults.watch(response.content.readany()):
                    pass
        except (TimeoutError, BackendError):
            return  # the answer is whole all the same

    async def _read(self, response: "aiohttp.ClientResponse", deadline: Deadline) -> str:
        """The whole body, and the connection given back."""
        body, most = bytearray(), self.options.max_bytes

        async def read() -> None:
            while data := await response.content.readany():
                body.extend(data)
                if len(body) > most:
                    raise self._faults.too_large(most)

        try:
            await deadline.wait(self._faults.watch(read()), "said nothing", self.options.first_token_timeout)
        finally:
            response.close()
        return body.decode("utf-8", "replace")

    def _parse(self, text: str) -> Mapping[str, Any]:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise self._faults.not_json(text)
        return data

    async def _send(self, method: str, url: str, body: JSON = None) -> "aiohttp.ClientResponse":
        """The response, its body unread. A kept connection that the server closed meanwhile is no fault."""
        import aiohttp

        while True:
            kept: list[bool] = []
            try:
                return await self._open().request(
                    method,
                    url,
                    json=body,
                    allow_redirects=False,  # which would carry question and key to a place that nobody named
                    trace_request_ctx=kept,
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not kept:
                    raise
            except RuntimeError:  # how aiohttp says that its session was closed meanwhile
                self._check_open()
                raise

    def _open(self) -> "aiohttp.ClientSession":
        self._check_open()
        if self._session is None:
            import aiohttp

            async def reused(session: object, context: SimpleNamespace, params: object) -> None:
                context.trace_request_ctx.append(True)

            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(reused)
            self._session = aiohttp.ClientSession(
                trace_configs=[trace],
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.options.connect_timeout),
                trust_env=not self._faults.local,  # a proxy of the environment, but not to this machine
            )
        return self._session

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError(f"model {self.name!r} is closed")

    async def probe(self) -> str:
        """Asks for the list of models. Raises BackendError where the server has one without this model."""
        model = self.options.model
        listed = await self._told(
            "GET", f"{self.options.base_url}/models", None, 2 * self.options.connect_timeout
        )
        rows = listed.get("data") or []  # null is how Ollama lists no models
        known = {str(row.get("id")): row.get("owned_by") for row in rows if isinstance(row, dict)}
        named = {model, f"{model}:latest"} & known.keys()
        if "data" in listed and not named and "llamacpp" not in known.values():  # that answers under any name
            raise self._faults.no_model(", ".join(sorted(known)))
        return f"{self.name}: {model} at {self._faults.url}"

    async def beside(self, method: str, path: str, body: JSON = None) -> Mapping[str, Any]:
        """What the server says at a path of its own, beside `/v1`. Raises BackendError."""
        url = self.options.base_url.removesuffix("/v1") + path
        return await self._told(method, url, body, self.options.first_token_timeout)

    async def _told(self, method: str, url: str, body: JSON, seconds: float) -> Mapping[str, Any]:
        deadline = Deadline(self.name, seconds)
        response = await deadline.wait(self._faults.watch(self._send(method, url, body)), "did not answer")
        text = await self._read(response, deadline)
        if response.status != 200:
            raise self._faults.of_status(response.status, response.headers, text)
        return self._parse(text)

    async def close(self) -> None:
        self._closed = True
        for response in self._reading:
            response.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
