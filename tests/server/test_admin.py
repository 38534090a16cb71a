"""What the server tells of its runs: JSON, feedback, metrics."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.conftest import NETWORK, big, small
from tests.support.serving import Running, serving
from tinyllm.backends.scripted import Scripted
from tinyllm.graph import Exit, parse, put_nodes
from tinyllm.learning.proposal import Proposal
from tinyllm.learning.versions import adopt, head_of
from tinyllm.protocols import Ticket, Version
from tinyllm.server.metrics import Metrics
from tinyllm.tools.table import TOOLS


@pytest.fixture
def fresh() -> Iterator[Running]:
    models = {"small": Scripted("small", small), "big": Scripted("big", big)}
    with serving(NETWORK, models) as running:
        yield running


def ask(running: Running, question: str) -> str:
    body = {"messages": [{"role": "user", "content": question}]}
    reply = running.post("/v1/chat/completions", body).json()
    return str(reply["tinyllm"]["run_id"]) if "tinyllm" in reply else ""


def get(running: Running, path: str) -> Any:
    response = httpx.get(f"{running.url}{path}")
    assert response.status_code == 200, response.text
    return response.json()


def test_runs_and_their_traces(fresh: Running) -> None:
    first, second = ask(fresh, "hello"), ask(fresh, "sum it")
    assert [row["run_id"] for row in get(fresh, "/api/runs")] == [second, first]
    assert len(get(fresh, "/api/runs?limit=1")) == 1
    trace = get(fresh, f"/api/runs/{second}")
    assert [span["node"] for span in trace["spans"]] == ["entry", "work", "end"]
    assert trace["spans"][1]["tools"][0]["result"]["value"] == 42
    assert "name: pair" in get(fresh, f"/api/graphs/{trace['graph']}")["source"]
    assert get(fresh, "/api/networks")[0] == {"name": "pair", "graph": trace["graph"]}
    assert get(fresh, "/api/usage")["runs"] == 2
    assert get(fresh, "/api/usage?since=99999999999")["runs"] == 0


def test_the_versions_of_a_network_say_whom_they_answer(fresh: Running) -> None:
    async def keep() -> None:
        await fresh.store.promote(Version("pair", 0, "a", "file", "as the file has it"), expected=-1)
        await fresh.store.promote(Version("pair", 1, "b", "model", "it fails", share=0.1), expected=0)

    asyncio.run(keep())
    first, second = get(fresh, "/api/networks/pair/versions")
    assert (first["edit"], first["stage"]) == ("file", "answers all conversations")
    assert (second["share"], second["stage"]) == (0.1, "answers 10% of conversations")


def test_a_version_is_taken_back_and_one_that_rises_is_promoted(fresh: Running) -> None:
    base = parse(NETWORK, tools=TOOLS)

    def adopt_another(refusal: str) -> None:
        async def work() -> None:
            head = await head_of(fresh.store, base)
            changed = put_nodes(base, {"end": Exit(kind="exit", refusal=refusal)})
            await adopt(fresh.store, head, Proposal("model", "end", "it is rude", changed))

        asyncio.run(work())

    adopt_another("never")
    rising = get(fresh, "/api/networks/pair/versions")[-1]["share"] < 1
    promoted = fresh.post("/api/networks/pair/promote", {"reason": "I tried it"})
    assert promoted.status_code == (200 if rising else 400)
    assert get(fresh, "/api/networks/pair/versions")[-1]["share"] == 1
    assert fresh.post("/api/networks/pair/promote", {}).status_code == 400
    back = fresh.post("/api/networks/pair/rollback", {"to": 0, "reason": "it was better"}).json()
    assert (back["edit"], back["reason"], back["graph"]) == ("rollback", "it was better", base.id)
    assert fresh.post("/api/networks/pair/rollback", {"to": 0}).status_code == 400
    assert fresh.post("/api/networks/pair/rollback", {"to": 99}).status_code == 404
    assert fresh.post("/api/networks/other/rollback", {"to": 0}).status_code == 404
    assert get(fresh, "/api/networks/pair/trials") == []


def test_facts_are_remembered_edited_and_forgotten(fresh: Running) -> None:
    fact = fresh.post("/api/memory", {"text": "use metric units"}).json()
    assert fresh.post("/api/memory", {"text": "owns a boat", "user": "ann"}).json()["user"] == "ann"
    assert get(fresh, "/api/memory") == [fact]
    url = f"{fresh.url}/api/memory/{fact['id']}"
    assert httpx.put(url, json={"text": "use miles"}).json()["text"] == "use miles"
    assert [each["text"] for each in get(fresh, "/api/memory?user=ann")] == ["owns a boat"]
    assert httpx.delete(url).json() == {"forgotten": fact["id"]}
    assert httpx.delete(url).status_code == 404 and get(fresh, "/api/memory") == []


def test_feedback_is_a_grade(fresh: Running) -> None:
    run = ask(fresh, "hello")
    said = fresh.post("/api/feedback", {"run_id": run, "good": True}).json()
    assert (said["score"], said["new"], said["counts"]) == (1.0, True, True)
    assert fresh.post("/api/feedback", {"run_id": run, "good": True}).json()["new"] is False
    assert fresh.post("/api/feedback", {"run_id": run, "answer": "four"}).json()["score"] == 0.0
    (grade,) = get(fresh, "/api/grades")
    assert (grade["kind"], grade["reference"]) == ("correction", "four")
    assert get(fresh, f"/api/runs/{run}")["grades"] == [grade]


def test_tickets_are_listed_and_settled(fresh: Running) -> None:
    ticket = Ticket("t1", "r1", "local", "why?", "nobody knows", 1.0)
    asyncio.run(fresh.store.park(ticket))
    assert [row["id"] for row in get(fresh, "/api/tickets")] == ["t1"]
    assert fresh.post("/api/tickets/t1", {"answer": "because"}).json()["answer"] == "because"
    assert get(fresh, "/api/tickets") == [] and len(get(fresh, "/api/tickets?all=1")) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/runs/none", None, 404),
        ("GET", "/api/runs?limit=0", None, 400),
        ("GET", "/api/runs?limit=nan", None, 400),
        ("GET", "/api/usage?since=x", None, 400),
        ("GET", "/api/graphs/none", None, 404),
        ("POST", "/api/feedback", {"run_id": "none", "good": True}, 404),
        ("POST", "/api/feedback", {"run_id": "none"}, 400),
        ("POST", "/api/feedback", {"run_id": "none", "good": True, "answer": "x"}, 400),
        ("POST", "/api/feedback", {"run_id": "none", "bad": True}, 400),
        ("POST", "/api/tickets/none", {"answer": "x"}, 404),
        ("POST", "/api/tickets/none", {"answer": " "}, 400),
    ],
)
def test_what_is_wrong_is_told(pair: Running, method: str, path: str, body: object, status: int) -> None:
    response = httpx.request(method, f"{pair.url}{path}", json=body)
    assert response.status_code == status and response.json()["error"]["message"]


def test_metrics_count_what_runs_did(fresh: Running) -> None:
    for question in ("hello", "sum it", "refuse", "break"):  # one run of each status, and a tool
        ask(fresh, question)
    response = httpx.get(f"{fresh.url}/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    network = ("network", "pair")
    assert found["tinyllm_runs_total", network, ("status", "answered")] == 2
    assert found["tinyllm_runs_total", network, ("status", "refused")] == 1
    assert found["tinyllm_runs_total", network, ("status", "failed")] == 1
    assert found["tinyllm_run_seconds_count", network] == 4
    assert found["tinyllm_run_seconds_bucket", ("le", "+Inf"), network] == 4
    assert found["tinyllm_node_runs_total", network, ("node", "work"), ("outcome", "broken")] == 1
    assert found["tinyllm_node_runs_total", network, ("node", "work"), ("outcome", "finished")] == 2
    assert found["tinyllm_node_seconds_count", network, ("node", "entry")] == 4
    assert found["tinyllm_model_calls_total", ("model", "small"), network, ("outcome", "failed")] == 1
    assert found["tinyllm_model_tokens_total", ("direction", "out"), ("model", "small"), network] > 3
    assert found["tinyllm_tool_calls_total", network, ("outcome", "computed"), ("tool", "calculator")] == 1
    assert found["tinyllm_running",] == 0 and found["tinyllm_breaker_open", ("model", "small"), network] == 0
    assert get(fresh, "/api/backends") == [
        {"network": "pair", "model": "big", "open": False, "failures": 0},
        {"network": "pair", "model": "small", "open": False, "failures": 1},
    ]


def test_large_counts_are_told_in_full() -> None:
    metrics = Metrics()
    metrics.count("tinyllm_model_macs_total", ("model", 'a "b"\n'), by=123_456_789_012)
    assert 'tinyllm_model_macs_total{model="a \\"b\\"\\n"} 123456789012' in metrics.text({})
