"""Runs as spans: what OpenTelemetry is told, and that nothing of it is there where nobody asked."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.engine.test_engine import LINE, ask, calling
from tinyllm.backends.scripted import Answer, Script, Scripted
from tinyllm.engine import Engine
from tinyllm.engine.run import Watch
from tinyllm.errors import BackendUnreachable
from tinyllm.graph import Graph, parse
from tinyllm.protocols import Parts
from tinyllm.server.spans import exporting, tracing
from tinyllm.store import open_store
from tinyllm.tools.table import TOOLS
from tinyllm.types import Request


async def spans(watch: Watch, script: Script, **fields: Any) -> None:
    """Have the watcher told of one run."""
    graph = parse(LINE.replace("CHECKS", "[{check: schema}]"), tools=TOOLS)
    models = {"m": Scripted("m", script), "judge": Scripted("judge", ["x"])}

    async def resolve(request: Request) -> Graph:
        return graph

    parts = Parts(models, {"calculator": TOOLS["calculator"]()})
    engine = Engine(resolve, lambda _: parts, await open_store("memory:"), watch=watch)
    await engine.run(ask("what is 847 * 392? It is a secret.", **fields))


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def watch(memory: InMemorySpanExporter) -> Watch:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return tracing(provider.get_tracer("test"))


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_run_is_a_span_with_one_for_each_of_its_nodes(
    watch: Watch, memory: InMemorySpanExporter
) -> None:
    await spans(watch, calling("847 * 392"), model="line", session="s1")
    *nodes, run = memory.get_finished_spans()
    told = attributes(run)
    assert run.name == "invoke_workflow line" and run.parent is None
    assert told["gen_ai.operation.name"] == "invoke_workflow" and told["gen_ai.workflow.name"] == "line"
    assert told["gen_ai.conversation.id"] == "s1" and told["tinyllm.status"] == "answered"
    route = list(told["tinyllm.route"])
    assert sorted(attributes(node)["tinyllm.node"] for node in nodes) == sorted(route)
    assert all(node.parent is not None and node.parent.span_id == run.context.span_id for node in nodes)
    for node in nodes:
        assert run.start_time is not None and node.start_time is not None
        assert run.end_time is not None and node.end_time is not None
        assert run.start_time <= node.start_time <= node.end_time <= run.end_time
    work = next(node for node in nodes if node.name == "chat m")
    said = attributes(work)
    assert said["gen_ai.operation.name"] == "chat" and said["gen_ai.request.model"] == "m"
    assert said["gen_ai.usage.input_tokens"] == told["gen_ai.usage.input_tokens"] > 0
    assert said["gen_ai.usage.output_tokens"] == told["gen_ai.usage.output_tokens"] > 0
    (event,) = work.events
    assert event.name == "execute_tool" and dict(event.attributes or {})["gen_ai.tool.name"] == "calculator"


async def test_neither_questions_nor_answers_are_told(watch: Watch, memory: InMemorySpanExporter) -> None:
    await spans(watch, calling("847 * 392"))
    told = " ".join(span.to_json() for span in memory.get_finished_spans())
    assert "secret" not in told and "332,024" not in told and "332024" not in told


async def test_what_broke_is_an_error(watch: Watch, memory: InMemorySpanExporter) -> None:
    await spans(watch, [Answer("", error=BackendUnreachable("gone"))])
    finished = memory.get_finished_spans()
    broken = [span for span in finished if span.status.status_code is StatusCode.ERROR]
    assert {attributes(span)["error.type"] for span in broken} == {"BackendUnreachable"}
    assert finished[-1] in broken and len(broken) == 2


class Collector(BaseHTTPRequestHandler):
    """Takes spans, and keeps the paths they came by."""

    came: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.came.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[tuple[str, list[str]]]:
    came: list[str] = []
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Collector,), {"came": came}))
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", came
    server.shutdown()
    thread.join()
    server.server_close()


async def test_spans_go_where_the_environment_says(
    collector: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, came = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    with exporting({"OTEL_EXPORTER_OTLP_ENDPOINT": url}) as watch:
        assert watch is not None
        await spans(watch, calling("2 + 2"))
    assert came == ["/v1/traces"]


def test_nothing_is_imported_where_the_environment_says_nothing() -> None:
    program = (
        "import sys; from tinyllm.server.spans import exporting\n"
        "for environ in ({}, {'OTEL_EXPORTER_OTLP_ENDPOINT': 'x', 'OTEL_SDK_DISABLED': 'true'}):\n"
        "    with exporting(environ) as watch: assert watch is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=path, check=False).returncode == 0
