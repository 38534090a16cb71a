"""Gather the figures of finished lab runs into benchmarks/lab.json.

    tinyllm lab run NAME          for every run that is to be recorded
    tinyllm lab pipeline --depth N
    python benchmarks/lab.py runs

Each entry has the command, seed, config, machine and date-free figures of a card; the metric that a run is judged
by stands beside its reference. Runs that are not in the folder keep the entry that they have.
"""

import json
import sys
from pathlib import Path

from tinyllm.lab.folder import card
from tinyllm.lab.pipeline import dial
from tinyllm.lab.runs import RUNS

PIPELINES = {f"pipeline-{depth}": dial.run(depth) for depth in range(1, dial.DEEPEST + 1)}
ALL = RUNS | PIPELINES
OUT = Path(__file__).with_suffix(".json")


def entry(name: str, done: dict) -> dict:
    figure, config = ALL[name].figure, done["config"]
    changed = [f"--set {key}={value}" for key, value in config.items() if ALL[name].config.get(key) != value]
    if done["seed"]:
        changed.append(f"--seed {done['seed']}")
    values = {key: {"value": value} for key, value in done["metrics"].items()}
    values[figure.metric] |= {"reference": figure.reference, "source": figure.source}
    for key in [key for key in values if f"{key}_interval" in values]:
        values[key]["interval"] = values.pop(f"{key}_interval")["value"]
    command = (
        f"tinyllm lab pipeline --depth {config['depth']}" if name in PIPELINES else f"tinyllm lab run {name}"
    )
    return {
        "command": " ".join([command, *changed]),
        "metrics": values,
        **{key: done[key] for key in ("seed", "config", "device", "cpu_seconds", "machine")},
        **({"costs": done["costs"]} if name in PIPELINES else {}),
    }


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    record = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    for name in ALL:
        if (folder / name / "card.json").exists():
            record[name] = entry(name, card(folder / name))
    ordered = {name: record[name] for name in ALL if name in record}
    OUT.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
    for name, kept in ordered.items():
        figure = ALL[name].figure
        value = kept["metrics"][figure.metric]["value"]
        print(
            f"{name:22}{figure.metric:24}{value:<12.5g}{figure.reference or ''!s:10}{kept['cpu_seconds']} s"
        )


if __name__ == "__main__":
    main()
