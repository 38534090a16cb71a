"""A line of JSON for each committed run, for whoever gathers logs: who, what became of it, and what it cost.

Neither questions nor answers are in it, nor any key; the run's id leads to them for those who may see them.
"""

import json
import time
from collections.abc import Callable, Sequence

from tinyllm.engine.run import Watch
from tinyllm.events import Event


def logging(write: Callable[[str], None]) -> Watch:
    """A watcher that writes one line a run."""

    def watch(tenant: str, events: Sequence[Event]) -> None:
        asked, told = events[0].data, events[-1].data
        broken = next((event for event in events if event.kind == "node_failed"), None)
        line = {
            "time": round(time.time(), 3),
            "run": events[0].run_id,
            "tenant": tenant,
            "network": asked["request"]["model"],
            "graph": asked["graph"],
            "status": told["status"],
            "route": told["route"],
            "ms": told["latency_ms"],
            "tokens_in": told["cost"]["tokens_in"],
            "tokens_out": told["cost"]["tokens_out"],
            "money": told["cost"]["money"],
            **({"broken": broken.node, "error": broken.data["error"]} if broken else {}),
        }
        write(json.dumps(line, ensure_ascii=False))

    return watch
