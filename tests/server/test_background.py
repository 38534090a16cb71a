"""What chat programs ask on their own behalf is answered and kept, but neither graded nor learned from."""

import asyncio
from typing import Any

import pytest

from tests.grading.fakes import RIGHT, a_judge
from tests.support.serving import Running
from tinyllm.engine import fold, request_of
from tinyllm.grading import thumb
from tinyllm.learning.collect import collect
from tinyllm.learning.items import gather

BACKGROUND = [
    "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n### Guidelines:",
    "### Task:\nGenerate a concise title summarizing the chat history.",
    "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history",
    "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next",
    "### Task:\nAnalyze the chat history to determine the necessity of generating search queries",
    "### Task:\nYou are an autocompletion system. Continue the text in `<text>`",
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions.",
    "Please generate a four to five word title summarizing our conversation without any lead-in",
]
QUESTIONS = [
    "hello",
    "### Task:\nRespond to the user query using the provided context, incorporating inline citations",
    "What does 'Generate a concise title' mean?",
    "generate a title for my book",
]


def asked(running: Running, text: str, path: str = "/v1/chat/completions", **more: Any) -> bool:
    """Whether the run of a question may be learned from."""
    told = running.post(
        path, {"messages": [{"role": "user", "content": text}], "stream": False, **more}
    ).json()

    async def kept() -> bool:
        return request_of(await running.store.events(told["tinyllm"]["run_id"])).learn

    return asyncio.run(kept())


@pytest.mark.parametrize("text", BACKGROUND)
def test_the_prompts_of_programs_are_known(pair: Running, text: str) -> None:
    assert not asked(pair, text)


@pytest.mark.parametrize("text", QUESTIONS)
def test_what_people_ask_is_learned_from(pair: Running, text: str) -> None:
    assert asked(pair, text)


def test_ollamas_clients_ask_so_too(pair: Running) -> None:
    assert not asked(pair, BACKGROUND[0], "/api/chat")


def test_a_systems_instruction_tells_it(pair: Running) -> None:
    system = (
        "You are a professional conversation summarizer. Generate a concise title that captures the essence"
    )
    turns = [{"role": "system", "content": system}, {"role": "user", "content": "hello"}]
    assert not asked(pair, "", messages=turns)


def test_a_request_may_say_it_itself(pair: Running) -> None:
    assert not asked(pair, "hello", tinyllm={"learn": False})
    assert asked(pair, BACKGROUND[0], tinyllm={"learn": True})


def test_such_runs_are_kept_and_neither_graded_nor_learned_from(pair: Running) -> None:
    async def graded() -> None:
        before = {row.run_id for row in await pair.store.runs(limit=1000)}
        for text in (BACKGROUND[0], "hello"):
            await asyncio.to_thread(asked, pair, text)
        rows = [row for row in await pair.store.runs(limit=1000) if row.run_id not in before]
        by_text = {row.question: row.run_id for row in rows}
        title, hello = by_text[BACKGROUND[0]], by_text["hello"]
        judge, _ = a_judge([RIGHT])
        await collect(pair.store, [judge], limit=1000)
        assert await pair.store.grades(run_id=title) == []
        assert len(await pair.store.grades(run_id=hello)) == 1
        for run_id in (title, hello):
            await pair.store.grade(thumb(fold(await pair.store.events(run_id)), "ann", True))
        learned = {item.trace.run_id for item in await gather(pair.store)}
        assert hello in learned and title not in learned

    asyncio.run(graded())
