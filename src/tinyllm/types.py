"""The values that every part of TinyLLM exchanges. Frozen, without behaviour beyond arithmetic on costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from tinyllm.errors import TinyLLMError

JSON = Any  # what json.loads returns; a recursive type would help no reader

Role = Literal["system", "user", "assistant", "tool"]
Status = Literal["answered", "refused", "escalated", "failed"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A request of a model to run one tool. `arguments` is parsed JSON; `id` pairs call and result."""

    name: str
    arguments: Mapping[str, JSON]
    id: str = "call_0"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool computed: `value` for programs (JSON), `text` for people and models (a short sentence)."""

    value: JSON
    text: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """How a tool presents itself to a model: `parameters` is a JSON schema of one object.

    `repeatable` is true where the same call in the same context gives the same result and changes nothing,
    `untrusted` where its results are the words of strangers, and `guarded` where a run that has read such words
    may not call it.
    """

    name: str
    description: str
    parameters: Mapping[str, JSON]
    repeatable: bool = True
    untrusted: bool = False
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, as in OpenAI's chat format."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    seed: int | None = None


class SamplingWish(TypedDict, total=False):
    """What a caller asks of the sampling; what is left out stays as the node has it."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...]
    seed: int


ToolChoice = Literal["auto", "required"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent, on the one axis that all scales share; costs add up with `+`.

    `macs` are multiply-accumulates (parameters touched times tokens), `milliseconds` wall time,
    `money` in the currency of the configured prices (0.0 where none is configured).
    """

    macs: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    milliseconds: float = 0.0
    money: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.macs + other.macs,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.milliseconds + other.milliseconds,
            self.money + other.money,
        )


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A generated token and its natural log-probability."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a model's answer. A stream is any number of text chunks and exactly one last chunk, which
    carries `finish`, the tool calls, the cost, and the scores where the backend has them."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Literal["stop", "length", "tool_calls"] | None = None
    cost: Cost | None = None
    scores: tuple[TokenScore, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a backend is asked: the conversation and everything that shapes its answer.

    `json_schema` asks for an answer that is JSON of that schema, `grammar` for one in that GBNF grammar
    (a backend that has no grammars ignores it), `adapter` for a LoRA adapter by name,
    `scores` for log-probabilities, `timeout` is in seconds. `tool_choice` may require a call, which not every
    server enforces. `listened` is true where somebody reads along; else a server may answer in one piece.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    json_schema: Mapping[str, JSON] | None = None
    grammar: str | None = None
    adapter: str | None = None
    scores: bool = False
    timeout: float = 60.0
    tool_choice: ToolChoice = "auto"
    listened: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer of a backend: a stream of chunks folded into one value."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    finish: str
    cost: Cost
    scores: tuple[TokenScore, ...] = ()

    @property
    def probability(self) -> float | None:
        """How probable the model found its answer; None where it did not tell."""
        return math.exp(sum(score.logprob for score in self.scores)) if self.scores else None


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run may spend; None is no limit. `seconds` of wall time, `tokens` in and out together,
    `money` in the currency of the prices, `steps` node executions."""

    seconds: float | None = None
    tokens: int | None = None
    money: float | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A question to a network and all that its answer may depend on, so that a run can be repeated exactly.

    `quality` is the cost-quality dial from 0 (cheapest) to 1 (best), None that of the network: routers that know
    what their routes are worth heed it, and below 0.5 a gate leaves out the checks that ask a model. To those
    routers `right` speaks in its place: the share of right answers to be reached, at the least price. `clock` is
    the Unix time that the run believes in; `forced` fixes the choice of the named nodes; None lets the engine
    decide and record. `tools` are the caller's own: calls of them go out with the reply, and `tool_choice` may
    ask for nothing else. An answer must be JSON of `json_schema`, where it is given. `model` names the network
    that is asked, where there is more than one. Without `learn` the run is kept, but neither graded nor learned from.
    """

    messages: tuple[Message, ...]
    model: str = ""
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = "auto"
    json_schema: Mapping[str, JSON] | None = None
    sampling: SamplingWish = field(default_factory=SamplingWish)
    user: str = "local"
    tenant: str = "local"
    session: str | None = None
    budget: Budget = field(default_factory=Budget)
    quality: float | None = None
    right: float | None = None
    seed: int | None = None
    clock: float | None = None
    forced: Mapping[str, str] = field(default_factory=dict)
    learn: bool = True

    @property
    def text(self) -> str:
        """The last user message: the question itself."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool call with what came of it: `result` is None where the call failed, and then `error` says why."""

    call: ToolCall
    result: ToolResult | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a network. `route` lists node ids in the order in which they ran.

    `reason` says why there is no answer, where the status is refused or failed; `error` is what broke, where
    it is failed; `caller_calls` are calls of the caller's own tools; `truncated` says that the model ran out
    of tokens.
    """

    answer: str
    status: Status
    route: tuple[str, ...]
    tool_calls: tuple[ToolRun, ...]
    cost: Cost
    latency_ms: float
    run_id: str
    graph: str
    ticket: str | None = None
    caller_calls: tuple[ToolCall, ...] = ()
    reason: str = ""
    error: TinyLLMError | None = None
    truncated: bool = False


GradeKind = Literal["reference", "correction", "recompute", "judge", "thumb"]


@dataclass(frozen=True, slots=True)
class Grade:
    """A judgement of an answer: `score` from 0 to 1, or None where the grader abstained (never a failure).

    `grader` names who judged: where a reference came from, a way of recomputing, a model with the version of
    its rubric, or a user. `reference` is the right answer, where it is known; `created` the Unix time, which
    a store sets where it is None.
    """

    run_id: str
    kind: GradeKind
    grader: str
    score: float | None
    reason: str = ""
    reference: str | None = None
    created: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check of a gate. `passed` is None where the check could not judge."""

    name: str
    passed: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """One node's part in a run, folded from its events. Times are milliseconds after the run began; `fault`
    names the class of the error where the node broke rather than failed.

    `facts` are the ids of those about the user that changed the choice, `before` the odds without them; `scores`
    what each route was worth less its price, where the router knew, or the share of right answers to count on from it,
    where a share `right` was wanted; `pace` what was spent of a period's budget, and due by then.
    """

    node: str
    kind: str
    start_ms: float
    end_ms: float
    choice: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    tools: tuple[ToolRun, ...] = ()
    checks: tuple[Check, ...] = ()
    cost: Cost = field(default_factory=Cost)
    text: str = ""
    error: str | None = None
    before: Mapping[str, float] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    fault: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    pace: Mapping[str, float] = field(default_factory=dict)
    right: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The forward pass of one run as people read it."""

    run_id: str
    graph: str
    question: str
    answer: str
    status: Status
    spans: Sequence[Span]
    cost: Cost
    latency_ms: float
