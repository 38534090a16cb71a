"""A server with memory for few models: loads serve many requests, and nobody waits beyond the bound."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.clock import run
from tests.support.ollama_server import Ollama, ollama_server
from tinyllm.backends.collation import Collated, Turns
from tinyllm.backends.folding import complete
from tinyllm.backends.openai_api import OpenAI, Options
from tinyllm.cli.workshop import Workshop
from tinyllm.errors import BackendBusy, BackendUnreachable
from tinyllm.protocols import Loadable
from tinyllm.settings import Settings
from tinyllm.types import Message, Prompt

LOAD, ANSWER = 5.0, 0.5  # seconds, as a 4 GB model from a disk may need
MODELS = ("a", "b", "c")


def asked(model: str) -> Prompt:
    return Prompt((Message("user", f"what does {model} say?"),))


def backend(url: str, model: str, turns: Turns) -> Collated:
    return Collated(OpenAI(model, Options(base_url=f"{url}/v1", model=model)), turns)


async def test_one_load_serves_all_who_wait_for_the_model() -> None:
    """Through a real server: sixty requests at once, three models in turn, memory for one."""
    order = [MODELS[number % 3] for number in range(60)]
    with ollama_server(Ollama()) as ollama:
        turns = Turns(1, 1000, 4)
        collated = {model: backend(ollama.url, model, turns) for model in MODELS}
        said = await asyncio.gather(*(complete(collated[model], asked(model)) for model in order))
        assert [one.text for one in said] == order
        loads = len(ollama.loads)
        plain = {model: one.inner for model, one in collated.items()}
        await asyncio.gather(*(complete(plain[model], asked(model)) for model in order))
        served = len(ollama.loads) - loads
        for one in plain.values():
            await one.close()
    assert loads == 3 and len(ollama.answers) == 120
    assert loads * LOAD + 60 * ANSWER <= 0.6 * (served * LOAD + 60 * ANSWER)


@dataclass
class Machine:
    """A server without HTTP: its loads, and how long each request stood in line."""

    turns: Turns
    load: float = LOAD
    loads: int = 0
    waited: list[float] = field(default_factory=list)
    busy: int = 0
    memory: str = ""

    async def ask(self, model: str, at: float) -> None:
        clock = asyncio.get_running_loop()
        await asyncio.sleep(at)
        try:
            async with self.turns.turn(model, self.loader(model)):
                self.waited.append(clock.time() - at)
                assert self.memory == model, "asked for a model that is not there"
                await asyncio.sleep(ANSWER)
        except BackendBusy:
            self.waited.append(clock.time() - at)
            self.busy += 1

    def loader(self, model: str) -> Callable[[], Awaitable[bool]]:
        async def load() -> bool:
            self.loads += 1
            self.memory = ""
            await asyncio.sleep(self.load)
            self.memory = model
            return True

        return load


def machine(wait: float, arrivals: Sequence[tuple[str, float]], parallel: int = 1) -> tuple[Machine, float]:
    """What became of requests of (model, second), and when the last was answered."""

    async def all_of_them() -> tuple[Machine, float]:
        clock = asyncio.get_running_loop()
        one = Machine(Turns(1, wait, parallel, clock.time))
        await asyncio.gather(*(one.ask(model, at) for model, at in arrivals))
        return one, clock.time()

    return run(all_of_them())


def poisson(seed: int, every: float, number: int = 300) -> list[tuple[str, float]]:
    chance, at, arrivals = random.Random(seed), 0.0, []
    for _ in range(number):
        at += chance.expovariate(1 / every)
        arrivals.append((chance.choice(MODELS), at))
    return arrivals


def first_come_first_served(arrivals: Sequence[tuple[str, float]]) -> float:
    now, memory = 0.0, ""
    for model, at in arrivals:
        now = max(now, at) + (0.0 if model == memory else LOAD) + ANSWER
        memory = model
    return now


@pytest.mark.parametrize("seed", range(5))
def test_it_takes_three_fifths_of_the_time_and_nobody_waits_beyond_the_bound(seed: int) -> None:
    """A request a second, of which first-come-first-served cannot do half."""
    arrivals = poisson(seed, 1.0)
    one, took = machine(60.0, arrivals)
    assert one.busy == 0
    assert max(one.waited) <= 60.0
    assert took <= 0.6 * first_come_first_served(arrivals)


@pytest.mark.parametrize("every", [0.1, 0.4])
def test_under_too_much_the_bound_holds_and_the_rest_is_told_so(every: float) -> None:
    one, _ = machine(40.0, poisson(0, every))
    assert max(one.waited) <= 40.0 + LOAD  # who begins to load has had its turn
    assert 0 < one.busy < 300
    assert one.loads < 20  # and it does not load all the more for it


def test_a_model_in_use_gives_way_to_one_that_waits() -> None:
    """Without an end to its turn, a popular model would never let another in."""
    popular = [("a", number * 0.6) for number in range(200)]
    one, _ = machine(30.0, sorted([*popular, ("b", 3.0)], key=lambda each: each[1]))
    assert one.busy == 0 and max(one.waited) <= 30.0


def test_a_turn_goes_on_for_a_while_when_another_comes() -> None:
    """So that its load serves those who come soon after, too."""
    others = [("b", 40.0), ("b", 45.0), ("b", 50.0)]
    popular = [("a", number * 0.5) for number in range(200)]
    one, _ = machine(60.0, sorted([*popular, *others], key=lambda each: each[1]))
    assert one.loads == 3


def test_where_loads_alone_fill_the_wait_a_turn_is_as_long_as_a_load() -> None:
    one, _ = machine(12.0, poisson(0, 0.4))
    assert one.loads <= 18 and one.busy < 200


def test_who_leaves_makes_room() -> None:
    """In line and while the model loads: the next one loads it anew."""

    async def work() -> tuple[list[str], int]:
        clock = asyncio.get_running_loop()
        one = Machine(Turns(1, 100.0, 1, clock.time))
        ends: list[str] = []

        async def ask(model: str, at: float, until: float) -> None:
            try:
                async with asyncio.timeout_at(until):
                    await one.ask(model, at)
                ends.append(model)
            except TimeoutError:
                ends.append(f"{model} left")

        await asyncio.gather(ask("a", 0, 2), ask("a", 1, 99), ask("b", 1, 3), ask("c", 2, 4), ask("c", 7, 99))
        return ends, one.loads

    assert run(work()) == (["a left", "b left", "c left", "a", "c"], 3)


async def test_the_price_of_a_load_is_in_answers() -> None:
    now = [0.0]

    async def load() -> bool:
        now[0] += 6.0
        return True

    turns = Turns(1, 100.0, 1, lambda: now[0])
    assert turns.price("a") == 0
    async with turns.turn("a", load):
        now[0] += 0.5
    assert turns.price("a") == 0  # it is there
    async with turns.turn("b", load):
        now[0] += 3.0
    assert turns.price("a") == 12
    assert turns.price("b") == 0


async def test_two_models_stay_where_there_is_room_for_two() -> None:
    with ollama_server(Ollama(slots=2)) as ollama:
        turns = Turns(2, 1000, 1)
        ones = {model: backend(ollama.url, model, turns) for model in MODELS}
        for model in "abababcab":
            await complete(ones[model], asked(model))
        assert ollama.loads == ["a", "b", "c", "a", "b"]
        assert sorted(await ones["a"].loaded()) == ["a:latest", "b:latest"]
        for one in ones.values():
            await one.close()


async def test_what_others_loaded_is_not_loaded_again() -> None:
    with ollama_server(Ollama()) as ollama:
        one, another = backend(ollama.url, "a", Turns(1, 9, 1)), backend(ollama.url, "a", Turns(1, 9, 1))
        await complete(one, asked("a"))
        await complete(another, asked("a"))
        assert ollama.loads == ["a"] and isinstance(another, Loadable) and another.load_price() == 0
        assert "in memory: a:latest" in await one.probe()
        await one.close()
        await another.close()


async def test_models_of_one_server_take_turns_across_networks(tmp_path: Path) -> None:
    """Where the settings give the server `slots`; elsewhere nothing stands in between."""
    with ollama_server(Ollama()) as ollama:
        server = {"kind": "openai", "base_url": f"{ollama.url}/v1"}
        settings = Settings.model_validate({"backends": {"few": server | {"slots": 1}, "many": server}})
        turns: dict[str, Turns] = {}
        shops = [Workshop(settings, tmp_path, turns) for _ in range(2)]
        asks = [
            complete(shops[n % 2].model(f"{n % 3}", f"few/{MODELS[n % 3]}"), asked("x")) for n in range(30)
        ]
        await asyncio.gather(*asks)
        assert len(ollama.loads) == 3
        assert not isinstance(shops[0].model("plain", "many/a"), Loadable)
        for shop in shops:
            await shop.close()


async def test_a_server_that_is_away_is_told_as_ever() -> None:
    one = backend("http://127.0.0.1:9", "a", Turns(1, 9, 1))
    for _ in range(2):
        with pytest.raises(BackendUnreachable):
            await complete(one, asked("a"))
    await one.close()
