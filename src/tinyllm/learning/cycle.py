"""One cycle of learning: what the graded traffic proposes, tries and proves, and what the network adopts.

A cycle looks at the last change first: where live traffic speaks against it, it is taken back, and while it is on
its way up nothing else is tried. Then, round by round: clusters of the propose part lead to proposals, rivals
compete on select, and the winner meets confirm once, at the level that the network's ledger allows. Every trial is
kept. All is drawn from the store and a seed, so a cycle that was cut short comes to the same end when it is run
again.

Knows nothing about how proposals are made, or how graphs become implementations.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tinyllm.errors import StoreError, TinyLLMError
from tinyllm.evidence import Ledger
from tinyllm.grading import node_of
from tinyllm.graph import Graph
from tinyllm.learning.blame import MOST, blame
from tinyllm.learning.clusters import clusters
from tinyllm.learning.failures import failures
from tinyllm.learning.items import Item, among, capped, gather, mostly, several, turned
from tinyllm.learning.lessons import Lessons
from tinyllm.learning.pace import rests, waits
from tinyllm.learning.proof import HEAD, Consent, Proof, ledger_of, rules_for, trial_id
from tinyllm.learning.proposal import Bench, Cluster, Findings, Proposal, Proposer
from tinyllm.learning.rollout import Live, look_back
from tinyllm.learning.traffic import SHARES, Outcome
from tinyllm.learning.trial import Contest, Rules, contest
from tinyllm.learning.tryout import Right, Tell, Tryout
from tinyllm.learning.unwon import AGAIN, contest_id, unwon, unwon_before
from tinyllm.learning.versions import Head, head_of
from tinyllm.protocols import Store, TrialRow, Version

UNSEEN = (
    "all answers that it is compared on stay as they are; if what it would mend is worded as none of these, more "
    "traffic can show it, or your word for examples (`tinyllm teach FILE --trust`)"
)
DAY = 86_400.0  # seconds
SEARCHES = "looking for changes, training what is new"
ON_ITS_WAY = "no other change is tried while one is on its way up"


@dataclass(frozen=True, slots=True)
class Round:
    """One contest: the proposals by name, who won select and why, and what became of the winner."""

    proposals: Mapping[str, Proposal]
    contest: Contest
    trial: TrialRow | None = None
    version: Version | None = None

    @property
    def reason(self) -> str:
        """How it came out."""
        return self.trial.verdict if self.trial else self.contest.reason


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
        trials = await self.store.trials(self.base.name, tenant=self.tenant)
        items = turned(graded, self.base.name, trials)
        tryout = Tryout(self.bench, self.right, self.tell)
        head = await head_of(self.store, self.base, tenant=self.tenant)
        live = None if dry else await look_back(self.store, head, items, tryout, self.tenant)
        failed = sum(not item.passed for item in items)
        rounds: list[Round] = []
        faults: list[str] = []
        resting = dict[str, None]()
        replays = MOST
        while True:
            head = await head_of(self.store, self.base, tenant=self.tenant)
            seen = await seen_by(head.graph, among(items, self.base.name, "propose"), tryout)
            taught = taught_cluster(item for item in seen if self.taught and self.taught.hold(item.request))
            known = {item.trace.run_id for cluster in taught for item in cluster.items}
            others = [item for item in seen if item.trace.run_id not in known]
            found, doubted = _supported(clusters(others, seed=self.seed), items)
            seen = [item for item in seen if item.trace.run_id not in doubted]
            found = [*taught, *found]
            reason = self._stop(len(items), sum(done.version is not None for done in rounds), head)
            if reason is None:
                enough = [cluster for cluster in found if self._worth(cluster, items)]
                worth, runs = await self._blamed(head, enough, replays)
                replays -= runs
                findings = Findings(head.graph, seen, worth, self.seed)
                trials = await self.store.trials(self.base.name, tenant=self.tenant)
                pause = waits(self.base.name, trials, items, ledger_of(trials), self.base.learning.gain)
                wait = rests(head, trials, items)
                made, before = list[Round](), list[str]()
                graph = self.bench.effective(head.graph).id
                for proposers in (self.proposers, *([self.savers] if pause is None else [])):
                    name = contest_id(graph, items, self.seed, len(proposers), pause is None, bool(taught))
                    if lost := unwon_before(trials, name):
                        before.append(lost)
                        continue
                    known_faults = len(faults)
                    every = await self._propose(proposers, findings, items, trials, pause is None, faults)
                    proposals = {name: p for name, p in every.items() if (p.edit, p.node) not in wait}
                    resting |= {
                        wait[p.edit, p.node]: None for name, p in every.items() if name not in proposals
                    }
                    if proposals:
                        one = await self._round(head, proposals, items, tryout, dry, faults)
                        if one.contest.winner is None and not dry:
                            trial = unwon(name, head.base.name, proposals, one.contest, faults[known_faults:])
                            await self.store.put_trial(trial, tenant=self.tenant)
                            one = replace(one, trial=trial)
                        made.append(one)
                        if one.contest.winner is not None:
                            break
                rounds += made
                if made and made[-1].version is not None:
                    continue
                reason = made[-1].reason if made else self._nothing_found(failed, found, pause, items)
                if before and not made:
                    reason = f"{AGAIN}: {'; '.join(before)}"
            return Report(
                len(items),
                failed,
                found,
                rounds,
                live,
                reason,
                Counter(left_out) + Counter(doubted.values()),
                faults,
                [*resting],
            )

    def _stop(self, graded: int, rounds: int, head: Head) -> str | None:
        if head.rising is not None:
            return ON_ITS_WAY
        if rounds >= self.rounds:
            return f"{rounds} changes are enough for one cycle"
        if graded:
            return None
        requests = math.ceil(Rules(math.inf).select_pairs / SHARES["select"])
        return (
            f"no answer is graded yet: about {requests} graded answers, each unlike the others, are missing before a "
            f"change can be tried, about {math.ceil(self.base.learning.failures / SHARES['propose'])} of them failures "
            "of one kind"
        )

    def _nothing_found(
        self, failed: int, found: Sequence[Cluster], pause: str | None, items: Sequence[Item]
    ) -> str:
        """Why nothing is tried, where nothing was proposed."""
        rules = self.base.learning
        if any(self._worth(cluster, items) for cluster in found):
            return "for what fails, nothing was found that is not tried already"
        if not failed:
            return f"nothing fails, and {pause or 'nothing was found that would save'}"
        most = max((sum(not i.passed for i in self._recent(cluster, items)) for cluster in found), default=0)
        if most < rules.failures:
            missing = math.ceil((rules.failures - most) / SHARES["propose"])
            return (
                f"too little evidence: about {missing} more graded failures of one kind are missing before a change "
                f"is proposed ({rules.failures} are needed among the {SHARES['propose']:.0%} of requests that "
                f"proposals are made from, and there {'is' if most == 1 else 'are'} {most or 'none'})"
            )
        return f"what fails is less than {rules.failing:.0%} of its kind"

    def _worth(self, cluster: Cluster, items: Sequence[Item]) -> bool:
        rules = self.base.learning
        recent = self._recent(cluster, items)
        failed = sum(not item.passed for item in recent)
        return cluster.taught or (failed >= rules.failures and failed >= rules.failing * len(recent))

    def _recent(self, cluster: Cluster, items: Sequence[Item]) -> Sequence[Item]:
        """What of a cluster is young enough to call for a change, as the latest of all items tells the time."""
        age = self.base.learning.age
        if age is None:
            return cluster.items
        since = max(item.created for item in items) - age * DAY
        return [item for item in cluster.items if item.created >= since]

    async def _blamed(self, head: Head, worth: Sequence[Cluster], most: int) -> tuple[Sequence[Cluster], int]:
        """The clusters, each with the node that most of its failures are to blame on, after at most so many runs;
        and how many it took."""
        if not worth:
            return worth, 0
        failed = failures(item for cluster in worth for item in cluster.items)
        found = await blame(
            failed,
            head.graph,
            self.bench,
            self.right,
            most=most,
            seed=self.seed,
            progress=partial(self.tell, "whose choice was at fault"),
        )
        node = {one.item.trace.run_id: one.node for one in found.failures if one.settled}
        told = [
            Counter(node[run] for item in cluster.items if (run := item.trace.run_id) in node)
            for cluster in worth
        ]
        return [
            replace(cluster, node=nodes.most_common(1)[0][0]) if nodes else cluster
            for cluster, nodes in zip(worth, told, strict=True)
        ], found.runs

    async def _propose(
        self,
        proposers: Sequence[Proposer],
        findings: Findings,
        items: Sequence[Item],
        trials: Sequence[TrialRow],
        saving: bool,
        faults: list[str],
    ) -> Mapping[str, Proposal]:
        """The proposals that were not decided on this very evidence before, by name: where something fails what
        mends it, and what only saves where that may be tried."""
        mending = bool(findings.clusters)
        if not (mending or saving):
            return {}
        last = among(items, self.base.name, "confirm")
        decided = {trial.id for trial in trials if trial.state in ("adopted", "rejected")}
        made = [p for p in await self.made(proposers, findings, faults) if (saving if p.saves else mending)]
        new = [p for p in made if trial_id(findings.head, p.graph, last) not in decided]
        return {f"{number}. {p.edit} {p.node}": p for number, p in enumerate(new, 1)}

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

    async def _round(
        self,
        head: Head,
        proposals: Mapping[str, Proposal],
        items: Sequence[Item],
        tryout: Tryout,
        dry: bool,
        faults: list[str],
    ) -> Round:
        select = among(items, self.base.name, "select")
        before = await tryout.answers(head.graph, select, HEAD)
        found = await tryout.rivals(proposals, select, before, faults)
        # Select is too small to say what a slice loses: that is for confirm to tell.
        rules = replace(rules_for(self.base, select, before), protected={})
        pairs = len({item.group for item in among(items, self.base.name, "confirm")})
        won, rules = self._contest(found, proposals, await self._ledger(), rules, pairs)
        if won.winner is None and not won.missing and not any(one.tally.flips for one in found.values()):
            won = replace(won, reason=f"{won.reason}; {UNSEEN}")
        if won.winner is None or dry:
            return Round(proposals, won)
        proof = Proof(self.store, self.consent, self.read, self.tenant)
        trial, version = await proof(head, proposals[won.winner], won, rules, items, tryout)
        return Round(proposals, won, trial, version)

    def _contest(
        self,
        found: Mapping[str, Outcome],
        proposals: Mapping[str, Proposal],
        ledger: Ledger,
        rules: Rules,
        pairs: int,
    ) -> tuple[Contest, Rules]:
        """Who wins select, and under which rules: one that is right more often or, where none is, one that saves."""
        better = {name: one for name, one in found.items() if not proposals[name].saves}
        cheaper = {name: one for name, one in found.items() if proposals[name].saves}
        won = contest(better, ledger, rules, pairs)
        if won.winner is not None or not cheaper:
            return won, rules
        rules = replace(rules, margin=self.base.learning.gain)
        saving = contest(cheaper, ledger, rules, pairs)
        reason = "; ".join(one.reason for one in (won, saving)) if better else saving.reason
        evidence = {**won.evidence, **saving.evidence}
        return replace(
            saving, reason=reason, evidence=evidence, missing=max(won.missing, saving.missing)
        ), rules

    async def _ledger(self) -> Ledger:
        """The network's error budget, as its trials have spent it."""
        trials = await self.store.trials(self.base.name, tenant=self.tenant)
        return ledger_of(trials)


