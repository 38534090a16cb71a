"""Networks and runs as pictures: nothing hides anything, and nothing in them can act."""

from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Run
from tinyllm.cli import pictures
from tinyllm.cli.layout import LANE, arrange
from tinyllm.graph import Graph, parse
from tinyllm.starter import shipped
from tinyllm.tools.table import TOOLS

BOX = (150, 44)
WIDE = """\
schema: 1
name: wide
description: "<script>alert(1)</script>\\e[31m red"
human: person
models: {m: {backend: scripted, options: {answers: ["same"]}}}
nodes:
  start: {kind: entry, next: [left, middle, right]}
  left: {kind: specialist, model: m, simpler: simple, next: check}
  middle: {kind: specialist, model: m, next: check}
  right: {kind: specialist, model: m, larger: big, next: check}
  simple: {kind: specialist, model: m, next: check}
  big: {kind: specialist, model: m, next: check}
  check: {kind: gate, checks: [{check: schema, json_schema: {type: object}}], retry: {to: left}, next: end}
  person: {kind: human, next: end}
  end: {kind: exit}
"""


def graph(name: str) -> Graph:
    text = WIDE if name == "wide" else shipped.network(name).read_text(encoding="utf-8")
    return parse(text, tools=TOOLS)


@pytest.mark.parametrize("name", ["wide", *shipped.networks()])
def test_no_node_covers_another_or_a_way(name: str) -> None:
    network = graph(name)
    ways = {(e.source, e.target) for e in network.edges if e.role not in ("retry", "human")}
    layout = arrange(network, sorted(ways), BOX)
    for (x, y), (other_x, other_y) in combinations(layout.nodes.values(), 2):
        assert x != other_x or abs(y - other_y) >= BOX[1]
    for (source, target), points in layout.ways.items():
        assert layout.nodes[source][0] < layout.nodes[target][0], "a way leads from left to right"
        for x, y in points:
            beside = [top for left, top in layout.nodes.values() if left == x]
            assert not [top for top in beside if top - LANE // 2 < y < top + BOX[1]]
    right = max(x for x, _ in layout.nodes.values()) + BOX[0]
    assert right < layout.width


def test_a_long_chain_with_one_last_resort_is_drawn() -> None:
    many = [f"n{i}" for i in range(200)]
    nodes = "\n".join(
        f"  {name}: {{kind: specialist, model: m, larger: last, next: {after}}}"
        for name, after in zip(many, [*many[1:], "last"], strict=True)
    )
    text = WIDE.partition("nodes:")[0].replace("human: person\n", "") + (
        f"nodes:\n  start: {{kind: entry, next: n0}}\n{nodes}\n"
        "  last: {kind: specialist, model: m, next: end}\n  end: {kind: exit}\n"
    )
    assert len(ElementTree.fromstring(pictures.svg(parse(text)))) > 400


@pytest.mark.parametrize("name", ["wide", *shipped.networks()])
def test_a_drawing_holds_every_node_and_nothing_that_acts(name: str) -> None:
    network = graph(name)
    drawing = ElementTree.fromstring(pictures.svg(network))
    tags = {element.tag.rpartition("}")[2] for element in drawing.iter()}
    assert tags <= {"svg", "title", "defs", "marker", "path", "g", "rect", "text"}
    assert not [
        key for element in drawing.iter() for key in element.attrib if "href" in key or key[:2] == "on"
    ]
    words = [element.text for element in drawing.iter() if element.tag.endswith("text")]
    assert set(network.nodes) <= set(words)
    dashed = [path for path in drawing.iter() if path.get("stroke-dasharray")]
    assert len(dashed) == sum(e.role in ("retry", "simpler", "larger") for e in network.edges)


def test_text_cannot_steer_the_terminal() -> None:
    shown = pictures.text(graph("wide"))
    assert "[31m red" in shown
    assert shown.replace("\n", "").isprintable()
    assert "<script>" not in pictures.mermaid(graph("wide"))


def test_a_page_marks_what_broke_and_says_a_text_where_it_was_said(home: Path, run: Run) -> None:
    (home / "wide.yaml").write_text(WIDE, encoding="utf-8")
    assert run("ask", "--network", "wide.yaml", '"><img src=x onerror=alert(1)> {run}').exit_code == 0
    assert run("trace", "last", "--html", "page.html").exit_code == 0
    page = (home / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "<img" not in page and "{run}" in page
    assert page.count("said: same") == 5  # three branches, one of them once more, the simpler one
    assert page.count('<li class="broken">') == 3
    assert page.count("check schema: failed") == 5
