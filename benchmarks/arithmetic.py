"""Tools against mental arithmetic: the starter network with its calculator, and models that answer alone.

python benchmarks/arithmetic.py --train --models build/arithmetic    trains the plain models (two hours on one core)
python benchmarks/arithmetic.py --models build/arithmetic            a table, arithmetic.json, docs/arithmetic.svg

Questions add, subtract or multiply two whole numbers of the same length, from 1 to 12 digits, in three
phrasings. An answer is right when it is the exact number. Both sides answer in this process, one question at
a time, greedily, the plain models through llama.cpp.

The plain models get every fair help that costs no tool: digits are single tokens; answers are written least
significant digit first, as carries run (Lee et al. 2023), and turned round before they are judged; they train
on the very phrasings and lengths of the test, mostly on short numbers; of a subtraction the larger number
comes first, so that no answer has a sign. No test question is trained on: of one-digit sums, of which there
are only a hundred, the wording is held out, of all others the sum itself in every wording.
"""

import argparse
import asyncio
import hashlib
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from readers import share

import tinyllm
from tinyllm.backends.folding import complete
from tinyllm.backends.llamacpp import LlamaCpp, Options
from tinyllm.types import Cost, Message, Prompt, Sampling

SEED = 11
QUESTIONS = 100  # for each operation and length
LENGTHS = range(1, 13)
OPERATIONS = {"addition": ("+", "plus"), "subtraction": ("-", "minus"), "multiplication": ("*", "times")}
PHRASES = ("{a} {sign} {b} =", "what is {a} {word} {b}", "how much is {a} {sign} {b}?")
# What the plain models train on: operations, and lengths 1 to 12 of each.
MIXTURE = {"addition": 0.4, "subtraction": 0.3, "multiplication": 0.3}
SHORT = (0.15, 0.25, 0.2, 0.12, 0.08, 0.06, 0.03, 0.03, 0.02, 0.02, 0.02, 0.02)
SHORTER = (0.35, 0.35, 0.1, 0.04, *(0.02,) * 8)
EPOCH = 8192  # examples drawn at a time
CONTEXT = 96  # tokens
COLORS = ("#0b7a75", "#d1495b", "#8d6a9f")


@dataclass(frozen=True)
class Question:
    operation: str
    digits: int
    a: int
    b: int
    phrase: int

    @property
    def text(self) -> str:
        sign, word = OPERATIONS[self.operation]
        return PHRASES[self.phrase].format(a=self.a, b=self.b, sign=sign, word=word)

    @property
    def answer(self) -> int:
        if self.operation == "addition":
            return self.a + self.b
        return self.a - self.b if self.operation == "subtraction" else self.a * self.b

    @property
    def held(self) -> str:
        """What training must not see where this is a test question."""
        said = self.text if self.digits == 1 else f"{self.a}{self.operation}{self.b}"
        return hashlib.sha256(said.encode()).hexdigest()


def draw(chance: random.Random, operation: str, digits: int) -> Question:
    low = 10 ** (digits - 1) if digits > 1 else 0
    a, b = (chance.randrange(low, 10**digits) for _ in range(2))
    if operation == "subtraction":
        a, b = max(a, b), min(a, b)
    return Question(operation, digits, a, b, chance.randrange(len(PHRASES)))


def questions() -> list[Question]:
    """The test: different questions for every operation and length, always the same."""
    drawn = []
    for operation in OPERATIONS:
        for digits in LENGTHS:
            chance = random.Random(f"{SEED} {operation} {digits}")
            cell: dict[Question, None] = {}
            while len(cell) < QUESTIONS:
                cell[draw(chance, operation, digits)] = None
            drawn += cell
    return drawn


@dataclass(frozen=True)
class Plain:
    """A plain model and how it is trained."""

    width: int
    layers: int
    hidden: int
    steps: int
    batch: int
    lr: float
    precision: Literal["highest", "medium"]  # of float32 products; medium is faster for large matrices alone


PLAIN = {
    "plain 1M": Plain(128, 5, 384, 3000, 64, 3e-3, "highest"),
    "plain 10M": Plain(384, 6, 1088, 3600, 64, 2e-3, "medium"),
}


