"""What a GGUF model file says of itself, read before any engine touches it.

The native loader aborts the process on some damaged headers and loads damaged tensors without a word, so a
file is judged here first: its hash where one is known, and in any case its header and size.
Knows nothing about engines. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import hashlib
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.errors import ModelFileError

# Bytes of the scalar types by type number; 8 is a string and 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9

# Weights and bytes of a block by ggml type; the size of a type that is not listed is left to the engine.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 23: (256, 136), 30: (1, 2),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelFile:
    """`parameters` counts what one token touches: all weights but an embedding table that is only looked up,
    and of a mixture of experts the share in use. `context` is the trained length in tokens (0: not said)."""

    path: Path
    name: str
    architecture: str
    parameters: int
    context: int
    size: int


def inspect(path: Path, sha256: str | None = None) -> ModelFile:
    """The description of a file that has proven whole. Raises ModelFileError if it is missing or damaged."""
    hint = f"fetch {path.name!r} again or name another file; `tinyllm starter train` rebuilds a shipped one"
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if file.read(4) != b"GGUF":
                what = "is empty" if size == 0 else "is not a GGUF model"
                raise ModelFileError(f"model file {str(path)!r} {what}", hint=hint)
            file.seek(0)
            if sha256 and hashlib.file_digest(file, "sha256").hexdigest() != sha256.lower():
                raise ModelFileError(f"model file {str(path)!r} is damaged: its SHA-256 differs", hint=hint)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _describe(path, data)
    except FileNotFoundError:
        raise ModelFileError(f"model file {str(path)!r} does not exist", hint=hint) from None
    except OSError as error:
        raise ModelFileError(
            f"model file {str(path)!r} cannot be read: {error.strerror}", hint=hint
        ) from None
    except (struct.error, TypeError, ValueError) as error:
        raise ModelFileError(f"model file {str(path)!r} is damaged: {error}", hint=hint) from None


def _describe(path: Path, data: mmap.mmap) -> ModelFile:
    reader = _Reader(data)
    version, tensors, pairs = reader.scalar("<4xI"), reader.scalar("<Q"), reader.scalar("<Q")
    if version not in (2, 3):
        raise ValueError(f"version {version} is unknown")
    about = dict(reader.pair() for _ in range(reader.count(pairs, 12)))
    architecture = about.get("general.architecture")
    if not isinstance(architecture, str):
        raise ValueError("it names no architecture")
    # The engine aborts the whole process on an impossible number of layers and on a repeated token.
    layers = about.get(f"{architecture}.block_count", 1)
    if not isinstance(layers, int) or not 0 < layers <= 512:
        raise ValueError(f"{layers!r} layers are impossible")
    words = [word for word in about.get("tokenizer.ggml.tokens") or () if word]
    if len(set(words)) != len(words):
        raise ValueError("its vocabulary repeats a token")
    shapes = [reader.tensor() for _ in range(reader.count(tensors, 24))]
    alignment = about.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 4096:
        raise ValueError(f"alignment {alignment!r} is impossible")
    start = -(-reader.at // alignment) * alignment
    missing = max((start + end for *_, end in shapes), default=start) - len(data)
    if missing > 0:
        raise ValueError(f"it is cut short by {missing} bytes")
    experts = about.get(f"{architecture}.expert_count") or 1
    used = about.get(f"{architecture}.expert_used_count") or experts
    tied = all(name != "output.weight" for name, *_ in shapes)
    touched = 0.0
    for name, weights, _ in shapes:
        if name != "token_embd.weight" or tied:
            touched += weights * used / experts if "_exps." in name else weights
    return ModelFile(
        path=path,
        name=str(about.get("general.name", path.stem)),
        architecture=architecture,
        parameters=round(touched),
        context=int(about.get(f"{architecture}.context_length", 0)),
        size=len(data),
    )


class _Reader:
    """A cursor over the header that never believes a length before it has compared it with the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def count(self, items: int, least: int) -> int:
        if items * least > len(self.data) - self.at:
            raise ValueError("a length in its header is impossible")
        return items

    def string(self) -> str:
        length = self.count(self.scalar("<Q"), 1)
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def pair(self) -> tuple[str, Any]:
        return self.string(), self.value(self.scalar("<I"))

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            item = self.scalar("<I")
            if item not in (*_SCALARS, _STRING):
                raise ValueError(f"array type {item} is unknown")
            return self.array(item, self.scalar("<Q"))
        if kind not in _SCALARS:
            raise ValueError(f"value type {kind} is unknown")
        return self.scalar(_SCALARS[kind])

    def array(self, item: int, length: int) -> list[bytes] | None:
        """The strings of an array, up to their first NUL as the engine reads them. Numbers are skipped."""
        if item != _STRING:
            width = struct.calcsize(_SCALARS[item])
            self.at += self.count(length, width) * width
            return None
        strings = []
        data, at, end, unpack = self.data, self.at, len(self.data), struct.Struct("<Q").unpack_from
        for _ in range(self.count(length, 8)):  # bare, for a vocabulary is long
            (size,) = unpack(data, at)
            at += 8 + size
            if at > end:
                raise ValueError("a length in its header is impossible")
            strings.append(data[at - size : at].partition(b"\0")[0])
        self.at = at
        return strings

    def tensor(self) -> tuple[str, int, int]:
        """Name, number of weights, and where the data ends, counted from the start of the data."""
        name = self.string()
        weights = 1
        dims = self.scalar("<I")
        if not 1 <= dims <= 4:
            raise ValueError(f"tensor {name!r} has {dims} dimensions")
        for _ in range(dims):
            weights *= self.scalar("<Q")
        kind, offset = self.scalar("<I"), self.scalar("<Q")
        block, width = _BLOCKS.get(kind, (1, 0))
        return name, weights, offset + weights // block * width
