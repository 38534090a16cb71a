"""The recipe of the shipped models: every one of them trained on everything there is, with a card beside it.

The same data and seed give the same linear files on the same machine, and neurons that differ in rounding at
most. What the figures on the cards are worth is measured by cross-validation (`benchmarks/readers.py`), and
not here: the shipped files have seen every row.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tinyllm.errors import NotFound
from tinyllm.protocols import Trainer
from tinyllm.routing import Linear
from tinyllm.starter.corpus import PATTERNS, Example, examples
from tinyllm.starter.human import FILE, Row, rows
from tinyllm.starter.linear import train_reader, train_router
from tinyllm.starter.neuron import train_neuron
from tinyllm.starter.plain import train_plain
from tinyllm.types import JSON

WHAT: Mapping[str, str] = {
    "reader.linear": "This softmax regression over hashed n-grams reads a request into one tool call over what "
    "stands in the request, or refuses.",
    "reader.gguf": "This Llama, trained from scratch, reads as `reader.linear` does, what that is not sure of.",
    "router.linear": "This softmax regression over hashed n-grams chooses the route of a request.",
    "plain.gguf": "This Llama of the neuron's size says answers outright, without tools: it stands for one model "
    "alone in `tinyllm demo`.",
}
TABLES: Mapping[str, Sequence[str]] = {
    "reader.gguf": ("neuron", "network"),
    "reader.linear": ("linear", "network"),
}
ROUTER_FIGURE = "router, right route of the skills' rows"

Card = dict[str, JSON]
Progress = Callable[[str, int, int, float], None]
Told = Callable[[int, int, float], None]


def train(
    trainer: Trainer,
    data_dir: Path | None,
    out: Path,
    *,
    seed: int = 0,
    quick: bool = False,
    progress: Progress | None = None,
    figures: Path | None = None,
) -> Mapping[str, Card]:
    """Write every shipped model with its card, and `manifest.json`, to a folder; returns the cards by file.

    Human rows are used where `data_dir` holds them (they are not shipped). `progress` is told (file, step,
    steps, loss). `figures` is the result of `benchmarks/readers.py`, for the cards. Nothing in the folder
    changes before all models are trained.
    """
    people = _people(data_dir)[:: 50 if quick else 1]
    drawn = examples(seed, 1_000 if quick else PATTERNS, people)
    makers: Mapping[str, Callable[[Path, Told], Card]] = {
        "reader.linear": lambda path, told: _linear(
            train_reader(drawn, seed=seed, progress=told).model, drawn, people, path
        ),
        "router.linear": lambda path, told: _linear(
            train_router(drawn, seed=seed, progress=told), drawn, people, path
        ),
        "reader.gguf": lambda path, told: asyncio.run(
            train_neuron(trainer, people, path, seed=seed, quick=quick, progress=told)
        ),
        "plain.gguf": lambda path, told: asyncio.run(
            train_plain(trainer, path, seed=seed, quick=quick, progress=told)
        ),
    }

    def told(file: str) -> Told:
        return lambda step, steps, loss: progress(file, step, steps, loss) if progress else None

    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out) as folder:
        cards = {file: make(Path(folder) / file, told(file)) for file, make in makers.items()}
        manifest = {}
        for file in cards:
            data = (Path(folder) / file).read_bytes()
            manifest[file] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for file in cards:
            (Path(folder) / file).replace(out / file)
    measured = json.loads(figures.read_text(encoding="utf-8")) if figures else {}
    for file, card in cards.items():
        card |= {"seed": seed, "bytes": manifest[file]["size"]}
        _write(out / f"{file}.md", "\n".join(_page(file, card, measured)) + "\n")
    _write(out / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    return cards


def _people(data_dir: Path | None) -> Sequence[Row]:
    if data_dir is None:
        return ()
    try:
        return rows(data_dir)
    except NotFound:
        return ()


def _linear(model: Linear, drawn: Sequence[Example], people: Sequence[Row], path: Path) -> Card:
    path.write_bytes(model.to_bytes())
    card: Card = {"parameters": model.weights.size, "labels": len(model.labels), "examples": len(drawn)}
    return {**card, "human_rows": len(people)}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _page(file: str, card: Card, measured: Mapping[str, Any]) -> Iterator[str]:
    """The card of a model as a page."""
    yield from (f"# {file}", "", WHAT[file], "")
    yield f"- Size: {card['parameters']:,} weights of 8 bits, {card['bytes']:,} bytes"
    data = "requests drawn from this project's patterns"
    if people := card.get("human_rows"):
        data += f", and {people:,} requests by people ({FILE})"
    yield f"- Data: {data}"
    if people:
        yield "- Licence of the data: CLINC150 by Larson et al. (2019), CC BY 3.0, github.com/clinc/oos-eval;"
        yield "  labels and patterns are this project's own"
    if "labels" in card:
        how = f"Adagrad over {card['examples']:,} examples of {card['labels']} labels"
    else:
        how = f"{card['steps']:,} steps of Muon, {card['tokens']:,} tokens, {card['macs']:.3g} multiply-accumulates"
        how += f", last loss {card['loss']:.3g} nats a token"
    yield f"- Training: {how}, seed {card['seed']}"
    if "held_out" in card:
        yield f"- Verified: the finished file says the very target of {card['right']} of {card['held_out']} requests"
        yield "  that it did not learn from, drawn from the patterns; greedily and without a grammar"
    yield "- Licence of the model: MIT"
    yield "- Rebuild: `tinyllm starter train`"
    rows = list(_figures(file, measured)) if measured else []
    if rows:
        yield from ("", "## Figures", "")
        yield "Cross-validation by near-duplicate group (`python benchmarks/readers.py`): models trained"
        yield "alike, on requests by people that they had not seen. 95% Wilson intervals."
        yield from ("", "| of | requests | what | share | interval |", "|---|---|---|---|---|", *rows)


def _figures(file: str, measured: Mapping[str, Any]) -> Iterator[str]:
    for name in TABLES.get(file, ()):
        for where, shares in measured[name].items():
            for what, share in shares.items():
                yield _row(name, where, what, share)
    if file == "router.linear":
        yield _row("router", "skills", "right route", measured[ROUTER_FIGURE])


def _row(name: str, where: str, what: str, share: Mapping[str, Any]) -> str:
    low, high = share["interval"]
    return (
        f"| {name} | {where} | {what} | {share['k']}/{share['n']} = {share['share']:.1%} "
        f"| {low:.1%} to {high:.1%} |"
    )
