"""Versions, trials and files: what every store keeps of a network's growth, and loses for nothing."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.runs import ROOT, SetClock, a_run

from tinyllm.errors import Conflict, NotFound, StoreError
from tinyllm.protocols import Store, TrialRow, Version
from tinyllm.store import open_store

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
FIRST = Version("net", 0, "g0", "file", "as it is in the file")
CHANGES = ({"path": "nodes.a.kind", "before": None, "after": "exit", "kind": "added"},)
SECOND = Version("net", 1, "g1", "expand", "a node fails", CHANGES, "t1")
TRIAL = TrialRow(
    "t1", "net", "expand", "numbers", "a node fails", "open", number=1, evidence={"p": [0.01, None]}
)


async def test_versions_follow_each_other(store: Store, clock: SetClock) -> None:
    assert await store.versions("net") == []
    await store.promote(FIRST, expected=-1)
    clock.time += 5
    await store.promote(replace(SECOND, revision=99), expected=0)
    first, second = await store.versions("net")
    assert first == replace(FIRST, created=clock.time - 5, changes=[])
    assert second == replace(SECOND, created=clock.time, changes=list(CHANGES))
    assert await store.versions("net", after=0) == [second]
    assert await store.versions("net", after=1) == []
    assert await store.versions("other") == await store.versions("net", tenant="b") == []
    third = replace(SECOND, changes=(), share=0.1, evidence={"p": [0.5, None]})
    await store.promote(third, expected=1)
    (kept,) = await store.versions("net", after=1)
    assert kept == replace(third, revision=2, created=clock.time, changes=[])


@pytest.mark.parametrize("expected", [-1, 1, 7])
async def test_a_version_that_does_not_follow_the_newest_is_refused_whole(
    store: Store, expected: int
) -> None:
    await store.promote(FIRST, expected=-1)
    before = await store.size()
    with pytest.raises(Conflict, match=f"'net' is at version 0, and version {expected + 1} was"):
        await store.promote(SECOND, expected=expected, trial=TRIAL, files={"ab": b"x"})
    assert await store.size() == before
    assert [version.revision for version in await store.versions("net")] == [0]
    with pytest.raises(Conflict, match="'other' is without a version, and version 1 was"):
        await store.promote(replace(SECOND, network="other"), expected=0)


async def test_of_two_learners_one_wins(store: Store) -> None:
    await store.promote(FIRST, expected=-1)
    rivals = [replace(SECOND, graph=f"g{number}") for number in range(8)]
    outcomes = await asyncio.gather(
        *(store.promote(rival, expected=0) for rival in rivals), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes].count(Conflict) == 7
    (winner,) = [rival for rival, outcome in zip(rivals, outcomes, strict=True) if outcome is None]
    assert [version.graph for version in await store.versions("net")] == ["g0", winner.graph]


async def test_a_trial_keeps_its_number_and_an_adopted_one_never_changes(
    store: Store, clock: SetClock
) -> None:
    await store.put_trial(replace(TRIAL, state="waiting", number=None))
    await store.put_trial(replace(TRIAL, id="t2", number=None))
    clock.time += 5
    await store.put_trial(TRIAL)
    await store.put_trial(replace(TRIAL, state="rejected", verdict="no gain", number=4))
    first, second = await store.trials("net")
    assert first == replace(TRIAL, state="rejected", verdict="no gain", created=clock.time - 5)
    assert second.id == "t2"
    await store.put_trial(replace(TRIAL, state="adopted", verdict="a gain"))
    await store.put_trial(replace(TRIAL, state="rejected", verdict="too late"))
    assert [(trial.state, trial.verdict) for trial in await store.trials("net")] == [
        ("adopted", "a gain"),
        ("open", ""),
    ]
    assert await store.trials("other") == await store.trials("net", tenant="b") == []


async def test_a_place_in_the_ledger_is_given_once(store: Store) -> None:
    await store.put_trial(TRIAL)
    with pytest.raises(Conflict, match=r"'t2' of network 'net' was to be number 1"):
        await store.put_trial(replace(TRIAL, id="t2"))
    await store.promote(FIRST, expected=-1)
    with pytest.raises(Conflict):
        await store.promote(SECOND, expected=0, trial=replace(TRIAL, id="t2"), files={"ab": b"x"})
    assert (await store.size())["files"] == 0 and len(await store.versions("net")) == 1
    await store.put_trial(replace(TRIAL, id="t2", number=2))
    await store.put_trial(replace(TRIAL, id="t3", network="other"))
    await store.put_trial(TRIAL, tenant="b")
    assert [trial.number for trial in await store.trials("net")] == [1, 2]


async def test_a_promotion_brings_its_trial_and_its_files(store: Store) -> None:
    await store.put_trial(TRIAL)
    await store.promote(FIRST, expected=-1)
    adopted = replace(TRIAL, state="adopted", verdict="a gain")
    await store.promote(SECOND, expected=0, trial=adopted, files={"ab": b"\x00\xff", "cd": b""})
    assert [trial.state for trial in await store.trials("net")] == ["adopted"]
    assert (await store.file("ab"), await store.file("cd")) == (b"\x00\xff", b"")
    with pytest.raises(NotFound, match="no file 'ab'"):
        await store.file("ab", tenant="b")
    await store.promote(replace(SECOND, graph="g2"), expected=1, files={"ab": b"\x00\xff"})
    assert (await store.size())["files"] == 2


async def test_any_text_is_kept_and_what_is_not_json_is_refused(store: Store) -> None:
    odd = {"path": "prompts.p.text", "before": "lone \ud800", "after": "nul \0 數", "kind": "changed"}
    await store.promote(replace(FIRST, reason="\ud800\0", changes=(odd,)), expected=-1)
    (version,) = await store.versions("net")
    assert (version.reason, version.changes) == ("??", [odd])
    await store.put_trial(replace(TRIAL, verdict="\ud800", evidence={"inf": float("inf")}))
    (trial,) = await store.trials("net")
    assert (trial.verdict, trial.evidence) == ("?", {"inf": float("inf")})
    with pytest.raises(StoreError, match="trial 't2' holds what JSON cannot"):
        await store.put_trial(replace(TRIAL, id="t2", evidence={"x": object()}))
    with pytest.raises(StoreError, match="version 1 of 'net' holds"):
        await store.promote(replace(SECOND, changes=({"x": object()},)), expected=0)


async def test_growth_is_counted_exported_and_survives_a_purge(store: Store, clock: SetClock) -> None:
    for tenant in ("a", "b"):
        await store.append(tenant, a_run("r1"))
        await store.promote(FIRST, expected=-1, tenant=tenant)
        await store.promote(SECOND, expected=0, trial=TRIAL, files={"ab": b"\xff"}, tenant=tenant)
    exported = [json.loads(json.dumps(row)) async for row in store.export(tenant="b")][1:]
    assert [(row["row"], row["tenant"]) for row in exported] == [
        ("version", "b"),
        ("version", "b"),
        ("trial", "b"),
        ("file", "b"),
    ]
    assert (exported[1]["changes"], exported[2]["evidence"]) == (list(CHANGES), TRIAL.evidence)
    assert base64.b64decode(exported[3]["content"]) == b"\xff"
    assert await store.purge(clock.time + 1) == 2
    size = await store.size()
    assert [size[name] for name in ("runs", "versions", "trials", "files")] == [0, 4, 2, 2]
    assert size["bytes"] > 0


async def test_a_closed_store_takes_no_version(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.promote(FIRST, expected=-1)
    with pytest.raises(StoreError, match="closed"):
        await store.put_trial(TRIAL)


# Promotes until it is told to stop or killed, and says each version once it is acknowledged.
LEARNER = """
import asyncio, sys
from dataclasses import replace
from tests.store.test_lineage import FIRST, SECOND, TRIAL
from tinyllm.errors import Conflict
from tinyllm.store import open_store

