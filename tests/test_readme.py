"""The examples of the README are read by the code that they speak of."""

import re
import tomllib
from pathlib import Path

from tinyllm.backends import build
from tinyllm.graph import parse

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def example(language: str) -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return str(block)


def test_the_network_file_is_legal() -> None:
    graph = parse(example("yaml"), source="README.md", tools=["calculator"])
    assert graph.entry == "start"


def test_the_backend_of_the_settings_can_be_built() -> None:
    ((name, options),) = tomllib.loads(example("toml"))["backends"].items()
    assert build(name, options.pop("kind"), {"model": "qwen2.5:0.5b", **options})
