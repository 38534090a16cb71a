"""One cycle of learning: what the graded traffic proposes, tries and proves, and what the network adopts.

A cycle looks at the last change first: where live traffic speaks against it, it is taken back, and while it is on
its way up nothing else is tried. Then, round by round: clusters of the propose part lead to proposals, rivals
compete on select, and the winner meets confirm once, at the level that the network's ledger allows. Every trial is
kept. All is drawn from the store and a seed, so a cycle that was cut short comes to the same end when it is run
again.

Knows nothing about how proposals are made, or how graphs become implementations.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tinyllm.errors import StoreError, TinyLLMError
from tinyllm.graph import Graph
from tinyllm.learning.blame import MOST, at_fault
from tinyllm.learning.items import Item, among, capped, gather, turned
from tinyllm.learning.lessons import Lessons
from tinyllm.learning.pace import rests, waits
from tinyllm.learning.proof import HEAD, Consent, Proof, ledger_of, rules_for, trial_id
from tinyllm.learning.proposal import Bench, Cluster, Findings, Proposal, Proposer
from tinyllm.learning.rollout import Live, look_back
from tinyllm.learning.rounds import Round, compete, numbered
from tinyllm.learning.seen import Seen, see
from tinyllm.learning.tryout import Right, Tell, Tryout
from tinyllm.learning.unwon import AGAIN, contest_id, unwon, unwon_before
from tinyllm.learning.versions import Head, head_of
from tinyllm.learning.worth import is_worth, none_graded, none_proposed
from tinyllm.protocols import Store, TrialRow

SEARCHES = "looking for changes, training what is new"
ON_ITS_WAY = "no other change is tried while one is on its way up"


@dataclass(frozen=True, slots=True)
class Report:
    """What a cycle saw and did; `reason` says why it went no further. `live` is what became of the last change.
    `left_out` counts the grades of users who gave more than one user may, `faults` are what broke on the way, `rests`
    what was taken back and is not tried again yet."""

    graded: int
    failed: int
    clusters: Sequence[Cluster]
    rounds: Sequence[Round]
    live: Live | None
    reason: str
    left_out: Mapping[str, int]
    faults: Sequence[str] = ()
    rests: Sequence[str] = ()


@dataclass(slots=True)
class _Course:
    """A cycle under way: the items that it learns from, what came of them so far, and the `replays` it may still
    make to find who is to blame."""

    items: Sequence[Item]
    tryout: Tryout
    dry: bool
    replays: int
    rounds: list[Round] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    rests: dict[str, None] = field(default_factory=dict)  # each once, in their order


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one round goes by: the head and what it fails, all trials so far, and why nothing that only saves is
    tried, None where it may be."""

    head: Head
    findings: Findings
    trials: Sequence[TrialRow]
    pause: str | None


