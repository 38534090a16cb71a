"""Preferences: what a user likes, by a plain rule, and how far that moves the odds of a choice.

A preference is a fact that begins like one ("prefers Python over JavaScript", "use metric units", "answer in
German", "avoid Java"). Knows nothing about who keeps facts, or what is chosen from.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WEIGHT = 8.0  # requests that a router's own odds count as
MOST = (
    2.0  # requests that preferences count as together, one each: they turn no lead of MOST / WEIGHT or more
)

_BEGINS = re.compile(
    r"(?:(?:i|we|he|she|they|the user|user) )?(?:(?:always|please|strongly|really|rather) )*(?:"
    r"(?P<against>avoid|never|don't|do not|dislikes?|hates?)"
    r"|prefers?|likes?|use|answer|reply|respond|write|speak)\b",
    re.IGNORECASE,
)
_OVER = re.compile(r"\b(?:over|rather than|instead of|not|never)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+[+#]*")
_SPARE = frozenset(
    _WORD.findall(
        "a an and any anything are as at be by do else for from i if in is it me my of on or other questions the"
        " to use user with write"
    )
)


@dataclass(frozen=True, slots=True)
class Preference:
    """The words of what a user likes, and of what the user likes less."""

    likes: frozenset[str]
    dislikes: frozenset[str]


def words(text: str) -> frozenset[str]:
    """The words of a text that say what it is about, in lower case."""
    return frozenset(_WORD.findall(text.lower())) - _SPARE


def preference(fact: str) -> Preference | None:
    """The preference that a fact states; None where it states another thing."""
    begin = _BEGINS.match(fact)
    if begin is None:
        return None
    first, *rest = _OVER.split(fact[begin.end() :], maxsplit=1)
    likes, dislikes = words(first), words(" ".join(rest))
    return Preference(dislikes, likes) if begin["against"] else Preference(likes, dislikes)


def match(wish: Preference, choices: Mapping[str, str]) -> Mapping[str, float]:
    """Which of the choices, each with the text that describes it, a preference speaks for, as shares of 1.

    Empty where it does not tell them apart.
    """
    about = {label: words(f"{label} {text}") for label, text in choices.items()}
    liked = [label for label in about if about[label] & wish.likes]
    if not liked and any(about[label] & wish.dislikes for label in about):
        liked = [label for label in about if not about[label] & wish.dislikes]
    return {label: 1 / len(liked) for label in liked} if len(liked) < len(about) else {}


def sway(odds: Mapping[str, float], matches: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The odds with each match counted as one request, all together as MOST at most.

    p' = (p n + k m) / (n + k), with n = WEIGHT, k the matches counted, m their mean: a choice that leads
    another by k / n or more stays ahead of it.
    """
    count = min(MOST, float(len(matches)))
    if not count:
        return odds
    mean = {label: sum(one.get(label, 0.0) for one in matches) / len(matches) for label in odds}
    return {label: (p * WEIGHT + count * mean[label]) / (WEIGHT + count) for label, p in odds.items()}
