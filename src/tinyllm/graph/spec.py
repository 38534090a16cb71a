"""What a network is: nodes, models, prompts, tools and budgets as one immutable value.

Structure only. Whether the whole is legal (one entry, no orphans, ...) is decided in `graph.legal`; how it is
read from YAML in `graph.load`. Knows nothing about the implementations behind the names.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

SCHEMA = 1


def _name(value: str) -> str:
    if not value or len(value) > 64 or not all(c.isalnum() or c in "-_.:" for c in value):
        raise ValueError(
            f"{value!r} is not a name: use letters, digits, '-', '_', '.' or ':', at most 64 of them"
        )
    return value


def _rising(shares: tuple[float, ...]) -> tuple[float, ...]:
    rise = all(one < other for one, other in pairwise(shares))
    if not (shares and shares[0] >= 0 and shares[-1] == 1 and rise):
        raise ValueError("the shares rise from 0 or more, and end with 1: [0, 0.1, 1]")
    return shares


Name = Annotated[str, AfterValidator(_name)]


class Spec(BaseModel):
    """The root of every part of a specification: frozen, and unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Spec):
    """A language model by the name under which nodes use it.

    `backend` names one in the settings, or one that is always there (`builtin`, `llamacpp`, `ollama`, ...);
    `model` is what that backend calls it; `parameters` (how many it has) is the base of its cost.
    """

    backend: Name
    model: str = ""
    parameters: int = Field(default=0, ge=0)
    options: Mapping[str, Any] = Field(default_factory=dict)


class PromptText(Spec):
    """A prompt and its version: a new text takes a new version, so that outcomes are never mixed."""

    version: int = Field(default=1, ge=1)
    text: str = Field(max_length=20_000)


class Budgets(Spec):
    """What one run may spend. `seconds` is wall time, `money` in the currency of the configured prices."""

    seconds: float | None = Field(default=60.0, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    money: float | None = Field(default=None, ge=0)
    steps: int = Field(default=64, gt=0, le=10_000)


class Pace(Spec):
    """What a tenant's runs may cost together in a period (in UTC), evenly spread over it: `money`, or
    `operations` (multiply-accumulates)."""

    money: float | None = Field(default=None, gt=0)
    operations: float | None = Field(default=None, gt=0)
    per: Literal["hour", "day", "week"] = "day"

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.money is None) == (self.operations is None):
            raise ValueError("give either money or operations")
        return self

    @property
    def budget(self) -> float:
        """In the unit that is paced."""
        return self.money or self.operations or 0.0


class Retry(Spec):
    """The only legal way back in a graph: to an earlier node, at most `limit` times in a run."""

    to: Name
    limit: int = Field(default=1, ge=1, le=5)


class Route(Spec):
    """One choice of a router: the node it leads to and, for a model that routes, when to take it."""

    to: Name
    when: str = ""


class Worth(Spec):
    """What choosing a route has been worth: the share of answers that were `right`, how many outcomes were
    `seen` (old ones count less), and what an answer cost from there on, in money or in operations."""

    right: float = Field(ge=0, le=1)
    seen: float = Field(ge=0)
    cost: float = Field(ge=0)


class Test(Spec):
    """One check of a gate. `agreement` and `judge` name the model that checks.

    `agreement` is left out where the model that answered gives its own call at least the probability `sure`.
    """

    check: Literal["schema", "recompute", "agreement", "judge"]
    model: Name | None = None
    prompt: Name | None = None
    json_schema: Mapping[str, Any] | None = None
    sure: float | None = Field(default=None, gt=0, le=1)


class Learning(Spec):
    """How the network may change itself.

    A cluster of a node's traffic is worth a proposal from `failures` failed requests on, if they are at least
    the share `failing` of it; requests that are `age` days older than the latest graded one do not count. A change
    must be proven to gain `gain` of all answers or more, may lose the share `lost` of what any node got right, and
    `cost` times what an answer costs now. What is proven is adopted when a person agrees (`ask`), by itself
    (`auto`), or not at all (`never`).

    What is adopted answers the shares `rollout` of all conversations, one after the other: at 0, in the shadow, it
    answers nobody, and is asked by the learner what the network was asked. Each stage but the last ends when
    `answers` of its answers are graded, and nothing speaks against it. What was taken back is tried again
    after as many new ones.

    With `neurons` a language model of some 130,000 parameters, trained from scratch, is proposed too as a
    rival of the linear reader for what fails most.
    """

    adopt: Literal["ask", "auto", "never"] = "ask"
    rollout: Annotated[tuple[float, ...], AfterValidator(_rising)] = (1.0,)
    answers: int = Field(default=30, ge=1)
    failures: int = Field(default=5, ge=1)
    failing: float = Field(default=0.2, gt=0, le=1)
    age: float | None = Field(default=None, gt=0)
    gain: float = Field(default=0.03, gt=0, le=1)
    lost: float = Field(default=0.03, ge=0, le=1)
    cost: float = Field(default=20.0, ge=1)
    neurons: bool = False


Next = Name | tuple[Name, ...]


class Entry(Spec):
    """Where a run begins. `carry` completes a fragment ("and in cups?") from the question before it."""

    kind: Literal["entry"]
    next: Next
    carry: bool = False
    description: str = ""


