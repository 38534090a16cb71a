"""A change that a person vouches for: made from a handful of examples, held against all older graded traffic.

Ten to twenty examples cannot prove a gain, but they can show one, and older traffic can show what it would lose.
So a person may take the responsibility: a quarter of the examples is kept back and must come out right, and
older requests that the change was not made from must not be lost. Such a trial is kept as "taught"; it spends
nothing of the error budget, whose promise does not cover it. Knows nothing about how proposals are made.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tinyllm.errors import Conflict
from tinyllm.learning.cycle import ON_ITS_WAY, Learner, Report
from tinyllm.learning.items import Item, among, capped, gather
from tinyllm.learning.lessons import Lessons
from tinyllm.learning.proof import HEAD, PROTECTED, trial_id
from tinyllm.learning.proposal import Findings, Proposal
from tinyllm.learning.rounds import Round, numbered
from tinyllm.learning.seen import seen_by, taught_cluster
from tinyllm.learning.traffic import Part
from tinyllm.learning.trial import Contest, Rules, as_data, vouch
from tinyllm.learning.tryout import Answers, Tryout, mean_cost, nodes_with, outcome
from tinyllm.learning.unwon import contest_id, unwon
from tinyllm.learning.versions import Head, adopt, head_of
from tinyllm.protocols import TrialRow, Version

PARTS: Sequence[Part] = ("select", "confirm")  # of older traffic, which no proposal was made from
KEPT_BACK = 4  # one example in so many
TRAINABLE = 8  # failing examples of one kind from which a specialist can be trained


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What a person brought, as the head answers it: `made_from` leads to proposals, `held` is kept back."""

    made_from: Sequence[Item]
    held: Sequence[Item]


async def teach(learner: Learner, lessons: Lessons, *, dry: bool = False) -> Report:
    """One change from lessons that were put to the network by `study`, adopted if it keeps what the network can.

    A `dry` one proposes and compares, and adopts nothing. Raises StoreError, and what the bench raises.
    """
    items, left_out = capped(await gather(learner.store, tenant=learner.tenant, limit=learner.limit))
    tryout = Tryout(learner.bench, learner.right, learner.tell)
    head = await head_of(learner.store, learner.base, tenant=learner.tenant)
    lesson = _divided(await seen_by(head.graph, [i for i in items if lessons.hold(i.request)], tryout))
    texts = {item.request.text for item in (*lesson.made_from, *lesson.held)}
    older = [item for item in items if not lessons.hold(item.request) and item.request.text not in texts]
    seen = await seen_by(head.graph, among(older, learner.base.name, "propose"), tryout)
    found = [] if head.rising else taught_cluster(lesson.made_from)
    findings = Findings(head.graph, [*seen, *lesson.made_from], found, learner.seed)
    faults: list[str] = []
    made = await learner.made(learner.proposers, findings, faults) if found else []
    proposals = numbered(one for one in made if not one.saves)
    rounds = []
    if proposals:
        rounds.append(await _round(learner, head, lesson, older, proposals, tryout, dry, faults))
    failed = sum(not item.passed for item in items)
    reason = ON_ITS_WAY if head.rising else _reason(lesson, rounds)
    still = [] if any(done.version for done in rounds) else found  # what fails after it, nobody asked yet
    return Report(len(items), failed, still, rounds, None, reason, left_out, faults)