async def main(url, name, count):
    store = await open_store(url, patience=50)
    won = 0
    while won < count:
        known = await store.versions("net")
        expected = len(known) - 1
        trial = replace(TRIAL, id=f"{name}-{expected}", number=expected + 2, state="adopted")
        version = replace(SECOND, graph=name, trial=trial.id)
        try:
            await store.promote(version, expected=expected, trial=trial, files={trial.id: b"x" * 20_000})
        except Conflict:
            continue
        print(expected + 1, flush=True)
        won += 1
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def learner(url: str, name: str, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", LEARNER, url, name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


async def whole(url: str) -> list[str]:
    """Who made each version, each found with its trial and its file."""
    store = await open_store(url)
    versions = await store.versions("net")
    assert [version.revision for version in versions] == list(range(len(versions)))
    trials = await store.trials("net")
    assert [(trial.id, trial.number) for trial in trials] == [(v.trial, v.revision + 1) for v in versions]
    for version in versions:
        assert len(await store.file(str(version.trial))) == 20_000
    assert (await store.size())["files"] == len(versions)
    await store.close()
    return [version.graph for version in versions]


async def test_two_processes_that_learn_make_one_lineage(url: str) -> None:
    both = [learner(url, name, 15) for name in ("a", "b")]
    told = [process.communicate(timeout=60)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    made = await whole(url)
    assert sorted(map(int, told[0] + told[1])) == list(range(30))
    assert [str(place) for place, name in enumerate(made) if name == "a"] == told[0]


async def test_a_promotion_is_whole_or_it_is_not_there(url: str) -> None:
    acknowledged = 0
    for kill in range(3):
        process = learner(url, f"k{kill}", 100_000)
        assert process.stdout is not None
        process.stdout.readline()
        await asyncio.sleep(0.01 * kill)
        process.kill()
        acknowledged += 1 + len([line for line in process.stdout.readlines() if line.endswith("\n")])
        process.wait()
        process.stdout.close()
    assert acknowledged <= len(await whole(url)) <= acknowledged + 3


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from tests.store.test_lineage import FIRST, SECOND, TRIAL
from tinyllm.errors import StoreError
from tinyllm.store import open_store

async def main(url, log):
    store = await open_store(url)
    await store.promote(FIRST, expected=-1)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 9000, hard))
    try:
        await store.promote(SECOND, expected=0, trial=TRIAL, files={"ab": b"x" * 90_000})
    except StoreError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert len(await store.versions("net")) == 1 and not await store.trials("net")
    await store.promote(SECOND, expected=0, trial=TRIAL, files={"ab": b"x" * 90_000})
    print([version.revision for version in await store.versions("net")])
    await store.close()

asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files is POSIX's")
def test_a_disk_that_is_full_in_mid_promotion_leaves_the_old_version(url: str, tmp_path: Path) -> None:
    log = tmp_path / "folder" / "store.db-wal"
    command = [sys.executable, "-c", FULL_DISK, url, str(log)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "disk" in done.stdout and "next:" in done.stdout and "[0, 1]" in done.stdout