class RouterNode(Spec):
    """Chooses one of its routes; below `threshold` it does not know, and `otherwise` is taken
    (none: the run goes to recovery). Routes at least as probable as `alternatives` serve recovery.

    Where `worth` tells of every route, the choice among the probable ones is by worth less price; the model
    `by_text` tells how much more or less than that each is worth for one text.
    """

    kind: Literal["router"]
    model: Name
    routes: Mapping[Name, Route] = Field(min_length=1)
    prompt: Name | None = None
    threshold: float = Field(default=0.0, ge=0, le=1)
    alternatives: float = Field(default=0.1, gt=0, le=1)
    worth: Mapping[Name, Worth] = Field(default_factory=dict)
    by_text: Name | None = None
    otherwise: Name | None = None
    description: str = ""


class Specialist(Spec):
    """A language model with a prompt and tools. `turns` bounds how often it may call tools before answering.

    Recovery takes `simpler`, then `larger`: nodes that answer in its place.
    """

    kind: Literal["specialist"]
    model: Name
    next: Next
    adapter: Name | None = None
    prompt: Name | None = None
    tools: tuple[str, ...] = ()
    simpler: Name | None = None
    larger: Name | None = None
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=512, ge=1)
    timeout: float = Field(default=60.0, gt=0)
    retries: int = Field(default=1, ge=0, le=5)
    turns: int = Field(default=3, ge=1, le=20)
    description: str = ""


class ToolNode(Spec):
    """A tool without a model: the question becomes the tool's one text argument `argument`, or else the fixed
    `call` over slots (`percent_off n0 n1`) is filled in from it."""

    kind: Literal["tool"]
    tool: str
    argument: Name | None = None
    call: str | None = Field(default=None, max_length=64)
    next: Next
    simpler: Name | None = None
    larger: Name | None = None
    description: str = ""


class Gate(Spec):
    """Checks an answer, cheapest check first; a failed one sends the run back (`retry`) or to recovery."""

    kind: Literal["gate"]
    next: Next
    checks: tuple[Test, ...] = Field(min_length=1)
    retry: Retry | None = None
    description: str = ""


class MemoryNode(Spec):
    """Recalls up to `limit` facts about the user for the nodes after it."""

    kind: Literal["memory"]
    next: Next
    limit: int = Field(default=5, ge=1, le=50)
    description: str = ""


class Human(Spec):
    """Parks the question for a person, with a ticket."""

    kind: Literal["human"]
    next: Next
    description: str = ""


class Exit(Spec):
    """Where a run ends. `refusal` is said when nothing could answer."""

    kind: Literal["exit"]
    refusal: str = "I can't answer that."
    description: str = ""


NodeSpec = Annotated[
    Entry | RouterNode | Specialist | ToolNode | Gate | MemoryNode | Human | Exit, Field(discriminator="kind")
]

EdgeRole = Literal["next", "route", "otherwise", "retry", "simpler", "larger", "human"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one node to another. `label` is the route's name where a router chooses."""

    source: str
    target: str
    role: EdgeRole
    label: str = ""


class Graph(Spec):
    """A network: immutable, named by its content.

    `tools` maps a name to a Python function `module:function` or a tool `mcp:SERVER/TOOL`; shipped tools need no
    entry. `quality` is the dial between cheapness (0) and quality (1) of requests that do not set it; a `pace` sets
    it in its place by what is left of a period's budget. Where a share `right` of right answers is given, routers
    reach that instead, at the least price and as long as a pace allows it. `human` names the node that takes what
    nothing else could answer. Nodes in `protected` cannot be removed by an edit.
    """

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    description: str = ""
    models: Mapping[Name, Model] = Field(default_factory=dict)
    prompts: Mapping[Name, PromptText] = Field(default_factory=dict)
    tools: Mapping[Name, str] = Field(default_factory=dict)
    budgets: Budgets = Field(default_factory=Budgets)
    pace: Pace | None = None
    learning: Learning = Field(default_factory=Learning)
    quality: float = Field(default=0.5, ge=0, le=1)
    right: float | None = Field(default=None, gt=0, lt=1)
    nodes: Mapping[Name, NodeSpec] = Field(min_length=1, max_length=10_000)
    human: Name | None = None
    protected: tuple[Name, ...] = ()

    @cached_property
    def id(self) -> str:
        """The content id: equal for equal graphs, whatever the order or the comments of their files."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def entry(self) -> str:
        return next(name for name, node in self.nodes.items() if node.kind == "entry")

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every way through the graph, recovery included."""
        return tuple(edge for name, node in self.nodes.items() for edge in _edges(name, node, self.human))

    def as_json(self) -> dict[str, Any]:
        """The graph as plain data, defaults left out: what is stored, compared and hashed."""
        return {"schema": SCHEMA, **self.model_dump(mode="json", exclude_defaults=True, exclude={"schema_"})}


def successors(node: NodeSpec) -> tuple[str, ...]:
    """The node's own next nodes: more than one means parallel branches."""
    following = getattr(node, "next", ())
    return (following,) if isinstance(following, str) else tuple(following)


def _edges(name: str, node: NodeSpec, human: str | None) -> Iterator[Edge]:
    for target in successors(node):
        yield Edge(name, target, "next")
    match node:
        case RouterNode():
            for label, route in node.routes.items():
                yield Edge(name, route.to, "route", label)
            if node.otherwise:
                yield Edge(name, node.otherwise, "otherwise")
        case Specialist() | ToolNode():
            if node.simpler:
                yield Edge(name, node.simpler, "simpler")
            if node.larger:
                yield Edge(name, node.larger, "larger")
            if human:
                yield Edge(name, human, "human")
        case Gate(retry=Retry() as retry):
            yield Edge(name, retry.to, "retry")
        case _:
            pass
