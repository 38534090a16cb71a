"""The shipped networks are legal, and their neurons answer what they were made for."""

import pytest

from tinyllm.backends.gguf_file import inspect
from tinyllm.backends.reader import LinearBackend, LinearRouter, load
from tinyllm.errors import NotFound
from tinyllm.graph import Graph, RouterNode, Specialist, parse
from tinyllm.starter import shipped
from tinyllm.starter.calls import OPS
from tinyllm.starter.linear import ROUTES
from tinyllm.tools.table import TOOLS
from tinyllm.types import Message, Prompt, ToolCall, ToolSpec


def graph(name: str) -> Graph:
    path = shipped.network(name)
    return parse(path.read_text(encoding="utf-8"), source=path.name, tools=TOOLS)


@pytest.mark.parametrize("name", shipped.networks())
def test_a_shipped_network_is_legal(name: str) -> None:
    assert len(graph(name).nodes) == 8


def test_the_starter_knows_the_routes_and_tools_of_its_neurons() -> None:
    network = graph("starter")
    router = network.nodes["router"]
    assert isinstance(router, RouterNode)
    assert set(router.routes) == {"calculator", *ROUTES.values()} - {"refuse"}
    for tool, route in ROUTES.items():
        node = network.nodes.get(route)
        assert node is None or (isinstance(node, Specialist) and tool in node.tools)


def test_the_starter_says_how_large_its_models_are() -> None:
    def size(file: str) -> int:
        path, sha256 = shipped.weights(file)
        return inspect(path).parameters if path.suffix == ".gguf" else load(path, sha256).weights.size

    for model in graph("starter").models.values():
        assert model.parameters == sum(map(size, shipped.TOGETHER.get(model.model, (model.model,))))


def test_an_unknown_name_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match="starter"):
        shipped.network("starer")
    with pytest.raises(NotFound, match="train"):
        shipped.weights("writer.linear")


@pytest.mark.parametrize(
    ("question", "route", "call"),
    [
        ("847*392", "calculator", ToolCall("calculator", {"expression": "847*392"})),
        ("what is 30% off 279", "numbers", ToolCall("calculator", {"expression": "percent_off(30, 279)"})),
        ("how many tablespoons in 3 cups", "measures", ToolCall("units", {
            "value": "3", "from_unit": "cup", "to_unit": "tablespoon"})),
        ("what time is it in tokyo", "everyday", ToolCall("time", {"operation": "now_in", "zone": "Asia/Tokyo"})),
        ("flip a coin", "everyday", ToolCall("chance", {"operation": "flip"})),
        ("who won the world cup", None, None),
    ],
)  # fmt: skip
async def test_the_shipped_neurons_read_and_route(
    question: str, route: str | None, call: ToolCall | None
) -> None:
    path, sha256 = shipped.weights("router.linear")
    choice = await LinearRouter(path, sha256).choose(
        question, ["calculator", "numbers", "measures", "everyday"]
    )
    assert choice.label == route
    path, sha256 = shipped.weights("reader.linear")
    tools = tuple(ToolSpec(name, "", {}) for name in TOOLS)
    backend = LinearBackend("reader", path, OPS, sha256)
    chunks = [chunk async for chunk in backend.stream(Prompt((Message("user", question),), tools=tools))]
    (made,) = chunks[-1].tool_calls
    assert made == call or (call is None and made.name == "refuse")
