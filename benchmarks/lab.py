"""Gather the figures of the lab into benchmarks/lab.json.

    tinyllm lab run NAME                 for every run that is to be recorded
    tinyllm lab pipeline --depth N
    python -m benchmarks.lab runs        takes in the cards in that folder, decode.json and nanogpt.json
    python -m benchmarks.lab checks      measures what no run does (checks.py), a minute

Each entry has the command, seed, config, machine and date-free figures of a card; the metric that a run is judged
by stands beside its reference. Every figure has n and a 95% interval, or why there is none; that, and what was tried
where an aim was missed, is in lab.toml. What is not measured anew keeps the entry that it has.
"""

import json
import re
import sys
import tomllib
from collections.abc import Sequence
from fnmatch import filter as matching
from fnmatch import fnmatch
from math import comb, hypot
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tinyllm.lab.folder import card
from tinyllm.lab.letters import share_interval
from tinyllm.lab.pipeline import dial
from tinyllm.lab.runs import RUNS

PIPELINES = {f"pipeline-{depth}": dial.run(depth) for depth in range(1, dial.DEEPEST + 1)}
ALL = RUNS | PIPELINES
BESIDE = ("decode", "nanogpt", "checks")  # entries that are no runs
HERE = Path(__file__).parent
MEASURED = ("value", "reference", "source", "interval", "n", "seeds")
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # 97.5% quantiles, by how many seeds there are


def entry(name: str, done: dict[str, Any]) -> dict[str, Any]:
    """The entry of a run that left the card `done`."""
    figure, config = ALL[name].figure, done["config"]
    changed = [f"--set {key}={value}" for key, value in config.items() if ALL[name].config.get(key) != value]
    if done["seed"]:
        changed.append(f"--seed {done['seed']}")
    values = {key: {"value": value} for key, value in done["metrics"].items()}
    values[figure.metric] |= {"reference": figure.reference, "source": figure.source}
    for ends in ("interval", "seeds"):
        for key in [key for key in values if f"{key}_{ends}" in values]:
            values[key][ends] = values.pop(f"{key}_{ends}")["value"]
    command = (
        f"tinyllm lab pipeline --depth {config['depth']}" if name in PIPELINES else f"tinyllm lab run {name}"
    )
    return {
        "command": " ".join([command, *changed]),
        "metrics": values,
        **{key: done[key] for key in ("seed", "config", "device", "cpu_seconds", "machine")},
        **({"costs": done["costs"]} if name in PIPELINES else {}),
    }


def told(name: str, kept: dict[str, Any], words: dict[str, Any]) -> dict[str, Any]:
    """An entry whose figures all have n and an interval, or the words of lab.toml why there is none."""
    values = {
        key: {what: each[what] for what in MEASURED if what in each} for key, each in kept["metrics"].items()
    }
    for key, each in values.items():
        part = re.search(r"(train|dev|test)_loss$", key)
        if part and f"{part[1]}_n" in values:
            each["n"] = values[f"{part[1]}_n"]["value"]
    said: dict[str, dict[str, Any]] = {key: {} for key in values}
    for pattern, figures in words.items():
        for figure, more in figures.items() if fnmatch(name, pattern) else ():
            for key in matching(values, figure):
                said[key] |= more
    for key, each in values.items():
        more = dict(said[key])
        n = more.pop("n", None)
        if isinstance(n, str):  # another figure, which older entries may lack
            n = values[n]["value"] if n in values else None
        if n is not None:
            each["n"] = n
        if more.pop("share", False):
            each["interval"] = shares(each["value"], each["n"], each.get("seeds", ()))
        if pair := more.pop("difference", None):
            one, other = (values[which]["value"] for which in pair)
            each["interval"] = difference(one, other, each["n"])
        if "interval" in each:
            more.pop("no_interval", None)
        each |= more
    return kept | {"metrics": values}


def shares(value: float, n: int, seeds: Sequence[float] = ()) -> list[float]:
    """The interval of a share: Wilson's; over several seeds of `n` each the wider one of his and Student's."""
    low, high = share_interval(value, n * max(1, len(seeds)))
    if seeds:
        spread = STUDENT[len(seeds)] * stdev(seeds) / len(seeds) ** 0.5
        low, high = max(0.0, min(low, mean(seeds) - spread)), min(1.0, max(high, mean(seeds) + spread))
    return [low, high]


def difference(one: float, other: float, n: int) -> list[float]:
    """The interval of the difference of two shares of `n` (Newcombe 1998, method 10), as if drawn apart."""
    (low, high), (other_low, other_high) = share_interval(one, n), share_interval(other, n)
    gain = one - other
    return [gain - hypot(one - low, other_high - other), gain + hypot(high - one, other - other_low)]


def median_interval(values: Sequence[float]) -> list[float]:
    """The interval of the median: the values of such a rank that it lies between them 95 times of 100, or more."""
    ordered, n = sorted(values), len(values)
    rank = max(rank for rank in range(n // 2) if 2 * sum(comb(n, i) for i in range(rank)) <= 0.05 * 2**n)
    return [ordered[rank - 1], ordered[-rank]] if rank else [ordered[0], ordered[-1]]


def decode() -> dict[str, Any]:
    """The entry of decode.json."""
    found = json.loads((HERE / "decode.json").read_text(encoding="utf-8"))
    values: dict[str, dict[str, Any]] = {}
    for shape, figures in found.items():
        for key, value in figures.items() if isinstance(figures, dict) and "ratio" in figures else ():
            if isinstance(value, list):
                values[f"{shape} {key[:-1]}"] |= {"interval": median_interval(value), "n": len(value)}
            else:
                values[f"{shape} {key}"] = {"value": value}
                if key.endswith("ratio"):
                    values[f"{shape} {key}"] |= {"reference": 10.0, "source": "aim"}
    config = {key: found[key] for key in ("prompt", "written", "rounds")}
    command = "python benchmarks/decode.py"
    return {"command": command, "metrics": values, "seed": 0, "config": config, "machine": found["machine"]}


def nanogpt() -> dict[str, Any]:
    """The entry of nanogpt.json; without one its figures are null."""
    path = HERE / "nanogpt.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    values = {
        key: {"value": found.get(key), "reference": aim, "source": "aim"}
        for key, aim in (("speed_ratio", 0.95), ("time_ratio", 1.3))
    }
    if found:
        turns = found["speed_ratios"]
        values["speed_ratio"] |= {"interval": median_interval(turns), "n": len(turns)}
    command = "python benchmarks/nanogpt.py PATH"
    return {"command": command, "metrics": values, "seed": 0, "machine": found.get("machine")}


def main() -> None:
    out = HERE / "lab.json"
    given = sys.argv[1] if len(sys.argv) > 1 else "runs"
    record = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    if given == "checks":
        from benchmarks.checks import checks

        record["checks"] = checks()
    else:
        for name in ALL:
            if (Path(given) / name / "card.json").exists():
                record[name] = entry(name, card(Path(given) / name))
    record |= {"decode": decode(), "nanogpt": nanogpt()}
    words = tomllib.loads((HERE / "lab.toml").read_text(encoding="utf-8"))
    ordered = {name: told(name, record[name], words) for name in (*ALL, *BESIDE) if name in record}
    out.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, kept in ordered.items():
        for key, each in kept["metrics"].items():
            if "reference" in each:
                value = "-" if each["value"] is None else f"{each['value']:.5g}"
                print(f"{name:22}{key:28}{value:12}{each['reference'] or ''!s}")


if __name__ == "__main__":
    main()
