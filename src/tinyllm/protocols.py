"""The seams of TinyLLM: read this page first.

Each protocol is one thing that can be done in more than one way; everything else is plain functions and
values. Implementations live on the floors above and are joined in `cli/wiring.py` alone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from tinyllm.types import (
    JSON,
    Chunk,
    Completion,
    Cost,
    Grade,
    GradeKind,
    Prompt,
    Request,
    ToolCall,
    ToolResult,
    ToolRun,
    ToolSpec,
    Trace,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tinyllm.events import Event, Kind
    from tinyllm.graph import Graph


@runtime_checkable
class Backend(Protocol):
    """A language model behind any engine: a server, a file in this process, a record, a script."""

    name: str

    def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        """Yield the answer piece by piece; the last chunk carries `finish`, tool calls and cost.

        Raises BackendError (or ModelFileError); cancelling the iteration cancels the generation.
        """
        ...

    async def probe(self) -> str:
        """One line on what answers, for `doctor`. Raises BackendUnreachable or ModelFileError."""
        ...

    async def close(self) -> None:
        """Give back connections, threads and memory. Safe to call twice."""
        ...


@runtime_checkable
class Loadable(Protocol):
    """A backend whose model may have to be loaded first: a price that routers add to the answer's own."""

    def load_price(self) -> float:
        """What loading the model now would cost, in answers of it; 0 where it is loaded, or not known."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the run that calls it: Unix time, a seed for chance, the user and tenant."""

    clock: float
    seed: int
    user: str = "local"
    tenant: str = "local"


class Tool(Protocol):
    """A deterministic helper that a model may call."""

    spec: ToolSpec

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Run the call within the tool's own limits of time and size. Raises ToolError."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision of a router: probabilities over its labels, and the label taken (None: it does not know)."""

    label: str | None
    probabilities: Mapping[str, float]
    cost: Cost = field(default_factory=Cost)


