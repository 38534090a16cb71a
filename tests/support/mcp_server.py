"""A server that speaks MCP over standard input and output, and misbehaves as its arguments say. Run as a program.

Written by hand, against the protocol rather than with a library, so that it can break it.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def tools(description: str) -> list[dict[str, Any]]:
    echo = {"name": "echo", "description": description, "inputSchema": TEXT}
    return [echo, {"name": "do", "description": "Does what it is told.", "inputSchema": TEXT}]


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **more}


def act(what: str) -> Any:
    """What a call of `do` comes to; of some, nothing ever."""
    match what:
        case "die":
            os._exit(3)
        case "hang":
            time.sleep(600)
        case "garbage":
            print("Traceback (most recent call last): {", flush=True)
            print(json.dumps({"jsonrpc": "2.0", "id": "no such", "result": 7}), flush=True)
            return {"content": "no list"}
        case "fail":
            return said("the disk is full", isError=True)
        case "much":
            return said("x" * 50_000)
        case "value":
            return said("", structuredContent={"degrees": 21})
    return said(f"cannot {what}")


def answer(message: dict[str, Any], description: str) -> Any:
    parameters = message.get("params", {})
    match message["method"]:
        case "initialize":
            version = parameters["protocolVersion"]
            return {
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "test", "version": "1"},
            }
        case "tools/list":
            return {"tools": tools(description)}
        case "tools/call" if parameters["name"] == "echo":
            return said(parameters["arguments"]["text"])
        case "tools/call" if parameters["name"] == "do":
            return act(parameters["arguments"]["text"])
    return None


def main(description_file: str, started: str) -> None:
    with Path(started).open("a", encoding="utf-8") as file:
        file.write("x")
    if os.environ.get("MUTE"):
        time.sleep(600)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(message, Path(description_file).read_text(encoding="utf-8"))
        told = (
            {"result": result}
            if result is not None
            else {"error": {"code": -32601, "message": "no such method"}}
        )
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **told}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
