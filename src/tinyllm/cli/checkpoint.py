"""A model that the lab left in a folder, as a backend: it answers in this process, by the plan that it is given.

Joins the lab to the `Backend` seam; torch is imported when the model is first asked. Answers that are made at the
same time take turns, token by token. Knows nothing about what is asked.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import AfterValidator

from tinyllm.backends.deadline import Deadline
from tinyllm.backends.openai_format import clean
from tinyllm.backends.pricing import Rates
from tinyllm.cli.lab_words import lacking
from tinyllm.errors import BackendError, BadReply, ModelFileError, NotFound, RequestError, SettingsError
from tinyllm.types import Chunk, Message, Prompt, TokenScore, ToolCall

if TYPE_CHECKING:
    from tinyllm.lab.generate import Choose
    from tinyllm.lab.model import Model
    from tinyllm.lab.plan import Plan

T = TypeVar("T")


def _legible(plan: str) -> str:
    from tinyllm.lab.plan import Plan

    Plan.parse(plan)
    return plan


class Options(Rates):
    """The folder of a run, and the order in which the model's layers run (None: once each, in order).

    What an answer costs is counted while it is made; `parameters` is not looked at.
    """

    path: Path
    plan: Annotated[str, AfterValidator(_legible)] | None = None


@dataclass(frozen=True, slots=True)
class _Speaker:
    """A model that was loaded, and how it reads messages and says ids.

    All that it says ends before the token `end`; what begins with `opening` is a call, whose sum `call` finds. A text
    that may `slide` can outgrow the context.
    """

    model: "Model"
    read: Callable[[Sequence[Message]], list[int]]
    text: Callable[[Sequence[int]], str]
    end: int | None
    opening: str = ""
    call: Callable[[str], str | None] = lambda said: None
    slide: bool = False


class Checkpoint:
    """Answers from what a run of the lab left, loaded at the first question."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"checkpoint-{name}")
        self._loaded: tuple[_Speaker, Plan] | None = None
        self._closed = False

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        if prompt.adapter is not None:
            hint = "leave out `adapter`: what the lab leaves has none"
            raise BackendError(f"model {self.name!r} has no adapter {prompt.adapter!r}", hint=hint)
        speaker, plan = await self._thread(self._load)
        deadline = Deadline(self.name, prompt.timeout)
        chunks = self._answer(speaker, plan, prompt, deadline)
        finish = None
        while finish is None:
            chunk = await deadline.wait(self._thread(partial(next, chunks)))
            finish = chunk.finish
            if chunk.text or finish:
                yield chunk

    def _answer(self, speaker: _Speaker, plan: "Plan", prompt: Prompt, deadline: Deadline) -> Iterator[Chunk]:
        """A chunk for each token, empty while what it says may yet be a call or a stop sequence, and the last one."""
        from tinyllm.lab.generate import Sampling, likeliest, write

        wanted, heard = prompt.sampling, self._heard(speaker, prompt.messages)
        choose: Choose = likeliest
        if wanted.temperature > 0:
            seed = random.getrandbits(32) if wanted.seed is None else wanted.seed
            choose = Sampling(wanted.temperature, top_p=wanted.top_p, seed=seed).chooser()
        opening = speaker.opening if prompt.tools else ""
        finish: Literal["stop", "length", "tool_calls"] = "length"
        ids, scores, said, told, macs = list[int](), list[TokenScore](), "", 0, 0
        for step in islice(write(speaker.model, heard, choose, plan, speaker.slide), wanted.max_tokens):
            self._check_open()
            macs += step.cost.macs
            if step.id == speaker.end:
                finish = "stop"
                break
            ids.append(step.id)
            scores.append(TokenScore(speaker.text([step.id]), step.logprob))
            said = speaker.text(ids)
            ends = [said.find(stop) for stop in wanted.stop if stop in said]
            if ends:
                said, finish = said[: min(ends)], "stop"
                break
            settled = _settled(said, wanted.stop, opening)
            yield Chunk(said[told:settled])
            told = max(told, settled)
        calls: tuple[ToolCall, ...] = ()
        if opening and said.startswith(opening):
            calls, finish = (self._call(speaker, said, finish == "length"),), "tool_calls"
        else:
            yield Chunk(said[told:])
        cost = replace(self.options.cost(len(heard), len(ids), deadline.spent_ms), macs=macs)
        yield Chunk(tool_calls=calls, finish=finish, cost=cost, scores=tuple(scores) if prompt.scores else ())

    def _heard(self, speaker: _Speaker, messages: Sequence[Message]) -> list[int]:
        """The ids of the conversation. Raises BackendError where it does not fit or cannot be spelled."""
        try:
            ids = speaker.read(messages)
        except RequestError as error:
            raise BackendError(f"model {self.name!r}: {error.message}", hint=error.hint) from None
        context = speaker.model.config.context
        if len(ids) > context and not speaker.slide:
            raise BackendError(
                f"the question is too long for model {self.name!r}: {len(ids)} tokens, it reads {context}",
                hint="shorten it, or ask a model with a longer context",
            )
        return ids

    def _call(self, speaker: _Speaker, said: str, cut: bool) -> ToolCall:
        expression = speaker.call(said)
        if expression is None:
            raise BadReply(
                f"model {self.name!r} made a tool call that cannot be read: {said[:200]}",
                hint="ask again with more `max_tokens`" if cut else "ask another way, or another model",
            )
        return ToolCall("calculator", {"expression": expression})

    async def _thread(self, work: Callable[[], T]) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError(f"model {self.name!r} is closed")

    def _load(self) -> "tuple[_Speaker, Plan]":
        """The model and its plan. Raises ModelFileError, and SettingsError for a plan that it cannot run or where
        the lab's libraries are missing."""
        if self._loaded is not None:
            return self._loaded
        try:
            import torch

            from tinyllm.lab.plan import Plan

            speaker = _speaker(self.options.path)
        except ModuleNotFoundError as error:
            raise lacking(error) from error
        torch.set_num_threads(1)  # more make the small matrices of such models slower
        plan = Plan.parse(self.options.plan) if self.options.plan else speaker.model.plan
        try:
            plan.check(speaker.model.config.layers)
        except ValueError as error:
            raise SettingsError(
                f"model {self.name!r}: {error}", hint="mend `plan` in its options, or leave it out"
            ) from None
        self._loaded = speaker, plan
        return self._loaded

    async def probe(self) -> str:
        """Loads the model: whether it is whole, and whether it can run the plan, is known no sooner."""
        speaker, plan = await self._thread(self._load)
        count = speaker.model.parameter_count
        return f"{self.name}: {count:,} parameters, plan '{plan}', {self.options.path}"

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)
        self._loaded = None


