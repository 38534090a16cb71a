"""The growth experiment as a picture: what fails by requests answered, mean of all seeds, in plain SVG."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 400, 60, 30, 210, 50
_LINES = (("seen", "#2563eb", "phrasing of the stream"), ("unseen", "#dc2626", "held-out phrasing"))


def picture(report: Mapping[str, Any]) -> str:
    """The picture of a report: the network over time, and each control at the end."""
    return "\n".join(
        (
            "<svg xmlns='http://www.w3.org/2000/svg' width='760' height='400' "
            "font-family='sans-serif' font-size='12'>",
            *_parts(report),
            "</svg>",
            "",
        )
    )


def _parts(report: Mapping[str, Any]) -> Iterator[str]:
    runs = report["runs"]
    steps = [point["requests"] for point in runs[0]["points"]]
    last = steps[-1]
    yield f"<rect width='{_WIDTH}' height='{_HEIGHT}' fill='white'/>"
    yield _text(_LEFT, 18, f"Requests that fail in the sealed test, mean of {len(runs)} networks")
    for share in (0, 0.2, 0.4, 0.6, 0.8, 1):
        yield f"<line x1='{_x(0, last)}' x2='{_x(last, last)}' y1='{_y(share)}' y2='{_y(share)}' stroke='#e5e7eb'/>"
        yield _text(_LEFT - 8, _y(share) + 4, f"{share:.0%}", "end")
    for step in steps:
        yield _text(_x(step, last), _HEIGHT - _BOTTOM + 18, str(step), "middle")
    yield _text((_x(0, last) + _x(last, last)) / 2, _HEIGHT - 12, "requests answered and graded", "middle")
    for test, color, label in _LINES:
        means = [_mean([run["points"][at][test] for run in runs]) for at in range(len(steps))]
        dots = " ".join(f"{_x(step, last)},{_y(mean)}" for step, mean in zip(steps, means, strict=True))
        yield f"<polyline points='{dots}' fill='none' stroke='{color}' stroke-width='2.5'/>"
        yield _text(_x(last, last) - 6, _y(means[-1]) - 6, label, "end", color)
    place = _TOP + 4
    yield _text(_WIDTH - _RIGHT + 22, place, "at the end: seen / unseen")
    for name, row in report["networks"].items():
        place += 20
        shown = f"{row['seen']['failure']:.1%} / {row['unseen']['failure']:.1%}"
        yield _text(_WIDTH - _RIGHT + 22, place, f"{name.replace('_', ' ')}: {shown}")
        for test, color, _ in _LINES:
            if name not in ("before", "after"):
                y = _y(row[test]["failure"])
                yield f"<circle cx='{_x(last, last)}' cy='{y}' r='3.5' fill='white' stroke='{color}'/>"


def _x(step: float, last: float) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * step / last, 1)


def _y(share: float) -> float:
    return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share), 1)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _text(x: float, y: float, text: str, anchor: str = "start", color: str = "#111827") -> str:
    return f"<text x='{x}' y='{y}' text-anchor='{anchor}' fill='{color}'>{escape(text)}</text>"
