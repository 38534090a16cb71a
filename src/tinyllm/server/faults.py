"""Every error as a client expects it: OpenAI's shape, or Ollama's on the paths that are Ollama's."""

import json
import math
import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tinyllm.errors import BackendBusy, BackendError, RateLimited, RequestError, TinyLLMError
from tinyllm.store.lock import StoreBusy
from tinyllm.types import JSON

OLLAMA = ("/api/chat", "/api/generate", "/api/tags", "/api/show", "/api/version", "/api/ps")

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_CODES = {
    401: "invalid_api_key",
    404: "model_not_found",
    413: "request_too_large",
    429: "rate_limit_exceeded",
}


class BadParameter(RequestError):
    """`param` is the field of the body that is wrong."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def told(error: TinyLLMError) -> str:
    """The message with what to do next, in one line."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def body_of(error: TinyLLMError) -> dict[str, JSON]:
    """The error as OpenAI's API tells it."""
    status = error.status
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(error).__name__).lower()
    return {
        "error": {
            "message": told(error),
            "type": kind,
            "param": getattr(error, "param", None),
            "code": _CODES.get(status, name),
        }
    }


def response_of(error: TinyLLMError, path: str) -> Response:
    """The error as an HTTP response. OpenAI's client asks again by itself unless it is told not to."""
    passing = isinstance(error, RateLimited | StoreBusy)
    again = passing or (isinstance(error, BackendError) and error.retryable)
    headers = {"x-should-retry": "true" if again else "false"}
    wait = error.retry_after if isinstance(error, RateLimited | BackendBusy) else None
    if again and wait is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = {"error": told(error)} if path in OLLAMA else body_of(error)
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return Response(text, error.status, headers, "application/json")


async def of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, TinyLLMError)
    return response_of(error, request.url.path)


async def of_http(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    found = RequestError(f"{request.method} {request.url.path}: {error.detail}".lower())
    body = body_of(found)
    body["error"]["code"] = "not_found" if error.status_code == 404 else "bad_request"
    return Response(json.dumps(body), error.status_code, error.headers, "application/json")


async def of_surprise(request: Request, error: Exception) -> Response:
    """A fault of ours: told without its details, which the log has."""
    wrong = TinyLLMError("the server broke while it answered", hint="its log says where; report it")
    return response_of(wrong, request.url.path)
