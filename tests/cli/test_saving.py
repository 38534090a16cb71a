"""A network that becomes cheaper, as a user meets it: no torch, no failure, one language model of a server."""

import json
import sys
from itertools import product
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.learning.test_grant import PARTS, THINGS
from tests.support.chat_server import Body, Message, chat_server, says

SHOP = """\
schema: 1
name: shop
learning: {gain: 0.2}
models: {small: {backend: chat, model: big}}
nodes:
  start: {kind: entry, next: clerk}
  clerk: {kind: specialist, model: small, next: end}
  end: {kind: exit}
"""


def clerk(body: Body) -> Message:
    words = body["messages"][-1]["content"].split()
    return says(words[3] if words[0] == "where" else f"That makes {int(words[0]) * int(words[3])}.")


def traffic(count: int) -> str:
    rows = []
    for at, (thing, part) in enumerate(list(product(THINGS, PARTS))[:count]):
        one, other = 13 + at, 27 + at
        sums = {"query": f"{one} {thing} hold {other} {part} each, how many are there", "answer": one * other}
        rows.append(
            sums if at % 2 else {"query": f"where do the {part} of the {thing} belong", "answer": part}
        )
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_what_a_tool_can_do_needs_no_model_and_can_be_taken_back(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("TINYLLM_NETWORK", "shop.yaml")
    (home / "shop.yaml").write_text(SHOP, encoding="utf-8")
    (home / "rows.jsonl").write_text(traffic(200), encoding="utf-8")
    with chat_server(clerk, "big") as chat:
        settings = f'[backends.chat]\nkind = "openai"\nbase_url = "{chat.url}"\n'
        (home / "tinyllm.toml").write_text(settings, encoding="utf-8")
        told = run("learn", "--replay", "rows.jsonl", "--yes")
        assert told.exit_code == 0, told.stderr
        assert "harden clerk" in told.stdout and "need no model (clerk answers them)" in told.stdout
        assert "% less" in told.stdout and "adopted as version 1" in told.stdout
        asked = len(chat.bodies)
        reply = json.loads(run("ask", "--json", "88 crates hold 77 plates each, how many are there").stdout)
        assert reply["status"] == "answered" and reply["answer"].endswith("6776")
        assert reply["route"][2].startswith("hardened-mul") and len(chat.bodies) == asked
        assert run("ask", "where do the hats of the crates belong").stdout.strip() == "hats"
        assert run("rollback", "0", "--yes").exit_code == 0
        assert "That makes 6776" in run("ask", "88 crates hold 77 plates each, how many are there").stdout
