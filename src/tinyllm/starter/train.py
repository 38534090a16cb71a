"""The recipe of the shipped neurons: the linear reader and the router, trained on everything there is.

The same data and seed give the same files on the same machine. What the figures on their cards are worth is
measured by cross-validation (`benchmarks/readers.py`), and not here: the shipped files have seen every row.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tinyllm.errors import NotFound
from tinyllm.routing import Linear
from tinyllm.starter.corpus import examples
from tinyllm.starter.human import FILE, rows
from tinyllm.starter.linear import train_reader, train_router

PATTERNS = 20_000  # examples drawn from patterns
COPIES = 8  # of each human row of a skill
# The least probability at which the reader answers, by tool: the median over the folds of the
# cross-validation in benchmarks/readers.json, where a wrong answer weighs as much as ten needless refusals.
THRESHOLDS: Mapping[str, float] = {
    "algebra": 0.854,
    "calculator": 0.704,
    "chance": 0.581,
    "dates": 0.906,
    "statistics": 0.817,
    "text": 0.876,
    "time": 0.83,
    "units": 0.341,
}

Cards = Mapping[str, Mapping[str, Any]]


def train(
    data_dir: Path | None,
    out: Path,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
    figures: Path | None = None,
) -> Cards:
    """Write `reader.linear` and `router.linear` with their cards and `manifest.json` to a folder; returns the
    cards.

    Human rows are used where `data_dir` holds them (they are not shipped). `progress` is told (step, steps,
    loss) of each file in turn. `figures` is the result of `benchmarks/readers.py`, for the cards.
    """
    people = []
    if data_dir is not None:
        try:
            people = rows(data_dir)
        except NotFound:
            people = []
    drawn = examples(seed, PATTERNS, people, copies=COPIES)
    card: dict[str, Any] = {
        "seed": seed,
        "examples": len(drawn),
        "patterns": PATTERNS,
        "human_rows": len(people),
        "data": f"request patterns of this project; {FILE} (CLINC150, CC BY 3.0)" if people else "patterns",
    }
    models: dict[str, Linear] = {
        "reader": train_reader(
            drawn, seed=seed, progress=progress, card={**card, "thresholds": dict(THRESHOLDS)}
        ).model,
        "router": train_router(drawn, seed=seed, progress=progress, card=card),
    }
    measured = json.loads(figures.read_text(encoding="utf-8")) if figures else {}
    out.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, Any] = {}
    for name, model in models.items():
        data = model.to_bytes()
        file = f"{name}.linear"
        (out / file).write_bytes(data)
        manifest[file] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        text = _card(name, model, len(data), measured)
        (out / f"{name}.md").write_text(text, encoding="utf-8", newline="\n")
    text = json.dumps(manifest, indent=2) + "\n"
    (out / "manifest.json").write_text(text, encoding="utf-8", newline="\n")
    return {name: model.card for name, model in models.items()}


def _card(name: str, model: Linear, size: int, measured: Mapping[str, Any]) -> str:
    card = model.card
    what = {
        "reader": "reads a request into one tool call over what stands in the request, or refuses",
        "router": f"chooses among {', '.join(model.labels)}",
    }[name]
    lines = [
        f"# {name}.linear",
        "",
        f"This softmax regression over hashed n-grams {what}.",
        "",
        f"- Size: {model.weights.size} 8-bit weights ({len(model.labels)} labels), {size} bytes packed",
        f"- Data: {card['data']}",
        f"- Examples: {card['examples']}: {card['patterns']} drawn from patterns, the rest {card['human_rows']} "
        f"requests by people and {COPIES} refilled copies of those of a skill",
        f"- Training: 4 passes of mini-batch Adagrad in batches of 256, seed {card['seed']}",
        "- Rebuild: `tinyllm starter train`",
    ]
    if card["human_rows"]:
        lines += [
            "- Licence of the data: CLINC150 by Larson et al. (2019), CC BY 3.0, github.com/clinc/oos-eval; "
            "labels and patterns are this project's own",
        ]
    rows = list(_measured(name, measured))
    if rows:
        lines += [
            "",
            "## Figures",
            "",
            "Five-fold cross-validation by near-duplicate group (`python benchmarks/readers.py`): models trained "
            "alike, on rows that they had not seen. 95% Wilson intervals.",
            "",
            "| requests | what | share | interval |",
            "|---|---|---|---|",
            *rows,
        ]
    return "\n".join(lines) + "\n"


def _measured(name: str, measured: Mapping[str, Any]) -> list[str]:
    if not measured:
        return []
    if name == "router":
        key = next(key for key in measured if key.startswith("router, "))
        return [_row("skills", key.removeprefix("router, "), measured[key])]
    table = measured["linear"]["above thresholds"]
    return [_row(where, what, share) for where, shares in table.items() for what, share in shares.items()]


def _row(where: str, what: str, share: Mapping[str, Any]) -> str:
    low, high = share["interval"]
    return (
        f"| {where} | {what} | {share['k']}/{share['n']} = {share['share']:.1%} | {low:.1%} to {high:.1%} |"
    )
