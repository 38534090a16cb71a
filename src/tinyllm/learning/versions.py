"""The versions of a network: what it is now, how it came to be that, and how it changes or goes back.

The log of versions begins with the graph of the network's file (edit "file"), and every later version holds
its differences to the one before. A version with a share below 1 is on its way up: it answers that part of the
conversations, beside the head, which is the newest version that answers all. Where the file was changed by hand it
wins: what was learned on the old one rests, and the next change starts from the new one. Knows nothing about how a
change is found or proven.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from tinyllm.errors import Conflict, GraphError, NotFound, RequestError, StoreError
from tinyllm.graph import Graph, diff, dump, parse, patch
from tinyllm.protocols import Store, TrialRow, Version
from tinyllm.types import JSON, Request

if TYPE_CHECKING:
    from tinyllm.evidence import Ledger
    from tinyllm.learning.proposal import Proposal

FILE, ROLLOUT, ROLLBACK = "file", "rollout", "rollback"  # edits that no proposal makes
MOVES_ON = "`tinyllm learn` moves it on when enough of its answers are graded, or takes it back"
LEARNS = (
    "it learns from graded answers: say what is right (`tinyllm feedback last --answer TEXT`), then `tinyllm learn`; "
    "`tinyllm learn --replay sample` shows how"
)


@dataclass(frozen=True, slots=True)
class Head:
    """A network as it is now: `base` is its file's graph, `graph` what became of it, `versions` the whole log.

    `rising` is the graph of the version that is on its way up, if one is. `parent` is the graph before the last
    change, None where the head is no learned change.
    """

    base: Graph
    graph: Graph
    parent: Graph | None
    versions: Sequence[Version]
    rising: Graph | None = None

    @property
    def revision(self) -> int:
        """The newest revision, -1 where nothing was ever promoted."""
        return self.versions[-1].revision if self.versions else -1

    @property
    def lineage(self) -> Sequence[Version]:
        """The versions that lead from the file to the head; none where the head is the file."""
        return in_force(self.versions, self.base)

    @property
    def answering(self) -> Version | None:
        """The version that answers; None where the head is the file."""
        return answering(self.lineage)

    @property
    def change(self) -> Sequence[Version]:
        """The stages so far of the last learned change, on its way up or there; none where the head is none."""
        stages: list[Version] = []
        for version in reversed(self.lineage):
            if version.edit in (FILE, ROLLBACK):
                break
            stages.insert(0, version)
            if version.edit != ROLLOUT:
                return stages
        return ()

    @property
    def rollbacks(self) -> "Ledger":
        """The error budget of rollbacks: every learned version is watched, and one that went is proven worse."""
        from tinyllm.evidence import Ledger

        ledger = Ledger()
        for version in self.versions:
            if version.edit == ROLLBACK and version.trial is not None:
                ledger = ledger.closed(version.trial, proven=True)
            elif version.edit not in (FILE, ROLLOUT, ROLLBACK):
                ledger = ledger.opened(watched(version))
        return ledger

    @property
    def taken_back(self) -> Mapping[int, Version]:
        """The rollback that each learned version of the lineage fell to, by revision; brought back ones did not."""
        fallen: dict[int, Version] = {}
        stood: list[Sequence[int]] = []  # after each version, the learned ones that its graph is made of
        for place, version in enumerate(self.lineage):
            was = now = stood[-1] if stood else ()
            if version.edit == ROLLBACK:
                now = next(
                    stood[i] for i in range(place - 1, -1, -1) if self.lineage[i].graph == version.graph
                )
            elif version.edit not in (FILE, ROLLOUT):
                now = (*was, version.revision)
            stood.append(now)
            fallen |= dict.fromkeys(set(was) - set(now), version)
            for revision in now:
                fallen.pop(revision, None)
        return fallen


def in_force(versions: Sequence[Version], base: Graph) -> Sequence[Version]:
    """The versions since the file last began a lineage; none where the file is another by now."""
    start = max((place for place, version in enumerate(versions) if version.edit == FILE), default=0)
    return versions[start:] if versions and versions[start].graph == base.id else ()


def answering(lineage: Sequence[Version]) -> Version | None:
    """The newest version that answers all conversations; None without versions."""
    return next((version for version in reversed(lineage) if version.share == 1), None)


def rising(lineage: Sequence[Version]) -> Version | None:
    """The version that is on its way up; None where none is."""
    return lineage[-1] if lineage and lineage[-1].share < 1 else None


def takes(version: Version, request: Request) -> bool:
    """Whether a version on its way up answers the request: its share of conversations, each always alike.

    A conversation is a user's session, or else what begins with the same message.
    """
    opening = next((message.content for message in request.messages if message.role == "user"), "")
    key = f"{version.graph}\n{request.user}\n{request.session or opening}"
    place = int.from_bytes(hashlib.sha256(key.encode("utf-8", "replace")).digest()[:8], "big") / 2**64
    return place < version.share


async def head_of(store: Store, base: Graph, *, tenant: str = "local") -> Head:
    """What the network of this file is now. Raises GraphError where this release cannot run it, StoreError."""
    versions = await store.versions(base.name, tenant=tenant)
    lineage = in_force(versions, base)
    up, done = rising(lineage), [version for version in lineage if version.share == 1]
    learned = done and done[-1].edit not in (FILE, ROLLBACK)
    return Head(
        base,
        await stored(store, done[-1].graph, tenant) if done else base,
        await stored(store, done[-2].graph, tenant) if learned else None,
        versions,
        await stored(store, up.graph, tenant) if up else None,
    )


async def adopt(
    store: Store,
    head: Head,
    proposal: "Proposal",
    trial: TrialRow | None = None,
    *,
    base: Graph | None = None,
    tenant: str = "local",
) -> Version:
    """The version with the proposal's graph, kept with its trial and its model files, all or nothing.

    It answers the first share of the network's rollout. `base` is the file's graph as it is by now, where it may
    have changed. Raises Conflict where the network is no longer the head that the proposal was made for, and while
    another version is on its way up: nothing is adopted then.
    """
    if base is not None and base.id != head.base.id:
        raise Conflict(
            f"the file of network {head.base.name!r} was changed meanwhile",
            hint="start over from what it is now",
        )
    if head.rising is not None:
        raise Conflict(
            f"version {head.revision} of network {head.base.name!r} is on its way up",
            hint="let it arrive, or take it back with `tinyllm rollback`",
        )
    proof = None if trial is None else replace(trial, state="adopted")
    version = _version(head, proposal.graph, proposal.edit, proposal.reason, trial.id if trial else None)
    version = replace(version, share=head.base.learning.rollout[0])
    await _save(store, proposal.graph, tenant)
    expected = await _begun(store, head, tenant)
    await store.promote(version, expected=expected, trial=proof, files=proposal.files, tenant=tenant)
    return replace(version, revision=expected + 1)


async def roll_out(
    store: Store, head: Head, share: float, reason: str, evidence: Mapping[str, JSON], tenant: str = "local"
) -> Version:
    """The next stage of the version that is on its way up. Raises Conflict where the network changed meanwhile."""
    last = head.versions[-1]
    stage = replace(
        last,
        revision=last.revision + 1,
        edit=ROLLOUT,
        reason=reason,
        changes=(),
        created=None,
        share=share,
        evidence=evidence,
    )
    await store.promote(stage, expected=last.revision, tenant=tenant)
    return stage


async def roll_back(
    store: Store,
    head: Head,
    reason: str,
    tenant: str = "local",
    *,
    to: Version | None = None,
    evidence: Mapping[str, JSON] | None = None,
) -> Version:
    """The version that makes an earlier one's graph the head again, and ends what is on its way up.

    Without `to` that is the graph before the last change, since live traffic has proven that one worse. Raises
    Conflict where the network changed meanwhile.
    """
    before = head.graph if head.rising else head.parent
    if to is not None:
        before = await stored(store, to.graph, tenant)
    assert before is not None, "only a learned change is taken back by itself"
    proof = watched(head.change[0]) if to is None else None
    newest = replace(head, graph=head.rising or head.graph)
    version = replace(_version(newest, before, ROLLBACK, reason, proof), evidence=evidence or {})
    await store.promote(version, expected=head.revision, tenant=tenant)
    return replace(version, revision=head.revision + 1)


def earlier(head: Head, name: int | str) -> Version:
    """The version of that revision, or the latest one with the graph of that id, to roll back to.

    Raises NotFound where there is none, RequestError where it is no way back.
    """
    network = f"network {head.base.name!r}"
    found = [version for version in head.versions if name in (version.revision, version.graph)]
    if not head.versions:
        raise NotFound(f"{network} never changed: there is nothing to go back to", hint=LEARNS)
    if not found:
        raise NotFound(f"{network} has no version {name!r}", hint="`tinyllm history` lists them")
    if found[-1] not in head.lineage:
        raise RequestError(
            f"version {name!r} of {network} belongs to another state of the network's file",
            hint="undo the change of the file (or ask with the file that it was learned on, where another has the same "
            "name), and its versions count again",
        )
    up = rising(head.lineage)
    if up is not None and found[-1].graph == up.graph:
        raise RequestError(f"version {name!r} of {network} is on its way up already", hint=MOVES_ON)
    if up is None and found[-1].graph == head.graph.id:
        raise RequestError(f"{network} answers as in version {name!r} already", hint="nothing to do")
    return found[-1]


async def replay(store: Store, network: str, *, tenant: str = "local") -> Graph | None:
    """The graph that answers, made anew from the first one and the log of changes; None without versions.

    Raises StoreError where a step does not lead to the version that the log names.
    """
    versions = await store.versions(network, tenant=tenant)
    if not versions:
        return None
    head = graph = await stored(store, versions[0].graph, tenant)
    for version in versions[1:]:
        try:
            graph = patch(graph, version.changes)
        except GraphError as error:
            raise _torn(version, error.message) from error
        if graph.id != version.graph:
            raise _torn(version, f"its changes make the graph {graph.id!r} rather than {version.graph!r}")
        head = graph if version.share == 1 else head
    return head


async def stored(store: Store, graph_id: str, tenant: str = "local") -> Graph:
    """The graph of that id. Raises NotFound, or GraphError where this release cannot run it."""
    from tinyllm.tools.table import TOOLS

    return parse(await store.graph(graph_id, tenant=tenant), source=f"graph {graph_id}", tools=TOOLS)


async def _save(store: Store, graph: Graph, tenant: str) -> None:
    await store.save_graph(graph.id, graph.name, dump(graph), tenant=tenant)


async def _begun(store: Store, head: Head, tenant: str) -> int:
    """The newest revision, of a lineage that begins with the file."""
    if head.lineage:
        return head.revision
    await _save(store, head.base, tenant)
    first, before = "as the file has it", head.base
    if head.versions:
        first = "the file was changed by hand"
        before = await stored(store, head.versions[-1].graph, tenant)
    version = _version(replace(head, graph=before), head.base, FILE, first)
    await store.promote(version, expected=head.revision, tenant=tenant)
    return head.revision + 1


def _version(head: Head, graph: Graph, edit: str, reason: str, trial: str | None = None) -> Version:
    changes = [asdict(difference) for difference in diff(head.graph, graph)]
    return Version(head.base.name, head.revision + 1, graph.id, edit, reason, changes, trial)


def watched(version: Version) -> str:
    """The name of a version in the ledger of rollbacks."""
    return f"version {version.revision}"


def _torn(version: Version, why: str) -> StoreError:
    return StoreError(
        f"version {version.revision} of network {version.network!r} does not follow from the one before: {why}",
        hint="the store was altered: restore a back-up, or go on from the network's file",
    )
