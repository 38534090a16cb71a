"""The `ollama` network, walked from end to end: through a server that knows the answers, and through a real one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tinyllm
from tests.support.chat_server import Body, Chat, Message, calls, chat_server, says
from tests.support.llama_server import KEY, llama_server
from tests.support.tiny_gguf import write_random
from tinyllm.api import Network
from tinyllm.settings import BackendSettings, Settings

ROUTER, WRITER, JUDGE = "qwen2.5:0.5b", "phi3", "qwen2.5:14b"
CODER, MATHEMATICIAN = "granite-code:3b", "qwen2.5:3b"
PASS = '{"verdict": "pass", "reason": "right"}'
FAIL = '{"verdict": "fail", "reason": "it misses the question"}'


def models_for(route: str, verdict: str = PASS) -> dict[str, str]:
    """What each model says; the mathematician, which calls a tool first, is in `answer` below."""
    return {
        ROUTER: f'{{"route": "{route}"}}',
        CODER: "print('hello')",
        WRITER: "Paris.",
        JUDGE: verdict,
    }


@contextmanager
def ollama(said: dict[str, str]) -> Iterator[tuple[Network, Chat]]:
    """The network on a server that says this, by model; what is not said is a model that is not there."""

    def answer(body: Body) -> Message | None:
        name, last = body["model"], body["messages"][-1]
        if name == MATHEMATICIAN:
            if last["role"] == "tool":
                return says(f"It is {last['content']}.")
            return calls("units", value=3, from_unit="cup", to_unit="tablespoon")
        if name == JUDGE and "response_format" not in body:
            return says("The expert's answer.")
        return says(said[name]) if name in said else None

    with chat_server(answer) as chat, network(chat.url) as net:
        yield net, chat


def network(url: str, **options: str) -> Network:
    server = BackendSettings.model_validate({"kind": "openai", "base_url": url, **options})
    return tinyllm.load("ollama", settings=Settings(backends={"ollama": server}), store=None)


@pytest.mark.parametrize(
    ("question", "route", "name", "answer"),
    [
        ("How many tablespoons are 3 cups?", "numbers", MATHEMATICIAN, "It is 3 cups = 48 tablespoons."),
        ("Write hello world in Python.", "code", CODER, "print('hello')"),
        ("What is the capital of France?", "language", WRITER, "Paris."),
    ],
)
def test_each_specialist_answers_and_is_judged(question: str, route: str, name: str, answer: str) -> None:
    with ollama(models_for(route)) as (net, chat):
        reply = net.ask(question)
    assert (reply.status, reply.answer) == ("answered", answer)
    assert reply.route == ("question", "router", route, "gate", "answer")
    assert reply.cost.macs > 0
    assert chat.asked(name), "the specialist was not asked"
    (routing,), (judging,) = chat.asked(ROUTER), chat.asked(JUDGE)
    labels = routing["response_format"]["json_schema"]["schema"]["properties"]["route"]["enum"]
    assert labels == ["numbers", "code", "language"]
    assert question in judging["messages"][-1]["content"]
    assert answer in judging["messages"][-1]["content"]


def test_what_the_judge_rejects_goes_to_the_expert() -> None:
    with ollama(models_for("language", FAIL)) as (net, chat):
        reply = net.ask("What is the capital of France?")
    assert reply.route == ("question", "router", "language", "gate", "expert", "gate", "answer")
    asked = [body for body in chat.asked(JUDGE) if "response_format" not in body]
    assert "misses the question" in asked[0]["messages"][0]["content"]
    assert reply.status == "refused"  # this judge rejects the expert too, and nothing is left
    assert "in smaller steps" in reply.answer


@pytest.mark.parametrize("said", ["I do not know", None])
def test_a_router_that_is_lost_or_missing_leaves_it_to_the_writer(said: str | None) -> None:
    models = models_for("language")
    del models[ROUTER]
    if said:
        models[ROUTER] = said
    with ollama(models) as (net, _):
        reply = net.ask("What is the capital of France?")
    assert (reply.status, reply.answer) == ("answered", "Paris.")


def test_a_specialist_that_is_not_pulled_is_replaced_by_the_expert() -> None:
    models = models_for("code")
    del models[CODER]
    with ollama(models) as (net, _):
        reply = net.ask("Write hello world in Python.")
    assert (reply.status, reply.answer) == ("answered", "The expert's answer.")
    assert "expert" in reply.route


def test_without_any_model_the_error_says_which_to_fetch() -> None:
    with chat_server(lambda body: None) as chat, network(chat.url) as net:
        reply = net.ask("hello")
    assert reply.status == "failed"
    assert f"ollama pull {ROUTER}" in reply.answer


@pytest.mark.parametrize("route", ["numbers", "code", "language"])
def test_a_real_server_takes_the_requests_of_every_node(tmp_path: Path, route: str) -> None:
    """The model is noise, so no answer makes sense: what counts is that llama.cpp refuses no request."""
    noise = write_random(tmp_path / "noise.gguf")
    with llama_server(noise, context=16_384) as url, network(url, key=KEY) as net:
        reply = net.ask("How many tablespoons are 3 cups?", forced={"router": route})
        events = net.call(net.store.events(reply.run_id))
    assert reply.route[:3] == ("question", "router", route)
    told = [str(event.data) for event in events]
    assert not [text for text in told if "answered 4" in text]
    assert any("'model': 'judge'" in text for text in told), "neither judge nor expert was asked"
