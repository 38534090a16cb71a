"""What every backend promises, asked of each of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.backends.conformance import CALL, SPEC, TEXT, Models, ask
from tinyllm.backends.folding import complete
from tinyllm.errors import BackendError, BackendTimeout
from tinyllm.protocols import Backend


@asynccontextmanager
async def using(make: Callable[[], Backend]) -> AsyncIterator[Backend]:
    backend = make()
    try:
        yield backend
    finally:
        await backend.close()


async def test_a_stream_ends_with_its_only_closing_chunk(models: Models) -> None:
    async with using(models.speaker) as backend:
        assert isinstance(backend, Backend)
        chunks = [chunk async for chunk in backend.stream(ask())]
    assert "".join(chunk.text for chunk in chunks) == TEXT
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    assert [(chunk.finish, chunk.cost is not None) for chunk in chunks[:-1]] == [(None, False)] * (
        len(chunks) - 1
    )
    assert chunks[-1].finish == "stop"
    assert chunks[-1].cost is not None
    assert chunks[-1].cost.tokens_in > 0
    assert chunks[-1].cost.tokens_out > 0
    assert chunks[-1].cost.milliseconds > 0


async def test_folding_gives_the_whole_answer_and_tells_each_piece(models: Models) -> None:
    heard: list[str] = []
    async with using(models.speaker) as backend:
        whole = await complete(backend, ask(), heard.append)
    assert whole.text == "".join(heard) == TEXT
    assert whole.finish == "stop"
    assert whole.tool_calls == ()


async def test_a_token_limit_cuts_the_answer(models: Models) -> None:
    async with using(models.speaker) as backend:
        cut = await complete(backend, ask(max_tokens=2))
    assert cut.finish == "length"
    assert TEXT.startswith(cut.text)
    assert cut.text.split() == ["one", "two"]


async def test_a_stop_sequence_ends_the_answer_and_is_not_part_of_it(models: Models) -> None:
    async with using(models.speaker) as backend:
        stopped = await complete(backend, ask(stop=("three",)))
    assert stopped.finish == "stop"
    assert stopped.text.split() == ["one", "two"]


async def test_eight_prompts_at_once_get_their_answers(models: Models) -> None:
    async with using(models.speaker) as backend:
        answers = await asyncio.gather(*(complete(backend, ask()) for _ in range(8)))
    assert [answer.text for answer in answers] == [TEXT] * 8


async def test_a_cancelled_answer_leaves_the_backend_usable(models: Models) -> None:
    if not models.waits:
        pytest.skip("never waits, so cannot be cancelled")
    async with using(models.talker) as backend:
        begun = asyncio.Event()
        task = asyncio.create_task(complete(backend, ask(max_tokens=10_000), lambda _: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await complete(backend, ask(max_tokens=3))).finish == "length"


async def test_an_answer_that_was_left_early_leaves_the_backend_usable(models: Models) -> None:
    def leave(text: str) -> None:
        raise KeyError(text)

    async with using(models.talker) as backend:
        with pytest.raises(KeyError):
            await complete(backend, ask(max_tokens=10_000), leave)
        assert (await complete(backend, ask(max_tokens=3))).finish == "length"


async def test_an_answer_that_takes_too_long_is_a_timeout(models: Models) -> None:
    if not models.waits:
        pytest.skip("nothing to wait for")
    async with using(models.talker) as backend:
        await complete(backend, ask(max_tokens=1))
        with pytest.raises(BackendTimeout, match=r"'talker' .* within 0.01 seconds") as error:
            await complete(backend, ask(max_tokens=10_000, timeout=0.01))
        assert error.value.retryable
        assert error.value.hint
        assert (await complete(backend, ask(max_tokens=3))).finish == "length"


async def test_scores_come_only_when_asked_for(models: Models) -> None:
    async with using(models.speaker) as backend:
        plain = await complete(backend, ask())
        scored = await complete(backend, ask(scores=True))
    assert plain.scores == ()
    assert plain.text == scored.text == TEXT
    if models.scores:
        assert "".join(score.token for score in scored.scores) == TEXT
        assert all(score.logprob < 0 for score in scored.scores)


async def test_a_tool_call_arrives_parsed(models: Models) -> None:
    if models.caller is None:
        pytest.skip("answers with text only")
    async with using(models.caller) as backend:
        answer = await complete(backend, ask("what is 847 * 392?", tools=(SPEC,)))
    assert answer.finish == "tool_calls"
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [(CALL.name, CALL.arguments)]
    assert answer.tool_calls[0].id
    assert answer.text == ""


async def test_text_that_is_no_text_is_answered_or_refused_but_never_fatal(models: Models) -> None:
    async with using(models.speaker) as backend:
        for text in ("", "\x00\x01\x7f", "\ud83d alone", "\u202e\ufeff", "<|im_end|>"):
            try:
                await complete(backend, ask(text))
            except BackendError as error:
                assert error.message
        assert (await complete(backend, ask())).text == TEXT


async def test_probing_says_in_one_line_what_answers(models: Models) -> None:
    async with using(models.speaker) as backend:
        line = await backend.probe()
    assert line.startswith("speaker: ")
    assert "\n" not in line


async def test_closing_twice_is_safe_and_closed_is_closed(models: Models) -> None:
    for used in (True, False):
        backend = models.speaker()
        if used:
            await complete(backend, ask())
        await backend.close()
        await backend.close()
        with pytest.raises(BackendError, match="'speaker' is closed"):
            await complete(backend, ask())


async def test_closing_ends_the_answers_under_way(models: Models) -> None:
    if not models.waits:
        pytest.skip("is never under way")
    backend = models.talker()
    begun = asyncio.Event()
    tasks = [
        asyncio.create_task(complete(backend, ask(max_tokens=10_000), lambda _: begun.set()))
        for _ in range(4)
    ]
    await begun.wait()
    await backend.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    faults = [o for o in outcomes if isinstance(o, BaseException)]
    assert [fault for fault in faults if not isinstance(fault, BackendError)] == []