def train(name: str, out: Path, held: Collection[str]) -> None:
    """Train a plain model and write it as a GGUF with a card beside it."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from tinyllm.lab.export import write_gguf
    from tinyllm.lab.model import Config, Model
    from tinyllm.lab.tokenizer import Tokenizer
    from tinyllm.lab.train import Example, Settings
    from tinyllm.lab.train import train as fit

    plain = PLAIN[name]

    def texts(epoch: int) -> list[tuple[str, str]]:
        chance = random.Random(f"{SEED} epoch {epoch}")
        drawn: list[tuple[str, str]] = []
        while len(drawn) < EPOCH:
            operation = chance.choices(list(MIXTURE), list(MIXTURE.values()))[0]
            weights = SHORTER if operation == "multiplication" else SHORT
            question = draw(chance, operation, chance.choices(LENGTHS, weights)[0])
            if question.held not in held:
                drawn.append((asked(question), turned(str(question.answer))))
        return drawn

    tokenizer = Tokenizer.train((a + b for a, b in texts(0)), 320)
    model = Model(
        Config(tokenizer.size, width=plain.width, layers=plain.layers, hidden=plain.hidden, context=CONTEXT),
        seed=SEED,
    )

    def examples(epoch: int) -> list[Example]:
        return [
            Example.answer(tokenizer.encode(a), (*tokenizer.encode(b), tokenizer.end))
            for a, b in texts(epoch)
        ]

    losses: list[float] = []

    def tell(step: int, steps: int, loss: float, eta: float) -> None:
        losses.append(loss)
        if step % 50 == 0:
            mean = statistics.fmean(losses[-50:])
            print(f"{name}: {step}/{steps}, loss {mean:.3f}, {eta / 60:.0f} min left", file=sys.stderr)

    settings = Settings(plain.steps, batch=plain.batch, lr=plain.lr, seed=SEED)
    begun = time.process_time()
    torch.set_float32_matmul_precision(plain.precision)
    # The fused kernel is the faster one, but for these short sequences not with medium products.
    with sdpa_kernel(SDPBackend.MATH if plain.precision == "medium" else SDPBackend.FLASH_ATTENTION):
        card = fit(model, examples, settings, tell)
    write_gguf(model, tokenizer, out, name=name)
    every = [statistics.fmean(losses[at : at + 100]) for at in range(0, len(losses), 100)]
    figures = {
        **asdict(plain),
        "parameters": model.parameter_count,
        "tokens": card.tokens,
        "macs": card.macs,
        "cpu_seconds": round(time.process_time() - begun),
        "loss": round(card.loss, 4),
        "loss_every_100_steps": [round(loss, 3) for loss in every],
    }
    out.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def asked(question: Question) -> str:
    """A question as the plain models read it."""
    return question.text + "\n"


def turned(number: str) -> str:
    """A number as the plain models write it, and back."""
    return number[::-1]


def file_of(name: str, folder: Path) -> Path:
    return folder / f"{name.replace(' ', '-')}.gguf"


@dataclass(frozen=True)
class Answer:
    question: Question
    text: str
    cost: Cost

    @property
    def right(self) -> bool:
        return self.text == str(self.question.answer)


def by_starter(test: Sequence[Question]) -> list[Answer]:
    """The answers of the starter network, which end in "= number"."""
    answers = []
    with tinyllm.load("starter", store=None) as net:
        for question in (test[0], *test):  # the first one twice: it loads the models
            reply = net.ask(question.text, seed=SEED)
            cost = replace(reply.cost, milliseconds=reply.latency_ms)
            answers.append(Answer(question, reply.answer.rpartition("= ")[2], cost))
    return answers[1:]


async def by_plain(name: str, file: Path, test: Sequence[Question]) -> list[Answer]:
    """The answers of a plain model, turned the right way round."""
    model = LlamaCpp(name, Options(path=file, template="raw", context=CONTEXT))
    answers = []
    for question in (test[0], *test):
        prompt = Prompt((Message("user", asked(question)),), sampling=Sampling(max_tokens=40))
        done = await complete(model, prompt)
        answers.append(Answer(question, turned(done.text), done.cost))
    await model.close()
    return answers[1:]


def figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """The share of right answers by operation and length, by operation, by length and in all; and the cost."""

    def right(operation: str | None = None, digits: int | None = None) -> dict[str, Any]:
        chosen = [
            answer.right
            for answer in answers
            if operation in (None, answer.question.operation) and digits in (None, answer.question.digits)
        ]
        return share(sum(chosen), len(chosen))

    milliseconds = [answer.cost.milliseconds for answer in answers]
    return {
        **{
            operation: {"all": right(operation), **{str(n): right(operation, n) for n in LENGTHS}}
            for operation in OPERATIONS
        },
        "together": {"all": right(), **{str(n): right(None, n) for n in LENGTHS}},
        "macs_per_question": round(statistics.fmean(answer.cost.macs for answer in answers)),
        "tokens_per_question": round(
            statistics.fmean(answer.cost.tokens_in + answer.cost.tokens_out for answer in answers), 1
        ),
        "ms_per_question": {
            "p50": round(statistics.median(milliseconds), 2),
            "p99": round(statistics.quantiles(milliseconds, n=100)[98], 2),
        },
    }


def table(models: Mapping[str, Any]) -> str:
    """Percent right by length, and what a question costs."""
    lines = [f"{'% right by digits':27}" + "".join(f"{n:>5}" for n in LENGTHS) + "   all (95% interval)"]
    for operation in (*OPERATIONS, "together"):
        for name, found in models.items():
            cells = found[operation]
            low, high = cells["all"]["interval"]
            lines.append(
                f"{operation:15}{name:12}"
                + "".join(f"{cells[str(n)]['share']:5.0%}" for n in LENGTHS)
                + f"  {cells['all']['share']:6.1%} ({low:.1%}-{high:.1%})"
            )
    for name, found in models.items():
        spent = found["ms_per_question"]
        lines.append(
            f"{name}: {found['macs_per_question'] / 1e6:.1f}M macs, {spent['p50']:.1f} ms a question "
            f"(p99 {spent['p99']:.1f})"
        )
    return "\n".join(lines)


def plot(models: Mapping[str, Any], out: Path) -> None:
    """One panel for each operation: the share right by length, with its interval."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "arithmetic", "font.size": 9})
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(9, 2.8), sharey=True, layout="constrained")
    for panel, operation in zip(panels, OPERATIONS, strict=True):
        for (name, found), color in zip(models.items(), COLORS, strict=False):
            cells = [found[operation][str(n)] for n in LENGTHS]
            low, high = zip(*(cell["interval"] for cell in cells), strict=True)
            panel.fill_between(LENGTHS, low, high, color=color, alpha=0.2, linewidth=0)
            panel.plot(LENGTHS, [cell["share"] for cell in cells], "o-", ms=3, color=color, label=name)
        panel.set(
            title=operation, xlabel="digits of each number", ylim=(-0.03, 1.05), xticks=(1, 3, 6, 9, 12)
        )
        panel.tick_params(length=0)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("exactly right")
    panels[0].yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
    panels[0].legend(frameon=False, loc="center right")
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True, help="folder of the plain models")
    parser.add_argument("--train", nargs="*", choices=PLAIN, metavar="NAME", help="train these, or all")
    options = parser.parse_args()
    test = questions()
    if options.train is not None:
        options.models.mkdir(parents=True, exist_ok=True)
        held = {question.held for question in test}
        for name in options.train or PLAIN:
            train(name, file_of(name, options.models), held)
        return
    models: dict[str, Any] = {"starter": figures(by_starter(test))}
    for name, file in ((name, file_of(name, options.models)) for name in PLAIN):
        if not file.exists():
            print(f"{name} is not trained yet: --train {name!r}", file=sys.stderr)
            continue
        training = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        models[name] = {"training": training, **figures(asyncio.run(by_plain(name, file, test)))}
    result = {
        "command": "python benchmarks/arithmetic.py --models build/arithmetic",
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load": round(os.getloadavg()[0], 1),
        },
        "seed": SEED,
        "questions_per_cell": QUESTIONS,
        "models": models,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    plot(models, Path(__file__).parent.parent / "docs" / "arithmetic.svg")
    print(table(models))


if __name__ == "__main__":
    main()