class Router(Protocol):
    """Chooses among labels for a text."""

    async def choose(self, text: str, labels: Sequence[str]) -> Choice: ...


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a user wants to be remembered, in a line; `created` is Unix time."""

    id: str
    tenant: str
    user: str
    text: str
    created: float


class Memory(Protocol):
    """What is known about a user, across sessions."""

    async def recall(self, tenant: str, user: str, text: str, limit: int) -> Sequence[Fact]:
        """The facts about the user that matter for a question, at most `limit`, what matters most first."""
        ...


class Grader(Protocol):
    """Judges answers. `kind` says how far it is trusted, `name` who it is, version and all."""

    kind: GradeKind
    name: str

    async def grade(self, trace: Trace, context: ToolContext, reference: str | None = None) -> Grade:
        """The grade of a finished run; its score is None where the grader cannot judge.

        `context` is what the run's tools knew, `reference` the right answer where it is known. Raises
        BackendError or ModelFileError where a model did not answer: then there is no grade at all.
        """
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """The size of a small language model and how long it is trained, from scratch.

    Each of `words` is one token wherever it stands. `context` and the batch are in tokens and examples. The
    first `reading` steps learn the inputs as well as the targets, the `steps` after them the targets alone,
    with a share `dropout` of the input tokens (but for `words`) blanked out.
    """

    vocab: int
    width: int
    layers: int
    hidden: int
    steps: int
    reading: int = 0
    heads: int = 4
    groups: int = 2
    context: int = 256
    words: tuple[str, ...] = ()
    batch: int = 64
    lr: float = 3e-3
    dropout: float = 0.0


class Trainer(Protocol):
    """Makes a model file from examples; the lab's trainer is joined to it by the command line."""

    def train(
        self,
        recipe: Recipe,
        examples: Callable[[int], Sequence[tuple[str, str]]],
        out: "Path",
        *,
        seed: int,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> Mapping[str, JSON]:
        """Write the model and return its card: parameters, steps, tokens, macs, seconds, loss.

        `examples` are the (input, target) texts of an epoch. `progress` is told (step, steps, loss).
        """
        ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """A question parked for a person. `answer` is None while it waits."""

    id: str
    run_id: str
    tenant: str
    question: str
    reason: str
    created: float
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the store lists it: folded from its events. `answer` and `status` are None while it runs;
    `created` is the Unix time of the store's own clock, `clock` the one that the run believed in."""

    run_id: str
    tenant: str
    user: str
    session: str | None
    graph: str
    seed: int
    clock: float
    question: str
    answer: str | None
    status: str | None
    created: float
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True)
class Version:
    """One step in the life of a network: the graph that its head became, and why.

    Revision 0 is the graph of the file, all others follow from an `edit`: one of a proposal, "rollback", or "file"
    again where the file was changed by hand. `changes` are the edit as plain data: `graph.patch` applies them to
    the version before. `trial` is the one that proved it. `share` is the part of all conversations that it answers:
    below 1 it is on its way up, at 0 in the shadow. `evidence` is what live traffic said of it.
    """

    network: str
    revision: int
    graph: str
    edit: str
    reason: str
    changes: Sequence[Mapping[str, JSON]] = ()
    trial: str | None = None
    created: float | None = None
    share: float = 1.0
    evidence: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """Whom it answers, in words."""
        if self.share == 1:
            return "answers all conversations"
        return (
            f"answers {100 * self.share:g}% of conversations"
            if self.share
            else "in the shadow, answers nobody"
        )


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A change that was tried, adopted or not, with its evidence; `number` is its place in the ledger, from
    1, None where nothing was looked at. `state` is "open" while the trial runs and where a kill cut it short.
    """

    id: str
    network: str
    edit: str
    node: str
    reason: str
    state: Literal["open", "adopted", "rejected", "waiting"]
    verdict: str = ""
    number: int | None = None
    evidence: Mapping[str, JSON] = field(default_factory=dict)
    created: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """How many runs a tenant began in some time, and what they cost together."""

    runs: int = 0
    cost: Cost = field(default_factory=Cost)


class Store(Protocol):
    """Keeps runs, events, graph versions, tickets and facts about users. Every method may raise StoreError.

    What belongs to one tenant is never seen by, and never collides with, another's.
    """

    async def append(self, tenant: str, events: Sequence["Event"]) -> None:
        """Keep events of one run, given in order; return once they are committed. Tokens are left out.

        The same append twice is kept once: what begins with the sequence of an append kept before changes
        nothing. A run's first append begins with its `run_started` (question, graph, seed, clock, user,
        session); `run_finished` (answer, status, cost), the last event of its append, completes its row.
        """
        ...

    async def events(self, run_id: str, tenant: str = "local") -> Sequence["Event"]:
        """The events of a run by sequence. Raises NotFound."""
        ...

    async def runs(self, *, tenant: str = "local", limit: int = 20) -> Sequence[RunRow]:
        """The latest runs, newest first."""
        ...

    async def usage(self, *, tenant: str = "local", since: float = 0.0) -> Usage:
        """What the runs cost that were created at or after a Unix time and are still kept."""
        ...

    async def save_graph(self, graph_id: str, name: str, source: str, *, tenant: str = "local") -> None:
        """Keep a graph version; saving it again changes nothing."""
        ...

    async def graph(self, graph_id: str, *, tenant: str = "local") -> str:
        """The source of a graph version. Raises NotFound."""
        ...

    async def park(self, ticket: Ticket) -> None:
        """Keep a question for a person; parking it again changes nothing."""
        ...

    async def tickets(self, *, tenant: str = "local", waiting: bool = True) -> Sequence[Ticket]:
        """The tickets that wait, oldest first; with `waiting=False` the settled ones too."""
        ...

    async def settle(self, ticket_id: str, answer: str, *, tenant: str = "local") -> Ticket:
        """Answer a ticket, once. Raises NotFound, or RequestError where it is settled already."""
        ...

    async def grade(self, grade: Grade, *, tenant: str = "local") -> bool:
        """Keep a judgement of a run; False where it says nothing new.

        A grader grades a run once, and an abstention gives way to a score. What a user says later replaces
        what the same user said before, but a thumb leaves a correction standing; all stay in the history. Raises
        NotFound for an unknown run, RequestError for a score that is none and a time in the future.
        """
        ...

    async def grades(
        self,
        *,
        run_id: str | None = None,
        tenant: str = "local",
        limit: int | None = None,
        history: bool = False,
    ) -> Sequence[Grade]:
        """The grades of one run or of all, latest first; with `history` also those that were replaced."""
        ...

    async def versions(self, network: str, *, after: int = -1, tenant: str = "local") -> Sequence[Version]:
        """The versions of a network after a revision, oldest first; none where it did not change."""
        ...

    async def promote(
        self,
        version: Version,
        *,
        expected: int,
        trial: TrialRow | None = None,
        files: Mapping[str, bytes] | None = None,
        tenant: str = "local",
    ) -> None:
        """Make the version revision `expected` + 1, with its trial and the model files by SHA-256, all or nothing.

        `expected` is the newest revision so far, -1 where there is none. Raises Conflict where it is not.
        """
        ...

    async def put_trial(self, trial: TrialRow, *, tenant: str = "local") -> None:
        """Keep a trial as it stands now: it keeps its number, and once adopted it never changes.

        Raises Conflict where another trial of the network has that number.
        """
        ...

    async def trials(self, network: str, *, tenant: str = "local") -> Sequence[TrialRow]:
        """The trials of a network, oldest first."""
        ...

    async def file(self, sha256: str, *, tenant: str = "local") -> bytes:
        """The model file of that SHA-256, which a version brought. Raises NotFound."""
        ...

    async def remember(self, text: str, *, user: str = "local", tenant: str = "local") -> Fact:
        """Keep a fact about a user, in one line; one that says the same is kept once.

        Raises RequestError for one that is empty or too long, and where the user has too many.
        """
        ...

    async def facts(self, *, user: str = "local", tenant: str = "local") -> Sequence[Fact]:
        """What is remembered of a user, oldest first."""
        ...

    async def edit(self, fact_id: str, text: str, *, user: str = "local", tenant: str = "local") -> Fact:
        """Put another text in a fact's place; the old one is gone. Raises NotFound, or RequestError."""
        ...

    async def forget(self, fact_id: str, *, user: str = "local", tenant: str = "local") -> None:
        """Delete a fact; nothing of its text stays behind. Raises NotFound."""
        ...

    async def size(self) -> Mapping[str, int]:
        """How many `runs`, `events`, `graphs`, `tickets`, `grades`, `versions`, `trials`, `files` and `facts` all
        tenants have, and their `bytes`."""
        ...

    def export(self, *, tenant: str | None = None) -> AsyncIterator[Mapping[str, JSON]]:
        """Yield everything as JSON objects whose `row` is run (with its events), ticket, graph, grade, version,
        trial, fact or file (in base64).

        None exports every tenant.
        """
        ...

    async def purge(self, older_than: float, *, tenant: str | None = None) -> int:
        """Delete runs (with their grades) and tickets created before a Unix time; returns how many of both.
        What a network has become, and why, stays, and so do the facts about users.

        None purges every tenant.
        """
        ...

    async def close(self) -> None:
        """Finish what was asked for and let go. Safe to call twice."""
        ...


