"""What the pictures of experiments share: a sheet with a frame for curves, in plain SVG. Knows nothing about data."""

from collections.abc import Iterable
from html import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 400, 60, 30, 210, 50


def sheet(parts: Iterable[str]) -> str:
    return "\n".join(
        (
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' "
            "font-family='sans-serif' font-size='12'>",
            f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
            *parts,
            "</svg>",
            "",
        )
    )


def across(share: float) -> float:
    """The place of a share of the frame's width."""
    return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def up(share: float) -> float:
    """The place of a share of the frame's height, from below."""
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share), 1)


def rule(share: float, told: str) -> str:
    """A line across the frame, with what it stands for."""
    y = up(share)
    line = f"<line x1='{across(0)}' x2='{across(1)}' y1='{y}' y2='{y}' stroke='#e5e7eb'/>"
    return line + text(LEFT - 8, y + 4, told, "end")


def curve(points: Iterable[tuple[float, float]], color: str) -> str:
    """A line through points, which are shares of the frame."""
    dots = " ".join(f"{across(x)},{up(y)}" for x, y in points)
    return f"<polyline points='{dots}' fill='none' stroke='{color}' stroke-width='2.5'/>"


def text(x: float, y: float, told: str, anchor: str = "start", color: str = "#111827") -> str:
    return f"<text x='{x}' y='{y}' text-anchor='{anchor}' fill='{color}'>{escape(told)}</text>"
