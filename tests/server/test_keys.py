"""Keys: who may ask, how often, for how much, and what tenants see of each other."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Run, home, run
from tests.server.conftest import NETWORK, big, small
from tests.support.serving import Running, serving
from tinyllm.backends.scripted import Scripted
from tinyllm.errors import BudgetExceeded, RateLimited
from tinyllm.server import Access, Keyring
from tinyllm.server.keys import Key, digest, write_keys
from tinyllm.server.ledger import Ledger
from tinyllm.store import open_store
from tinyllm.types import Budget

__all__ = ["home", "run"]  # fixtures

QUESTION: Mapping[str, object] = {"messages": [{"role": "user", "content": "hello"}]}


def key(name: str, **fields: object) -> Key:
    return Key.model_validate({"name": name, "sha256": digest(f"secret of {name}"), "tenant": name, **fields})


@dataclass(frozen=True, slots=True)
class Keyed:
    running: Running
    path: Path

    def ask(self, secret: str, path: str = "/v1/chat/completions") -> httpx.Response:
        return self.running.post(path, QUESTION, Authorization=f"Bearer {secret}")


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Keyed]:
    path = tmp_path / "keys.json"
    keys = [
        key("ann"),
        key("bob", rate=1),
        key("cat", tokens=8),
        key("dan", rights=["feedback"]),
        key("boss", rights=["answer", "feedback", "admin"]),
    ]
    write_keys(path, keys)
    models = {"small": Scripted("small", small), "big": Scripted("big", big)}
    with serving(NETWORK, models, Access(keys=Keyring(path))) as running:
        yield Keyed(running, path)


def test_with_keys_nobody_asks_without_one(keyed: Keyed) -> None:
    assert keyed.ask("secret of ann").status_code == 200
    for wrong in ("secret of nobody", "secret of ann2", digest("secret of ann")):
        response = keyed.ask(wrong)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"
        assert response.headers["www-authenticate"] == "Bearer"
        assert wrong not in response.text
    assert httpx.get(f"{keyed.running.url}/v1/models").status_code == 401
    assert httpx.get(f"{keyed.running.url}/health").status_code == 200
    assert "secret" not in keyed.path.read_text(encoding="utf-8")


def test_a_key_does_only_what_it_may(keyed: Keyed) -> None:
    refused = keyed.ask("secret of dan")
    assert refused.status_code == 403 and "lacks the right 'answer'" in refused.text
    assert keyed.ask("secret of ann", "/api/anything").status_code == 403
    assert keyed.ask("secret of boss", "/api/anything").status_code == 404


def test_a_change_of_the_file_counts_while_the_server_runs(keyed: Keyed) -> None:
    assert keyed.ask("secret of eve").status_code == 401
    write_keys(keyed.path, [key("eve")])
    give_up = time.monotonic() + 10
    while keyed.ask("secret of eve").status_code != 200:
        assert time.monotonic() < give_up
        time.sleep(0.1)
    assert keyed.ask("secret of ann").status_code == 401


def test_tenants_see_only_what_is_theirs(keyed: Keyed) -> None:
    assert keyed.ask("secret of ann").status_code == keyed.ask("secret of boss").status_code == 200
    store = keyed.running.store
    for tenant in ("ann", "boss"):
        (row,) = asyncio.run(store.runs(tenant=tenant))
        assert row.user == tenant
        assert asyncio.run(store.graph(row.graph, tenant=tenant)), "its graph is kept for each tenant"
    assert asyncio.run(store.runs()) == []


def test_a_rate_is_kept_and_the_wait_is_told(keyed: Keyed) -> None:
    assert keyed.ask("secret of bob").status_code == 200
    response = keyed.ask("secret of bob")
    assert (response.status_code, response.headers["retry-after"]) == (429, "60")
    assert keyed.ask("secret of ann").status_code == 200


def test_a_budget_ends_what_a_tenant_may_spend(keyed: Keyed) -> None:
    """A run of `hello` takes 1 token in and 3 out."""
    assert keyed.ask("secret of cat").status_code == keyed.ask("secret of cat").status_code == 200
    response = keyed.ask("secret of cat")
    assert response.status_code == 429 and "has used its 8 tokens of today" in response.text
    assert response.headers["x-should-retry"] == "false"


async def test_what_other_processes_spend_counts_too_and_days_begin_anew() -> None:
    from tests.store.runs import a_run

    clock = [86_400.0 * 1000 + 5]
    store = await open_store("memory:", now=lambda: clock[0])
    ledger = Ledger(store, lambda: clock[0])
    limited = key("ann", tokens=12, money=10.0)
    assert await ledger.left(limited) == Budget(tokens=12, money=10.0)
    await store.append("ann", a_run("r1"))  # 5 tokens and 0.25 of money, of another process
    clock[0] += 31
    assert await ledger.left(limited) == Budget(tokens=7, money=9.75)
    ledger.watch("ann", a_run("r2"))
    assert await ledger.left(limited) == Budget(tokens=2, money=9.5)
    ledger.watch("ann", a_run("r3"))
    with pytest.raises(BudgetExceeded):
        await ledger.left(limited)
    clock[0] += 86_400
    assert await ledger.left(limited) == Budget(tokens=12, money=10.0)


async def test_a_rate_fills_up_again_with_time() -> None:
    clock = [0.0]
    ledger = Ledger(await open_store("memory:"), lambda: clock[0])
    often = key("ann", rate=120)
    for _ in range(120):
        ledger.count(often)
    with pytest.raises(RateLimited) as caught:
        ledger.count(often)
    assert caught.value.retry_after == pytest.approx(0.5)
    clock[0] += 0.5
    ledger.count(often)


def test_keys_are_made_listed_and_removed(run: Run, home: Path) -> None:
    made = run("keys", "add", "laptop", "--rate", "60", "--tokens", "1000")
    secret = made.stdout.strip()
    assert secret.startswith("tl-") and "not shown again" in made.stderr
    listed = run("keys", "list").stdout
    assert "laptop" in listed and "today: 0 runs" in listed and secret not in listed
    assert '"rate": 60' in run("keys", "list", "--json").stdout
    assert run("keys", "add", "laptop").exit_code == 2
    assert run("keys", "add", "../x").exit_code == 2
    assert run("keys", "remove", "laptop").exit_code == 0
    assert run("keys", "remove", "laptop").exit_code == 1
    assert "there is no key" in run("keys", "list").stderr