# What a node sees of the run that it is part of.


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer on its way through the graph, with what supports it.

    `node` made it; `refused` marks a plain refusal; `caller_calls` are calls of tools that the caller brought
    and must run; `probability` is what its model gave the least sure of its tool calls, where it tells;
    `truncated` says that the model ran out of tokens.
    """

    node: str
    text: str
    tool_runs: tuple[ToolRun, ...] = ()
    refused: bool = False
    caller_calls: tuple[ToolCall, ...] = ()
    probability: float | None = None
    truncated: bool = False


class Scope(Protocol):
    """What the engine gives a node for one execution: the request, and the means to act within its budget.

    `quality` is the dial of this run, and `right` the share of right answers that routers are to reach in its place;
    `pace` says how the budget of its period stands, where the network has one, and `thrifty` whether that leaves
    nothing but the cheapest choice. `text` is the question as the entry node read it, `candidates` the answers that
    reached this node, `facts` what memory nodes recalled, `notes` why earlier attempts at this question failed;
    `untrusted` says that strangers' words were read before, which notes may quote.
    """

    request: Request
    quality: float
    right: float | None
    pace: Mapping[str, JSON]
    thrifty: bool
    text: str
    context: ToolContext
    candidates: tuple[Candidate, ...]
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]
    untrusted: bool

    def emit(self, kind: "Kind", /, **data: JSON) -> None:
        """Record an event of this node."""
        ...

    def forced(self) -> str | None:
        """The choice that the request fixed for this node, if any."""
        ...

    async def complete(self, backend: Backend, prompt: Prompt, *, retries: int = 1) -> Completion:
        """Ask a model with retries, breaker and budget applied, streaming its tokens to the caller."""
        ...

    def spend(self, model: str, cost: Cost) -> None:
        """Record what a model other than through `complete` cost. Raises BudgetExceeded."""
        ...

    async def use(self, tool: Tool, call: ToolCall) -> ToolRun:
        """Run a tool call and record it; a failed call comes back as a run with `error`."""
        ...

    async def park(self, reason: str) -> str:
        """Hand the question to a person; returns the ticket's id."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """The implementations behind the names of one graph: models by name, tools by name. `fill` makes a tool call of
    a call over slots and a question, None for a refusal; it raises ToolError where the two do not fit. `by_text`
    are the models that tell, by route, how much more than its worth it is worth for a text, and what that cost."""

    backends: Mapping[str, Backend]
    tools: Mapping[str, Tool]
    routers: Mapping[str, Router] = field(default_factory=dict)
    memory: Memory | None = None
    fill: Callable[[str, str], ToolCall | None] | None = None
    by_text: Mapping[str, Callable[[str], tuple[Mapping[str, float], Cost]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a node decided: the answer so far (if it made or kept one), where to go, and why.

    `go` names the next node where the node chooses; None follows the node's own edge. `failed` says why the
    work is not good enough, and sends the run to recovery. `text` is the question where the node reread it.
    """

    candidate: Candidate | None = None
    go: str | None = None
    failed: str | None = None
    text: str | None = None
    facts: tuple[Fact, ...] = ()
    ticket: str | None = None


class Node(Protocol):
    """One neuron of the network, built from its specification."""

    async def run(self, scope: Scope) -> Outcome:
        """Do the node's work. Raises any TinyLLMError, which the engine records and recovers from."""
        ...


Resolve = Callable[[Request], Awaitable["Graph"]]
