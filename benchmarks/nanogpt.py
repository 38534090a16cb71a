"""The lab's model beside nanoGPT's: tokens a second with the same configuration, and the time to its loss.

    TINYLLM_DATA_DIR=data python benchmarks/nanogpt.py PATH       PATH: nanoGPT's model.py

The configuration is that of nanoGPT's README for a processor: 4 layers of width 128, blocks of 64, batches of 12,
2,000 steps. Speed: both train in turn on the same batches, the same architecture (learned positions, layer norms,
GELU) and AdamW. Time to its loss: nanoGPT trains to the end as its README says; then the lab's own recipe (RoPE,
SwiGLU, Muon) trains the same number of tokens at most, and stops where it is as good on the same blocks. All in CPU
seconds of one process and one thread; looking is not counted. Without a PATH nothing is measured: it says so.
"""

import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tinyllm.lab.folder import machine
from tinyllm.lab.letters import encoded_plays
from tinyllm.lab.model import Config, Model
from tinyllm.lab.runs.plays import windows
from tinyllm.lab.train import Example, Settings, train
from tinyllm.settings import read_settings

OUT = Path(__file__).with_suffix(".json")
SHAPE = {"block_size": 64, "n_layer": 4, "n_head": 4, "n_embd": 128}
BATCH, STEPS, ROUNDS, SLICE = 12, 2000, 5, 20  # a slice is how many steps each takes in turn
LOOK = 50  # steps between two looks at our loss
GLANCE = 20_000  # characters of the dev set that both losses are taken on


def theirs(path: Path) -> Any:
    """The module at `path`, which has GPT and GPTConfig. Raises ValueError for another one."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{str(path)!r} is no Python file: give nanoGPT's model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    if not hasattr(module, "GPT") or not hasattr(module, "GPTConfig"):
        raise ValueError(f"{str(path)!r} has no GPT and GPTConfig: give nanoGPT's model.py")
    return module


class Theirs:
    """nanoGPT's model and the loop of its train.py: AdamW, a cosine to a tenth of the rate."""

    def __init__(self, module: Any, vocab: int, steps: int):
        torch.manual_seed(1337)
        self.model = module.GPT(module.GPTConfig(vocab_size=vocab, dropout=0.0, bias=False, **SHAPE))
        self.optimizer = self.model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
        self.steps, self.step = steps, 0
        self.batches: Iterator[tuple[tuple[int, ...], ...]] = iter(())

    def train(self, learn: Sequence[int], count: int) -> float:
        """Take `count` steps; returns the CPU seconds."""
        start = time.process_time()
        for _ in range(count):
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate()
            batch = torch.tensor(next(self.batches, None) or self._epoch(learn))
            _, loss = self.model(batch[:, :-1], batch[:, 1:])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.step += 1
        return time.process_time() - start

    def feed(self, examples: Sequence[Example]) -> None:
        """What it trains on next."""
        self.batches = zip(*[iter([example.ids for example in examples])] * BATCH, strict=False)

    def _epoch(self, learn: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        self.feed(windows(learn, SHAPE["block_size"], 0, self.step))
        return next(self.batches)

    def _rate(self) -> float:
        warm = max(1, self.steps // 20)
        if self.step < warm:
            return 1e-3 * (self.step + 1) / (warm + 1)
        return 1e-4 + 0.45e-3 * (1 + math.cos(math.pi * (self.step - warm) / max(1, self.steps - warm)))


def ours(vocab: int, **change: Any) -> Model:
    width, layers, heads = SHAPE["n_embd"], SHAPE["n_layer"], SHAPE["n_head"]
    sizes = {"width": width, "layers": layers, "heads": heads, "groups": heads, "hidden": 4 * width}
    return Model(Config(vocab=vocab, context=SHAPE["block_size"], **(sizes | change)))


def loss_of(logits_of: Callable[[Tensor, Tensor], Tensor], dev: Sequence[int]) -> float:
    """The mean loss on blocks of `dev` that lie side by side."""
    block = SHAPE["block_size"]
    rows = torch.tensor(
        [dev[start : start + block + 1] for start in range(0, min(GLANCE, len(dev) - 1) - block, block)]
    )
    with torch.inference_mode():
        logits = logits_of(rows[:, :-1], rows[:, 1:])
        return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()


def measure(
    path: Path, text: str, steps: int = STEPS, rounds: int = ROUNDS, pace: int = SLICE
) -> dict[str, Any]:
    """Speeds and times of both, as the module says."""
    letters, learn, dev = encoded_plays(text)
    tokens = BATCH * SHAPE["block_size"]
    torch.set_num_threads(1)
    examples = partial(windows, learn, SHAPE["block_size"], 0)
    plain = Settings(steps=pace, batch=BATCH, lr=1e-3, optimizer="adamw")
    racer = ours(len(letters), ffn="mlp", norm="layer", position="learned")
    their_speed, our_speed = list[float](), list[float]()
    rival = Theirs(theirs(path), len(letters), rounds * pace)
    for turn in range(rounds):
        drawn = windows(learn, SHAPE["block_size"], 0, turn)[: pace * BATCH]
        rival.feed(drawn)
        their_speed.append(pace * tokens / rival.train(learn, pace))
        start = time.process_time()
        train(racer, drawn, plain)
        our_speed.append(pace * tokens / (time.process_time() - start))

    rival = Theirs(theirs(path), len(letters), steps)
    their_seconds = rival.train(learn, steps)
    rival.model.eval()
    aim = loss_of(lambda ids, wanted: rival.model(ids, wanted)[0], dev)

    model = ours(len(letters), hidden=352)
    paused, reached, start = 0.0, (0, math.inf, 0.0), time.process_time()

    def progress(step: int, _steps: int, _loss: float, _left: float) -> bool:
        nonlocal paused, reached
        if step % LOOK and step < steps:
            return False
        began = time.process_time()
        model.eval()
        reached = step, loss_of(lambda ids, _: model(ids)[0], dev), began - start - paused
        model.train()
        paused += time.process_time() - began
        return reached[1] <= aim

    train(model, examples, Settings(steps=steps, batch=BATCH, lr=4e-3), progress)
    step, loss, seconds = reached
    return {
        "their_tokens_a_second": median(their_speed),
        "our_tokens_a_second": median(our_speed),
        "speed_ratio": median(our_speed) / median(their_speed),
        "speed_ratios": [one / other for one, other in zip(our_speed, their_speed, strict=True)],
        "parameters": {
            "theirs": sum(w.numel() for w in rival.model.parameters()),
            "ours": racer.parameter_count,
        },
        "their_loss": aim,
        "their_seconds": their_seconds,
        "our_loss": loss,
        "our_seconds": seconds,
        "our_steps": step,
        "reached": loss <= aim,
        "time_ratio": their_seconds / seconds,
        "steps": steps,
        "machine": machine(),
    }


def main() -> None:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_file():
        return print("not measured: give the path of nanoGPT's model.py")
    folder = read_settings().settings.data_dir
    if folder is None:
        return print("not measured: set TINYLLM_DATA_DIR to the folder with tinyshakespeare.txt")
    from tinyllm.lab import data

    figures = measure(Path(sys.argv[1]), data.read("tinyshakespeare.txt", folder))
    OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