@dataclass(frozen=True, slots=True)
class Learner:
    """A network, and what it learns with.

    `base` is the graph of its file, which `read` reads again where it may change. `consent` is asked before a
    proven change is adopted; at most `rounds` changes are adopted in a cycle, from the latest `limit` runs. What
    fails of the `taught` lessons is worth a proposal, however little it is. `savers` make proposals that only save,
    and are asked when none of the others wins.
    """

    store: Store
    base: Graph
    bench: Bench
    proposers: Sequence[Proposer]
    right: Right
    consent: Consent
    tell: Tell = lambda what, done, of: None
    tenant: str = "local"
    seed: int = 0
    limit: int = 1000
    rounds: int = 4
    taught: Lessons | None = None
    read: Callable[[], Graph] | None = None
    savers: Sequence[Proposer] = ()

    async def cycle(self, *, dry: bool = False) -> Report:
        """One cycle; a `dry` one proposes and compares, and neither confirms, adopts nor takes back.

        Raises StoreError, and what the bench raises where the head itself cannot run.
        """
        graded, left_out = capped(await gather(self.store, tenant=self.tenant, limit=self.limit))
        items = turned(graded, self.base.name, await self._trials())
        course = _Course(items, Tryout(self.bench, self.right, self.tell), dry, MOST)
        head = await head_of(self.store, self.base, tenant=self.tenant)
        live = None if dry else await look_back(self.store, head, items, course.tryout, self.tenant)
        while True:
            head = await head_of(self.store, self.base, tenant=self.tenant)
            seen = await see(head, items, course.tryout, self.taught, seed=self.seed)
            reason = self._stop(head, course) or await self._tried(head, seen, course)
            if reason is not None:
                return Report(
                    len(items),
                    sum(not item.passed for item in items),
                    seen.clusters,
                    course.rounds,
                    live,
                    reason,
                    Counter(left_out) + Counter(seen.doubted.values()),
                    course.faults,
                    [*course.rests],
                )

    def _stop(self, head: Head, course: _Course) -> str | None:
        """Why nothing more is tried, before anything is looked for; None where something may be."""
        if head.rising is not None:
            return ON_ITS_WAY
        adopted = sum(done.version is not None for done in course.rounds)
        if adopted >= self.rounds:
            return f"{adopted} changes are enough for one cycle"
        return None if course.items else none_graded(self.base.learning)

    async def _turn(self, head: Head, seen: Seen, course: _Course) -> _Turn:
        """What the next round goes by: what is worth a change, blamed on the nodes at fault."""
        own = self.base.learning
        worth, runs = await at_fault(
            [cluster for cluster in seen.clusters if is_worth(cluster, course.items, own)],
            head.graph,
            self.bench,
            self.right,
            most=course.replays,
            seed=self.seed,
            progress=partial(self.tell, "whose choice was at fault"),
        )
        course.replays -= runs
        trials = await self._trials()
        pause = waits(self.base.name, trials, course.items, ledger_of(trials), own.gain)
        return _Turn(head, Findings(head.graph, seen.items, worth, self.seed), trials, pause)

    async def _tried(self, head: Head, seen: Seen, course: _Course) -> str | None:
        """One round, of what mends and then of what saves: None where a change was adopted, or why none was."""
        turn = await self._turn(head, seen, course)
        made, before = list[Round](), list[str]()
        graph, saving = self.bench.effective(head.graph).id, turn.pause is None
        taught = any(cluster.taught for cluster in seen.clusters)
        for proposers in (self.proposers, *([self.savers] if saving else [])):
            name = contest_id(graph, course.items, self.seed, len(proposers), saving, taught)
            if lost := unwon_before(turn.trials, name):
                before.append(lost)
                continue
            made += await self._contest(name, proposers, turn, course)
            if made and made[-1].contest.winner is not None:
                break
        course.rounds += made
        if made:
            return None if made[-1].version is not None else made[-1].reason
        if before:
            return f"{AGAIN}: {'; '.join(before)}"
        return none_proposed(seen.clusters, course.items, self.base.learning, turn.pause)

    async def _contest(
        self, name: str, proposers: Sequence[Proposer], turn: _Turn, course: _Course
    ) -> list[Round]:
        """One contest of what these propose, kept under its name where nobody wins it; none without proposals."""
        broken = len(course.faults)
        proposals = await self._propose(proposers, turn, course)
        if not proposals:
            return []
        one = await self._held(turn.head, proposals, course)
        if one.contest.winner is None and not course.dry:
            trial = unwon(name, self.base.name, proposals, one.contest, course.faults[broken:])
            await self.store.put_trial(trial, tenant=self.tenant)
            one = replace(one, trial=trial)
        return [one]

    async def _propose(
        self, proposers: Sequence[Proposer], turn: _Turn, course: _Course
    ) -> Mapping[str, Proposal]:
        """The proposals that were not decided on this very evidence before, nor rest, by name: where something
        fails what mends it, and what only saves where that may be tried."""
        mending, saving = bool(turn.findings.clusters), turn.pause is None
        if not (mending or saving):
            return {}
        last = among(course.items, self.base.name, "confirm")
        decided = {trial.id for trial in turn.trials if trial.state in ("adopted", "rejected")}
        made = await self.made(proposers, turn.findings, course.faults)
        made = [one for one in made if (saving if one.saves else mending)]
        new = numbered(one for one in made if trial_id(turn.head.graph, one.graph, last) not in decided)
        resting = rests(turn.head, turn.trials, course.items)
        course.rests |= {why: None for one in new.values() if (why := resting.get((one.edit, one.node)))}
        return {name: one for name, one in new.items() if (one.edit, one.node) not in resting}

    async def made(
        self, proposers: Sequence[Proposer], findings: Findings, faults: list[str]
    ) -> list[Proposal]:
        """What the proposers propose; one that breaks leaves the others their say, and adds to `faults`."""
        made: list[Proposal] = []
        for number, proposer in enumerate(proposers):
            self.tell(SEARCHES, number, len(proposers))
            try:
                made += await proposer(findings)
                continue
            except StoreError:
                raise
            except TinyLLMError as error:
                fault = str(error)
            except Exception as error:  # what trains, or a plug-in, may break in ways that nobody foresaw
                fault = f"a proposer broke, and proposes nothing: {type(error).__name__}: {error}"
            if fault not in faults:  # what is missing is missing in every round
                faults.append(fault)
        self.tell(SEARCHES, len(proposers), len(proposers))
        return made

    async def _held(self, head: Head, proposals: Mapping[str, Proposal], course: _Course) -> Round:
        """The contest on select, and its winner's look at confirm."""
        items, tryout = course.items, course.tryout
        select = among(items, self.base.name, "select")
        before = await tryout.answers(head.graph, select, HEAD)
        found = await tryout.rivals(proposals, select, before, course.faults)
        # Select is too small to say what a slice loses: that is for confirm to tell.
        rules = replace(rules_for(self.base, select, before), protected={})
        pairs = len({item.group for item in among(items, self.base.name, "confirm")})
        won, rules = compete(proposals, found, ledger_of(await self._trials()), rules, pairs)
        if won.winner is None or course.dry:
            return Round(proposals, won)
        proof = Proof(self.store, self.consent, self.read, self.tenant)
        trial, version = await proof(head, proposals[won.winner], won, rules, items, tryout)
        return Round(proposals, won, trial, version)

    async def _trials(self) -> Sequence[TrialRow]:
        return await self.store.trials(self.base.name, tenant=self.tenant)
