"""The exam: questions of every kind that were held out, and which of them a model gets right.

Knows nothing about how the model was trained.
"""

from random import Random
from typing import Any

from tinyllm.lab.folder import Folder
from tinyllm.lab.generate import likeliest
from tinyllm.lab.model import Model
from tinyllm.lab.pipeline import calculator, questions, talk
from tinyllm.lab.pipeline.questions import Part, Question
from tinyllm.lab.pipeline.report import Lap
from tinyllm.lab.tokenizer import Tokenizer


def right(question: Question, said: str) -> bool:
    """Whether `said` is the right first answer: a sum of the right value, or no call where none helps."""
    if question.sum is None:
        return talk.OPEN not in said
    call = talk.call_of(said)
    try:
        return call is not None and calculator.value(call) == question.value
    except ValueError:
        return False


def measured(folder: Folder, tokenizer: Tokenizer, model: Model) -> dict[str, Any]:
    """Which of the held-out questions of each kind the model, always taking the likeliest token, gets right.

    `replies` are sums whose reply at the end has the right number. Some turns of each kind are kept.
    """
    lap, found = Lap(), dict[str, Any]()
    part: Part = "test" if folder.config["test"] else "dev"
    for draw in (questions.sums, questions.stories, questions.talk):
        chance = Random(f"{draw.__name__} {part}")  # the same ones for every seed and depth
        asked = [draw(chance, part) for _ in range(folder.config["tested"])]
        turns = talk.hold(model, tokenizer, [question.text for question in asked], likeliest)
        pairs = list(zip(asked, turns, strict=True))
        found[draw.__name__] = [int(right(question, turn.said)) for question, turn in pairs]
        if draw is questions.sums:
            found["replies"] = [int(_replied(*pair)) for pair in pairs]
        told = (
            " -> ".join(filter(None, (question.text, turn.result, turn.reply)))
            for question, turn in pairs[:10]
        )
        found[f"{draw.__name__}_turns"] = list(told)
    return found | {"cpu_seconds": lap()}


def _replied(question: Question, turn: talk.Turn) -> bool:
    """Whether the reply is the one that the sum's value makes."""
    return right(question, turn.said) and turn.reply == talk.reply(question)