def _settled(said: str, stops: Sequence[str], opening: str) -> int:
    """How many letters of `said` will stand whatever comes: no call, stop sequence or part of a letter."""
    if opening and (said.startswith(opening) or opening.startswith(said)):
        return 0
    held = [n for stop in stops for n in range(1, len(stop)) if said.endswith(stop[:n])]
    return min(len(said) - max(held, default=0), len(said.rstrip("\ufffd")))


def _speaker(folder: Path) -> _Speaker:
    """The model in the folder of a run. Raises ModelFileError where there is none or it is damaged."""
    from tinyllm.lab import saved
    from tinyllm.lab.pipeline import talk

    if talk.is_there(folder):
        model, tokenizer = talk.load(folder)

        def heard(messages: Sequence[Message]) -> list[int]:
            turns = (talk.spelled(turn.role, clean(turn.content), _sums(turn)) for turn in messages)
            return tokenizer.encode("".join(turns) + talk.ASSISTANT)

        return _Speaker(model, heard, tokenizer.decode, tokenizer.end, talk.OPEN, talk.call_of)
    try:
        writer = saved.load(folder)
    except NotFound as error:
        raise ModelFileError(
            f"there is no model that speaks in {str(folder)!r}",
            hint="name the folder of a run from that of the network's file; `lab pipeline` and the runs on names "
            "and plays leave one",
        ) from error

    def begun(messages: Sequence[Message]) -> list[int]:
        return writer.ids(next((turn.content for turn in reversed(messages) if turn.role == "user"), ""))

    return _Speaker(writer.model, begun, writer.letters.decode, writer.stop, slide=True)


def _sums(turn: Message) -> list[str]:
    return [str(call.arguments.get("expression", "")) for call in turn.tool_calls]
