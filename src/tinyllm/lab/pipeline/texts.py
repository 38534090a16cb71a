"""What the model reads first: plays, schoolchildren's problems, and sums written out. Knows nothing about models."""

import json
import re
from collections.abc import Callable
from random import Random

from tinyllm.lab.pipeline import calculator
from tinyllm.lab.pipeline.questions import sums

Read = Callable[[str], str]  # the name of a data set to its text

NEEDS = ("tinyshakespeare.txt", "gsm8k_train.jsonl")
LINES = 6_000  # of sums


def texts(read: Read, seed: int) -> dict[str, tuple[str, str]]:
    """Each source by name: the text to learn from, and its last tenth, which is held out."""
    rows = [json.loads(line) for line in read("gsm8k_train.jsonl").splitlines()]
    # The answers hold their sums a second time, for a calculator: <<48/2=24>>.
    problems = [f"{row['question']}\n{re.sub('<<.*?>>', '', row['answer'])}\n\n" for row in rows]
    chance = Random(f"{seed} sums")
    lines = (sums(chance, "train") for _ in range(LINES))
    written = "".join(f"{line.text}\n{calculator.result(line.sum or '')}\n" for line in lines)
    whole = {"plays": read("tinyshakespeare.txt"), "problems": "".join(problems), "sums": written}
    return {name: (text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]) for name, text in whole.items()}
