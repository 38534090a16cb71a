"""Reinforcement learning on answers that can be checked: what a model got right by chance is what it learns next.

Questions are answered several times by chance, and answers that are right are kept to be learned like
demonstrations, round after round (rejection sampling: RAFT, Dong et al. 2023; Yuan et al. 2023). It is
REINFORCE (Williams 1992) with a reward of 0 or 1 and no baseline, whose samples may be used more than once.
Knows nothing about where questions come from, nor what makes an answer right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinyllm.lab.generate import Sampling, generate
from tinyllm.lab.model import Model


@dataclass(frozen=True)
class Tried:
    """What came of a round: each question's number with an answer that was right, all different."""

    right: list[tuple[int, tuple[int, ...]]]
    share: float  # of all answers that were right
    tokens: int  # read and written


def tried(
    model: Model,
    prompts: Sequence[list[int]],
    is_right: Callable[[int, list[int]], bool],
    times: int,
    longest: int,
    stop: int,
    seed: int,
) -> Tried:
    """The answers of `model` to `prompts`, each answered so many `times` by chance, as `is_right` judges them."""
    ids = [prompt for prompt in prompts for _ in range(times)]
    answers = generate(model, ids, longest, stop, None, Sampling(seed=seed).chooser())
    right = [(i // times, tuple(said)) for i, said in enumerate(answers) if is_right(i // times, said)]
    tokens = sum(map(len, ids)) + sum(map(len, answers))
    return Tried(list(dict.fromkeys(right)), len(right) / len(ids), tokens)
