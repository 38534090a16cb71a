"""Any GGUF model in this process, through llama.cpp (the xllamacpp package).

The engine's own server object is driven from threads. It releases the interpreter lock while it computes,
but not while it maps a file (55 ms for 100 MB), and a generation ends at the next token (or the next 256
tokens of a prompt) after its stream was left. It also opens a loopback port that cannot be switched off; a
random key that nobody keeps locks it. Its log is off, but its parser of grammars still writes a line to
stderr about one that is wrong.
Knows nothing about what the model is asked.
"""

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tinyllm.backends.deadline import Deadline
from tinyllm.backends.gguf_file import ModelFile, inspect
from tinyllm.backends.openai_format import Assembly, chat_body, clean, sampling_fields
from tinyllm.backends.pricing import Rates
from tinyllm.errors import BackendError, ModelFileError
from tinyllm.types import JSON, Chunk, Prompt

_PROMPT_BATCH = 256  # tokens between two chances to cancel while a prompt is read


class Adapter(BaseModel):
    """A LoRA file that a prompt chooses by its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    sha256: str | None = None


class Options(Rates):
    """A model file and how to run it.

    `template` "chat" formats messages by the file's own template, "raw" passes the content of the one message
    as it is. `context` is in tokens for each of `parallel` simultaneous answers. `threads` None is one for a
    model below 100 MB and every core for larger ones. `cache_prompt` reuses the work on a shared beginning:
    faster for long prompts, but then equal requests may differ in the last bits of their scores (as they may
    with `parallel` above 1). `gpu_layers` counts layers moved to a GPU where the engine was built for one.
    `parameters` 0 counts them in the file.
    """

    path: Path
    sha256: str | None = None
    adapters: Mapping[str, Adapter] = Field(default_factory=dict)
    template: Literal["chat", "raw"] = "chat"
    context: int = Field(default=4096, ge=64)
    parallel: int = Field(default=1, ge=1, le=64)
    threads: int | None = Field(default=None, ge=1)
    cache_prompt: bool = False
    gpu_layers: int = Field(default=0, ge=0)


class LlamaCpp:
    """Answers from a GGUF file, loaded at the first question."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options
        self._adapters = tuple(options.adapters)
        self._executor = ThreadPoolExecutor(options.parallel, thread_name_prefix=f"llamacpp-{name}")
        self._loading = threading.Lock()
        self._leaving = threading.Event()
        self._rates: Rates | None = None  # set once the model is in memory
        self._server: Any = None

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        body = self._body(prompt)
        rates = await self._loaded()
        deadline = Deadline(self.name, prompt.timeout)
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[JSON] = asyncio.Queue()  # chunks, then None or the exception that ended them
        left = threading.Event()

        def tell(chunk: JSON) -> bool:
            """Hand over from the engine's thread; True stops the generation."""
            try:
                loop.call_soon_threadsafe(arrived.put_nowait, chunk)
            except RuntimeError:  # the loop is gone, and with it the listener
                return True
            return left.is_set() or self._leaving.is_set()

        future = loop.run_in_executor(self._executor, self._ask, body, tell)
        future.add_done_callback(lambda f: arrived.put_nowait(None if f.cancelled() else f.exception()))
        try:
            assembly = Assembly(self.name)
            while (item := await deadline.wait(arrived.get())) is not None:
                if isinstance(item, BaseException):
                    raise self._refusal(str(item)) from item
                if "error" in item:
                    raise self._refusal(item["error"].get("message", ""))
                if text := assembly.feed(item):
                    yield Chunk(text)
            if assembly.finish is None and self._leaving.is_set():
                raise self._closed()
            yield assembly.last(prompt, rates, deadline.spent_ms)
        finally:
            left.set()
            future.cancel()

    def _body(self, prompt: Prompt) -> dict[str, JSON]:
        if prompt.adapter is not None and prompt.adapter not in self.options.adapters:
            known = ", ".join(self._adapters) or "none"
            raise BackendError(
                f"model {self.name!r} has no adapter {prompt.adapter!r}", hint=f"its adapters: {known}"
            )
        if self.options.template == "chat":
            body = chat_body(prompt)
            if prompt.scores:
                body["top_logprobs"] = 1  # the engine's default is twenty
        else:
            if len(prompt.messages) != 1:
                raise BackendError(f"model {self.name!r} takes one message, not {len(prompt.messages)}")
            body = sampling_fields(prompt)
            body["prompt"] = clean(prompt.messages[0].content)
            if prompt.json_schema is not None:
                # Without this a model may fill its answer with white space for ever.
                body["json_schema"] = {"x-guidance": {"whitespace_flexible": False}, **prompt.json_schema}
            if prompt.scores:
                body["logprobs"] = 1
        if prompt.grammar is not None:
            body["grammar"] = prompt.grammar
        # Drawn from temperature and top_p alone, as asked, without the engine's other default cut-offs.
        body |= {"top_k": 0, "min_p": 0.0, "cache_prompt": self.options.cache_prompt, "return_progress": True}
        # Always all of them: a request that names none may reuse the cache of another adapter.
        body["lora"] = [
            {"id": index, "scale": 1.0 if name == prompt.adapter else 0.0}
            for index, name in enumerate(self._adapters)
        ]
        return body

    def _ask(self, body: JSON, tell: Callable[[JSON], bool]) -> None:
        """Runs in a thread until the answer is whole or `tell` says stop."""
        if self.options.template == "chat":
            self._server.handle_chat_completions(body, tell)
        else:
            self._server.handle_completions(body, tell)

    def _refusal(self, message: str) -> BackendError:
        if "context size" in message:
            return BackendError(
                f"the question is too long for model {self.name!r}: {message}",
                hint="shorten it, or raise `context` in the model's options",
            )
        return BackendError(
            f"model {self.name!r} cannot take this request: {message}",
            hint="look at the grammar, the schema or the tools that came with it",
        )

    def _closed(self) -> BackendError:
        return BackendError(f"model {self.name!r} is closed")

    async def _loaded(self) -> Rates:
        """The rates of the model, which is in memory from then on. Raises ModelFileError."""
        if self._rates is None and not self._leaving.is_set():
            await asyncio.get_running_loop().run_in_executor(self._executor, self._load)
        if self._rates is None or self._leaving.is_set():
            raise self._closed()
        return self._rates

    def _load(self) -> None:
        with self._loading:
            if self._rates is not None or self._leaving.is_set():
                return
            file = inspect(self.options.path, self.options.sha256)
            for adapter in self.options.adapters.values():
                inspect(adapter.path, adapter.sha256)
            self._server = self._start(file)
            # In place of the engine's own warm-up, which holds the lock; and an engine that is closed before
            # it ran once waits for ever.
            self._server.handle_completions({"prompt": "a", "max_tokens": 1})
            counted = self.options.parameters or file.parameters
            self._rates = self.options.model_copy(update={"parameters": counted})

    def _start(self, file: ModelFile) -> Any:
        import xllamacpp

        options = self.options
        params = xllamacpp.CommonParams()
        params.model.path = str(options.path)
        params.lora_adapters = [
            xllamacpp.CommonAdapterLoraInfo(str(adapter.path), 0.0) for adapter in options.adapters.values()
        ]
        params.n_parallel = options.parallel
        params.n_ctx = options.parallel * min(options.context, file.context or options.context)
        params.n_batch = params.n_ubatch = _PROMPT_BATCH
        params.n_gpu_layers = options.gpu_layers
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads(file)
        params.verbosity = -1  # its log goes to the user's terminal
        params.warmup = params.fit_params = False
        params.cache_ram_mib = 0  # else finished prompts are kept, up to 8 GB
        params.api_keys = [secrets.token_urlsafe(32)]
        params.n_threads_http = 1
        params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
        try:
            return xllamacpp.Server(params)
        except RuntimeError:
            raise ModelFileError(
                f"model file {str(options.path)!r} does not load ({file.architecture}, {file.size:,} bytes)",
                hint="free memory, update xllamacpp for a newer architecture, or fetch the file again",
            ) from None

    def _threads(self, file: ModelFile) -> int:
        if self.options.threads is not None:
            return self.options.threads
        return 1 if file.size < 100_000_000 else os.cpu_count() or 1

    async def probe(self) -> str:
        """Reads the header only: a look at the models must not load them all."""
        file = await asyncio.to_thread(inspect, self.options.path, self.options.sha256)
        return f"{self.name}: {file.name}, {file.architecture}, {file.parameters:,} parameters, {file.path}"

    async def close(self) -> None:
        self._leaving.set()
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._server = None
