"""Traffic in kinds: the hidden ones are found, a single one stays whole, and all is told by names."""

from random import Random

import pytest

from tests.learning.things import an_item
from tinyllm.evidence import nmi
from tinyllm.learning import alike
from tinyllm.learning.clusters import clusters
from tinyllm.learning.items import Item
from tinyllm.learning.proposal import Cluster
from tinyllm.starter.corpus import fill, patterns

OPS = (
    "convert",
    "percent_off",
    "to_roman",
    "count_letter",
    "median",
    "now_in",
    "roll",
    "solve",
    "rect_perimeter",
)


def requests(op: str, count: int, seed: int = 0) -> list[str]:
    """Requests for an operation as people write them, slips and manners included."""
    random, made = Random(f"{op} {seed}"), list[str]()
    while len(made) < count:
        example = fill(random.choice(patterns()[op]), random)
        if example is not None:
            made.append(example.text)
    return made


def traffic(kinds: dict[str, list[str]], node: str = "worker") -> tuple[list[Item], dict[str, str]]:
    """The requests as items in any order, every third failed; and the kind of each run."""
    rows = [(kind, text) for kind, texts in kinds.items() for text in texts]
    Random(5).shuffle(rows)
    items = [
        an_item(text, passed=bool(at % 3), node=node, run=f"{node}{at}") for at, (_, text) in enumerate(rows)
    ]
    return items, {f"{node}{at}": kind for at, (kind, _) in enumerate(rows)}


def agreement(found: list[Cluster], truth: dict[str, str]) -> float:
    pairs = [(at, truth[item.trace.run_id]) for at, cluster in enumerate(found) for item in cluster.items]
    return nmi([at for at, _ in pairs], [kind for _, kind in pairs])


def test_hidden_kinds_are_found_and_counted() -> None:
    items, truth = traffic({op: requests(op, 50 + 10 * at) for at, op in enumerate(OPS)})
    found = clusters(items, seed=1)
    assert agreement(found, truth) > 0.85
    assert len(OPS) - 2 <= len(found) <= len(OPS) + 2
    assert sorted(i.trace.run_id for cluster in found for i in cluster.items) == sorted(truth)


@pytest.mark.parametrize("op", ["percent_off", "convert", "to_roman", "roll", "rect_perimeter"])
def test_one_uniform_kind_does_not_split(op: str) -> None:
    items, _ = traffic({op: requests(op, 150)})
    (only,) = clusters(items)
    assert only.failing == pytest.approx(1 / 3)


def test_questions_without_any_slot_are_told_apart() -> None:
    whom = ["the children", "my mother", "a guest", "our neighbour", "the office", "grandpa"]
    when = ["tomorrow", "tonight", "before lunch", "on sunday"]
    where = ["in the hills", "by the sea", "up north", "at home"]
    kinds = {
        "story": [f"{ask} story for {x}" for x in whom for ask in ("read a bedtime", "begin a scary")],
        "alarm": [f"{ask} alarm {x}" for x in when for ask in ("set an", "cancel the", "snooze my loud")],
        "weather": [f"{ask} weather {x}" for x in where for ask in ("is bad", "forecast the", "will fine")],
    }
    items, truth = traffic(kinds)
    assert agreement(clusters(items), truth) > 0.9


def test_a_cluster_has_a_name_examples_and_its_share_of_failures() -> None:
    items, _ = traffic({"vowels": requests("vowels", 60), "leap_year": requests("leap_year", 60)})
    one, two = sorted(clusters(items), key=lambda cluster: "vowels" in cluster.name)
    assert "leap" in one.name.split() and "vowels" in two.name.split()
    assert len(set(two.examples)) == 3 and all("vowel" in text.lower() for text in two.examples)
    assert set(two.examples) <= {item.request.text for item in two.items}
    assert two.failing == sum(not item.passed for item in two.items) / len(two.items)


def test_names_stay_as_traffic_goes_on_and_no_two_are_the_same() -> None:
    early, _ = traffic({op: requests(op, 60) for op in OPS})
    late, _ = traffic({op: requests(op, 60) + requests(op, 40, seed=1) for op in OPS})
    before, after = ({cluster.name for cluster in clusters(items)} for items in (early, late))
    assert len(before & after) > len(before) / 2
    assert len(after) == len(clusters(late))


def test_the_order_of_the_traffic_does_not_matter() -> None:
    items, _ = traffic({op: requests(op, 40) for op in OPS[:4]})
    shown = [(c.name, c.examples, {i.trace.run_id for i in c.items}) for c in clusters(items, seed=3)]
    again = [(c.name, c.examples, {i.trace.run_id for i in c.items}) for c in clusters(items[::-1], seed=3)]
    assert shown == again


def test_each_node_has_clusters_of_its_own() -> None:
    one, _ = traffic({"roll": requests("roll", 30)}, node="one")
    two, _ = traffic({"roll": requests("roll", 30)}, node="two")
    assert {(cluster.node, len(cluster.items)) for cluster in clusters(one + two)} == {
        ("one", 30),
        ("two", 30),
    }


def test_very_much_traffic_is_sorted_by_a_sample_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    items, truth = traffic({op: requests(op, 80) for op in OPS[:5]})
    monkeypatch.setattr(alike, "MOST", 60)
    found = clusters(items, seed=2)
    assert agreement(found, truth) > 0.75
    assert [c.name for c in found] == [c.name for c in clusters(items, seed=2)]


@pytest.mark.parametrize(
    "texts", [[], ["what"], ["?"] * 5, ["the same thing again"] * 9, ["a b", "c d", "9"]]
)
def test_little_or_strange_traffic_is_sorted_too(texts: list[str]) -> None:
    items, _ = traffic({"any": texts})
    found = clusters(items)
    assert sum(len(cluster.items) for cluster in found) == len(texts)
    assert all(cluster.name and 1 <= len(cluster.examples) <= 3 for cluster in found)
