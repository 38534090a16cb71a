"""What makes addition easy or hard for a language model: how it is written, and how digits are numbered.

Sums that are tested are never trained on.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tinyllm.lab.chart import axes
from tinyllm.lab.folder import Folder
from tinyllm.lab.generate import greedy
from tinyllm.lab.letters import Letters, share_interval
from tinyllm.lab.model import Model
from tinyllm.lab.runs.fitting import fit, shaped
from tinyllm.lab.train import Example

LETTERS = Letters("0123456789+=")
DIGITS = tuple(LETTERS.encode("0123456789"))
Problem = tuple[str, str]  # what is given, and what shall be written


def plain(one: int, other: int, digits: int) -> Problem:
    """`057+968=` and `1025`, the sum as it is written."""
    return f"{one:0{digits}}+{other:0{digits}}=", f"{one + other:0{digits + 1}}"


def reverse(one: int, other: int, digits: int) -> Problem:
    """`057+968=` and `5201`, the last digit first: what is carried is known before it is needed."""
    given, wanted = plain(one, other, digits)
    return given, wanted[::-1]


def scratchpad(one: int, other: int, digits: int) -> Problem:
    """`057+968=` and `780+15` `561+12` `091+10` `=1025`: both digits, carry, their sum; then the whole."""
    given, wanted = plain(one, other, digits)
    steps, carry = [], 0
    for place in range(digits):
        left, right = one // 10**place % 10, other // 10**place % 10
        steps.append(f"{left}{right}{carry}+{left + right + carry:02}")
        carry = (left + right + carry) // 10
    return given, "".join(steps) + f"={wanted}"


FORMATS: dict[str, Callable[[int, int, int], Problem]] = {
    "plain": plain,
    "reversed": reverse,
    "scratchpad": scratchpad,
}


def formats(folder: Folder) -> dict[str, Any]:
    """`arithmetic-formats`: the share of new sums right, by how many examples there were to learn from."""
    config = folder.config
    digits, tested, seeds = config["places"], config["tested"], config["seeds"]
    sizes = [config["smallest"] * 2**doubling for doubling in range(config["doublings"] + 1)]
    if tested + sizes[-1] > 100**digits:
        raise ValueError(f"there are not {tested + sizes[-1]} sums of {digits} digits: take fewer doublings")
    figures: dict[str, Any] = {}
    picture, plot = axes("examples", "share of new sums right")
    for name in FORMATS:
        means = []
        for size in sizes:
            parts = [
                folder.once(f"{name}-{size}-{seed}", partial(_share, folder, name, size, seed))
                for seed in range(seeds)
            ]
            means.append(sum(parts) / seeds)
            figures[f"{name}_{size}"] = means[-1]
            figures[f"{name}_{size}_seeds"] = parts
            folder.log(f"{name} dev", size, exact=means[-1], least=min(parts), most=max(parts))
        plot.plot(sizes, means, marker="o", label=name)
        figures[f"{name}_best"] = max(means)
        half = [size for size, mean in zip(sizes, means, strict=True) if mean >= 0.5]
        figures[f"{name}_half"] = min(half, default=None)  # the phase transition: what half of the sums take
    plot.set_xscale("log", base=2)
    plot.legend()
    folder.plot("formats", picture)
    return folder.finish(figures | {"tested": tested, "seeds": seeds})


def _share(folder: Folder, name: str, size: int, seed: int) -> float:
    """The share of new sums that a model gets right which learned from `size` examples in the format `name`."""
    places, tested = folder.config["places"], folder.config["tested"]
    chance = random.Random(folder.seed * 100 + seed)
    pairs = [divmod(number, 10**places) for number in chance.sample(range(100**places), tested + size)]
    problems = [FORMATS[name](one, other, places) for one, other in pairs]
    shape = shaped(folder, len(LETTERS), len("".join(problems[0])))
    model = Model(shape, seed=chance.randrange(2**31))
    fit(folder, model, [_example(problem) for problem in problems[tested:]], part=f"{name}-{size}-{seed}")
    return sum(_right(model, problems[:tested])) / tested


def length(folder: Folder) -> dict[str, Any]:
    """`arithmetic-length`: trained on short numbers, asked for long ones; digits of equal value are coupled.

    Numbers and their sum stand with the last digit first, and one zero longer than the numbers, for the carry.
    """
    config = folder.config
    longest, asked, tested = config["places"], config["asked"], config["tested"]

    def problem(chance: random.Random, digits: int) -> Problem:
        one, other = (chance.randrange(10 ** (digits - 1), 10**digits) for _ in range(2))
        written = [f"{number:0{digits + 1}}"[::-1] for number in (one, other, one + other)]
        return f"{written[0]}+{written[1]}=", written[2]

    def examples(epoch: int) -> list[Example]:
        chance = random.Random(f"{folder.seed} {epoch}")
        return [_example(problem(chance, chance.randint(1, longest))) for _ in range(config["batch"] * 16)]

    lengths = sorted({longest, asked // 2, asked, 2 * asked})
    chance = random.Random(folder.seed - 1)
    problems = {digits: [problem(chance, digits) for _ in range(tested)] for digits in lengths}
    model = Model(shaped(folder, len(LETTERS), 6 * asked + 5, digits=DIGITS), seed=folder.seed)

    def look(step: int) -> None:
        for digits in lengths:
            right = _right(model, problems[digits][: tested // 10 + 1])
            folder.log(f"{digits} digits", step, exact=sum(right) / len(right))

    fit(folder, model, examples, look)
    shares = [sum(_right(model, problems[digits])) / tested for digits in lengths]
    picture, plot = axes("step", "share of sums right")
    for digits in lengths:
        plot.plot(*folder.curve(f"{digits} digits", "exact"), marker="o", ms=3, label=f"{digits} digits")
    plot.set_title(f"trained on 1 to {longest} digits", fontsize=9)
    plot.legend()
    folder.plot("lengths", picture)
    figures: dict[str, Any] = {
        f"accuracy_{digits}": share for digits, share in zip(lengths, shares, strict=True)
    }
    figures |= {"accuracy": figures[f"accuracy_{asked}"]}
    figures |= {"accuracy_interval": share_interval(figures["accuracy"], tested)}
    return folder.finish(figures | {"tested": tested, "parameters": model.parameter_count})


def _example(problem: Problem) -> Example:
    given, wanted = problem
    return Example.answer(LETTERS.encode(given), LETTERS.encode(wanted))


def _right(model: Model, problems: Sequence[Problem]) -> list[bool]:
    """For each of `problems`, all of one length, whether the model ends with the right sum."""
    answers = greedy(model, [LETTERS.encode(given) for given, _ in problems], len(problems[0][1]))
    pairs = zip(answers, problems, strict=True)
    return [LETTERS.decode(answer).split("=")[-1] == wanted.split("=")[-1] for answer, (_, wanted) in pairs]
