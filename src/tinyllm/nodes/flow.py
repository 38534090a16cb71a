"""The nodes that answer nothing themselves: where a run begins, remembers, waits for a person, and ends."""

from typing import cast

from tinyllm.graph import Entry, Exit, Graph, MemoryNode
from tinyllm.protocols import Candidate, Outcome, Parts, Scope
from tinyllm.slots import carry, leans

_SHOWN = 300  # characters of a reason


class EntryNode:
    """Takes the question in; with `carry` it completes a fragment ("and in cups?") from the turn before."""

    def __init__(self, name: str, graph: Graph, parts: Parts) -> None:
        self.carry = cast(Entry, graph.nodes[name]).carry

    async def run(self, scope: Scope) -> Outcome:
        if not self.carry:
            return Outcome()
        questions = [message.content for message in scope.request.messages if message.role == "user"]
        return Outcome(text=carry(questions))


class RecallNode:
    """Brings what is known about the user to the nodes after it."""

    def __init__(self, name: str, graph: Graph, parts: Parts) -> None:
        self.limit = cast(MemoryNode, graph.nodes[name]).limit
        self.memory = parts.memory

    async def run(self, scope: Scope) -> Outcome:
        if self.memory is None:
            return Outcome()
        request = scope.request
        facts = await self.memory.recall(request.tenant, request.user, scope.text, self.limit)
        return Outcome(facts=tuple(facts))


class HumanNode:
    """Parks the question for a person; the run ends with a ticket in place of an answer."""

    def __init__(self, name: str, graph: Graph, parts: Parts) -> None:
        pass

    async def run(self, scope: Scope) -> Outcome:
        reason = scope.notes[-1] if scope.notes else "routed to a person"
        return Outcome(ticket=await scope.park(reason))


class ExitNode:
    """Gives the answer out, or the plain refusal of a run that nothing could answer, led by its reason."""

    def __init__(self, name: str, graph: Graph, parts: Parts) -> None:
        self.name = name
        self.refusal = cast(Exit, graph.nodes[name]).refusal

    async def run(self, scope: Scope) -> Outcome:
        if scope.candidates:
            return Outcome(scope.candidates[0])
        reason = scope.notes[-1] if scope.notes else ""
        if leans(scope.text):
            reason = "this goes on from another question, in a way that I do not understand: ask it in full"
        return Outcome(Candidate(self.name, f"{_sentence(reason)}{self.refusal}", refused=True))


def _sentence(reason: str) -> str:
    line = " ".join(reason.split())[:_SHOWN]
    return f"{line[:1].upper()}{line[1:]}{'' if line.endswith(('.', '!', '?')) else '.'} " if line else ""
