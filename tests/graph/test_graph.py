"""Reading, judging and editing networks."""

import pytest

from tinyllm.errors import GraphError
from tinyllm.graph import Gate, Specialist, diff, dump, parse, put_nodes, put_prompt

TEXT = """\
schema: 1
name: small
models: {m: {backend: builtin}}
nodes:
  entry: {kind: entry, next: router}
  router: {kind: router, model: m, routes: {a: {to: left}, b: {to: right}}}
  left: {kind: specialist, model: m, tools: [calculator], next: gate}
  right: {kind: specialist, model: m, next: gate}
  gate: {kind: gate, checks: [{check: schema}], next: exit, retry: {to: left}}
  exit: {kind: exit}
protected: [entry, left]
"""
TOOLS = ("calculator", "units")


def small(text: str = TEXT) -> object:
    return parse(text, source="net.yaml", tools=TOOLS)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("schema: 1", "schema: 9", 1, "`schema: 1`, and this file says 9"),
        ("schema: 1\n", "", 1, "this file has none"),
        ("model: m, tools", "modle: m, tools", 7, "did you mean 'model'?"),
        ("kind: gate", "kind: gat", 9, "did you mean 'gate'?"),
        ("kind: gate, ", "", 9, "says no kind"),
        ("[calculator]", "[calclator]", 7, "did you mean 'calculator'?"),
        (
            "right: {kind: specialist, model: m",
            "right: {kind: specialist, model: n",
            8,
            "no model is called 'n'",
        ),
        ("model: m, next: gate}", "model: m, prompt: p, next: gate}", 8, "no prompt is called 'p'"),
        ("b: {to: right}", "b: {to: rihgt}", 6, "did you mean 'right'?"),
        (", b: {to: right}", "", 8, "'right' is an orphan"),
        ("exit: {kind: exit}", "exit: {kind: entry, next: gate}", 10, "second entry"),
        ("exit: {kind: exit}", "exit: {kind: human, next: gate}", 4, "there is no exit"),
        ("next: exit, retry", "next: right, retry", 8, "a cycle runs through"),
        ("retry: {to: left}", "retry: {to: exit}", 9, "does not lead back"),
        ("retry: {to: left}", "retry: {to: left, limit: 99}", 9, "limit"),
        ("protected: [entry, left]", "protected: [ghost]", 11, "'ghost' does not exist"),
        ("check: schema", "check: judge", 9, "needs `model:`"),
        ("name: small", "name: small\nname: big", 3, "stands twice"),
        ("name: small", "name: small\nlearning: {rollout: [0, .nan, 1]}", 3, "the shares rise"),
        ("name: small", "name: small\nlearning: {rollout: [0, 0.1]}", 3, "end with 1"),
        ("name: small", "name: }", 2, "not YAML"),
        ("{kind: exit}", "{kind: exit, extra: 1}", 10, "is not a field here"),
    ],
)
def test_a_fault_is_named_with_its_line_and_its_mend(old: str, new: str, line: int, words: str) -> None:
    assert old in TEXT
    with pytest.raises(GraphError) as caught:
        small(TEXT.replace(old, new))
    assert any(
        problem.startswith(f"net.yaml:{line}:") and words in problem for problem in caught.value.problems
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "next: router",
            "next: [a b]",
            "net.yaml:5: 'nodes.entry.next.0' is 'a b': 'a b' is not a name: use",
        ),
        ("next: router", "next: 3", "net.yaml:5: 'nodes.entry.next' is 3: Input should be a valid string"),
        ("  left:", "  le ft:", "net.yaml:7: 'nodes.le ft' is 'le ft': 'le ft' is not a name: use letters"),
    ],
)
def test_a_fault_is_told_once_in_the_words_of_the_file(old: str, new: str, problem: str) -> None:
    with pytest.raises(GraphError) as caught:
        small(TEXT.replace(old, new))
    (told,) = caught.value.problems
    assert told.startswith(problem)


@pytest.mark.parametrize(
    "text", ["", "- 1", "a", "\x00", "{" * 2000, "a: " * 500, "x" * 1_100_000, "&a [*a]"]
)
def test_what_is_no_network_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(GraphError):
        parse(text)


def test_aliases_cannot_unfold_without_bound() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(GraphError, match="too many"):
        parse("\n".join(levels))


def test_the_content_id_ignores_order_and_comments_and_survives_a_round_trip() -> None:
    graph = parse(TEXT, tools=TOOLS)
    turned = TEXT.replace("schema: 1\nname: small\n", "# a comment\nname: small\nschema: 1\n")
    assert parse(turned, tools=TOOLS).id == graph.id
    assert parse(dump(graph), tools=TOOLS).id == graph.id
    assert parse(TEXT.replace("name: small", "name: other"), tools=TOOLS).id != graph.id


def test_edits_are_pure_and_show_in_the_difference() -> None:
    graph = parse(TEXT, tools=TOOLS)
    before = graph.id
    edited = put_nodes(
        graph,
        {
            "third": Specialist(kind="specialist", model="m", next="gate"),
            "right": Specialist(kind="specialist", model="m", next="gate", simpler="third"),
        },
    )
    assert graph.id == before and "third" not in graph.nodes
    assert {change.path for change in diff(graph, edited)} >= {"nodes.right.simpler", "nodes.third.kind"}
    assert diff(graph, graph) == []
    prompted = put_prompt(put_prompt(graph, "tone", "Be brief."), "tone", "Be kind.")
    assert prompted.prompts["tone"].version == 2


def test_an_edit_cannot_remove_a_protected_node_or_make_an_illegal_graph() -> None:
    graph = parse(TEXT, tools=TOOLS)
    with pytest.raises(GraphError, match="protected"):
        put_nodes(graph, {"left": None})
    with pytest.raises(GraphError, match="right"):
        put_nodes(graph, {"right": None})
    with pytest.raises(GraphError, match="did you mean 'right'"):
        put_nodes(graph, {"righ": None})


def test_branches_that_never_meet_are_refused() -> None:
    text = TEXT.replace("next: router}", "next: [router, lone]}").replace(
        "  exit: {kind: exit}",
        "  exit: {kind: exit}\n  lone: {kind: specialist, model: m, next: out}\n  out: {kind: exit}",
    )
    with pytest.raises(GraphError, match="never meet"):
        small(text)


def test_a_gate_is_a_value() -> None:
    graph = parse(TEXT, tools=TOOLS)
    gate = graph.nodes["gate"]
    assert isinstance(gate, Gate)
    with pytest.raises(ValueError):
        gate.next = "left"  # type: ignore[misc]
