"""What happened in a run, in order. A trace, a metric and a live picture are folds of events.

Knows nothing about who emits or keeps them. Tokens of a stream are events only on the way to the caller:
a store keeps the text once, in `node_finished`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tinyllm.types import JSON

SCHEMA_VERSION = 1

Kind = Literal[
    "run_started",  # question, seed, clock, budget
    "node_started",  # kind
    "choice_made",  # choice, probabilities, forced; before, facts: where facts changed it; scores: worth less price
    "model_called",  # model, cost, retries
    "tool_called",  # call, result or error
    "check_made",  # name, passed, reason
    "token",  # text; streamed, never stored
    "recovered",  # from, to, why
    "node_finished",  # text, cost
    "node_failed",  # error, message
    "parked",  # ticket
    "run_finished",  # answer, status, route, cost, latency_ms
]


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of a run. `(run_id, sequence)` is unique; `at_ms` counts milliseconds since the run began."""

    run_id: str
    sequence: int
    kind: Kind
    at_ms: float
    node: str | None = None
    data: Mapping[str, JSON] = field(default_factory=dict)
