"""A public conformance suite of OpenAI-style APIs: https://github.com/CognizenOrg/compatcanary, from npm."""

import json
import os
import subprocess

import pytest

from tests.server.conftest import NETWORK
from tests.support.serving import serving
from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.types import Prompt, ToolCall

CANARY = os.environ.get("TINYLLM_TEST_CANARY", "")


def obliging(prompt: Prompt) -> Answer | str:
    """A model that can do what the suite asks for, as any larger one can."""
    for tool in prompt.tools:
        if tool.name == "compatcanary_echo":
            return Answer(tool_calls=(ToolCall(tool.name, {"value": "CANARY_OK"}),))
    return json.dumps({"status": "ok"}) if prompt.json_schema else "CANARY_OK"


@pytest.mark.skipif(not CANARY, reason="TINYLLM_TEST_CANARY names no `compatcanary`")
@pytest.mark.parametrize("profile", ["modern", "chat"])
def test_the_suite_finds_nothing(profile: str) -> None:
    models = {"small": Scripted("small", obliging), "big": Scripted("big", obliging)}
    with serving(NETWORK, models) as running:
        options = [
            "--base-url",
            f"{running.url}/v1",
            "--model",
            "pair",
            "--profile",
            profile,
            "--api-key",
            "any",
        ]
        done = subprocess.run([CANARY, "scan", *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Score: 100/100" in done.stdout, done.stdout + done.stderr
