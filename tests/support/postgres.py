"""A PostgreSQL server of the test's own, in a temporary folder, from what is installed. Needs the standard library.

python -m tests.support.postgres COMMAND...     runs a command with its URL in TINYLLM_TEST_POSTGRES
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VARIABLE = "TINYLLM_TEST_POSTGRES"
NOBODY = "nobody"  # PostgreSQL refuses to run as root


class Postgres:
    """A server in a folder, which can be stopped and started again."""

    def __init__(self, folder: Path, port: int, durable: bool) -> None:
        self.folder = folder
        self.durable = durable
        self.port = port
        self.url = f"postgresql://tiny@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        if not self.durable:
            options += " -c fsync=off"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        _run("pg_ctl", "start", "-w", "-D", data, "-o", options, "-l", log)

    def stop(self) -> None:
        """As an administrator would at once: connections are cut."""
        _run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.folder / "data"))


@contextmanager
def postgres(*, durable: bool = True) -> Iterator[Postgres]:
    """A running server with an empty database; where not `durable`, quick, and lost if the machine stops."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if _is_root():
            shutil.chown(folder, NOBODY)
        _run(
            "initdb", "-D", str(folder / "data"), "-U", "tiny", "-A", "trust",
            "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as free:
            server = Postgres(folder, free.getsockname()[1], durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def schema(url: str) -> Iterator[str]:
    """The URL of an empty schema in that database, which is gone afterwards."""
    import psycopg

    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
        connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def _run(program: str, *args: str) -> None:
    user: dict[str, Any] = {"user": NOBODY, "group": _group(), "extra_groups": []} if _is_root() else {}
    done = subprocess.run(
        [_path(program), *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",  # nobody may not enter every folder
        **user,
    )
    if done.returncode:
        raise RuntimeError(f"{program} ended with {done.returncode}")


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _group() -> int:
    import pwd

    return pwd.getpwnam(NOBODY).pw_gid


def _path(program: str) -> str:
    # Debian keeps the programs of a server out of the way, by version.
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    path = str(found[-1]) if found else shutil.which(program)
    if path is None:
        raise RuntimeError(f"{program} is not installed: apt-get install postgresql")
    return path


if __name__ == "__main__":
    with postgres(durable=False) as server:
        code = subprocess.run(sys.argv[1:], env=os.environ | {VARIABLE: server.url}).returncode
    sys.exit(code)
