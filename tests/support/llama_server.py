"""llama.cpp's own HTTP server on a loopback port, for a model that a test wrote. Knows nothing of TinyLLM."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xllamacpp

KEY = "a-key-for-tests"


@contextmanager
def llama_server(model: Path, *, parallel: int = 2, context: int = 2048) -> Iterator[str]:
    """The base URL of a running server that wants `KEY`; `context` is in tokens, which are bytes here."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_parallel = parallel
    params.n_ctx = context * parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = 8
    params.verbosity = -1
    params.fit_params = params.ui = False
    params.cache_ram_mib = 0
    params.api_keys = [KEY]
    server = xllamacpp.Server(params)
    server.handle_completions({"prompt": "a", "max_tokens": 1})  # closing an engine that never ran hangs
    yield f"{server.listening_address}/v1"
    del server
