"""Whatever is sent, the server answers it or says what is wrong: malformed chat bodies, and the whole API.

python -m benchmarks.fuzz [--bodies 10000] [--examples 20]     prints and writes benchmarks/fuzz.json

A good body of `/v1/chat/completions` is broken at random, up to four times over: values of other types, missing and
doubled fields, numbers and nestings beyond measure, bytes flipped, cut and inserted, escapes that are none. Then
schemathesis sends every operation of `/openapi.json` cases that fit its description and cases that do not. Both on
SQLite and on PostgreSQL; the model is a script. Nothing may have a status of 500 or above.
"""

import argparse
import asyncio
import json
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from benchmarks.under_test import client, machine, start, write
from tests.server.test_openapi import ENDLESS, examine, operations
from tests.support.postgres import postgres

NETWORK = """\
schema: 1
name: pair
models: {small: {backend: scripted, parameters: 1000, options: {answers: ["one two three"]}}}
nodes:
  entry: {kind: entry, next: work}
  work: {kind: specialist, model: small, tools: [calculator], next: end}
  end: {kind: exit, refusal: "I can't answer that."}
"""
GOOD: dict[str, Any] = {
    "model": "pair",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "weather in Rome?"}]},
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "w", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "user", "content": "and tomorrow?"},
    ],
    "tools": [{"type": "function", "function": {"name": "w", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    "temperature": 0.5,
    "max_tokens": 20,
    "n": 1,
    "stop": ["."],
    "seed": 1,
    "stream": False,
    "stream_options": {"include_usage": True},
    "user": "ann",
    "tinyllm": {"session": "s", "quality": 0.5, "forced": {}},
}
ODD: list[Any] = [
    None, True, 0, -1, 1e308, 10**40, "", "\0", "\ud800", "x" * 10_000, [], {}, [[]], {"": None}, [None] * 50,
    {"type": "image_url"}, "function", "../../etc/passwd", "' OR 1=1 --", "{{7*7}}", -0.0, "NaN", [1, "a", {}],
]  # fmt: skip
BYTES = [b"\xff", b"\x00", b'"', b"{", b"]", b"\\u12", b"\\ud83d", b",", b"1e999", b"NaN", b"\xc0\x80", b"\n"]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to the values of a tree, but for what lies too deep to matter."""
    found = [path] if path else []
    if len(path) > 8:
        return found
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inside:
        found += places(value, (*path, key))
    return found


def odd(chance: random.Random) -> Any:
    return deepcopy(chance.choice(ODD))


def altered(tree: Any, chance: random.Random) -> None:
    """Change one value somewhere in the tree."""
    *above, last = chance.choice(places(tree))
    for key in above:
        tree = tree[key]
    match chance.randrange(4):
        case 0:
            del tree[last]
        case 1 if isinstance(tree, dict):
            tree[chance.choice(["", "role", "type", "content", "\0", "unknown"])] = odd(chance)
        case 2:
            deep: Any = odd(chance)
            for _ in range(chance.choice([3, 50, 400])):
                deep = [deep] if chance.random() < 0.5 else {"a": deep}
            tree[last] = deep
        case _:
            tree[last] = odd(chance)


def malformed(chance: random.Random) -> bytes:
    """A broken body."""
    tree = json.loads(json.dumps(GOOD))
    for _ in range(chance.randint(1, 4)):
        if places(tree):
            altered(tree, chance)
    data = json.dumps(tree).encode()
    if chance.random() < 0.3:
        at = chance.randrange(len(data))
        broken: Callable[[], bytes] = chance.choice(
            [
                lambda: data[:at],
                lambda: data[:at] + chance.choice(BYTES) + data[at:],
                lambda: data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
                lambda: data[:-1] + b', "messages": 1}',
            ]
        )
        return broken()
    return data


async def bodies(url: str, count: int) -> dict[str, Any]:
    """What so many broken bodies are answered with."""
    chance = random.Random(0)
    numbers = iter(range(count))
    statuses: Counter[int] = Counter()
    bad: list[str] = []
    slowest = 0.0

    async def one(http: Any) -> None:
        nonlocal slowest
        for _ in numbers:
            data = malformed(chance)
            begun = time.monotonic()
            async with http.post(f"{url}/v1/chat/completions", data=data) as response:
                said = await response.read()
            slowest = max(slowest, time.monotonic() - begun)
            statuses[response.status] += 1
            if response.status >= 500:
                bad.append(f"{said[:300]!r} for {data[:2000]!r}")

    async with client() as http:
        await asyncio.gather(*(one(http) for _ in range(8)))
    by_status = {str(status): number for status, number in sorted(statuses.items())}
    return {"statuses": by_status, "slowest seconds": round(slowest, 2), "broken by": bad[:10]}


def whole_api(url: str, examples: int) -> dict[str, Any]:
    """What schemathesis finds."""
    found: dict[str, str] = {}
    named = {name: each for name, each in operations(url).items() if each.path != ENDLESS}
    for name, operation in named.items():
        try:
            examine(url, operation, examples)
        except Exception as error:  # whatever it is, it is what this looks for
            found[name] = str(error)[:3000]
            print(name, error, flush=True)
    return {"operations": len(named), "cases of each": examples, "failures": found}


async def fuzzed(store: str, folder: str, count: int, examples: int) -> dict[str, Any]:
    server = await start(folder, NETWORK, store)
    await server.ready()
    report = {"malformed chat bodies": await bodies(server.url, count)}
    report["OpenAPI"] = await asyncio.to_thread(whole_api, server.url, examples)
    await server.end(signal.SIGTERM)
    return report


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--bodies", type=int, default=10_000)
    options.add_argument("--examples", type=int, default=20)
    chosen = options.parse_args()
    report: dict[str, Any] = {"command": "python -m benchmarks.fuzz", "machine": machine()}
    with tempfile.TemporaryDirectory() as folder, postgres(durable=False) as database:
        for name, store in (("SQLite", f"sqlite:///{folder}/store.db"), ("PostgreSQL", database.url)):
            report[name] = asyncio.run(fuzzed(store, folder, chosen.bodies, chosen.examples))
            print(name, report[name], flush=True)
    write("fuzz", report)


if __name__ == "__main__":
    main()
