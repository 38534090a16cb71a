"""Prometheus metrics, folded from the events of committed runs. Knows nothing about HTTP.

The text format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tinyllm.events import Event
from tinyllm.types import JSON

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # seconds

Labels = tuple[tuple[str, str], ...]
Gauges = Mapping[tuple[str, Labels], float]

HELP = {
    "tinyllm_runs_total": "Runs by their status.",
    "tinyllm_run_seconds": "How long runs took.",
    "tinyllm_node_runs_total": "Executions of nodes; an outcome is finished, rejected or broken.",
    "tinyllm_node_seconds": "How long nodes took.",
    "tinyllm_model_calls_total": "Calls of models; an outcome is answered or failed.",
    "tinyllm_model_tokens_total": "Tokens that models read (in) and wrote (out).",
    "tinyllm_model_macs_total": "Multiply-accumulates of models.",
    "tinyllm_model_money_total": "Money spent on models, in the currency of the prices.",
    "tinyllm_tool_calls_total": "Calls of tools; an outcome is computed or failed.",
    "tinyllm_running": "Answers that are being made.",
    "tinyllm_waiting": "Requests in line.",
    "tinyllm_breaker_open": "1 while a model that kept failing is left alone; of several processes, how many do.",
}


class Histogram:
    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class Metrics:
    """Counts what a server's runs do, by network."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, Labels]] = Counter()
        self.times: defaultdict[tuple[str, Labels], Histogram] = defaultdict(Histogram)

    def watch(self, tenant: str, events: Sequence[Event]) -> None:
        """Count a run that was committed."""
        network = ("network", events[0].data["request"]["model"].partition("/")[0])
        began: dict[str, float] = {}
        for event in events:
            data, node = event.data, ("node", event.node or "")
            match event.kind:
                case "node_started":
                    began[node[1]] = event.at_ms
                case "node_finished" | "node_failed":
                    rejected = "rejected" if data.get("failed") else "finished"
                    outcome = "broken" if event.kind == "node_failed" else rejected
                    self.count("tinyllm_node_runs_total", network, node, ("outcome", outcome))
                    seconds = (event.at_ms - began.get(node[1], event.at_ms)) / 1000
                    self.times["tinyllm_node_seconds", (network, node)].add(seconds)
                case "model_called":
                    self._model(network, data)
                case "tool_called":
                    outcome = "failed" if data.get("error") else "computed"
                    self.count(
                        "tinyllm_tool_calls_total", network, ("tool", data["name"]), ("outcome", outcome)
                    )
                case "run_finished":
                    self.count("tinyllm_runs_total", network, ("status", data["status"]))
                    self.times["tinyllm_run_seconds", (network,)].add(data["latency_ms"] / 1000)
                case _:
                    pass

    def _model(self, network: tuple[str, str], data: Mapping[str, object]) -> None:
        model = ("model", str(data["model"]))
        cost = data.get("cost")
        outcome = "answered" if isinstance(cost, Mapping) else "failed"
        self.count("tinyllm_model_calls_total", network, model, ("outcome", outcome))
        if isinstance(cost, Mapping):
            for way in ("in", "out"):
                tokens = cost[f"tokens_{way}"]
                self.count("tinyllm_model_tokens_total", network, model, ("direction", way), by=tokens)
            self.count("tinyllm_model_macs_total", network, model, by=cost["macs"])
            self.count("tinyllm_model_money_total", network, model, by=cost["money"])

    def count(self, name: str, *labels: tuple[str, str], by: float = 1) -> None:
        self.counts[name, labels] += by  # type: ignore[assignment]  # a Counter may hold floats

    def told(self, gauges: Gauges) -> JSON:
        """Everything counted so far, and these gauges, for another process to add."""
        return {
            "counts": [[*key, number] for key, number in self.counts.items()],
            "times": [[*key, each.counts, each.total] for key, each in self.times.items()],
            "gauges": [[*key, number] for key, number in gauges.items()],
        }

    def with_others(self, others: Iterable[JSON], gauges: Gauges) -> "tuple[Metrics, Gauges]":
        """What this process and others counted, together."""
        whole, state = Metrics(), dict[tuple[str, Labels], float]()
        for told in (self.told(gauges), *others):
            for name, labels, number in told["counts"]:
                whole.counts[name, _labels(labels)] += number
            for name, labels, counts, total in told["times"]:
                times = whole.times[name, _labels(labels)]
                times.counts = [mine + theirs for mine, theirs in zip(times.counts, counts, strict=True)]
                times.total += total
            for name, labels, number in told["gauges"]:
                key = name, _labels(labels)
                state[key] = state.get(key, 0) + number
        return whole, state

    def text(self, gauges: Gauges) -> str:
        """Everything counted so far, and these gauges, as Prometheus reads it."""
        return "\n".join(self._lines(gauges)) + "\n"

    def _lines(self, gauges: Gauges) -> Iterator[str]:
        for name, told in HELP.items():
            kind = (
                "histogram"
                if name.endswith("_seconds")
                else "counter"
                if name.endswith("_total")
                else "gauge"
            )
            yield f"# HELP {name} {told}"
            yield f"# TYPE {name} {kind}"
            for (found, labels), number in sorted([*self.counts.items(), *gauges.items()]):
                if found == name:
                    yield f"{name}{_told(labels)} {number:.15g}"
            for (found, labels), histogram in sorted(self.times.items(), key=lambda item: item[0]):
                if found == name:
                    yield from _buckets(name, labels, histogram)


def _buckets(name: str, labels: Labels, histogram: Histogram) -> Iterator[str]:
    sofar = 0
    for limit, number in zip((*BUCKETS, float("inf")), histogram.counts, strict=True):
        sofar += number
        within = "+Inf" if limit == float("inf") else f"{limit:g}"
        yield f"{name}_bucket{_told((*labels, ('le', within)))} {sofar}"
    yield f"{name}_sum{_told(labels)} {histogram.total:.6f}"
    yield f"{name}_count{_told(labels)} {sofar}"


def _labels(told: JSON) -> Labels:
    return tuple((name, value) for name, value in told)


def _told(labels: Labels) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    inside = ",".join(f'{name}="{escaped(value)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""
