"""Do the clusters of traffic match its hidden kinds?

TINYLLM_DATA_DIR=data python benchmarks/clusters.py     a table and clusters.json; a minute on one core

Traffic is drawn from the starter's request patterns: 8 to 12 operations, 50 to 150 requests of each, with the
slips and manners that those are drawn with. Beside it: single operations, which must stay whole, and intents
of CLINC150 (clinc150_train.jsonl), which are questions without calculation. The draws of seeds below 1000 were
looked at while the clustering was made; those measured here begin at 1000.
"""

import json
import os
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

from tinyllm.evidence import nmi
from tinyllm.learning.alike import kinds_of, telling
from tinyllm.slots import REFUSE
from tinyllm.starter.corpus import fill, patterns

FIRST = 1000
DRAWS = 20

Rows = list[tuple[str, str]]


def requests(op: str, count: int, random: Random) -> Rows:
    """Requests for one operation, as (text, operation)."""
    made: Rows = []
    while len(made) < count:
        if example := fill(random.choice(patterns()[op]), random):
            made.append((example.text, op))
    return made


def operations(seed: int) -> Rows:
    """Traffic of some operations, shuffled."""
    random = Random(seed)
    chosen = random.sample(sorted(set(patterns()) - {REFUSE}), random.randint(8, 12))
    rows = [row for op in chosen for row in requests(op, random.randint(50, 150), random)]
    random.shuffle(rows)
    return rows


def intents(seed: int, texts: dict[str, list[str]]) -> Rows:
    """Traffic of ten intents, a hundred requests of each, shuffled."""
    random = Random(seed)
    rows = [(text, name) for name in random.sample(sorted(texts), 10) for text in texts[name][:100]]
    random.shuffle(rows)
    return rows


def measured(draws: list[Rows]) -> dict[str, Any]:
    """How the clusters of each draw match its kinds, and what finding them costs."""
    scores, ratios, seconds, found = [], [], [], []
    for rows in draws:
        began = time.process_time()
        labels = kinds_of([telling(text) for text, _ in rows])
        seconds.append((time.process_time() - began) * 1000 / len(rows))
        scores.append(nmi(labels, [kind for _, kind in rows]))
        found.append(len(set(labels)))
        ratios.append(found[-1] / len({kind for _, kind in rows}))
    return {
        "draws": len(draws),
        "requests": statistics.mean(map(len, draws)),
        "nmi": {"mean": statistics.mean(scores), "least": min(scores), "most": max(scores)},
        "share_of_draws_at_0.8": sum(score >= 0.8 for score in scores) / len(scores),
        "clusters_per_kind": statistics.mean(ratios),
        "whole": found.count(1),
        "cpu_seconds_per_1000": statistics.mean(seconds),
    }


def main() -> None:
    """Measure, print and store."""
    random = Random(FIRST)
    single = random.sample(sorted(set(patterns()) - {REFUSE}), DRAWS)
    report = {"operations": measured([operations(FIRST + draw) for draw in range(DRAWS)])}
    for count in (60, 150, 500):
        report[f"one operation, {count} requests"] = measured([requests(op, count, random) for op in single])
    path = Path(os.environ.get("TINYLLM_DATA_DIR", "data")) / "clinc150_train.jsonl"
    if path.exists():
        texts = defaultdict(list)
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            texts[row["intent"]].append(row["text"])
        texts = {name: own for name, own in texts.items() if len(own) >= 100 and "oos" not in name}
        report["intents of CLINC150"] = measured([intents(FIRST + draw, texts) for draw in range(DRAWS // 4)])
    for name, row in report.items():
        scores = row["nmi"]
        told = f"nmi {scores['mean']:.3f} ({scores['least']:.3f}-{scores['most']:.3f})"
        told += f", {row['clusters_per_kind']:.2f} clusters a kind, whole in {row['whole']} of {row['draws']} draws"
        print(f"{name:28} {told}, {row['cpu_seconds_per_1000']:.2f} CPU seconds per 1,000 requests")
    command = "TINYLLM_DATA_DIR=data python benchmarks/clusters.py"
    stored = {"command": command, "python": sys.version.split()[0], "first_seed": FIRST, **report}
    Path(__file__).with_suffix(".json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
