"""The nodes that answer: a specialist (a language model with tools) and a tool without a model."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from tinyllm.errors import GraphError, ToolError
from tinyllm.graph import Gate, Graph, Specialist, ToolNode, nearest
from tinyllm.nodes.facts import told
from tinyllm.nodes.fence import fenced
from tinyllm.nodes.form import unmet
from tinyllm.protocols import Candidate, Outcome, Parts, Scope
from tinyllm.types import Completion, Message, Prompt, Sampling, ToolCall, ToolRun, ToolSpec

REFUSE = ToolSpec(
    "refuse",
    "Say that you cannot answer this, and why. Use it rather than guess.",
    {"type": "object", "properties": {"reason": {"type": "string"}}, "additionalProperties": False},
)
"""A call that every model may make: it ends the node's work and sends the run to recovery."""

BAD_ROUNDS = 1  # how many rounds with a failing call a model may repair before its node gives up


class SpecialistNode:
    """Asks its model, runs the tools that it calls, and hands the results back until it answers.

    A failing call is given back with the tool's advice; one in a later round ends the node's work. Calls of
    tools that the caller brought are not run here: they go out with the answer.
    """

    def __init__(self, name: str, graph: Graph, parts: Parts) -> None:
        self.name = name
        self.spec = cast(Specialist, graph.nodes[name])
        self.backend = parts.backends[self.spec.model]
        self.tools = {tool: parts.tools[tool] for tool in self.spec.tools}
        self.prompt = graph.prompts[self.spec.prompt].text if self.spec.prompt else ""
        gates = [node for node in graph.nodes.values() if isinstance(node, Gate)]
        self.scores = any(test.sure is not None for gate in gates for test in gate.checks)

    async def run(self, scope: Scope) -> Outcome:
        messages = self._messages(scope)
        theirs = {tool.name for tool in scope.request.tools}
        own = [tool.spec for name, tool in self.tools.items() if name not in theirs]
        if scope.request.tool_choice == "required":
            own = []  # or the call that is made may be one of ours
        specs = (*own, *scope.request.tools)
        runs: list[ToolRun] = []
        odds: list[float] = []
        bad_rounds = 0
        for _ in range(self.spec.turns):
            completion = await scope.complete(
                self.backend, self._prompt(tuple(messages), specs, scope), retries=self.spec.retries
            )
            refusal = next((call for call in completion.tool_calls if call.name == REFUSE.name), None)
            if refusal is not None:
                reason = str(refusal.arguments.get("reason") or "the specialist cannot answer this")
                return Outcome(Candidate(self.name, reason, tuple(runs), refused=True), failed=reason)
            if not completion.tool_calls:
                return self._answer(scope, completion, runs, min(odds, default=None))
            if completion.probability is not None:
                odds.append(completion.probability)
            if any(call.name in theirs for call in completion.tool_calls):
                answer = Candidate(
                    self.name, completion.text, tuple(runs), caller_calls=completion.tool_calls
                )
                return Outcome(answer)
            made = await asyncio.gather(*(self._use(scope, call) for call in completion.tool_calls))
            runs += made
            failures = [run for run in made if run.error is not None]
            bad_rounds += bool(failures)
            if bad_rounds > BAD_ROUNDS:
                return Outcome(failed=f"its call of {failures[-1].call.name!r} failed: {failures[-1].error}")
            messages.append(Message("assistant", completion.text, tool_calls=completion.tool_calls))
            messages += [self._result(run) for run in made]
        return Outcome(failed=f"it made {self.spec.turns} rounds of tool calls without an answer")

    def _prompt(self, messages: tuple[Message, ...], specs: Sequence[ToolSpec], scope: Scope) -> Prompt:
        sampling = Sampling(self.spec.temperature, max_tokens=self.spec.max_tokens, seed=scope.context.seed)
        if scope.request.sampling:
            sampling = replace(sampling, **scope.request.sampling)
        return Prompt(
            messages,
            tools=(*specs, REFUSE) if specs else (),
            sampling=sampling,
            json_schema=scope.request.json_schema,
            adapter=self.spec.adapter,
            scores=self.scores,
            timeout=self.spec.timeout,
            tool_choice=scope.request.tool_choice,
        )

    def _messages(self, scope: Scope) -> list[Message]:
        """The conversation under the node's own prompt; the question stands as the entry node read it.

        What the caller says as system joins the prompt: many models take one system message, at the start.
        """
        system = [self.prompt] if self.prompt else []
        system += [turn.content for turn in scope.request.messages if turn.role == "system"]
        if scope.facts:
            system.append(told(scope.facts))
        if scope.notes:
            why = fenced(scope.notes[-1]) if scope.untrusted else scope.notes[-1]
            system.append("An earlier answer was rejected: " + why)
        turns = [turn for turn in scope.request.messages if turn.role != "system"]
        last = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=None)
        if last is not None:
            turns[last] = Message("user", scope.text)
        return ([Message("system", "\n\n".join(system))] if system else []) + turns

    def _answer(
        self, scope: Scope, completion: Completion, runs: list[ToolRun], probability: float | None
    ) -> Outcome:
        text, truncated = completion.text.strip(), completion.finish == "length"
        if not text:
            return Outcome(failed="it answered nothing")
        if (reason := unmet(scope.request, text)) is not None:
            return Outcome(failed=reason)
        return Outcome(Candidate(self.name, text, tuple(runs), probability=probability, truncated=truncated))

    async def _use(self, scope: Scope, call: ToolCall) -> ToolRun:
        tool = self.tools.get(call.name)
        if tool is None:
            known = ", ".join(self.tools) or "none"
            run = ToolRun(call, None, f"there is no tool {call.name!r}; the tools are: {known}")
            scope.emit("tool_called", name=call.name, arguments=dict(call.arguments), error=run.error)
            return run
        return await scope.use(tool, call)

    def _result(self, run: ToolRun) -> Message:
        text = run.result.text if run.result is not None else f"error: {run.error}"
        tool = self.tools.get(run.call.name)
        if tool is not None and tool.spec.untrusted:
            text = fenced(text)
        return Message("tool", text, tool_call_id=run.call.id)


