"""The scripted model: what tests of other parts rely on."""

import pytest

from tests.backends.conformance import ask
from tinyllm.backends.folding import complete
from tinyllm.backends.pricing import Rates
from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.errors import BadReply
from tinyllm.types import Cost


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


async def test_cost_counts_words() -> None:
    model = Scripted("s", ["one two three"], Rates(parameters=1000, price_out=2e6))
    cost = (await complete(model, ask("four words in here"))).cost
    assert cost == Cost(7000, 4, 3, cost.milliseconds, 6.0)
