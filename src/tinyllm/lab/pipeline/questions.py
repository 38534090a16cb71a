"""Questions that are drawn by chance: sums in words, stories that end in a sum, what is no sum, numbers to repeat.

A tenth of all wordings and of all numbers is `test`, another tenth `dev`, the rest `train`; a draw has both from
its own part, so that what one part taught cannot be known by heart in another. Knows nothing about tokens or
models.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Literal

from tinyllm.lab.pipeline import calculator

VALUE = "{}"  # in a reply: what the calculator found


@dataclass(frozen=True)
class Question:
    """What a user says, the sum that answers it (None: no sum does), and the reply after that."""

    text: str
    sum: str | None
    reply: str = "That is {}."

    @property
    def value(self) -> Fraction | None:
        return None if self.sum is None else calculator.value(self.sum)


Part = Literal["train", "dev", "test"]  # to learn from, to choose settings by, to judge by
Draw = Callable[[Random, Part], Question]

_OPENERS = (
    *("", "what is ", "what's ", "how much is ", "compute ", "calculate ", "work out ", "tell me ", "find "),
    *("can you work out ", "please calculate ", "i need ", "do you know ", "give me ", "quickly: ", "so "),
)
_CLOSERS = ("", "?", " please", ", please?", " for me", " ?", ".", " =", ", if you can", " thanks", "!")
_WORDINGS = {
    "{a} + {b}": "{a} + {b}|{a}+{b}|{a} plus {b}|the sum of {a} and {b}|{b} added to {a}|{a} and {b} together|"
    "{a} increased by {b}|{b} more than {a}|the total of {a} and {b}|{a} with {b} on top",
    "{a} - {b}": "{a} - {b}|{a}-{b}|{a} minus {b}|{a} take away {b}|{b} less than {a}|{b} subtracted from {a}|"
    "{a} decreased by {b}|{a} reduced by {b}|{a} once {b} are gone|{a} without {b}",
    "{a} * {b}": "{a} * {b}|{a}*{b}|{a} times {b}|{a} x {b}|{a} multiplied by {b}|the product of {a} and {b}|"
    "{a} lots of {b}|{a} groups of {b}",
    "{a} / {b}": "{a} / {b}|{a}/{b}|{a} divided by {b}|{a} over {b}|{a} split into {b}|the quotient of {a} and {b}|"
    "how often {b} goes into {a}",
    "{a} * {b} / 100": "{b}% of {a}|{b} percent of {a}|{b} per cent of {a}",
    "{a} * 2": "double {a}|twice {a}|two times {a}",
    "{a} / 2": "half of {a}|one half of {a}|{a} halved",
}
_SUMS = [(sum, wording) for sum, wordings in _WORDINGS.items() for wording in wordings.split("|")]

_PEOPLE = "Ann Ben Cara Dan Ella Finn Gus Hana Ida Jon Kim Leo Mia Nora Omar Pia Ravi Sue Tom Uma"
_THINGS = "apples books cards coins eggs flowers marbles nuts pencils shells stamps stones sweets toys"
_STARTS = (
    "{n} has {a} {t}.",
    "{n} starts with {a} {t}.",
    "There are {a} {t} on {n}'s table.",
    "In the morning {n} counts {a} {t}.",
    "{n} owns {a} {t}.",
)
_EVENTS = {
    "{n} finds {b} more.": "+ {b}",
    "{m} gives {n} another {b}.": "+ {b}",
    "Then {n} buys {b} {t}.": "+ {b}",
    "{n} wins {b} {t} in a game.": "+ {b}",
    "{n} gives {b} of them to {m}.": "- {b}",
    "{n} loses {b} {t}.": "- {b}",
    "{m} takes {b} away.": "- {b}",
    "{b} of the {t} break.": "- {b}",
    "{n} buys {b} boxes of {c} {t}.": "+ {b} * {c}",
    "{m} brings {b} bags with {c} {t} in each.": "+ {b} * {c}",
    "{n} sells {b} packs of {c}.": "- {b} * {c}",
    "{n} gives {b} {t} to each of {c} friends.": "- {b} * {c}",
}
_ENDS = {
    "How many {t} does {n} have now?": "{}",
    "How many {t} are left?": "{}",
    "What does {n} have in the end?": "{}",
    "{d} children share them all. How many does each child get?": "({}) / {d}",
    "A year later there are {d} times as many. How many is that?": "({}) * {d}",
}

_REPLIES = {
    "hello|hi|hi there|hey|good morning|good evening|greetings": "Hello! Ask me for a sum.",
    "who are you|what are you|what is your name|are you a robot|are you human": "I am a small language model. "
    "I was trained from nothing on this machine.",
    "what can you do|help|how does this work|what are you good at|what do you know": "I turn questions into sums "
    "and let a calculator do them. Ask me what 12 times 34 is.",
    "thanks|thank you|that was great|well done|nice|good job": "You are welcome.",
    "bye|goodbye|see you|good night|that is all": "Goodbye!",
}
_REFUSAL = "I don't know that. I only do sums."
_UNKNOWN = (
    *("who wrote {x}", "what is the capital of {x}", "tell me about {x}", "how do i cook {x}", "who is {x}"),
    *("what's the weather in {x}", "sing a song about {x}", "where is {x}", "when was {x} born", "play {x}"),
    *("translate {x} into french", "what happened in {y}", "set an alarm for {z}", "call {y}", "is {x} old"),
    *(
        "remind me of {x} at {z}",
        "what does {x} mean",
        "room {z} please",
        "i was born in {y}",
        "read {x} to me",
    ),
)
_TOPICS = (
    *(
        "hamlet",
        "france",
        "rice",
        "london",
        "the moon",
        "my mother",
        "gold",
        "peru",
        "jazz",
        "a horse",
        "snow",
    ),
    *("the sea", "japan", "bread", "the king", "rome", "chess", "oil", "kenya", "a poem", "the news", "tea"),
)


def _part(what: object) -> Part:
    """The part that `what` belongs to, always the same one."""
    tenth = zlib.crc32(repr(what).encode()) % 10
    return "dev" if tenth == 0 else "test" if tenth == 1 else "train"


def _number(chance: Random, digits: int) -> int:
    return chance.randint(2, 10 ** chance.randint(1, digits) - 1)


def sums(chance: Random, part: Part) -> Question:
    """One operation in words, with numbers of up to six digits."""
    while True:
        sum, wording = chance.choice(_SUMS)
        opener, closer = chance.choice(_OPENERS), chance.choice(_CLOSERS)
        a, b = _number(chance, 6), _number(chance, 2 if "/" in sum or "*" in sum else 6)
        if "- " in sum:
            a, b = max(a, b), min(a, b)
        if _part((opener, wording, closer)) == _part((a, b)) == part:
            return Question((opener + wording + closer).format(a=a, b=b), sum.format(a=a, b=b))


def stories(chance: Random, part: Part) -> Question:
    """Things that a person has, gets and gives away: two or more operations, and a result that is whole."""
    while True:
        start, end = chance.choice(_STARTS), chance.choice(list(_ENDS))
        events = chance.sample(list(_EVENTS), chance.choice((1, 2, 2)))
        numbers = [chance.randint(10, 999), *(chance.randint(2, 40) for _ in range(2 * len(events) + 1))]
        if not _part((start, *events, end)) == _part(numbers) == part:
            continue
        n, m = chance.sample(_PEOPLE.split(), 2)
        told = {"n": n, "m": m, "t": chance.choice(_THINGS.split()), "d": numbers[-1]}
        texts, terms = [start.format(a=numbers[0], **told)], [str(numbers[0])]
        for event, b, c in zip(events, numbers[1:-1:2], numbers[2:-1:2], strict=True):
            texts.append(event.format(b=b, c=c, **told))
            terms.append(_EVENTS[event].format(b=b, c=c))
        sum = _ENDS[end].format(" ".join(terms), **told)
        result = calculator.value(sum)
        if result >= 0 and result.denominator == 1:
            return Question(" ".join((*texts, end.format(**told))), sum)


def talk(chance: Random, part: Part) -> Question:
    """What is no sum: greetings, and questions that the model cannot answer, some of them with numbers."""
    while True:
        if chance.random() < 0.3:
            said, reply = chance.choice(list(_REPLIES.items()))
            text = chance.choice(said.split("|"))
        else:
            x, y, z = chance.choice(_TOPICS), chance.randint(1000, 2030), chance.randint(1, 12)
            text, reply = chance.choice(_UNKNOWN).format(x=x, y=y, z=z), _REFUSAL
        text += chance.choice(("", "?", ".", " please", "!"))
        if _part(text) == part:
            return Question(text, None, reply)


def copies(chance: Random, part: Part) -> Question:
    """Numbers that are to be said again."""
    while True:
        numbers = [_number(chance, 6) for _ in range(chance.randint(1, 3))]
        if _part(numbers) == part:
            said = " ".join(map(str, numbers))
            return Question(chance.choice(("", "say ", "repeat ", "copy ", "write ")) + said, None, said)


def mixture(chance: Random, part: Part, parts: Mapping[Draw, float]) -> Question:
    """A question of one of the kinds in `parts`, each as likely as its weight says."""
    (draw,) = chance.choices(list(parts), list(parts.values()))
    return draw(chance, part)
