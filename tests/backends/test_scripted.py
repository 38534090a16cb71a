"""The scripted model and the folding of its streams: what tests of other parts rely on."""

from collections.abc import AsyncIterator

import pytest

from tests.backends.conformance import ask
from tinyllm.backends.folding import complete
from tinyllm.backends.pricing import Rates
from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.errors import BadReply
from tinyllm.types import Chunk, Cost, Prompt


async def test_answers_come_in_turn_and_the_last_one_stays() -> None:
    model = Scripted("s", ["one", Answer("two")])
    assert [(await complete(model, ask())).text for _ in range(3)] == ["one", "two", "two"]


async def test_a_function_answers_from_the_prompt() -> None:
    model = Scripted("s", lambda prompt: prompt.messages[-1].content.upper())
    assert (await complete(model, ask("quietly"))).text == "QUIETLY"
    assert [prompt.messages[0].content for prompt in model.prompts] == ["quietly"]


async def test_an_error_comes_after_the_words_before_it() -> None:
    heard: list[str] = []
    model = Scripted("s", [Answer("one two three", error=BadReply("broken"), error_after=2), "well"])
    with pytest.raises(BadReply, match="broken"):
        await complete(model, ask(), heard.append)
    assert "".join(heard).split() == ["one", "two"]
    assert (await complete(model, ask())).text == "well"


async def test_folding_closes_the_stream_that_it_leaves() -> None:
    class Watched(Scripted):
        closed = False

        async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
            try:
                yield Chunk("one")
                yield Chunk("two")
            finally:
                self.closed = True

    def leave(text: str) -> None:
        raise KeyError(text)

    model = Watched("s", [""])
    with pytest.raises(KeyError) as error:  # which holds the frame, so that nothing is collected
        await complete(model, ask(), leave)
    assert model.closed, error
    with pytest.raises(BadReply, match="without a finish"):
        await complete(model, ask())


async def test_cost_counts_words() -> None:
    model = Scripted("s", ["one two three"], Rates(parameters=1000, price_out=2e6))
    cost = (await complete(model, ask("four words in here"))).cost
    assert cost == Cost(7000, 4, 3, cost.milliseconds, 6.0)
