"""The report card of a pipeline: figures, the cost of each stage, as JSON, table and Markdown."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinyllm.lab.folder import Folder
from tinyllm.lab.letters import share_interval

STAGES = ("tokenizer", "pretrain", "midtrain", "finetune", "reinforce")


def finish(folder: Folder, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Write card.json and card.md, and return the figures."""
    parts = {stage: folder.once(stage, dict) for stage in STAGES}
    figures = {key: value for key, value in parts["pretrain"].items() if key not in ("tokens", "macs")}
    for kind in ("sums", "replies", "stories", "talk"):
        for when, found in (("tuned", before), ("reinforced", after)):
            figures[f"{kind}_{when}"] = mean(found[kind])
            figures[f"{kind}_{when}_interval"] = share_interval(mean(found[kind]), len(found[kind]))
    figures["stories_gain"], figures["stories_gain_interval"] = paired(before["stories"], after["stories"])
    figures["tested"] = len(after["sums"])
    costs = {
        stage: {
            "tokens": part.get("tokens", 0),
            "macs": part.get("macs", 0),
            "cpu_seconds": round(
                part.get("cpu_seconds", 0) + sum(folder.curve(f"{stage} train", "cpu")[1]), 1
            ),
        }
        for stage, part in parts.items()
    }
    seconds = before["cpu_seconds"] + after["cpu_seconds"]
    costs["evaluate"] = {"tokens": 0, "macs": 0, "cpu_seconds": round(seconds, 1)}
    figures["cpu_seconds"] = round(sum(cost["cpu_seconds"] for cost in costs.values()), 1)
    turns = {kind: after[f"{kind}_turns"] for kind in ("sums", "stories", "talk")}
    page = "\n".join(_page(folder, figures, costs, turns)) + "\n"
    (folder.path / "card.md").write_text(page, encoding="utf-8", newline="\n")
    return folder.finish(figures, costs=costs, turns=turns, cpu_seconds=figures["cpu_seconds"])


class Lap:
    """Seconds of CPU since it was made or last asked."""

    def __init__(self) -> None:
        self._last = time.process_time()

    def __call__(self) -> float:
        last, self._last = self._last, time.process_time()
        return round(self._last - last, 2)


def mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


def paired(before: Sequence[int], after: Sequence[int]) -> tuple[float, list[float]]:
    """The gain on the same questions, and its 95% interval from the differences."""
    gains = [b - a for a, b in zip(before, after, strict=True)]
    gain = sum(gains) / len(gains)
    error = math.sqrt(sum((x - gain) ** 2 for x in gains)) / len(gains)
    return gain, [gain - 1.96 * error, gain + 1.96 * error]


def table(costs: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str, str, str]]:
    """Rows of the cost of each stage, headings first."""
    yield "stage", "tokens", "multiply-accumulates", "CPU seconds"
    for stage, cost in costs.items():
        macs = f"{cost['macs']:.3g}" if cost["macs"] else "-"
        yield stage, f"{cost['tokens']:,}" if cost["tokens"] else "-", macs, f"{cost['cpu_seconds']:.1f}"


def lines(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The figures that matter, each with what it is."""

    def share(name: str) -> str:
        low, high = figures[f"{name}_interval"]
        return f"{figures[name]:.1%} ({low:.1%} to {high:.1%})"

    low, high = figures["bits_per_byte_interval"]
    yield "bits per byte of held-out text", f"{figures['bits_per_byte']:.3f} ({low:.3f} to {high:.3f})"
    yield "sums: right call, fine-tuned", share("sums_tuned")
    yield "sums: right call, reinforced", share("sums_reinforced")
    yield "sums: right reply", share("replies_reinforced")
    yield "no sum: no call made", share("talk_reinforced")
    yield "stories: right call, fine-tuned", share("stories_tuned")
    yield "stories: right call, reinforced", share("stories_reinforced")
    yield "stories: points gained by reinforcement", share("stories_gain")


def _page(
    folder: Folder,
    figures: Mapping[str, Any],
    costs: Mapping[str, Mapping[str, float]],
    turns: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    yield from (f"# A chat model of depth {folder.config['depth']}", "")
    yield f"{figures['parameters']:,} weights, seed {folder.seed}, {figures['cpu_seconds']:.0f} CPU seconds."
    yield f"Each kind of question was asked {figures['tested']} times, with wordings and numbers that were held out;"
    yield "in brackets the 95% interval."
    yield from ("", "| figure | value |", "|---|---|")
    yield from (f"| {what} | {value} |" for what, value in lines(figures))
    yield ""
    for number, row in enumerate(table(costs)):
        yield f"| {' | '.join(row)} |"
        if not number:
            yield "|---|---|---|---|"
    for kind, said in turns.items():
        yield from ("", f"## Held-out {kind}", "", *(f"    {turn}" for turn in said))
