"""What becomes of an adopted change: stage by stage up to all conversations, or back where live traffic says so.

Since it was adopted, each graded request is answered by both, the change and what was before it, one live and the
other on the bench: these pairs decide, all of them at every look, by a test that may be asked at any time. Knows
nothing about how a change was found or proven.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinyllm.errors import Conflict
from tinyllm.learning.items import Item, mostly, several
from tinyllm.learning.proof import HEAD, rules_for
from tinyllm.learning.traffic import Outcome
from tinyllm.learning.trial import as_data, watch
from tinyllm.learning.tryout import Tryout, outcome
from tinyllm.learning.versions import Head, roll_back, roll_out, watched
from tinyllm.protocols import Store, Version


@dataclass(frozen=True, slots=True)
class Live:
    """What live traffic says of the last change, in words. `version` is the next stage or the rollback that it
    led to, None where the change stays as it is."""

    words: str
    version: Version | None = None


async def look_back(
    store: Store, head: Head, items: Sequence[Item], tryout: Tryout, tenant: str = "local"
) -> Live | None:
    """What became of the network's last change; None without one, and where nothing is graded since.

    Raises StoreError, and what the bench raises.
    """
    before, after = (head.graph, head.rising) if head.rising else (head.parent, head.graph)
    if before is None or after is None:
        return None
    stages = head.change
    ids = [tryout.bench.effective(graph).id for graph in (before, after)]
    live = [item for item in items if item.trace.graph in ids and _since(item, stages[0])]
    if not live and head.rising is None:
        return None
    was = await tryout.answers(before, live, "the version before" if head.rising is None else HEAD)
    now = await tryout.answers(after, live, HEAD if head.rising is None else "the version on its way up")
    if several(items):
        worse = [item for item in live if was[item.trace.run_id][0] and now[item.trace.run_id][0] is False]
        user = mostly(worse)
        live = [item for item in live if user is None or item.by != user]
    name = watched(stages[0])
    margin = await _margin(store, head, tenant)
    rules = replace(rules_for(head.base, live, was), margin=margin)
    verdict, _ = watch(name, outcome(live, was, now), head.rollbacks.opened(name), rules)
    try:
        if not verdict.adopted:
            back = await roll_back(store, head, verdict.reason, tenant, evidence=verdict.evidence)
            return Live(f"version {stages[-1].revision} is {verdict.reason}", back)
        if head.rising is None:
            return Live(f"version {stages[-1].revision} {verdict.reason}")
        own = [item for item in live if _since(item, stages[-1])]
        if stages[-1].share:
            own = [item for item in own if item.trace.graph == ids[1]]
        return await _move_on(store, head, outcome(own, was, now), margin, tenant)
    except Conflict:
        return Live("the network changed meanwhile: the next cycle looks again")


async def _move_on(store: Store, head: Head, seen: Outcome, margin: float, tenant: str) -> Live:
    """The next stage, where this one has shown enough and loses nothing on balance."""
    stage, rules, tally = head.change[-1], head.base.learning, seen.tally
    here = f"version {stage.revision}, {stage.stage}: {tally}"
    if tally.pairs < rules.answers:
        return Live(f"{here}; {rules.answers} are needed, each of another kind, before it moves on")
    if tally.gain < -margin:
        return Live(f"{here}; it moves on when no more are worse than better")
    share = next(share for share in rules.rollout if share > stage.share)
    made = await roll_out(store, head, share, f"{tally} at the stage before", as_data(seen), tenant)
    return Live(f"{here}; as version {made.revision} it {made.stage}", made)


def _since(item: Item, version: Version) -> bool:
    return item.created > (version.created or 0.0)


async def _margin(store: Store, head: Head, tenant: str) -> float:
    """What the last change may lose, as its trial allowed: one that saves is not taken back for less."""
    trials = await store.trials(head.base.name, tenant=tenant)
    proof = next((trial for trial in trials if trial.id == head.change[0].trial), None)
    confirm = proof.evidence.get("confirm") if proof else None
    return float(confirm.get("margin", 0.0)) if confirm else 0.0