def _divided(items: Sequence[Item]) -> _Lesson:
    """The examples, each question once; of those that fail every fourth is kept back, in an order by chance."""
    # Each is evidence of its own here, however like the others: a person chose it.
    once = {item.request.text: replace(item, group=item.trace.run_id) for item in items}
    ordered = sorted(once.values(), key=lambda item: hashlib.sha256(item.request.text.encode()).digest())
    failing = [item for item in ordered if not item.passed]
    held = failing[: len(failing) // KEPT_BACK]
    return _Lesson([item for item in ordered if item not in held], held)


def _reason(lesson: _Lesson, rounds: Sequence[Round]) -> str:
    if rounds and rounds[0].version:
        return "what it does live is watched, as with every change"
    if rounds:
        return rounds[0].reason
    failing = sum(not item.passed for item in lesson.made_from)
    if not failing:
        return "the network answers every example rightly already"
    more = math.ceil((TRAINABLE - failing) * KEPT_BACK / (KEPT_BACK - 1))
    lack = f" (about {more} more examples of one kind make a specialist)" if more > 0 else ""
    return f"no change was found that could answer the {failing} failing examples{lack}"


async def _round(
    learner: Learner,
    head: Head,
    lesson: _Lesson,
    older: Sequence[Item],
    proposals: Mapping[str, Proposal],
    tryout: Tryout,
    dry: bool,
    faults: list[str],
) -> Round:
    """The proposal that answers most of what it was made from, and what became of it."""
    before = await tryout.answers(head.graph, lesson.made_from, HEAD)
    found = await tryout.rivals(proposals, lesson.made_from, before, faults)
    evidence = {name: as_data(one) for name, one in found.items()}
    able = [name for name in found if found[name].tally.gain > 0]
    best = max(able, key=lambda name: (found[name].tally.gain, -found[name].cost_after), default=None)
    if best is None:
        lost = Contest(None, 0, 0, "no change answers more of the examples", evidence)
        if dry:
            return Round(proposals, lost)
        name = contest_id(head.graph.id, [*lesson.made_from, *lesson.held], "taught")
        trial = unwon(name, learner.base.name, proposals, lost, faults)
        await learner.store.put_trial(trial, tenant=learner.tenant)
        return Round(proposals, lost, trial)
    won = Contest(best, 0, 0, f"{best} answers most of the examples that it was made from", evidence)
    if dry:
        return Round(proposals, won)
    trial, version = await _try(learner, head, lesson, older, proposals[best], won, tryout)
    return Round(proposals, won, trial, version)


async def _try(
    learner: Learner,
    head: Head,
    lesson: _Lesson,
    older: Sequence[Item],
    proposal: Proposal,
    won: Contest,
    tryout: Tryout,
) -> tuple[TrialRow, Version | None]:
    """The trial of one proposal, and the network with it where it loses nothing and the person still agrees."""
    network = learner.base.name
    name = won.winner or ""
    last = [item for part in PARTS for item in among(older, network, part)]
    before = await tryout.answers(head.graph, last, HEAD)
    after = await tryout.answers(proposal.graph, last, name, proposal.files)
    held = outcome(
        lesson.held,
        await tryout.answers(head.graph, lesson.held, HEAD),
        await tryout.answers(proposal.graph, lesson.held, name, proposal.files),
    )
    verdict = vouch(
        trial_id(head.graph, proposal.graph, [*last, *lesson.held]),
        name,
        held.tally,
        outcome(last, before, after),
        _rules(learner, last, before),
    )
    taught = len(lesson.made_from) + len(lesson.held)
    proposal = replace(proposal, reason=f"taught by {taught} examples: {proposal.reason}")
    trial = TrialRow(
        str(verdict.evidence["trial"]),
        network,
        proposal.edit,
        proposal.node,
        proposal.reason,
        "rejected",
        verdict.reason,
        evidence={
            "taught": taught,
            "made": proposal.price,
            "select": won.evidence,
            "confirm": verdict.evidence,
        },
    )
    if verdict.missing:
        trial = replace(trial, state="waiting")
    elif verdict.adopted and not await learner.consent(proposal, verdict):
        trial = replace(trial, state="waiting", verdict=f"nobody agreed to it; {verdict.reason}")
    elif verdict.adopted:
        try:
            base = learner.read and learner.read()
            version = await adopt(learner.store, head, proposal, trial, base=base, tenant=learner.tenant)
            return replace(trial, state="adopted"), version
        except Conflict:
            trial = replace(trial, verdict="the network changed meanwhile: teach it again")
    await learner.store.put_trial(trial, tenant=learner.tenant)
    return trial, None


def _rules(learner: Learner, items: Sequence[Item], before: Answers) -> Rules:
    """What the change must keep: here every node is a protected slice, for nothing proves a gain on balance."""
    own = learner.base.learning
    protected = {f"node {node}": own.lost for node in nodes_with(PROTECTED, items, before)}
    return Rules(own.cost * mean_cost(before) or math.inf, protected, lost=own.lost)
