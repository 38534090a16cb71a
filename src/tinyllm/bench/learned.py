"""Networks of learned models tried in this process: their files lie in one folder, by SHA-256."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tinyllm.backends.reader import LinearBackend, LinearRouter, is_legal, vector
from tinyllm.backends.reading import ReaderBackend, Reading
from tinyllm.engine import Engine, fold
from tinyllm.graph import Graph, Model, parse
from tinyllm.learning.proposal import Ask
from tinyllm.learning.specialist import BITS
from tinyllm.protocols import Backend, Parts, Router, Store, Tool
from tinyllm.slots import REFUSE, Ops, Slots
from tinyllm.store import open_store
from tinyllm.types import Cost, Prompt, Request, Trace


@dataclass(frozen=True, slots=True)
class LearnedBench:
    """Where graphs of learned models are tried."""

    folder: Path
    ops: Ops
    tools: Mapping[str, Tool]

    def keep(self, kind: str, data: bytes, parameters: int = 0) -> Model:
        """The model of a file, which is kept."""
        sha256 = hashlib.sha256(data).hexdigest()
        (self.folder / sha256).write_bytes(data)
        return Model(backend="learned", model=f"{kind}-{sha256}", parameters=parameters)

    def effective(self, graph: Graph) -> Graph:
        return graph

    def engine(self, graph: Graph, store: Store) -> Engine:
        """What answers with one graph."""

        async def resolve(request: Request) -> Graph:
            return graph

        return Engine(resolve, self._parts, store)

    @asynccontextmanager
    async def open(self, graph: Graph, files: Mapping[str, bytes]) -> AsyncIterator[Ask]:
        for data in files.values():
            self.keep("", data)
        store = await open_store("memory:")
        engine = self.engine(graph, store)

        async def ask(request: Request) -> Trace:
            return fold(await store.events((await engine.run(request)).run_id))

        yield ask
        await store.close()

    def _parts(self, graph: Graph) -> Parts:
        backends: dict[str, Backend] = {}
        routers: dict[str, Router] = {}
        for name, model in graph.models.items():
            kind, _, sha256 = model.model.partition("-")
            path = self.folder / sha256
            match kind:
                case "router":
                    routers[name] = LinearRouter(path, sha256)
                case "retrieval":
                    backends[name] = Retrieval(name, path, self.ops)
                case _:
                    backends[name] = LinearBackend(name, path, self.ops, sha256)
        return Parts(backends, self.tools, routers)


class Retrieval(ReaderBackend):
    """Answers with the call of the solved request that is most alike, as far as it is legal here.

    The file holds the features and the call of each; likeness is the share of features in common.
    """

    def __init__(self, name: str, path: Path, ops: Ops) -> None:
        import numpy as np

        super().__init__(name, ops)
        cases = json.loads(path.read_bytes())
        self._calls = [call for _, call in cases]
        self._sizes = np.array([len(on) for on, _ in cases])
        self._holders: dict[int, list[int]] = {}
        for place, (on, _) in enumerate(cases):
            for feature in on:
                self._holders.setdefault(feature, []).append(place)

    async def read(self, slots: Slots, prompt: Prompt) -> tuple[Reading, Cost]:
        import numpy as np

        own = vector(slots, BITS)
        found = [place for feature in own for place in self._holders.get(feature, ())]
        shared = np.bincount(np.array(found, dtype=np.intp), minlength=len(self._calls))
        alike = shared / (self._sizes + len(own) - shared)
        ranked = (self._calls[place] for place in np.argsort(-alike, kind="stable"))
        call = next((call for call in ranked if is_legal(call, slots, self.ops)), REFUSE)
        return Reading(call, 1.0), Cost(macs=int(self._sizes.sum()))

    async def probe(self) -> str:
        return f"{self.name}: {len(self._calls)} solved requests"

    async def close(self) -> None:
        pass


def network_of(bench: LearnedBench, kind: str, data: bytes, parameters: int) -> Graph:
    """One model with every tool, a gate and an exit."""
    nodes = {
        "question": {"kind": "entry", "next": "reader"},
        "reader": {"kind": "specialist", "model": "reader", "tools": sorted(bench.tools), "next": "gate"},
        "gate": {"kind": "gate", "checks": [{"check": "schema"}, {"check": "recompute"}], "next": "answer"},
        "answer": {"kind": "exit"},
    }
    models = {"reader": bench.keep(kind, data, parameters).model_dump()}
    # Growth goes on until one request in twenty of a kind fails, and asks nobody.
    learning = {"failing": 0.05, "adopt": "auto"}
    whole = {"schema": 1, "name": "growth", "models": models, "nodes": nodes, "learning": learning}
    return parse(json.dumps(whole), tools=bench.tools)
