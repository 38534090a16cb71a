"""The growth experiment as a picture: what fails by requests answered, mean of all seeds, in plain SVG."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinyllm.bench.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, across, curve, rule, sheet, text, up

_LINES = (("seen", "#2563eb", "phrasing of the stream"), ("unseen", "#dc2626", "held-out phrasing"))


def picture(report: Mapping[str, Any]) -> str:
    """The picture of a report: the network over time, and each control at the end."""
    return sheet(_parts(report))


def _parts(report: Mapping[str, Any]) -> Iterator[str]:
    runs = report["runs"]
    steps = [point["requests"] for point in runs[0]["points"]]
    last = steps[-1]
    yield text(LEFT, 18, f"Requests that fail in the sealed test, mean of {len(runs)} networks")
    for share in (0, 0.2, 0.4, 0.6, 0.8, 1):
        yield rule(share, f"{share:.0%}")
    for step in steps:
        yield text(across(step / last), HEIGHT - BOTTOM + 18, str(step), "middle")
    yield text(across(0.5), HEIGHT - 12, "requests answered and graded", "middle")
    for test, color, label in _LINES:
        means = [_mean([run["points"][at][test] for run in runs]) for at in range(len(steps))]
        yield curve(((step / last, mean) for step, mean in zip(steps, means, strict=True)), color)
        yield text(across(1) - 6, up(means[-1]) - 6, label, "end", color)
    place = TOP + 4
    yield text(WIDTH - RIGHT + 22, place, "at the end: seen / unseen")
    for name, row in report["networks"].items():
        place += 20
        shown = f"{row['seen']['failure']:.1%} / {row['unseen']['failure']:.1%}"
        yield text(WIDTH - RIGHT + 22, place, f"{name.replace('_', ' ')}: {shown}")
        for test, color, _ in _LINES:
            if name not in ("before", "after"):
                y = up(row[test]["failure"])
                yield f"<circle cx='{across(1)}' cy='{y}' r='3.5' fill='white' stroke='{color}'/>"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
