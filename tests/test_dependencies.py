"""What the runtime imports comes with it: a library of an extra is imported by that extra's parts alone."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tinyllm"
NAMES = {
    "yaml": "pyyaml",
    "pydantic_monty": "pydantic-monty",
    "pydantic_core": "pydantic",  # which brings it
    "referencing": "jsonschema",  # likewise
}
# Parts that say what to install where their libraries are missing.
EXTRAS = {"lab": "lab", "server": "serve", "cli": "any", "bench": "lab"}
ALONE = {
    "store/postgres.py": {"psycopg"},
    "tools/mcp_client.py": {"mcp", "mcp_types", "httpx2"},
    "tools/mcp.py": {"mcp", "mcp_types"},
}


def imported(path: Path) -> set[str]:
    """The top-level names of the libraries that a module imports, lazily or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"tinyllm"}


def test_every_library_of_the_runtime_is_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base = {re.split(r"[<>=\[;! ]", line)[0].lower() for line in project["dependencies"]}
    missing = {}
    for path in sorted(SOURCE.rglob("*.py")):
        where = path.relative_to(SOURCE).as_posix()
        if where.partition("/")[0] in EXTRAS:
            continue
        names = {NAMES.get(name, name.lower()) for name in imported(path) - ALONE.get(where, set())}
        if names - base:
            missing[where] = sorted(names - base)
    assert missing == {}
