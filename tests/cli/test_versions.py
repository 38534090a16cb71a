"""What a user sees of a network's growth: its versions, what was tried, differences, and the way back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import NETWORK, Run
from tests.cli.test_heads import in_store, promote, saying
from tinyllm.cli.wiring import load_file
from tinyllm.learning.versions import earlier, head_of, roll_back, roll_out
from tinyllm.protocols import Store, TrialRow, Version

OUTCOME = {
    "pairs": 120,
    "gain": 0.15,
    "gain_interval": [0.08, 0.22],
    "tally": {"gains": 18, "losses": 0, "ties": 102},
    "cost_before": 650_000.0,
    "cost_after": 0.000123,
    "slices": {"node numbers": {"gains": 1, "losses": 2, "ties": 20}},
}
CONFIRM = {"p_value": 4e-6, "level": 0.0146, "test": "mcnemar", "faults": ["it costs too much"], **OUTCOME}
ASKED = {"macs": 4_100_000, "tokens_in": 3000, "tokens_out": 400, "milliseconds": 5200.0, "money": 0.03}
EVIDENCE = {"made": {"asked": 120, "cost": ASKED}, "select": {"1. model answer": OUTCOME}, "confirm": CONFIRM}


STAGED = NETWORK + "learning: {rollout: [0, 0.1, 1]}\n"


def shown(run: Run, *args: str) -> Any:
    return json.loads(run(*args, "--json").stdout)


def learned(answer: str = "learned") -> None:
    promote(saying(load_file("tiny.yaml"), answer))


def climb(share: float) -> None:
    async def work(store: Store) -> None:
        head = await head_of(store, load_file("tiny.yaml"))
        await roll_out(store, head, share, "all is well", {})

    in_store(work)


def test_a_network_that_never_changed_says_what_to_do(run: Run) -> None:
    empty = run("history")
    assert empty.exit_code == 0 and empty.stdout == "" and "tinyllm learn --replay sample" in empty.stderr
    assert shown(run, "history")["versions"] == []
    nothing = run("trials")
    assert nothing.stdout == "" and "tinyllm learn --dry-run" in nothing.stderr
    assert shown(run, "trials") == {
        "network": "tiny",
        "budget": 0.05,
        "spent": 0.0,
        "next_level": shown(run, "trials")["next_level"],
        "trials": [],
    }
    for words in (["rollback", "0", "--yes"], ["diff", "0", "1"], ["trials", "x"]):
        refused = run(*words)
        assert refused.exit_code == 1 and "next:" in refused.stderr
        assert ("never changed" in refused.stderr) == (words[0] != "trials")


def test_history_counts_failures_and_costs_version_by_version(run: Run) -> None:
    run("ask", "before")
    run("feedback", "last", "bad")
    learned()
    for opinion in ("good", "good", "bad"):
        run("ask", "after")
        run("feedback", "last", opinion)
    run("ask", "nobody says what this was")
    first, second = shown(run, "history")["versions"]
    assert (first["edit"], first["nodes"], first["runs"], first["graded"], first["failure"]) == (
        "file",
        3,
        1,
        1,
        1.0,
    )
    assert (second["runs"], second["graded"], second["wrong"]) == (4, 3, 1)
    assert second["interval"][0] < 1 / 3 < second["interval"][1] and second["cost"]["macs"] > 0
    lines = run("history", "--check").stdout.splitlines()
    assert "100% (20-100%) of 1" in lines[1] and lines[1].startswith("    0")
    assert lines[2].startswith("*   1") and "33% (6-80%) of 3" in lines[2] and "model: it fails" in lines[2]


def test_a_larger_model_does_not_hide_a_version_s_runs(home: Path, run: Run) -> None:
    learned()
    run("ask", "without")
    (home / "tinyllm.toml").write_text('larger = "ollama/any"\n', encoding="utf-8")
    run("ask", "with")
    assert [step["runs"] for step in shown(run, "history")["versions"]] == [0, 2]


def test_a_file_changed_by_hand_lets_the_versions_rest(home: Path, run: Run) -> None:
    learned()
    assert shown(run, "history")["revision"] == 1
    (home / "tiny.yaml").write_text(NETWORK.replace("<b>two</b>", "four"), encoding="utf-8")
    rest = run("history")
    assert "changed by hand" in rest.stderr and "*" not in rest.stdout
    told = shown(run, "history")
    assert told["revision"] is None and told["head"] == load_file("tiny.yaml").id
    back = run("rollback", "0", "--yes")
    assert back.exit_code == 2 and "undo the change of the file" in back.stderr


def test_versions_graphs_and_files_are_compared(home: Path, run: Run) -> None:
    learned()
    path = "models.small.options.answers.0"
    assert run("diff", "0", "1").stdout == f'~ {path}: "forty <b>two</b>" -> "learned"\n'
    ids = [version["graph"] for version in shown(run, "history")["versions"]]
    assert run("diff", *ids).stdout == run("diff", "0").stdout == run("diff", "tiny.yaml", "1").stdout
    (home / "other.yaml").write_text(NETWORK + "protected: [end]\n", encoding="utf-8")
    assert run("diff", "other.yaml", "tiny.yaml").stdout == '- protected.0: "end"\n'
    assert run("diff", "tiny.yaml", "other.yaml").stdout == '+ protected.0: "end"\n'
    same = run("diff", "1", "1")
    assert same.stdout == "" and "the same" in same.stderr
    assert shown(run, "diff", "0")[0] == {
        "path": path,
        "before": "forty <b>two</b>",
        "after": "learned",
        "kind": "changed",
    }
    for unknown in ("7", "0123456789abcdef", "nope.yaml"):
        assert run("diff", unknown).exit_code != 0 and "next:" in run("diff", unknown).stderr


def test_a_version_is_shown_as_a_graph(run: Run) -> None:
    learned()
    told = shown(run, "graph", "1")
    assert told["models"]["small"]["options"] == {"answers": ["learned"]}
    assert shown(run, "graph", told["id"]) == told
    assert run("graph", "7").exit_code == 1


def test_a_rollback_asks_and_says_what_becomes_of_traffic(run: Run) -> None:
    learned()
    declined = run("rollback", "0", stdin="n\n")
    assert declined.exit_code == 0 and "nothing was changed" in declined.stderr
    assert "without 1, model: it fails" in declined.stderr and "within a second" in declined.stderr
    assert run("ask", "hi").stdout == "learned\n"
    alone = run("rollback", "0")
    assert alone.exit_code == 2 and "nobody answers here: say --yes" in alone.stderr
    agreed = run("rollback", "0", stdin="y\n")
    assert "as in version 0 again, as version 2" in agreed.stdout
    assert "tinyllm rollback 1" in agreed.stderr
    assert run("ask", "hi").stdout == "forty <b>two</b>\n"
    again = run("rollback", "0", "--yes")
    assert again.exit_code == 2 and "already" in again.stderr
    silent = run("rollback", "1", "--json")
    assert silent.exit_code == 2 and "--json asks nothing: say --yes too" in silent.stderr
    graph = shown(run, "history")["versions"][1]["graph"]
    made = json.loads(run("rollback", graph, "--yes", "--json", "--reason", "it was better").stdout)
    assert (made["revision"], made["edit"], made["reason"]) == (3, "rollback", "it was better")
    assert run("ask", "hi").stdout == "learned\n"
    assert run("rollback", "9", "--yes").exit_code == 1


def test_a_version_on_its_way_up_is_shown_as_such_and_may_be_called_off(home: Path, run: Run) -> None:
    (home / "tiny.yaml").write_text(STAGED, encoding="utf-8")
    learned()
    shadow = run("history")
    assert "model, in the shadow: it fails" in shadow.stdout.splitlines()[2]
    assert [line[0] for line in shadow.stdout.splitlines()[1:]] == ["*", "+"]
    assert "version 1 is on its way up: in the shadow, answers nobody" in shadow.stderr
    assert run("ask", "hi").stdout == "forty <b>two</b>\n"

    climb(0.1)
    told = shown(run, "history")
    assert (told["revision"], told["rising"], told["head"]) == (0, 2, load_file("tiny.yaml").id)
    assert [version["share"] for version in told["versions"]] == [1, 0, 0.1]
    assert "rollout, for 10%: all is well" in run("history", "--check").stdout
    for words in (["diff", "0"], ["graph"]):
        assert "version 2 is on its way up: answers 10% of conversations" in run(*words).stderr
    assert run("diff", "0").stdout == "" and "learned" in run("diff", "0", "2").stdout
    assert shown(run, "graph")["id"] == told["head"]

    refused = run("rollback", "1", "--yes")
    assert refused.exit_code == 2 and "on its way up already" in refused.stderr
    back = run("rollback", "0", stdin="y\n")
    assert "version 2, on its way up (answers 10% of conversations), would be called off" in back.stderr
    assert "as in version 0 again, as version 3" in back.stdout and "without" not in back.stderr
    assert shown(run, "history")["rising"] is None


def test_what_has_climbed_to_the_top_answers_all(home: Path, run: Run) -> None:
    (home / "tiny.yaml").write_text(STAGED, encoding="utf-8")
    learned()
    climb(0.1)
    climb(1)
    assert "rollout, for all: all is well" in run("history", "--check").stdout
    assert (
        run("ask", "hi").stdout == "learned\n" and shown(run, "graph")["id"] == shown(run, "history")["head"]
    )
    announced = run("rollback", "0", stdin="n\n").stderr
    assert "without 1, model: it fails" in announced and announced.count("without") == 1


@pytest.mark.parametrize(
    ("shares", "edit", "words"),
    [
        ([0, 0.1], None, "it is version 2, on its way up: answers 10% of conversations"),
        ([0, 1], None, "it is version 2"),
        ([0, 1], "version 1", "taken back by itself, as version 3: why"),
        ([0], "", "called off, by version 2"),
    ],
)
def test_a_trial_tells_what_became_of_its_change(
    run: Run, shares: list[float], edit: str | None, words: str
) -> None:
    async def keep(store: Store) -> None:
        await store.put_trial(TrialRow("t1", "tiny", "model", "answer", "it fails", "adopted", number=1))
        rows = [Version("tiny", 0, "a", "file", "")]
        rows += [Version("tiny", 0, "b", "model", "", (), "t1", share=share) for share in shares]
        rows += [] if edit is None else [Version("tiny", 0, "a", "rollback", "why", (), edit or None)]
        for place, row in enumerate(rows):
            await store.promote(row, expected=place - 1)

    in_store(keep)
    assert f"  {words}\n" in run("trials").stdout and f"since then: {words}" in run("trials", "t1").stdout
    assert shown(run, "trials", "t1")["became"] == words


def tried() -> None:
    async def keep(store: Store) -> None:
        trial = TrialRow("abc1", "tiny", "model", "answer", "it \x1bfails", "open", number=1)
        await store.put_trial(trial)
        verdict = "not adopted: it costs too much"
        await store.put_trial(
            TrialRow("abd2", "tiny", "prompt", "answer", "it rambles", "rejected", verdict, 2, EVIDENCE)
        )
        await store.put_trial(
            TrialRow("x3", "tiny", "prune", "spare", "unused", "waiting", "40 pairs missing")
        )
        await store.put_trial(TrialRow("y4", "other", "prune", "spare", "unused", "waiting"))

    in_store(keep)


def test_every_trial_is_shown_with_what_it_spent(run: Run) -> None:
    tried()
    told = shown(run, "trials")
    assert [trial["id"] for trial in told["trials"]] == ["abc1", "abd2", "x3"]
    levels = [trial["level"] for trial in told["trials"]]
    assert levels[2] is None and abs(told["spent"] - levels[0] - levels[1]) < 1e-12
    lines = run("trials").stdout.splitlines()
    assert "open" in lines[0] and "goes on with it" in lines[1] and "\x1b" not in lines[0]
    assert "rejected" in lines[2] and f"level {levels[1]:.2g}" in lines[2]
    assert lines[3] == "  not adopted: it costs too much"
    assert "no look" in lines[4] and lines[5] == "  40 pairs missing"
    assert "kept below 5%" in lines[-1] and f"{1 - told['spent'] / 0.05:.0%} of that is left" in lines[-1]


def test_a_trial_is_shown_in_full(run: Run) -> None:
    tried()
    text = run("trials", "abd").stdout
    assert (
        "select, 1. model answer: 18 better and 0 worse answers of 120, a gain of +15.0% (+8.0% to +22.0%)"
        in text
    )
    assert "an answer costs 0.000123, before 650.0k" in text
    price = (
        "price: asked 120 requests another way to make it: 4.1M macs, 3400 tokens, 5200 ms, 0.030000 money"
    )
    assert price in text
    assert "node numbers: 1 better and 2 worse answers of 23" in text
    assert "mcnemar: p 4e-06, level 0.0146" in text and "against it: it costs too much" in text
    assert shown(run, "trials", "abd2")["evidence"] == EVIDENCE
    several = run("trials", "ab")
    assert several.exit_code == 1 and "2 trials have ids that begin with 'ab'" in several.stderr


def test_two_rollbacks_at_once_make_one_version(run: Run) -> None:
    learned()

    async def both(store: Store) -> list[Any]:
        head = await head_of(store, load_file("tiny.yaml"))
        work = (roll_back(store, head, "by hand", to=earlier(head, 0)) for _ in range(2))
        return await asyncio.gather(*work, return_exceptions=True)

    outcomes = in_store(both)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Version"]
    assert len(shown(run, "history")["versions"]) == 3
