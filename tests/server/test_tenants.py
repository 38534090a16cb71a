"""Whatever two tenants do, in whatever order, neither sees or touches what is the other's."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.conftest import NETWORK, big, small
from tests.support.serving import Running, serving
from tinyllm.backends.scripted import Scripted
from tinyllm.protocols import Ticket
from tinyllm.server import Access, Keyring
from tinyllm.server.keys import RIGHTS, Key, digest, write_keys

TENANTS = ("ann", "bob")
ACTIONS = ("ask", "grade", "remember", "edit", "forget", "park", "settle", "read")


@dataclass
class Owned:
    """What a tenant has made, as the tenant itself would count it."""

    runs: list[str] = field(default_factory=list)
    graded: set[str] = field(default_factory=set)
    facts: dict[str, str] = field(default_factory=dict)
    tickets: set[str] = field(default_factory=set)


class World:
    """A server with two tenants, and what each of them owns."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.owned = {tenant: Owned() for tenant in TENANTS}
        self.http = httpx.Client(base_url=running.url, timeout=30)
        self.tickets = 0

    def call(self, tenant: str, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer secret of {tenant}"}
        return self.http.request(method, path, json=body, headers=headers)

    def act(self, tenant: str, owner: str, action: str, pick: int) -> None:
        """Have a tenant do something to what is an owner's; it works where that is the tenant itself."""
        mine, theirs = self.owned[tenant], self.owned[owner]
        allowed = tenant == owner
        match action:
            case "ask":
                body = {"messages": [{"role": "user", "content": "hello"}], "user": f"user of {owner}"}
                mine.runs.append(
                    self.call(tenant, "POST", "/v1/chat/completions", body).json()["tinyllm"]["run_id"]
                )
            case "grade" if theirs.runs:
                run = theirs.runs[pick % len(theirs.runs)]
                said = self.call(tenant, "POST", "/api/feedback", {"run_id": run, "good": True})
                assert said.status_code == (200 if allowed else 404)
                if allowed:
                    mine.graded.add(run)
            case "read" if theirs.runs:
                run = theirs.runs[pick % len(theirs.runs)]
                assert self.call(tenant, "GET", f"/api/runs/{run}").status_code == (200 if allowed else 404)
            case "remember":
                fact = self.call(
                    tenant, "POST", "/api/memory", {"text": f"fact {pick} of {tenant}", "user": "me"}
                ).json()
                mine.facts[fact["id"]] = fact["text"]
            case "edit" if theirs.facts:
                fact_id = sorted(theirs.facts)[pick % len(theirs.facts)]
                text = f"edited {pick} by {tenant}"
                done = self.call(tenant, "PUT", f"/api/memory/{fact_id}", {"text": text, "user": "me"})
                assert done.status_code == (200 if allowed else 404)
                if allowed:
                    mine.facts[fact_id] = text
            case "forget" if theirs.facts:
                fact_id = sorted(theirs.facts)[pick % len(theirs.facts)]
                done = self.call(tenant, "DELETE", f"/api/memory/{fact_id}?user=me")
                assert done.status_code == (200 if allowed else 404)
                if allowed:
                    del mine.facts[fact_id]
            case "park":
                self.tickets += 1
                ticket = Ticket(f"t{self.tickets}", "r", tenant, "why?", "nobody knows", 1.0)
                asyncio.run(self.running.store.park(ticket))
                mine.tickets.add(ticket.id)
            case "settle" if theirs.tickets:
                ticket_id = sorted(theirs.tickets)[pick % len(theirs.tickets)]
                done = self.call(tenant, "POST", f"/api/tickets/{ticket_id}", {"answer": "because"})
                assert done.status_code == (200 if allowed else 404)
                if allowed:
                    mine.tickets.remove(ticket_id)
            case _:
                pass  # there is nothing yet to do it to

    def check(self) -> None:
        """Each tenant is told exactly what it owns."""
        for tenant, mine in self.owned.items():

            def told(path: str, tenant: str = tenant) -> Any:
                return self.call(tenant, "GET", path).json()

            assert [row["run_id"] for row in told("/api/runs?limit=1000")] == mine.runs[::-1]
            assert {grade["run_id"] for grade in told("/api/grades?limit=1000")} == mine.graded
            assert {fact["id"]: fact["text"] for fact in told("/api/memory?user=me")} == mine.facts
            assert {ticket["id"] for ticket in told("/api/tickets")} == mine.tickets
            assert told("/api/usage")["runs"] == len(mine.runs)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path: Path = tmp_path_factory.mktemp("keys") / "keys.json"
    keys = [
        Key(name=name, sha256=digest(f"secret of {name}"), tenant=name, rights=RIGHTS) for name in TENANTS
    ]
    write_keys(path, keys)
    models = {"small": Scripted("small", small), "big": Scripted("big", big)}
    with serving(NETWORK, models, Access(keys=Keyring(path))) as running:
        yield World(running)


TENANT = st.sampled_from(TENANTS)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TENANT, TENANT, st.sampled_from(ACTIONS), st.integers(0, 9)), max_size=12))
def test_neither_sees_or_touches_what_is_the_others(
    world: World, actions: list[tuple[str, str, str, int]]
) -> None:
    for action in actions:
        world.act(*action)
    world.check()
