"""Runs as spans of OpenTelemetry, with the names of its conventions for generative AI: one for the run, and below it
one for each node; the tools that a node called are events of its span.

https://github.com/open-telemetry/semantic-conventions-genai. Neither questions nor answers are in them. Knows
nothing about where spans go: the environment variables of OpenTelemetry say that.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tinyllm.engine.run import Watch
from tinyllm.errors import SettingsError
from tinyllm.events import Event
from tinyllm.types import Cost

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

Attributes = dict[str, str | int | float | Sequence[str]]

# Who provides a model is not told to a run: for whoever reads the spans, the network does.
_CHAT: Attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "tinyllm"}


@contextmanager
def exporting(environ: Mapping[str, str]) -> "Iterator[Watch | None]":
    """A watcher that sends the spans of each run where the environment says; None where it says nothing.

    What waits is sent at the end. Raises SettingsError where OpenTelemetry is not installed.
    """
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(map(environ.get, ENDPOINTS)):
        yield None
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT asks for spans, and OpenTelemetry is not installed",
            hint="pip install 'tinyllm-network[otel]', or set OTEL_SDK_DISABLED=true",
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "tinyllm"}
    provider = TracerProvider(resource=Resource.create(name))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield tracing(provider.get_tracer("tinyllm"))
    finally:
        provider.shutdown()


def tracing(tracer: "Tracer") -> Watch:
    """A watcher that tells the tracer of each run."""

    def watch(tenant: str, events: Sequence[Event]) -> None:
        # Spans of a run are made when it has ended: its own clock is that of the wall less what it took.
        began = time.time_ns() - _ns(events[-1].at_ms)
        asked, told = events[0].data, events[-1].data
        request = asked["request"]
        attributes: Attributes = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": request["model"] or asked["graph"],
            "tinyllm.run.id": events[0].run_id,
            "tinyllm.graph": asked["graph"],
            "tinyllm.tenant": tenant,
            "tinyllm.status": told["status"],
            "tinyllm.route": told["route"],
            **_spent(Cost(**told["cost"])),
        }
        if asked["session"]:
            attributes["gen_ai.conversation.id"] = asked["session"]
        run = tracer.start_span(f"invoke_workflow {request['model'] or 'network'}", start_time=began)
        run.set_attributes(attributes)
        _nodes(tracer, run, events, began)
        if told["status"] == "failed":
            _fail(run, next((e.data["error"] for e in events if e.kind == "node_failed"), "_OTHER"))
        run.end(began + _ns(events[-1].at_ms))

    return watch


def _nodes(tracer: "Tracer", run: "Span", events: Sequence[Event], began: int) -> None:
    """The spans of a run's nodes. A node may run again, but not twice at a time."""
    from opentelemetry.trace import set_span_in_context

    open_: dict[str | None, Span] = {}
    spent: dict[str | None, Cost] = {}
    for event in events:
        node, data, at = event.node, event.data, began + _ns(event.at_ms)
        if event.kind == "node_started":
            open_[node] = tracer.start_span(f"{data['kind']} {node}", set_span_in_context(run), start_time=at)
            open_[node].set_attributes({"tinyllm.node": str(node), "tinyllm.node.kind": data["kind"]})
            spent[node] = Cost()
            continue
        span = open_.get(node)
        if span is None:
            continue
        match event.kind:
            case "choice_made":
                span.set_attribute("tinyllm.choice", str(data["choice"]))
            case "model_called":
                spent[node] += Cost(**data.get("cost", {}))
                span.update_name(f"chat {data['model']}")
                span.set_attributes({**_CHAT, "gen_ai.request.model": data["model"], **_spent(spent[node])})
            case "tool_called":
                # Events tell when a call ended, not when it began: it is no span of its own.
                used: Attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": data["name"]}
                span.add_event(
                    "execute_tool", used | ({"error.type": "ToolError"} if data.get("error") else {}), at
                )
            case "node_failed":
                _fail(span, data["error"])
                open_.pop(node).end(at)
            case "node_finished":
                open_.pop(node).end(at)
    for span in open_.values():  # cut short
        span.end(began + _ns(events[-1].at_ms))


def _spent(cost: Cost) -> Attributes:
    return {
        "gen_ai.usage.input_tokens": cost.tokens_in,
        "gen_ai.usage.output_tokens": cost.tokens_out,
        "tinyllm.cost.macs": cost.macs,
        "tinyllm.cost.money": cost.money,
    }


def _fail(span: "Span", error: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR)


def _ns(milliseconds: float) -> int:
    return int(milliseconds * 1_000_000)
