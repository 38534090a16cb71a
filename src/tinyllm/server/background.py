"""What chat programs ask on their own behalf: titles, tags, follow-up questions, search queries.

Such prompts are known by how they begin. A pattern is added here where a program's own default prompt was seen.
"""

import re
from collections.abc import Mapping, Sequence

from tinyllm.types import Message

_LOOKED_AT = 300  # characters

# Who asks so, and how; white space and capitals aside. Open WebUI asks some real questions under "### Task:", too.
PATTERNS: Mapping[str, Sequence[str]] = {
    "Open WebUI": (
        r"### Task: Generate a concise(, 3-5 word)? title",
        r"### Task: Generate 1-3 broad tags",
        r"### Task: Suggest 3-5 relevant follow-up",
        r"### Task: Analyze the chat history to determine the necessity of generating search",
        r"### Task: You are an autocompletion system",
    ),
    "LibreChat": (r"(Provide|Please generate) a concise, 5-word-or-less title for the conversation",),
    "LobeChat": (r"You are a professional conversation summarizer\. Generate a concise title",),
    "NextChat": (
        r"Please generate a four to five word title summarizing our conversation",
        r"Summarize the discussion briefly in 200 words or less to use as a prompt",
    ),
}


_BEGINNINGS = re.compile("|".join(each for patterns in PATTERNS.values() for each in patterns), re.IGNORECASE)


def is_background(messages: Sequence[Message]) -> bool:
    """Whether a program asks for itself: by its last message, or by one of the system's."""
    asked = [turn.content for turn in messages if turn.role == "system"]
    asked += [turn.content for turn in messages[-1:]]
    return any(_BEGINNINGS.match(" ".join(text[:_LOOKED_AT].split())) for text in asked)
