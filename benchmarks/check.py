"""How good the starter's check of a reading is: what it stops of the wrong ones, and of the right ones.

TINYLLM_DATA_DIR=data python -m benchmarks.check    prints the two rates and writes benchmarks/check.json

In the starter network a reading that the linear reader is less than `SURE` of goes to the neuron. People's
requests of the skills are read by linear readers trained on the other folds, as in benchmarks/readers.py; a
reading, a refusal too, is right when it computes what a label's does. Four minutes on one core.
"""

import argparse
import asyncio
import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.readers import Judge, share

from tinyllm.backends.reader import LinearReader
from tinyllm.backends.reading import SURE
from tinyllm.errors import ToolError
from tinyllm.slots import fill, find
from tinyllm.starter import human
from tinyllm.starter.calls import OPS
from tinyllm.starter.corpus import COPIES, PATTERNS, examples
from tinyllm.starter.linear import train_reader
from tinyllm.types import ToolCall


def read(reader: LinearReader, text: str) -> tuple[ToolCall | None, float]:
    """The likeliest call, None for a refusal, and its probability."""
    slots = find(text)
    reading = reader.read(slots)
    try:
        return fill(reading.call, slots, OPS), reading.probability
    except ToolError:
        return None, 1.0


async def measure(data: Path, folds: int, seed: int) -> dict[str, Any]:
    rows = human.rows(data)
    places = human.folds(rows, folds, seed)
    judge = Judge()
    right: list[bool] = []
    stopped: list[bool] = []
    for number in range(folds):
        seen = [row for row, place in zip(rows, places, strict=True) if place != number]
        reader = train_reader(examples(seed, PATTERNS, seen, copies=COPIES), seed=seed)
        for i, row in enumerate(rows):
            if places[i] == number and row.intent in human.SKILLS:
                call, probability = read(reader, row.text)
                right.append((await judge.judge(row, i, call)).right)
                stopped.append(probability < SURE)
    judge.tools["algebra"].close()  # type: ignore[attr-defined]  # it has a process to end
    both = list(zip(right, stopped, strict=True))
    wrong = [stop for good, stop in both if not good]
    good = [stop for good, stop in both if good]
    return {
        "wrong readings stopped": share(sum(wrong), len(wrong)),
        "right readings stopped": share(sum(good), len(good)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("TINYLLM_DATA_DIR", "data"))
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="benchmarks/check.json")
    options = parser.parse_args()
    measured = asyncio.run(measure(Path(options.data), options.folds, options.seed))
    result = {
        "command": "python -m benchmarks.check",
        "machine": {
            "system": platform.system(), "processor": platform.machine(), "python": platform.python_version()
        },
        "seed": options.seed,
        "sure": SURE,
        **measured,
    }  # fmt: skip
    Path(options.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, figure in measured.items():
        print(name, f"{figure['k']}/{figure['n']}", f"{figure['share']:.1%}", figure["interval"])


if __name__ == "__main__":
    main()
