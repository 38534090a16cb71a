"""A server on loopback that speaks OpenAI's chat API and answers as a test says. Knows nothing about TinyLLM.

Every request is held against the format first; one that breaks it is answered 400, as real servers do.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jsonschema

Body = dict[str, Any]
Message = dict[str, Any]


@dataclass
class Chat:
    """Where the server is, and what it was asked."""

    url: str = ""
    bodies: list[Body] = field(default_factory=list)

    def asked(self, model: str) -> list[Body]:
        return [body for body in self.bodies if body["model"] == model]


def says(text: str) -> Message:
    return {"role": "assistant", "content": text}


def calls(name: str, **arguments: Any) -> Message:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]}


@contextmanager
def chat_server(answer: Callable[[Body], Message | None], *models: str) -> Iterator[Chat]:
    """A running server of these models; of what `answer` gives None for, it has no model."""
    chat = Chat()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply(200, {"data": [{"id": model} for model in models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            chat.bodies.append(body)
            try:
                check(body)
            except (AssertionError, KeyError, ValueError, jsonschema.SchemaError) as error:
                self.reply(400, {"error": {"message": f"bad request: {error!r}"}})
                return
            message = answer(body)
            if message is None:
                self.reply(404, {"error": {"message": f"model {body['model']!r} not found"}})
                return
            finish = "tool_calls" if "tool_calls" in message else "stop"
            choice = {"index": 0, "message": message, "finish_reason": finish}
            usage = {"prompt_tokens": 20, "completion_tokens": 10}
            self.reply(200, {"choices": [choice], "usage": usage})

        def reply(self, status: int, data: Body) -> None:
            text = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    chat.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield chat
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def check(body: Body) -> None:
    """Raises AssertionError, KeyError or SchemaError for what is no chat request."""
    assert isinstance(body["model"], str) and body["model"]
    assert body["messages"], "no messages"
    for tool in body.get("tools", ()):
        assert tool["type"] == "function" and tool["function"]["description"]
        jsonschema.Draft202012Validator.check_schema(tool["function"]["parameters"])
    if wanted := body.get("response_format"):
        assert wanted["type"] == "json_schema" and wanted["json_schema"]["name"]
        jsonschema.Draft202012Validator.check_schema(wanted["json_schema"]["schema"])
    open_calls: set[str] = set()
    for position, message in enumerate(body["messages"]):
        assert message["role"] in ("system", "user", "assistant", "tool")
        assert message["role"] != "system" or position == 0, "a system message in the middle"
        assert isinstance(message["content"], str)
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls, "a call without its result"
        for call in message.get("tool_calls", ()):
            json.loads(call["function"]["arguments"])
            open_calls.add(call["id"])
    assert body["messages"][-1]["role"] in ("user", "tool")