def _supported(found: Iterable[Cluster], items: Iterable[Item]) -> tuple[list[Cluster], Mapping[str, str]]:
    """The clusters without what fails mostly on one user's word, where several give theirs; and whose, by run."""
    if not several(items):
        return list(found), {}
    left, doubted = [], dict[str, str]()
    for cluster in found:
        user = mostly([item for item in cluster.items if not item.passed])
        if user is not None:
            doubted |= {i.trace.run_id: user for i in cluster.items if i.by == user and not i.passed}
        kept = tuple(item for item in cluster.items if item.trace.run_id not in doubted)
        left += [replace(cluster, items=kept)] if kept else []
    return left, doubted


async def seen_by(head: Graph, items: Sequence[Item], tryout: Tryout) -> list[Item]:
    """The items as the head answers them, where somebody can tell whether that is right."""
    answers = await tryout.answers(head, items, "what fails")
    seen = []
    for item in items:
        right, trace = answers[item.trace.run_id]
        if right is not None:
            grade = item.grade if right == item.passed else replace(item.grade, score=float(right))
            seen.append(replace(item, trace=trace, grade=grade))
    return seen


def taught_cluster(items: Iterable[Item]) -> list[Cluster]:
    """What failed of what a person brought, as one cluster of the node where most of it failed; none if nothing."""
    failed = tuple(item for item in items if not item.passed)
    if not failed:
        return []
    node = Counter(node_of(item.trace) for item in failed).most_common(1)[0][0]
    return [Cluster("what is taught", node, failed, (failed[0].request.text,), taught=True)]
