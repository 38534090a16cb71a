"""The notebooks run from top to bottom, where their own asserts hold what they say; those kept have been run."""

import base64
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/lab/notebooks").glob("*.ipynb"))
AGAIN = "run it anew: jupyter execute --inplace docs/lab/notebooks/*.ipynb"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and a user without settings of their own for Python, Jupyter and this project."""
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA", "IPYTHONDIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "user"))
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path.rstrip(os.pathsep))
    return tmp_path


def test_there_are_four():
    assert [path.name[0] for path in NOTEBOOKS] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_what_it_says_holds(path, folder):
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_as_it_was_run(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), AGAIN
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(output.output_type in ("stream", "display_data", "execute_result") for output in outputs), (
        AGAIN
    )
    assert not any(output.get("name") == "stderr" for output in outputs), "it warns"
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert pictures and all(len(base64.b64decode(picture)) < 30_000 for picture in pictures)
    assert path.stat().st_size < 75_000  # less than 300 kB in all
