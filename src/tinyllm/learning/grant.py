"""Proposals of tools: a language model that fails what a tool of the catalogue computes is granted that tool.

Which tool is found by search: the one whose calls give the right answers to most of what the node failed. The
model then sees the tool's description and makes the calls itself. Knows nothing about how a proposal is tried.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyllm.graph import Graph, Specialist, put_nodes
from tinyllm.learning.proposal import Cluster, Findings, Proposal
from tinyllm.learning.search import find_calls
from tinyllm.protocols import Tool
from tinyllm.slots import Ops

TURNS = 2  # that a model needs, at least: one to call, one to answer


@dataclass(frozen=True, slots=True)
class Grants:
    """Proposes one tool for each failing language model. `ops` are the operations of these `tools` to search."""

    ops: Ops
    tools: Mapping[str, Tool]

    async def __call__(self, findings: Findings) -> Sequence[Proposal]:
        made = []
        for node, spec, kinds in findings.of_prompted():
            made += await self._granted(findings.head, node, spec, kinds)
        return made

    async def _granted(
        self, head: Graph, node: str, spec: Specialist, kinds: Sequence[Cluster]
    ) -> list[Proposal]:
        failed = [item for cluster in kinds for item in cluster.items if not item.passed]
        lacking = {name: tool for name, tool in self.tools.items() if name not in spec.tools}
        targets = await find_calls(failed, self.ops, lacking)
        if not targets:
            return []
        solved = Counter(self.ops[target.op].tool for target in targets)
        tool, count = solved.most_common(1)[0]
        example = next(target.item for target in targets if self.ops[target.op].tool == tool)
        reason = (
            f"{tool} gives the right answer to {count} of {len(failed)} requests that {node} failed, "
            f"such as {example.request.text!r}"
        )
        put = spec.model_copy(update={"tools": (*spec.tools, tool), "turns": max(spec.turns, TURNS)})
        graph = put_nodes(head, {node: put}, tools=tuple(self.tools))
        return [Proposal("tool", node, reason, graph)]
