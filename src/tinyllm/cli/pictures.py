"""A network as a picture: text, Mermaid or SVG. Pure functions of a graph; nothing here prints or writes."""

from collections.abc import Mapping
from html import escape

from tinyllm.cli.layout import EDGE, LANE, arrange, depths
from tinyllm.graph import Graph
from tinyllm.graph.spec import NodeSpec

_HEIGHT = 44
_COLORS: Mapping[str, str] = {
    "entry": "#dbeafe", "exit": "#dbeafe", "router": "#fef3c7", "specialist": "#dcfce7",
    "tool": "#ede9fe", "gate": "#fee2e2", "memory": "#e0f2fe", "human": "#fce7f3",
}  # fmt: skip
_RECOVERY = ("retry", "simpler", "larger", "human")


def text(graph: Graph) -> str:
    """Each node with what it does and where it leads, in reading order."""
    lines = [f"{graph.name} ({graph.id}), {len(graph.nodes)} nodes"]
    if graph.description:
        lines.append(f"  {_cut(graph.description, 300)}")
    width = max(map(len, graph.nodes))
    distance = depths(graph)
    for name in sorted(graph.nodes, key=distance.__getitem__):
        node = graph.nodes[name]
        targets = []
        for edge in graph.edges:
            if edge.source == name and edge.role != "human":
                plain = edge.role == "next" or edge.label == edge.target
                targets.append(edge.target if plain else f"{edge.target} ({edge.label or edge.role})")
        line = f"{name:<{width}}  {node.kind:<10} {_runs(node):<16} {'-> ' if targets else ''}"
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
    below = {name: f"{node.kind}: {_runs(node)}".rstrip(": ") for name, node in graph.nodes.items()}
    widest = max(max(8 * len(name), 7 * len(below[name])) for name in graph.nodes)
    width = max(120, min(260, widest + 16))
    # To the human queue leads a way from everywhere: lines without news. `retry` goes back below everything.
    dashed: dict[tuple[str, str], bool] = {}
    for edge in sorted(graph.edges, key=lambda edge: edge.role in _RECOVERY):
        if edge.role not in ("human", "retry"):
            dashed.setdefault((edge.source, edge.target), edge.role in _RECOVERY)
    layout = arrange(graph, dashed, (width, _HEIGHT))
    back = [edge for edge in graph.edges if edge.role == "retry"]
    height = layout.height + (LANE * (len(back) + 1) if back else 0) + LANE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width} {height}" width="{layout.width}" '
        f'height="{height}" style="max-width:100%;height:auto" font-family="sans-serif" font-size="12">',
        f"<title>{escape(graph.name)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#7c8aa0"/></marker></defs>',
    ]
    for (source, target), points in layout.ways.items():
        (x, y), (end_x, end_y) = layout.nodes[source], layout.nodes[target]
        x, y = x + width, y + _HEIGHT // 2
        path = [f"M{x} {y}"]
        for to_x, to_y in [*points, (end_x, end_y + _HEIGHT // 2)]:
            middle = (x + to_x) // 2
            path.append(f"C{middle} {y} {middle} {to_y} {to_x} {to_y}")
            if to_x != end_x:  # past the nodes of this column
                path.append(f"H{to_x + width}")
            x, y = to_x + width, to_y
        parts.append(_line("".join(path), dashed=dashed[source, target]))
    for lane, edge in enumerate(back):
        (x, y), (end_x, end_y) = layout.nodes[edge.source], layout.nodes[edge.target]
        aside, low = 16 + 5 * lane, layout.height + lane * LANE
        down, up = x + width + aside, end_x - aside  # in the gaps beside the two columns
        parts.append(_line(f"M{x + width} {y + 34}H{down}V{low}H{up}V{end_y + 34}H{end_x}", dashed=True))
    for name, (x, y) in layout.nodes.items():
        parts.append(
            f"<g><title>{escape(name)}, {escape(below[name])}</title>"
            f'<rect x="{x}" y="{y}" width="{width}" height="{_HEIGHT}" rx="8" '
            f'fill="{_COLORS[graph.nodes[name].kind]}" stroke="#334155"/>'
            f'<text x="{x + width // 2}" y="{y + 19}" text-anchor="middle" font-weight="bold" fill="#0f172a">'
            f"{escape(_cut(name, width // 8))}</text>"
            f'<text x="{x + width // 2}" y="{y + 35}" text-anchor="middle" fill="#475569">'
            f"{escape(_cut(below[name], width // 7))}</text></g>"
        )
    if any(edge.role in _RECOVERY for edge in graph.edges):
        note = "dashed: recovery" + (f"; what nothing answers goes to {graph.human}" if graph.human else "")
        parts.append(f'<text x="{EDGE}" y="{height - 8}" font-size="11" fill="#7c8aa0">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _runs(node: NodeSpec) -> str:
    """The model or tool that the node runs on."""
    return str(getattr(node, "model", None) or getattr(node, "tool", None) or "")


def _line(path: str, *, dashed: bool) -> str:
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<path d="{path}" fill="none" stroke="#7c8aa0"{dash} marker-end="url(#tip)"/>'


def _cut(text: str, limit: int) -> str:
    """One line without control characters, which could otherwise steer the terminal."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
