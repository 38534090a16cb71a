"""The one look at confirm: what a change must show there, who pays for it, and who must agree to it.

Knows nothing about how a change came about, or what becomes of it once it is adopted.
"""

import hashlib
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from tinyllm.errors import Conflict
from tinyllm.evidence import Ledger
from tinyllm.graph import Graph, Specialist
from tinyllm.learning.items import Item, among
from tinyllm.learning.proposal import Proposal
from tinyllm.learning.traffic import SHARES
from tinyllm.learning.trial import Contest, Rules, Verdict, confirm
from tinyllm.learning.tryout import Answers, Tryout, mean_cost, nodes_with, outcome
from tinyllm.learning.versions import Head, adopt
from tinyllm.protocols import Store, TrialRow, Version

PROTECTED = 20  # groups of a node's traffic from which on no change may harm it
HEAD = "the network as it is"
ELSEWHERE = "the network changed meanwhile, by another learner or by hand: learn again"

Consent = Callable[[Proposal, Verdict], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Proof:
    """Where winners meet confirm, and the network becomes what they are where that proves it and `consent` agrees.

    `read` reads the network's file again, where it may change.
    """

    store: Store
    consent: Consent
    read: Callable[[], Graph] | None
    tenant: str

    async def __call__(
        self,
        head: Head,
        proposal: Proposal,
        won: Contest,
        rules: Rules,
        items: Sequence[Item],
        tryout: Tryout,
    ) -> tuple[TrialRow, Version | None]:
        """The trial of a contest's winner as it is kept from now on, and the version that it led to."""
        network = head.base.name
        last = among(items, network, "confirm")
        trial = TrialRow(
            trial_id(head.graph, proposal.graph, last),
            network,
            proposal.edit,
            proposal.node,
            proposal.reason,
            "waiting",
            evidence={
                "saves": proposal.saves,
                "made": proposal.price,
                "newest": max(item.created for item in items),
                "select": won.evidence,
            },
        )
        groups = len({item.group for item in last})
        if groups < won.needed:
            missing = math.ceil((won.needed - groups) / SHARES["confirm"])
            lack = (
                f"too little evidence: to prove it takes {won.needed} kinds of graded requests that it was"
                f" not made from, and there are {groups or 'none'} (about {missing} more graded requests are missing)"
            )
            return await self._kept(replace(trial, verdict=lack)), None
        # From here on the look is paid for: a cycle that is cut short comes back to this trial.
        ledger = ledger_of(await self.store.trials(network, tenant=self.tenant))
        trial = replace(trial, state="open", number=len(ledger.opened(trial.id).entries))
        try:
            await self._kept(trial)
        except Conflict:
            return replace(trial, state="waiting", number=None, verdict=ELSEWHERE), None
        before = await tryout.answers(head.graph, last, HEAD)
        after = await tryout.answers(proposal.graph, last, won.winner or "", proposal.files)
        mended = _mended(head.graph, proposal)
        protected = rules_for(head.base, last, before, but=mended).protected
        tried = replace(outcome(last, before, after, but=mended), spare=proposal.spare)
        verdict, _ = confirm(trial.id, won, tried, ledger, replace(rules, protected=protected))
        trial = replace(
            trial,
            state="rejected",
            verdict=verdict.reason,
            evidence={**trial.evidence, "confirm": verdict.evidence},
        )
        return await self._decided(head, proposal, trial, verdict)

    async def _decided(
        self, head: Head, proposal: Proposal, trial: TrialRow, verdict: Verdict
    ) -> tuple[TrialRow, Version | None]:
        if not verdict.adopted:
            return await self._kept(trial), None
        if not await self.consent(proposal, verdict):
            # Its look is paid for: whoever agrees later, on the same evidence, pays nothing more.
            said = f"proven, but nobody agreed to it; {verdict.reason.removeprefix('adopted: ')}"
            return await self._kept(replace(trial, state="waiting", verdict=said)), None
        trial = replace(trial, state="adopted")
        try:
            base = self.read and self.read()
            return trial, await adopt(self.store, head, proposal, trial, base=base, tenant=self.tenant)
        except Conflict:
            trial = replace(trial, state="rejected", verdict=f"proven, but {ELSEWHERE}")
            return await self._kept(trial), None

    async def _kept(self, trial: TrialRow) -> TrialRow:
        await self.store.put_trial(trial, tenant=self.tenant)
        return trial


def rules_for(base: Graph, items: Sequence[Item], before: Answers, *, but: Collection[str] = ()) -> Rules:
    """What a change must show. The nodes that it mends are no protected slices: there it must gain on balance."""
    own = base.learning
    nodes = [node for node in nodes_with(PROTECTED, items, before) if node not in but]
    protected = {f"node {node}": own.lost for node in nodes}
    cap = own.cost * mean_cost(before)
    return Rules(cap or math.inf, protected, gain=own.gain)


def _mended(head: Graph, proposal: Proposal) -> Collection[str]:
    """The nodes that a proposal is about: the one it names, and those that it changes or trains anew."""
    after = proposal.graph
    changed = {
        name
        for name, spec in head.nodes.items()
        if isinstance(spec, Specialist)
        and (after.nodes.get(name), after.models.get(spec.model)) != (spec, head.models[spec.model])
    }
    return {proposal.node, *changed}


def ledger_of(trials: Iterable[TrialRow]) -> Ledger:
    """The ledger of the trials that were looked at, in the order of their numbers."""
    ledger = Ledger()
    for trial in sorted((t for t in trials if t.number is not None), key=lambda t: t.number or 0):
        ledger = ledger.opened(trial.id)
        if trial.state in ("adopted", "rejected"):
            ledger = ledger.closed(trial.id, proven=trial.state == "adopted")
    return ledger


def trial_id(head: Graph, candidate: Graph, last: Sequence[Item]) -> str:
    """One trial is one change of one network, held against one body of evidence."""
    text = "\n".join((head.id, candidate.id, *sorted(item.trace.run_id for item in last)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
