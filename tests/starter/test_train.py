"""`tinyllm starter train`: every shipped file anew, each with a card, put in place at the end."""

import hashlib
import json
from pathlib import Path

import pytest

from tinyllm.cli.trainer import LabTrainer
from tinyllm.starter import shipped
from tinyllm.starter.train import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights")
    told: list[str] = []
    cards = train(
        LabTrainer(), None, out, quick=True, progress=lambda file, step, steps, loss: told.append(file)
    )
    assert list(cards) == list(dict.fromkeys(told))
    return out


def test_what_ships_is_what_the_recipe_writes(folder: Path) -> None:
    ours = json.loads((shipped.WEIGHTS / "manifest.json").read_text(encoding="utf-8"))
    theirs = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert ours.keys() == theirs.keys()
    expected = {"manifest.json", *theirs, *(f"{file}.md" for file in theirs)}
    assert {path.name for path in folder.iterdir()} == expected
    assert {path.name for path in shipped.WEIGHTS.iterdir()} == expected


@pytest.mark.parametrize("place", ["shipped", "made"])
def test_the_manifest_holds_every_file(folder: Path, place: str) -> None:
    where = shipped.WEIGHTS if place == "shipped" else folder
    manifest = json.loads((where / "manifest.json").read_text(encoding="utf-8"))
    for file, known in manifest.items():
        data = (where / file).read_bytes()
        assert known == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert sum(known["size"] for known in manifest.values()) < 15_000_000


def test_every_card_says_data_licence_steps_and_how_to_rebuild(folder: Path) -> None:
    for file in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        card = (folder / f"{file}.md").read_text(encoding="utf-8")
        assert card.startswith(f"# {file}\n")
        for word in ("Size: ", "Data: ", "Licence", "Training: ", "seed 0", "tinyllm starter train"):
            assert word in card
        assert "CLINC150" not in card  # no request by a person was seen
