"""HTTP as uvicorn speaks it, with a bound on the head of a request, which its quicker parser has not."""

from asyncio import Protocol
from importlib.util import find_spec

MOST = 65_536  # bytes of a request's first line and headers, as uvicorn's slower parser has it

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def bounded() -> type[Protocol] | str:
    """What uvicorn takes as its `http`: the quicker parser where it is installed."""
    if find_spec("httptools") is None:
        return "h11"
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Bounded(HttpToolsProtocol):
        head: int | None = 0
        """How many bytes of a head that is not whole have come; None within a body."""
        size = 0

        def data_received(self, data: bytes) -> None:
            self.size = len(data)
            super().data_received(data)
            if self.head is not None:
                self.head += self.size
                if self.head > MOST and not self.transport.is_closing():
                    self.transport.write(_REFUSAL)
                    self.transport.close()

        def on_headers_complete(self) -> None:
            self.head = None
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self.head = -self.size  # what has just come was the end of a body

    return Bounded
