"""The dial: every choice of the pipeline from one number, the depth, each with its reason.

Knows nothing about how a stage works.
"""

from dataclasses import dataclass
from typing import Any

from tinyllm.errors import RequestError
from tinyllm.lab.pipeline.texts import NEEDS
from tinyllm.lab.runs import Figure, Run

DEEPEST = 12  # some hours of one core; from there on a GPU and more text are wanted


@dataclass(frozen=True)
class Setting:
    value: Any
    reason: str


def settings(depth: int) -> dict[str, Setting]:
    """Every setting of the pipeline at `depth`, by name. Raises RequestError for a depth that cannot work."""
    if not 1 <= depth <= DEEPEST:
        raise RequestError(
            f"--depth {depth} cannot be built here", hint=f"1 to {DEEPEST}; 2 takes six minutes of one core"
        )
    width = 32 * depth
    return {
        "depth": Setting(depth, "the dial: layers, and the width with them"),
        "width": Setting(width, "32 for each layer: narrow and deep learn alike, and heads stay whole"),
        "heads": Setting(depth, "32 numbers a head, enough for rotary positions"),
        "hidden": Setting(32 * round(width / 12), "8/3 of the width, as Llama; whole blocks of q8_0"),
        "context": Setting(192, "tokens; the longest turn, a story with its call and reply, has about 150"),
        "vocab": Setting(1024, "tokens; more of them would cost a small model more than all its layers"),
        "batch": Setting(16, "windows of text at once: many small steps, since time is what is short"),
        "optimizer": Setting(
            "muon",
            "bits per byte at depth 2: 2.65 by the dial's lr, 2.55 by the best of three; adamw's best 3.04",
        ),
        "lr": Setting(
            round(16e-3 / depth, 5), "of every stage but the last: high, or copying is not found in time"
        ),
        "weight_decay": Setting(0.1, "the usual; no text is read so often that it matters"),
        "pretrain_steps": Setting(80 * depth, "more text for more weights, as the scaling laws ask"),
        "midtrain_steps": Setting(
            30 * depth, "what a conversation and a call look like, beside a fifth of old text"
        ),
        "finetune_steps": Setting(
            6000 // (depth + 1), "until digits are copied into calls: deeper models find it sooner"
        ),
        "finetune_batch": Setting(32, "turns, which are shorter than windows"),
        "demonstrations": Setting(150, "stories with their sums written out: those are what is dear"),
        "reinforce_steps": Setting(300, "six rounds of answers, each learned for fifty steps"),
        "reinforce_lr": Setting(2e-3, "small: what was learned is to stay"),
        "prompts": Setting(400, "new stories a round"),
        "group": Setting(4, "answers to each, of which the right ones are learned"),
        "tested": Setting(400, "held-out questions of each kind: intervals of at most 5 points to each side"),
        "test": Setting(1, "0: judged on other questions, by which the settings above were chosen"),
        "threads": Setting(1, "small matrices gain little from a second one"),
    }


def run(depth: int) -> Run:
    """The pipeline of `depth` as a run, whose config `--set` may change and whose gain it is judged by."""
    config = {name: setting.value for name, setting in settings(depth).items()}
    aim = Figure("stories_gain", 0.1, "aim", ours=None, seconds=0)
    return Run(f"A chat model of depth {depth}.", "", aim, config, NEEDS)
