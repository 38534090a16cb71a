"""Server-sent events out of bytes, however the network cut them. Knows nothing about what they carry.

Servers of this kind put one JSON value on each `data:` line, so a line is an event. Some forget the blank
line between two, some send an error as a bare JSON line, some end without a newline: all are understood.
"""


class Events:
    """Feed it bytes, get back the texts of the `data:` lines that they complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [text for line in lines if (text := _payload(line))]

    def end(self) -> list[str]:
        """What the last line holds if it was never finished."""
        return self.feed(b"\n")


def _payload(line: bytes) -> str:
    # Whole lines only are decoded, so that a character cut in two by the network is not lost.
    text = line.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        return text
    return text.removeprefix("data:").strip() if text.startswith("data:") else ""
