"""Where the nodes of a network stand in a picture: columns by the longest way from the entry.

A way over several columns gets a waypoint in each that it passes, so that no line runs through a node; columns
are ordered so that few lines cross (Sugiyama's method with barycentres). Knows nothing about colours or files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tinyllm.graph import Graph

GAP_X, GAP_Y, EDGE, LANE = 70, 22, 20, 16  # pixels; a lane is what a passing line takes
FARTHEST = 40  # columns; a longer way is drawn straight, which keeps the largest networks drawable
_SWEEPS = 6

Item = tuple[str, ...]  # (node,), or (source, target, column) for a waypoint


@dataclass(frozen=True, slots=True)
class Layout:
    """Top left corners of the nodes, and the points that each way passes between its two nodes."""

    width: int
    height: int
    nodes: Mapping[str, tuple[int, int]]
    ways: Mapping[tuple[str, str], Sequence[tuple[int, int]]]


def arrange(graph: Graph, ways: Iterable[tuple[str, str]], box: tuple[int, int]) -> Layout:
    """The layout of all nodes, each a box of that width and height, and of these ways (none leads back)."""
    depth_of = depths(graph)
    columns: list[list[Item]] = [[] for _ in range(max(depth_of.values()) + 1)]
    for name, depth in depth_of.items():
        columns[depth].append((name,))
    chains: dict[tuple[str, str], list[Item]] = {}
    for source, target in ways:
        between = range(depth_of[source] + 1, depth_of[target])
        points: list[Item] = []
        for column in between if len(between) < FARTHEST else ():
            points.append((source, target, str(column)))
            columns[column].append(points[-1])
        chains[source, target] = points
    _untangle(columns, [[(s,), *points, (t,)] for (s, t), points in chains.items()])
    step = box[0] + GAP_X
    heights = [sum(_height(item, box) for item in column) for column in columns]
    place: dict[Item, tuple[int, int]] = {}
    for index, items in enumerate(columns):
        y = EDGE + (max(heights) - heights[index]) // 2
        for item in items:
            place[item] = (EDGE + index * step, y)
            y += _height(item, box)
    return Layout(
        2 * EDGE + len(columns) * step - GAP_X,
        2 * EDGE + max(heights) - GAP_Y,
        {name: place[(name,)] for name in depth_of},
        {way: [(place[p][0], place[p][1] + LANE // 2) for p in points] for way, points in chains.items()},
    )


def _height(item: Item, box: tuple[int, int]) -> int:
    return box[1] + GAP_Y if len(item) == 1 else LANE


def depths(graph: Graph) -> dict[str, int]:
    """How many steps the longest way to each node takes; a legal network has no cycle but through `retry`."""
    targets: dict[str, set[str]] = {name: set() for name in graph.nodes}
    for edge in graph.edges:
        if edge.role != "retry":
            targets[edge.source].add(edge.target)
    waiting = dict.fromkeys(graph.nodes, 0)
    for found in targets.values():
        for target in found:
            waiting[target] += 1
    deep = dict.fromkeys(graph.nodes, 0)
    ready = [name for name, count in waiting.items() if not count]
    for name in ready:
        for target in targets[name]:
            deep[target] = max(deep[target], deep[name] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return deep


def _untangle(columns: list[list[Item]], chains: Iterable[Sequence[Item]]) -> None:
    """Order each column by where its neighbours stand, from left to right and back again."""
    before: dict[Item, list[Item]] = {}
    after: dict[Item, list[Item]] = {}
    for chain in chains:
        for left, right in pairwise(chain):
            before.setdefault(right, []).append(left)
            after.setdefault(left, []).append(right)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        share = {item: (row + 0.5) / len(column) for column in columns for row, item in enumerate(column)}
        for column in columns if forward else reversed(columns):
            sides = before if forward else after
            middle = {
                item: sum(share[near] for near in sides[item]) / len(sides[item])
                if item in sides
                else share[item]
                for item in column
            }
            column.sort(key=middle.__getitem__)
            share.update({item: (row + 0.5) / len(column) for row, item in enumerate(column)})
