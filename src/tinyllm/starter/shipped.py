"""Where the shipped networks and weights lie. Knows nothing about what is in them."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from tinyllm.errors import NotFound
from tinyllm.types import JSON

_ROOT = Path(str(resources.files("tinyllm.starter")))
WEIGHTS = _ROOT / "weights"
NETWORKS = _ROOT / "networks"
TRAFFIC = _ROOT / "traffic" / "sample.jsonl"  # requests with their answers, to learn from
# Built-in models of two files: the second reads what the first is not sure of.
TOGETHER: Mapping[str, tuple[str, str]] = {"readers": ("reader.linear", "reader.gguf")}


def networks() -> list[str]:
    """The names of the shipped networks."""
    return sorted(path.stem for path in NETWORKS.glob("*.yaml"))


def network(name: str) -> Path:
    """The file of a shipped network. Raises NotFound naming those there are."""
    if name not in networks():
        raise NotFound(f"no network called {name!r} is shipped", hint=f"take {' or '.join(networks())}")
    return NETWORKS / f"{name}.yaml"


def files() -> list[str]:
    """The names of the weights files that the manifest knows; none where it cannot be read."""
    return sorted(_manifest())


def weights(file: str) -> tuple[Path, str]:
    """The path and the SHA-256 of a shipped weights file, such as "reader.linear". Raises NotFound."""
    known = _manifest().get(file)
    if known is None:
        message = f"no weights called {file!r} are shipped"
        raise NotFound(message, hint="run `tinyllm starter train` to rebuild them")
    return WEIGHTS / file, str(known["sha256"])


def _manifest() -> Mapping[str, Mapping[str, JSON]]:
    try:
        found: Mapping[str, Mapping[str, JSON]] = json.loads(
            (WEIGHTS / "manifest.json").read_text(encoding="utf-8")
        )
    except (OSError, ValueError):
        return {}
    return found
