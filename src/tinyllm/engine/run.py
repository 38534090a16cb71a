"""The forward pass: walks a plan from its entry to an exit, recovers from failures, records everything.

Recovery tries, in this order: the router's next likely specialist, the node's simpler one, its larger one, the
human queue; what nothing can answer ends in a plain refusal (or, where something broke, in `failed`). A router
that breaks does not know: its `otherwise` is taken.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tinyllm.engine.pace import Pacer, Standing
from tinyllm.engine.plan import Plan, make_plan
from tinyllm.engine.request import checked, request_of, to_json
from tinyllm.engine.scope import NodeScope, tool_run_json
from tinyllm.errors import BudgetExceeded, RequestError, StoreError, TinyLLMError
from tinyllm.events import Event, Kind
from tinyllm.graph import Gate, Graph, dump, nearest
from tinyllm.protocols import Candidate, Fact, Outcome, Parts, Resolve, Store, Ticket, ToolContext
from tinyllm.routing.worth import wanted
from tinyllm.types import JSON, Budget, Cost, Reply, Request, Status

T = TypeVar("T", int, float)

Watch = Callable[[str, Sequence[Event]], None]

PLANS = 32  # how many graph versions stay ready to run


class Engine:
    """Answers requests. One engine serves any number of runs at once, in one event loop.

    `tool_seconds` is beyond any shipped tool's own limit: the last resort against one that hangs. `watch` is
    told a run's tenant and its events, once they are committed. `paced` heeds the networks' paces, by the clock
    `now` (Unix time).
    """

    def __init__(
        self,
        resolve: Resolve,
        parts: Callable[[Graph], Parts],
        store: Store,
        *,
        tool_seconds: float = 60.0,
        watch: Watch | None = None,
        paced: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.resolve = resolve
        self.parts = parts
        self.store = store
        self.tool_seconds = tool_seconds
        self.watch = watch
        self.pacer = Pacer(store, now) if paced else None
        self.plans: dict[str, Plan] = {}
        self.saved: set[tuple[str, str]] = set()

    async def run(self, request: Request) -> Reply:
        """The answer, after its events are committed.

        Raises RequestError for a request that cannot be taken, GraphError, SettingsError or ModelFileError for
        a network that cannot be built, StoreError where the record cannot be kept. A model or tool that breaks
        during the run does not raise: the reply says `failed`.
        """
        run = await self._start(request, listen=False)
        return await run.finish()

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """The events of a run as they happen, tokens included; `run_finished` follows the commit."""
        run = await self._start(request, listen=True)
        assert run.queue is not None
        work = asyncio.create_task(run.finish())
        try:
            while (event := await run.queue.get()) is not None:
                yield event
            await work  # raises what the run raised
        finally:
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def replay(
        self, run_id: str, *, tenant: str = "local", forced: Mapping[str, str] | None = None
    ) -> Reply:
        """A stored run once more: same request, seed and clock, with other choices where `forced` says so."""
        request = request_of(await self.store.events(run_id, tenant))
        return await self.run(replace(request, forced={**request.forced, **(forced or {})}))

    async def _start(self, request: Request, *, listen: bool) -> "Run":
        request = checked(request)
        graph = await self.resolve(request)
        unknown = [name for name in request.forced if name not in graph.nodes]
        if unknown:
            raise RequestError(f"no node is called {unknown[0]!r}", hint=nearest(unknown[0], graph.nodes))
        plan = self.plans.get(graph.id)
        if plan is None:
            plan = make_plan(graph, self.parts(graph))
            if len(self.plans) >= PLANS:
                self.plans.pop(next(iter(self.plans)))
            self.plans[graph.id] = plan
        if (request.tenant, graph.id) not in self.saved:
            await self.store.save_graph(graph.id, graph.name, dump(graph), tenant=request.tenant)
            self.saved.add((request.tenant, graph.id))
        pace = None
        if self.pacer is not None and graph.pace is not None:
            pace = await self.pacer.standing(graph.pace, request.tenant)
        return Run(self, plan, request, listen, pace)


@dataclass(slots=True)
class _End:
    """How a walk ended: with a candidate, a ticket, or the reason why there is neither."""

    candidate: Candidate | None = None
    ticket: str | None = None
    reason: str = ""
    broken: bool = False


class Run:
    """One request on its way. Everything that it does leaves an event."""

    def __init__(
        self, engine: Engine, plan: Plan, request: Request, listen: bool, pace: Standing | None
    ) -> None:
        self.engine, self.plan, self.request = engine, plan, request
        self.id = f"r{int(time.time() * 1000):011x}{secrets.token_hex(5)}"
        self.events: list[Event] = []
        self.sequence = 0
        self.queue: asyncio.Queue[Event | None] | None = asyncio.Queue() if listen else None
        self.began = time.perf_counter()
        self.pace = pace
        usual = pace.dial if pace else plan.graph.quality
        self.quality = usual if request.quality is None else request.quality
        self.right = wanted(request.right, request.quality, plan.graph.right)
        self.text = request.text
        self.facts: tuple[Fact, ...] = ()
        self.notes: list[str] = []
        self.route: list[str] = []
        self.tried: set[str] = set()
        self.retries: dict[str, int] = {}
        self.odds: list[tuple[str, Mapping[str, float]]] = []
        self.cost = Cost()
        self.error: TinyLLMError | None = None
        # What the caller's own tools said came from anywhere.
        self.untrusted = any(turn.role == "tool" for turn in request.messages)
        self.budget = _tighter(request.budget, plan.graph)
        assert request.seed is not None and request.clock is not None  # `checked` sets both
        self.context = ToolContext(request.clock, request.seed, request.user, request.tenant)

    def emit(self, kind: Kind, node: str | None, data: dict[str, JSON]) -> Event:
        event = Event(self.id, self.sequence, kind, self._elapsed(), node, data)
        self.sequence += 1
        if kind == "choice_made" and node is not None:
            self.odds.append((node, data["probabilities"]))
        if kind != "token":
            self.events.append(event)
        if self.queue is not None and kind != "run_finished":
            self.queue.put_nowait(event)
        return event

    def spend(self, cost: Cost) -> None:
        """Count a cost, and stop the run where it goes over the budget."""
        self.cost += cost
        limit, spent = self.budget, self.cost
        if limit.tokens is not None and spent.tokens_in + spent.tokens_out > limit.tokens:
            raise BudgetExceeded(f"the run used more than its {limit.tokens} tokens", hint="raise the budget")
        if limit.money is not None and spent.money > limit.money:
            raise BudgetExceeded(f"the run cost more than its {limit.money}", hint="raise the budget")

    async def park(self, reason: str) -> str:
        ticket = f"t{secrets.token_hex(4)}"
        request = self.request
        self.emit("parked", None, {"ticket": ticket, "reason": reason})
        created = self.context.clock
        await self.engine.store.park(Ticket(ticket, self.id, request.tenant, self.text, reason, created))
        return ticket

    async def finish(self) -> Reply:
        """Walk, settle the status, commit, and only then answer."""
        try:
            asked = {
                "question": self.request.text,
                "graph": self.plan.graph.id,
                "seed": self.request.seed,
                "clock": self.request.clock,
                "user": self.request.user,
                "session": self.request.session,
                "request": to_json(self.request),
            }
            self.emit("run_started", None, asked)
            try:
                async with asyncio.timeout(self.budget.seconds):
                    end = await self._walk(self.plan.graph.entry, (), None)
            except TimeoutError:
                end = _End(reason=f"the run took longer than its {self.budget.seconds:g} s", broken=True)
            except BudgetExceeded as error:
                self.error = error
                end = _End(reason=error.message, broken=True)
            except asyncio.CancelledError:
                with suppress(StoreError):  # whoever cancelled does not wait for the record
                    await asyncio.shield(self._commit(_End(reason="the run was cancelled", broken=True)))
                raise
            return await self._commit(end)
        finally:
            if self.queue is not None:
                self.queue.put_nowait(None)

    async def _commit(self, end: _End) -> Reply:
        status: Status
        if end.ticket is not None:
            status, answer = "escalated", f"This waits for a person, as ticket {end.ticket}."
        elif end.broken:
            status, answer = "failed", end.reason
        elif end.candidate is None or end.candidate.refused:
            status, answer = "refused", end.candidate.text if end.candidate else end.reason
        else:
            status, answer = "answered", end.candidate.text
        elapsed = self._elapsed()
        self.cost = replace(self.cost, milliseconds=elapsed)
        runs = end.candidate.tool_runs if end.candidate else ()
        reply = Reply(
            answer=answer,
            status=status,
            route=tuple(self.route),
            tool_calls=runs,
            cost=self.cost,
            latency_ms=elapsed,
            run_id=self.id,
            graph=self.plan.graph.id,
            ticket=end.ticket,
            caller_calls=end.candidate.caller_calls if end.candidate else (),
            reason=end.reason,
            error=self.error if end.broken else None,
            truncated=end.candidate.truncated if end.candidate else False,
        )
        told = {
            "answer": answer,
            "status": status,
            "reason": end.reason,
            "route": list(self.route),
            "tool_calls": [tool_run_json(made) for made in runs],
            "cost": to_json(self.cost),
            "latency_ms": elapsed,
            "run_id": self.id,
            "graph": reply.graph,
            "ticket": end.ticket,
            "caller_calls": to_json(reply.caller_calls) if reply.caller_calls else [],
            "truncated": reply.truncated,
        }
        finished = self.emit("run_finished", None, told)
        await self.engine.store.append(self.request.tenant, self.events)
        if self.engine.pacer is not None:
            self.engine.pacer.count(self.request.tenant, self.cost)
        if self.engine.watch is not None:
            self.engine.watch(self.request.tenant, self.events)
        if self.queue is not None:
            self.queue.put_nowait(finished)
        return reply

    async def _walk(self, node: str, candidates: tuple[Candidate, ...], until: str | None) -> _End:
        """Run node after node until an exit, or until the join `until` is reached."""
        while node != until:
            outcome = await self._step(node, candidates)
            if outcome.failed is not None:
                gate = self.plan.kinds[node] == "gate"
                maker = candidates[0].node if candidates and gate else node
                target = self._recover(maker, node, outcome.failed)
                if target is None:
                    return await self._give_up(node, outcome.failed)
                node, candidates = target, ()
                continue
            if outcome.candidate is not None:
                candidates = (outcome.candidate,)
            if outcome.ticket is not None:
                return _End(ticket=outcome.ticket)
            if self.plan.kinds[node] == "exit":
                return _End(candidates[0] if candidates else outcome.candidate)
            following = (outcome.go,) if outcome.go else self.plan.following[node]
            if len(following) > 1:
                join = self.plan.joins[node]
                ends = await _all(self._walk(branch, candidates, join) for branch in following)
                candidates = tuple(
                    end.candidate for end in ends if end.candidate and not end.candidate.refused
                )
                if not candidates:
                    return ends[0]
                node = join
            else:
                node = following[0]
        return _End(candidates[0] if candidates else None)

    async def _step(self, node: str, candidates: tuple[Candidate, ...]) -> Outcome:
        """Run one node; what it raises is recorded and becomes a failed outcome, but for a budget used up."""
        if self.budget.steps is not None and len(self.route) >= self.budget.steps:
            raise BudgetExceeded(
                f"the run took more than its {self.budget.steps} steps", hint="raise the budget"
            )
        self.route.append(node)
        self.tried.add(node)
        self.emit("node_started", node, {"kind": self.plan.kinds[node]})
        scope = NodeScope(self, node, candidates, self.context)
        try:
            outcome = await self.plan.nodes[node].run(scope)
        except BudgetExceeded as error:
            self.emit("node_failed", node, {"error": type(error).__name__, "message": error.message})
            raise
        except TinyLLMError as error:
            return self._broken(node, error)
        except Exception as error:
            # A fault of ours or of a plug-in: the run must end all the same, and say so.
            wrong = TinyLLMError(
                f"node {node!r} broke: {type(error).__name__}: {error}",
                hint="this is a fault in the program or in a plug-in: report it",
            )
            wrong.__cause__ = error
            return self._broken(node, wrong)
        if outcome.text is not None:
            self.text = outcome.text
        self.facts += outcome.facts
        text = outcome.candidate.text if outcome.candidate else ""
        self.emit("node_finished", node, {"text": text, "failed": outcome.failed})
        return outcome

    def _broken(self, node: str, error: TinyLLMError) -> Outcome:
        told = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        self.emit("node_failed", node, told)
        self.error = self.error or error
        return Outcome(failed=error.message)

    def _recover(self, maker: str, failed: str, reason: str) -> str | None:
        """The node that takes over, or None where nothing is left to try."""
        graph = self.plan.graph
        gate = graph.nodes[failed]
        target: str | None = None
        if isinstance(gate, Gate) and gate.retry and self.retries.get(failed, 0) < gate.retry.limit:
            self.retries[failed] = self.retries.get(failed, 0) + 1
            target = gate.retry.to
        else:
            target = next((name for name in self._substitutes(maker) if name not in self.tried), None)
        if target is not None:
            self.notes.append(reason)
            self.emit("recovered", failed, {"to": target, "why": reason})
        return target

    def _substitutes(self, maker: str) -> list[str]:
        graph = self.plan.graph
        spec = graph.nodes[maker]
        found: list[str] = []
        if self.odds and spec.kind != "router":
            router, odds = self.odds[-1]
            node = graph.nodes[router]
            if node.kind == "router":
                likely = sorted(odds, key=lambda label: -odds[label])
                found += [node.routes[label].to for label in likely if odds[label] >= node.alternatives]
        named = (getattr(spec, field, None) for field in ("otherwise", "simpler", "larger"))
        found += [name for name in named if name]
        return found + ([graph.human] if graph.human else [])

    async def _give_up(self, node: str, reason: str) -> _End:
        """Nothing could answer: failed where something broke on the way, else the exit's plain refusal.

        The exit tells the reason, but for a router's: that it knows no route is what a refusal says anyway.
        """
        if self.error is not None:
            return _End(reason=str(self.error), broken=True)
        if self.plan.kinds[node] != "router":
            self.notes.append(reason)
        refusal = await self._step(self.plan.exits[node], ())
        return _End(refusal.candidate, reason=reason)

    def _elapsed(self) -> float:
        """Milliseconds, to the microsecond."""
        return round((time.perf_counter() - self.began) * 1000, 3)


async def _all(walks: Iterable[Coroutine[Any, Any, _End]]) -> list[_End]:
    """How the parallel walks ended. One that raises stops the others before the run goes on."""
    tasks = [asyncio.create_task(walk) for walk in walks]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tighter(asked: Budget, graph: Graph) -> Budget:
    """The request's budget within the network's own."""
    own = graph.budgets
    return Budget(
        _least(asked.seconds, own.seconds),
        _least(asked.tokens, own.tokens),
        _least(asked.money, own.money),
        _least(asked.steps, own.steps),
    )


def _least(a: T | None, b: T | None) -> T | None:
    return b if a is None else a if b is None else min(a, b)
