"""The stages, one after the other, in the folder of a run: each goes on where it was stopped.

A stage is a function of the folder and what the stages before it left. What it found out is kept as a part of
the folder (and not computed again), its weights as a checkpoint, its cost in CPU seconds with its curve.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import torch

from tinyllm.errors import RequestError
from tinyllm.lab import export
from tinyllm.lab.folder import Folder
from tinyllm.lab.letters import mean_figures
from tinyllm.lab.model import Config, Model
from tinyllm.lab.pipeline import questions, reinforce, report, talk, texts
from tinyllm.lab.pipeline.exam import measured, right
from tinyllm.lab.pipeline.questions import Draw, Question
from tinyllm.lab.pipeline.report import Lap
from tinyllm.lab.runs.fitting import fit, settings
from tinyllm.lab.runs.plays import text_losses
from tinyllm.lab.tokenizer import Tokenizer
from tinyllm.lab.train import Card, Example, Examples, Settings

LOOKS = 10  # points of a curve
EPOCH = 10  # batches that are drawn at once
SHARES = {"plays": 0.4, "problems": 0.4, "sums": 0.2}  # of the windows of pre-training
HELD = 60_000  # characters of each held-out text that are measured
CALLS: Mapping[Draw, float] = {questions.sums: 0.7, questions.talk: 0.2, questions.copies: 0.1}
STORIES = 1 / 10  # of the turns of fine-tuning
EARLIER = 0.1  # of them have another turn before them
ROUND = 50  # steps of reinforcement between two rounds of answers
RIGHT = 1 / 2  # of its turns are stories with a right answer
LEAST = {"vocab": 512, "context": 192}  # the longest turn has 164 tokens of so small a vocabulary
BATCH_AND_LR = {  # what they are called in the config
    "pretrain": ("batch", "lr"),
    "midtrain": ("batch", "lr"),
    "finetune": ("finetune_batch", "lr"),
    "reinforce": ("finetune_batch", "reinforce_lr"),
}

Text = dict[str, tuple[str, str]]
Windows = Callable[[int], list[Example]]  # examples of an epoch


def check(folder: Folder) -> None:
    """Raises RequestError or ValueError for settings that cannot work, NotFound for data that is not there."""
    config = folder.config
    for name, least in LEAST.items():
        if config[name] < least:
            hint = f"leave it out, or --set {name}={least}: the longest story needs so many"
            raise RequestError(f"{name} must be {least} or more, not {config[name]}", hint=hint)
    if config["test"] not in (0, 1):
        raise RequestError(
            f"test must be 0 or 1, not {config['test']}",
            hint="1 judges; 0 asks other questions, to choose settings by",
        )
    _shape(config, config["vocab"])
    for stage in BATCH_AND_LR:
        _settings(folder, stage)
    for name in texts.NEEDS:
        folder.text(name)


def run(folder: Folder) -> dict[str, Any]:
    """All stages in order; returns the figures of the report card."""
    threads = torch.get_num_threads()
    torch.set_num_threads(folder.config["threads"])
    try:
        read = texts.texts(folder.text, folder.seed)
        tokenizer = tokenize(folder, read)
        windows = _windows(folder, tokenizer, read)
        model = pretrain(folder, read, tokenizer, windows)
        midtrain(folder, tokenizer, model, windows)
        finetune(folder, tokenizer, model)
        before = folder.once("finetuned", lambda: measured(folder, tokenizer, model))
        strengthen(folder, tokenizer, model)
        after = folder.once("reinforced", lambda: measured(folder, tokenizer, model))
        deliver(folder, tokenizer, model)
        return report.finish(folder, before, after)
    finally:
        torch.set_num_threads(threads)


def tokenize(folder: Folder, read: Text) -> Tokenizer:
    """Byte pairs learned from a stretch of each text, so that none of them rules."""
    path, lap = folder.path / "tokenizer.json", Lap()

    def learn() -> dict[str, Any]:
        sample = [text[:400_000] for text, _ in read.values()]
        made = Tokenizer.train(sample, folder.config["vocab"], talk.WORDS)
        made.save(path)
        held = "".join(text[:HELD] for _, text in read.values())
        return {"bytes_a_token": len(held.encode()) / len(made.encode(held)), "cpu_seconds": lap()}

    folder.once("tokenizer", learn)
    return Tokenizer.load(path)


def pretrain(folder: Folder, read: Text, tokenizer: Tokenizer, windows: Windows) -> Model:
    """A model that predicts the next token of plays, problems and sums."""
    model = Model(_shape(folder.config, tokenizer.size), seed=folder.seed)
    card = _learn(folder, model, windows, "pretrain")

    def look() -> dict[str, Any]:
        figures = _cost(card)
        nats, sizes = [], []
        for name in ("plays", "problems"):
            text = read[name][1][:HELD]
            losses = text_losses(model, [tokenizer.end, *tokenizer.encode(text)])
            size = len(text.encode())
            figures |= mean_figures(f"{name}_bits_per_byte", losses * len(losses) / size / np.log(2))
            nats.append(losses)
            sizes.append(size)
        losses = np.concatenate(nats)
        scale = len(losses) / sum(sizes) / np.log(2)
        figures |= mean_figures("bits_per_byte", losses * scale)
        return figures | {"parameters": model.parameter_count}

    folder.once("pretrain", look)
    return model


def midtrain(folder: Folder, tokenizer: Tokenizer, model: Model, windows: Windows) -> None:
    """The same on conversations that call the calculator, every token of them, with a fifth of the old text."""
    config = folder.config

    def examples(epoch: int) -> list[Example]:
        chance = Random(f"{folder.seed} midtrain {epoch}")
        count, ids = EPOCH * config["batch"], list[int]()
        made = windows(-1 - epoch)[: count // 5]
        while len(made) < count:
            while len(ids) <= config["context"]:
                ids += talk.example(tokenizer, questions.mixture(chance, "train", CALLS)).ids
            made.append(Example.text(ids[: config["context"] + 1]))
            del ids[: config["context"] + 1]
        return made

    card = _learn(folder, model, examples, "midtrain")
    folder.once("midtrain", lambda: _cost(card))


def finetune(folder: Folder, tokenizer: Tokenizer, model: Model) -> None:
    """Single turns, of which only what the assistant says is learned; some show how a story becomes a sum."""
    config, shown = folder.config, _shown(folder)

    def examples(epoch: int) -> list[Example]:
        chance = Random(f"{folder.seed} finetune {epoch}")
        count = EPOCH * config["finetune_batch"]
        return [_turn(folder, tokenizer, chance, shown, STORIES) for _ in range(count)]

    card = _learn(folder, model, examples, "finetune")
    folder.once("finetune", lambda: _cost(card))


def _shown(folder: Folder) -> list[Question]:
    """The stories whose sum is written out."""
    chance = Random(f"{folder.seed} demonstrations")
    return [questions.stories(chance, "train") for _ in range(folder.config["demonstrations"])]


def _turn(
    folder: Folder, tokenizer: Tokenizer, chance: Random, stories: Sequence[Question], share: float
) -> Example:
    """One of `stories`, in so large a `share` of cases, or another question; some have a turn before them."""
    story = stories and chance.random() < share
    asked = chance.choice(stories) if story else questions.mixture(chance, "train", CALLS)
    before = [questions.mixture(chance, "train", CALLS)] if chance.random() < EARLIER else []
    made = talk.example(tokenizer, *before, asked)
    return made if _fits(folder, made) else talk.example(tokenizer, asked)


def _fits(folder: Folder, made: Example) -> bool:
    return len(made.ids) <= folder.config["context"]


def strengthen(folder: Folder, tokenizer: Tokenizer, model: Model) -> None:
    """Reinforcement learning: of new stories only the right number is told, not the sum that leads to it.

    Each epoch is a round: the model answers stories by chance, and what was right so far is learned beside turns
    like those of fine-tuning, so that nothing is forgotten.
    """
    config, known = folder.config, _shown(folder)

    def answers(number: int) -> dict[str, Any]:
        chance = Random(f"{folder.seed} reinforce {number}")
        asked = [questions.stories(chance, "train") for _ in range(config["prompts"])]
        found = reinforce.tried(
            model,
            [talk.asked(tokenizer, question.text) for question in asked],
            lambda i, said: right(asked[i], tokenizer.decode(said)),
            config["group"],
            talk.LONGEST,
            tokenizer.end,
            folder.seed * 100_003 + number,
        )
        calls = [Question(asked[i].text, talk.call_of(tokenizer.decode(said))) for i, said in found.right]
        kept = [(call.text, call.sum) for call in calls if _fits(folder, talk.example(tokenizer, call))]
        return {"right": kept, "share": found.share, "tokens": found.tokens}

    def examples(epoch: int) -> list[Example]:
        # Kept, since a run that goes on asks for the epochs before again, when the model is another.
        found = folder.once(f"answers {epoch}", lambda: answers(epoch))
        folder.log("reinforce right", epoch, share=found["share"])
        known.extend(Question(text, sum) for text, sum in found["right"])
        chance = Random(f"{folder.seed} learn {epoch}")
        return [
            _turn(folder, tokenizer, chance, known, RIGHT) for _ in range(ROUND * config["finetune_batch"])
        ]

    card = _learn(folder, model, examples, "reinforce")
    rounds = -(-config["reinforce_steps"] // ROUND)
    sampled = sum(folder.once(f"answers {number}", dict)["tokens"] for number in range(rounds))
    cost = {"tokens": card.tokens + sampled, "macs": card.macs + sampled * model.parameter_count}
    folder.once("reinforce", lambda: cost)


def deliver(folder: Folder, tokenizer: Tokenizer, model: Model) -> None:
    """The model as files: a folder for `lab chat` and `transformers`, a GGUF for the network."""
    talk.save(folder.path, model, tokenizer)
    path = folder.path / "model.gguf"
    export.write_gguf(
        model, tokenizer, path, "q8_0", f"tinyllm-depth-{folder.config['depth']}", talk.TEMPLATE
    )


def _windows(folder: Folder, tokenizer: Tokenizer, read: Text) -> Windows:
    """Stretches of the texts, one context long, drawn afresh for each epoch in fixed shares."""
    ids = {name: _encoded(tokenizer, read[name][0]) for name in SHARES}
    length = folder.config["context"] + 1

    def draw(epoch: int) -> list[Example]:
        chance = Random(f"{folder.seed} windows {epoch}")
        names = chance.choices(list(SHARES), list(SHARES.values()), k=EPOCH * folder.config["batch"])
        starts = [(name, chance.randrange(max(1, len(ids[name]) - length))) for name in names]
        return [Example.text(ids[name][start : start + length]) for name, start in starts]

    return draw


def _encoded(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a long text, piece by piece: all at once takes twice the time."""
    pieces = (text[start : start + 100_000] for start in range(0, len(text), 100_000))
    return [id for piece in pieces for id in tokenizer.encode(piece)]


def _shape(config: Mapping[str, Any], vocab: int) -> Config:
    shape = {key: config[key] for key in ("width", "heads", "hidden", "context")}
    return Config(vocab, layers=config["depth"], groups=config["heads"], **shape)


def _settings(folder: Folder, stage: str) -> Settings:
    batch, lr = (folder.config[name] for name in BATCH_AND_LR[stage])
    return settings(folder, steps=folder.config[f"{stage}_steps"], batch=batch, lr=lr)


def _learn(folder: Folder, model: Model, examples: Examples, stage: str) -> Card:
    """Train `model` for a stage, in the folder: curve, checkpoint, and where it was stopped."""
    lap = Lap()
    return fit(folder, model, examples, lambda step: {"cpu": lap()}, stage, _settings(folder, stage), LOOKS)


def _cost(card: Card) -> dict[str, Any]:
    return {"tokens": card.tokens, "macs": card.macs}