class Direct:
    """Gives the question to a tool, as it stands or as a fixed call over its slots: no model, no cost.

    A question that does not fit, or that the tool cannot compute, goes to recovery. Raises GraphError where
    the tool takes no such argument.
    """

    def __init__(self, name: str, graph: Graph, parts: Parts) -> None:
        self.name = name
        self.spec = cast(ToolNode, graph.nodes[name])
        self.tool = parts.tools[self.spec.tool]
        self.fill = parts.fill
        takes, argument = self.tool.spec.parameters.get("properties"), self.spec.argument
        if takes is not None and argument is not None and argument not in takes:
            message = f"node {name!r} gives tool {self.spec.tool!r} an argument {argument!r}, which it lacks"
            raise GraphError(message, hint=f"`argument:` of {name!r}: {nearest(argument, takes)}")

    async def run(self, scope: Scope) -> Outcome:
        try:
            call = self._call(scope.text)
        except ToolError as error:
            return Outcome(failed=f"the question does not fit {self.name!r}: {error.message}")
        run = await scope.use(self.tool, call)
        if run.result is None:
            return Outcome(failed=run.error)
        if (reason := unmet(scope.request, run.result.text)) is not None:
            return Outcome(failed=reason)
        return Outcome(Candidate(self.name, run.result.text, (run,)))

    def _call(self, text: str) -> ToolCall:
        if self.spec.argument is not None:
            return ToolCall(self.spec.tool, {self.spec.argument: text})
        call = self.fill(str(self.spec.call), text) if self.fill else None
        if call is None or call.name != self.spec.tool:
            raise ToolError(f"{self.spec.call!r} is no call of {self.spec.tool!r}")
        return call
