"""A network as a picture: text, Mermaid or SVG. Pure functions of a graph; nothing here prints or writes."""

from collections.abc import Mapping
from html import escape

from tinyllm.graph import Graph

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 150, 44, 70, 24
_COLORS: Mapping[str, str] = {
    "entry": "#dbeafe", "exit": "#dbeafe", "router": "#fef3c7", "specialist": "#dcfce7",
    "tool": "#ede9fe", "gate": "#fee2e2", "memory": "#e0f2fe", "human": "#fce7f3",
}  # fmt: skip
_RECOVERY = ("retry", "simpler", "larger", "human")


def text(graph: Graph) -> str:
    """Each node with what it does and where it leads, in reading order."""
    lines = [f"{graph.name} ({graph.id}), {len(graph.nodes)} nodes"]
    if graph.description:
        lines.append(f"  {graph.description}")
    width = max(map(len, graph.nodes))
    for depth, name in sorted((depth, name) for name, depth in _depths(graph).items()):
        node = graph.nodes[name]
        what = getattr(node, "model", None) or getattr(node, "tool", None) or ""
        targets = [
            edge.target + (f" ({edge.label or edge.role})" if edge.role != "next" else "")
            for edge in graph.edges
            if edge.source == name and edge.role not in ("human",)
        ]
        line = f"{'  ' * (depth > 0)}{name:<{width}}  {node.kind:<10} {what:<16} {'-> ' if targets else ''}"
        lines.append((line + ", ".join(targets)).rstrip())
    return "\n".join(lines)


def mermaid(graph: Graph) -> str:
    """The network as a Mermaid flowchart; dotted ways are those of recovery."""
    names = {name: f"n{index}" for index, name in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for name, node in graph.nodes.items():
        lines.append(f'  {names[name]}["{name}<br/>{node.kind}"]')
    for edge in graph.edges:
        arrow = "-.->" if edge.role in _RECOVERY else "-->"
        label = edge.label or ("" if edge.role == "next" else edge.role)
        lines.append(f"  {names[edge.source]} {arrow}{f'|{label}|' if label else ''} {names[edge.target]}")
    return "\n".join(lines)


def svg(graph: Graph) -> str:
    """The network as one SVG file: columns by distance from the entry, dashed ways are those of recovery."""
    columns: dict[int, list[str]] = {}
    for name, depth in _depths(graph).items():
        columns.setdefault(depth, []).append(name)
    place = {
        name: (20 + depth * (_WIDTH + _GAP_X), 20 + row * (_HEIGHT + _GAP_Y))
        for depth, names in columns.items()
        for row, name in enumerate(names)
    }
    width = 20 + (max(columns) + 1) * (_WIDTH + _GAP_X)
    height = 20 + max(map(len, columns.values())) * (_HEIGHT + _GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        f"<title>{escape(graph.name)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>',
    ]
    for edge in graph.edges:
        if edge.role == "human":
            continue  # from every specialist to one node: lines without news
        (x1, y1), (x2, y2) = place[edge.source], place[edge.target]
        x1, y1, y2 = x1 + _WIDTH, y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
        dash = ' stroke-dasharray="4 4"' if edge.role in _RECOVERY else ""
        bend = max(40, abs(x2 - x1) // 2)
        parts.append(
            f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" fill="none" '
            f'stroke="#64748b"{dash} marker-end="url(#tip)"/>'
        )
    for name, (x, y) in place.items():
        kind = graph.nodes[name].kind
        middle = x + _WIDTH // 2
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="{_COLORS[kind]}" '
            f'stroke="#334155"/><text x="{middle}" y="{y + 19}" text-anchor="middle" font-weight="bold">'
            f'{escape(name)}</text><text x="{middle}" y="{y + 35}" text-anchor="middle" fill="#475569">'
            f"{kind}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def _depths(graph: Graph) -> dict[str, int]:
    """How many steps each node is from the entry by the shortest way."""
    following: dict[str, list[str]] = {}
    for edge in graph.edges:
        following.setdefault(edge.source, []).append(edge.target)
    depths = {graph.entry: 0}
    queue = [graph.entry]
    for name in queue:
        for target in following.get(name, ()):
            if target not in depths:
                depths[target] = depths[name] + 1
                queue.append(target)
    return depths
