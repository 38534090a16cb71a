"""The routing experiment as a picture: what is right at which price, in plain SVG."""

from collections.abc import Iterator, Mapping
from typing import Any

from tinyllm.bench.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, across, curve, rule, sheet, text, up

_CURVES = (
    ("full_information", "#2563eb", "labelled rows alone"),
    ("bandit", "#16a34a", "learning while serving"),
    ("escalate", "#dc2626", "the same, checked"),
)
_MORE = (("task_oracle", "#a16207", "tasks told"), ("linucb", "#7c3aed", "LinUCB"))
_BELOW = 0.1  # how far below the curves a model is shown
_BAND = "fill-opacity='0.12' stroke='none'"


def picture(report: Mapping[str, Any]) -> str:
    """The picture of a report: policies as curves with 95% bands, single models as points with intervals.

    Models that are right far less often than any curve are counted only, or they would press it flat.
    """
    return sheet(_parts(report))


def _parts(report: Mapping[str, Any]) -> Iterator[str]:
    rows = {row["name"]: row for row in report["policies"]}
    singles = [row for name, row in rows.items() if name.startswith("single:")]
    curves = {**report["curves"], "escalate": report["escalate"][0]["points"]}
    points = [point for name, *_ in _CURVES for point in curves[name]]
    lowest = max(0, int((min(row["interval"][0] for row in points) - _BELOW) * 10)) / 10
    near = [row for row in singles if row["interval"][0] >= lowest]
    shown = [*near, *points]
    highest = -int(-max(row["interval"][1] for row in shown) * 10 - 1) / 10
    widest, dearest = (float(max(row["price"] for row in some)) for some in (shown, singles))

    def part(price: float) -> float:
        return float(price / widest / 1.05)

    def share(right: float) -> float:
        return (right - lowest) / (highest - lowest)

    def whisker(row: Mapping[str, Any], color: str) -> str:
        low, high = (up(share(edge)) for edge in row["interval"])
        at, middle = across(part(row["price"])), up(share(row["accuracy"]))
        line = f"<line x1='{at}' x2='{at}' y1='{low}' y2='{high}' stroke='{color}'/>"
        return line + f"<circle cx='{at}' cy='{middle}' r='3.5' fill='{color}'/>"

    yield text(LEFT, 18, f"What is right at which price, {report['n']} requests")
    for step in range(round(lowest * 10), round(highest * 10) + 1):
        yield rule(share(step / 10), f"{step / 10:.0%}")
    for step in range(5):
        price = dearest * step / 4
        yield text(across(part(price)), HEIGHT - BOTTOM + 18, f"{price:.3g}", "middle")
    yield text(across(0.5), HEIGHT - 12, "price of a request", "middle")
    place = TOP + 4
    for name, color, label in _CURVES:
        points = sorted(curves[name], key=lambda row: float(row["price"]))
        edges = [(row["price"], row["interval"][0]) for row in points]
        edges += [(row["price"], row["interval"][1]) for row in reversed(points)]
        around = " ".join(f"{across(part(price))},{up(share(edge))}" for price, edge in edges)
        yield f"<polygon points='{around}' fill='{color}' {_BAND}/>"
        yield curve(((part(row["price"]), share(row["accuracy"])) for row in points), color)
        yield text(WIDTH - RIGHT + 22, place, label, color=color)
        place += 20
    for row in near:
        yield whisker(row, "#6b7280")
    below = f" ({len(singles) - len(near)} lie below)" if len(near) < len(singles) else ""
    yield text(WIDTH - RIGHT + 22, place, f"one model for all{below}", color="#6b7280")
    for name, color, label in _MORE:
        if name in rows:
            place += 20
            yield whisker(rows[name], color)
            yield text(WIDTH - RIGHT + 22, place, label, color=color)
