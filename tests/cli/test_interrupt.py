"""Ctrl-C while a model thinks."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import tinyllm
from tests.cli.conftest import Run
from tests.cli.test_ask import UNREACHABLE

# What runs in the background is started deaf to Ctrl-C, and so are its children.
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from tinyllm.cli.main import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a console, not to a process")
@pytest.mark.parametrize(
    "args", [["ask", "hi"], ["ask", "--stream", "hi"], ["chat"], ["batch", "in.jsonl", "-o", "out.jsonl"]]
)
def test_ctrl_c_ends_with_130_and_is_recorded(home: Path, run: Run, args: list[str]) -> None:
    (home / "in.jsonl").write_text('{"id": 1, "query": "hi"}\n', encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        network = UNREACHABLE.replace("127.0.0.1:9", f"127.0.0.1:{server.getsockname()[1]}")
        (home / "slow.yaml").write_text(network, encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *args],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(tinyllm.__file__).parents[1]),
                "TINYLLM_NETWORK": "slow.yaml",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write("hi\n")
        process.stdin.flush()
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            connection.recv(1)  # the question is on its way: now the run hangs
            if args[0] == "batch":
                second = run(*args)
                assert second.exit_code == 2 and "another batch is writing" in second.stderr
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.strip() == "stopped"
    assert "the run was cancelled" in run("trace", "last").stdout
    assert json.loads(run("batch", "in.jsonl", "-o", "out.jsonl", "--json").stdout)["written"] == 1
