"""The router node: which specialist takes this question? Where it is not sure, the user's preferences count;
where it knows what its routes are worth, their price does.

Works with any `Router` (the hashed n-gram one is the default) and with any language model that can name one
of several labels.
"""

import json
from collections.abc import Mapping, Sequence
from typing import cast

from tinyllm.errors import BadReply, RequestError
from tinyllm.graph import Graph, RouterNode
from tinyllm.nodes.facts import swayed
from tinyllm.protocols import Backend, Choice, Loadable, Outcome, Parts, Router, Scope
from tinyllm.routing.worth import Dial, Routes, able, nudged
from tinyllm.types import JSON, Message, Prompt, Sampling

INSTRUCTION = """You route questions to specialists. Answer with JSON: {"route": "<name>"}.
The specialists:
"""


class Routing:
    """Takes the most probable route, or says that it does not know; every choice is logged with its odds."""

    def __init__(self, name: str, graph: Graph, parts: Parts) -> None:
        self.name = name
        self.spec = cast(RouterNode, graph.nodes[name])
        self.about = {label: route.when for label, route in self.spec.routes.items()}
        self.costs = {label: worth.cost for label, worth in self.spec.worth.items()}
        self.router: Router | None = parts.routers.get(self.spec.model)
        self.backend = parts.backends.get(self.spec.model)
        self.loadable: dict[str, Loadable] = {}
        for label, route in self.spec.routes.items():
            backend = parts.backends.get(getattr(graph.nodes[route.to], "model", ""))
            if isinstance(backend, Loadable):
                self.loadable[label] = backend
        self.by_text = parts.by_text[self.spec.by_text] if self.spec.by_text else None
        self.prompt = graph.prompts[self.spec.prompt].text if self.spec.prompt else INSTRUCTION

    async def run(self, scope: Scope) -> Outcome:
        labels = tuple(self.spec.routes)
        forced = scope.forced()
        if forced is not None:
            if forced not in labels:
                hint = f"its routes are {', '.join(labels)}"
                raise RequestError(f"router {self.name!r} has no route {forced!r}", hint=hint)
            choice = Choice(forced, {forced: 1.0})
        elif self.router is not None:
            choice = await self.router.choose(scope.text, labels)
            scope.spend(self.spec.model, choice.cost)
        else:
            choice = await self._ask(scope, labels)
        label, odds, why = forced, choice.probabilities, dict[str, JSON]()
        if forced is None:
            label, odds, why = self._decide(choice, scope)
        scope.emit("choice_made", choice=label, probabilities=dict(odds), forced=forced is not None, **why)
        if label is not None:
            return Outcome(go=self.spec.routes[label].to)
        if self.spec.otherwise is not None:
            return Outcome(go=self.spec.otherwise)
        return Outcome(failed="the router knows no specialist for this")

    def _decide(
        self, choice: Choice, scope: Scope
    ) -> tuple[str | None, Mapping[str, float], dict[str, JSON]]:
        """The route to take, the odds under the user's preferences, and what else decided."""
        first, before = choice.label, choice.probabilities
        if first is None or before.get(first, 0.0) < self.spec.threshold:
            return None, before, {}
        odds, speaks = swayed(before, self.about, scope.facts)
        priced = self.spec.worth.keys() >= odds.keys()
        if not speaks and not priced:
            return first, odds, {}

        dial = Dial(scope.quality, None if scope.thrifty else scope.right)
        right = self._right(dial, scope) if priced else {}
        loads = {label: price for label, one in self.loadable.items() if (price := one.load_price())}

        def take(odds: Mapping[str, float]) -> tuple[str, Mapping[str, float]]:
            ways = able(odds, first, self.spec.alternatives)
            if priced and not scope.thrifty:
                return dial.take(Routes(odds, right, self.costs, loads), ways)
            scored = {label: -self.costs[label] for label in odds} if priced else odds
            return max(ways, key=lambda label: scored[label]), scored

        label, scored = take(odds)
        why: dict[str, JSON] = {"scores": scored} if priced else {}
        if priced and dial.right is not None:
            why["right"] = dial.right
        if priced and loads:
            why["loads"] = loads
        if priced and scope.pace:
            why["pace"] = scope.pace
        if speaks and take(before)[0] != label:
            why["before"] = dict(before)
            why["facts"] = [id_ for id_, of in speaks.items() if label in of]
        return label, odds, why

    def _right(self, dial: Dial, scope: Scope) -> Mapping[str, float]:
        """The share of right answers to count on from each route for the question, if it fits."""
        right = {label: dial.counted(worth.right, worth.seen) for label, worth in self.spec.worth.items()}
        if self.by_text is None:
            return right
        told, cost = self.by_text(scope.text)
        scope.spend(str(self.spec.by_text), cost)
        return nudged(right, told)

    async def _ask(self, scope: Scope, labels: Sequence[str]) -> Choice:
        """The choice of a language model, held to the labels by a JSON schema.

        Its probability is that of the tokens it wrote, where the backend tells; else the choice counts as 1.
        """
        backend = cast(Backend, self.backend)
        described = "\n".join(f"- {label}: {self.spec.routes[label].when or label}" for label in labels)
        schema = {
            "type": "object",
            "properties": {"route": {"type": "string", "enum": list(labels)}},
            "required": ["route"],
            "additionalProperties": False,
        }
        prompt = Prompt(
            (Message("system", self.prompt + described), Message("user", scope.text)),
            sampling=Sampling(max_tokens=40),
            json_schema=schema,
            scores=True,
        )
        completion = await scope.complete(backend, prompt)
        label = _label(completion.text, labels)
        if label is None:
            raise BadReply(
                f"router model {self.spec.model!r} answered {completion.text[:80]!r}, which names no route",
                hint=f"its routes are {', '.join(labels)}; a larger router model or clearer `when:` helps",
            )
        probability = 1.0 if completion.probability is None else completion.probability
        rest = (1.0 - probability) / max(1, len(labels) - 1)
        odds: Mapping[str, float] = {name: probability if name == label else rest for name in labels}
        return Choice(label, odds, completion.cost)


def _label(text: str, labels: Sequence[str]) -> str | None:
    """The label in an answer: the JSON that was asked for, or a bare name from a model that forgot it."""
    try:
        found = json.loads(text)
        named = found.get("route") if isinstance(found, dict) else found
    except json.JSONDecodeError:
        named = text
    cleaned = str(named).strip().strip("\"'.`").lower()
    return next((label for label in labels if label.lower() == cleaned), None)
