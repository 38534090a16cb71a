"""The linear reader as a backend: it calls what it is sure of, refuses the rest, and tells what tools say."""

from dataclasses import replace
from pathlib import Path

import pytest

from tinyllm.backends.folding import complete
from tinyllm.backends.reader import LinearBackend, LinearRouter, vector
from tinyllm.errors import BackendError, ModelFileError
from tinyllm.routing import train
from tinyllm.slots import REFUSE, Op, find
from tinyllm.types import Completion, Message, Prompt, ToolCall, ToolSpec

OPS = {
    "add": Op("add", ("n", "n"), "calculator", {"expression": "{0} + {1}"}),
    "roll": Op("roll", ("n",), "chance", {"operation": "roll", "sides": "{0}"}),
    REFUSE: Op(REFUSE),
}
CALLS = {"add n0 n1": "add 4 to 9", "roll n0": "roll a die of 20 sides", REFUSE: "who wrote hamlet"}


def write(path: Path, names: dict[str, str]) -> Path:
    drawn = [(vector(find(text), 10), names[call]) for call, text in CALLS.items() for _ in range(40)]
    path.write_bytes(train(drawn, bits=10).to_bytes())
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "reader.linear", {call: call for call in CALLS})


async def ask(backend: LinearBackend, *messages: Message, tools: str = "calculator chance") -> Completion:
    specs = tuple(ToolSpec(name, "", {}) for name in tools.split())
    return await complete(backend, Prompt(messages, tools=specs, scores=True))


async def test_it_calls_with_the_values_of_the_question(file: Path) -> None:
    backend = LinearBackend("reader", file, OPS)
    done = await ask(backend, Message("user", "roll a die"), Message("user", "add 12 to 30"))
    assert done.tool_calls == (ToolCall("calculator", {"expression": "12 + 30"}),)
    assert done.finish == "tool_calls"
    assert done.cost.macs > 0
    assert done.cost.tokens_in == 4
    assert done.probability is not None
    assert 0.5 < done.probability < 1


@pytest.mark.parametrize(
    ("text", "tools", "reason"),
    [
        ("who wrote hamlet", "calculator chance", "no tool here computes"),
        ("add 12 to 30", "chance", "no tool here computes"),
        ("add 12 to 30", "", "no tool here computes"),
        ("add 12 to 30 " * 400, "calculator", "longer than"),
        ("", "calculator", "no tool here computes"),
    ],
)
async def test_it_refuses_with_a_reason(file: Path, text: str, tools: str, reason: str) -> None:
    done = await ask(LinearBackend("reader", file, OPS), Message("user", text), tools=tools)
    (call,) = done.tool_calls
    assert call.name == REFUSE
    assert reason in call.arguments["reason"]


async def test_a_forbidden_call_makes_no_other_one_surer(file: Path) -> None:
    ops = {**OPS, "add": replace(OPS["add"], unless=frozenset(("twice",)))}
    done = await ask(LinearBackend("reader", file, ops), Message("user", "add 12 to 30 twice"))
    assert done.tool_calls[0].name == REFUSE
    assert done.probability is not None and done.probability < 0.5


async def test_it_refuses_where_no_call_is_likelier_than_not(tmp_path: Path) -> None:
    alike = vector(find("add 4 to 9"), 10)
    drawn = [(alike, call) for call in ("add n0 n1", "add n1 n0", "roll n0") for _ in range(40)]
    path = tmp_path / "unsure.linear"
    path.write_bytes(train(drawn, bits=10).to_bytes())
    done = await ask(LinearBackend("reader", path, OPS), Message("user", "add 12 to 30"))
    assert done.tool_calls[0].name == REFUSE
    assert "not clear" in done.tool_calls[0].arguments["reason"]


async def test_a_tools_result_is_the_answer_and_its_error_a_refusal(file: Path) -> None:
    backend = LinearBackend("reader", file, OPS)
    question = Message("user", "add 12 to 30")
    done = await ask(backend, question, Message("tool", "12 + 30 = 42", tool_call_id="call_0"))
    assert (done.text, done.finish, done.tool_calls, done.cost.macs) == ("12 + 30 = 42", "stop", (), 0)
    done = await ask(backend, question, Message("tool", "error: too large", tool_call_id="call_0"))
    assert done.tool_calls == (ToolCall(REFUSE, {"reason": "too large"}),)


async def test_the_router_knows_when_it_does_not_know(tmp_path: Path) -> None:
    path = write(tmp_path / "router", dict(zip(CALLS, ("numbers", "everyday", REFUSE), strict=True)))
    router = LinearRouter(path)
    choice = await router.choose("add 12 to 30", ["numbers", "everyday"])
    assert choice.label == "numbers"
    assert choice.probabilities["numbers"] > 0.5
    assert sum(choice.probabilities.values()) < 1
    assert (await router.choose("who wrote hamlet", ["numbers", "everyday"])).label is None
    assert (await router.choose("add 12 to 30", ["everyday", "other"])).label is None
    assert (await router.choose("add 12 to 30", [])).label is None


@pytest.fixture
def cut(file: Path) -> Path:
    path = file.with_name("cut")
    path.write_bytes(file.read_bytes()[:-20])
    return path


async def test_a_file_that_cannot_be_used_says_what_to_do(file: Path, cut: Path, tmp_path: Path) -> None:
    for path, sha256 in ((tmp_path / "none", None), (cut, None), (file, "0" * 64)):
        with pytest.raises(ModelFileError) as caught:
            await LinearBackend("reader", path, OPS, sha256).probe()
        assert "tinyllm starter train" in caught.value.hint
        assert str(path) in caught.value.message
        with pytest.raises(ModelFileError):
            await LinearRouter(path, sha256).choose("hi", ["a"])


async def test_a_closed_reader_answers_no_more(file: Path) -> None:
    backend = LinearBackend("reader", file, OPS)
    assert "3 calls" in await backend.probe()
    await backend.close()
    await backend.close()
    with pytest.raises(BackendError, match="closed"):
        await ask(backend, Message("user", "add 1 to 2"))
