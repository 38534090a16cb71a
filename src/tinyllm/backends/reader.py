"""The linear reader as a model, and the linear router: hashed n-grams over a request with slots.

The reader takes a whole call over slots for one class, and chooses among the legal ones only, so that it can
never point at what is not there. Knows nothing about which operations there are: the caller's table says.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyllm.backends.reading import ReaderBackend, Reading
from tinyllm.errors import BackendError, ModelFileError, ToolError
from tinyllm.protocols import Choice
from tinyllm.routing import Linear, features, from_bytes
from tinyllm.slots import Ops, Slots, find, fitting_call, outline, read_call
from tinyllm.types import Cost, Prompt

if TYPE_CHECKING:
    import numpy as np

    Mask = np.ndarray[Any, Any]

_REBUILD = "run `tinyllm starter train` to rebuild it"
_MOST_MASKS = 1_000


@dataclass(frozen=True, slots=True)
class LinearReader:
    """Reads a request into a call. One of its predictions costs well under a millisecond."""

    model: Linear
    ops: Ops
    _masks: "dict[Hashable, tuple[Mask, Mask]]" = field(default_factory=dict, repr=False)

    def read(self, slots: Slots, tools: Collection[str] | None = None) -> Reading:
        """The most probable legal call; of these `tools` alone, or a refusal, where they are given.

        The probability is among all calls that fit: neither few tools nor a forbidden call make another surer.
        """
        import numpy as np

        fitting, legal = self._allowed(slots)
        odds = self.model.probabilities(vector(slots, self.model.bits), fitting) * legal
        if tools is not None:
            odds = np.where([self._tool(label) in ("", *tools) for label in self.model.labels], odds, 0.0)
        best = int(odds.argmax())
        return Reading(self.model.labels[best], float(odds[best]))

    def _tool(self, label: str) -> str | None:
        op = self.ops.get(label.split()[0])
        return op.tool if op else None

    def _allowed(self, slots: Slots) -> "tuple[Mask, Mask]":
        """Which labels fit the slots, and which are legal calls; kept, as many requests have the same outline."""
        import numpy as np

        key = outline(slots, self.ops)
        masks = self._masks.get(key)
        if masks is None:
            labels = self.model.labels
            fitting = np.array([_holds(fitting_call, label, slots, self.ops) for label in labels])
            masks = fitting, np.array([is_legal(label, slots, self.ops) for label in labels])
            if len(self._masks) < _MOST_MASKS:
                self._masks[key] = masks
        return masks


def vector(slots: Slots, bits: int) -> list[int]:
    """A request as a classifier sees it: its text with slot names, and what the slots hold in a word."""
    return features(slots.template, slots.notes, bits=bits)


def is_legal(call: str, slots: Slots, ops: Ops) -> bool:
    return _holds(read_call, call, slots, ops)


def _holds(rule: Callable[[str, Slots, Ops], object], call: str, slots: Slots, ops: Ops) -> bool:
    try:
        rule(call, slots, ops)
    except ToolError:
        return False
    return True


def load(source: Path | bytes, sha256: str | None = None) -> Linear:
    """The classifier in a file, or in the bytes of one. Raises ModelFileError where it is missing, damaged or
    not the one meant."""
    name = repr(str(source)) if isinstance(source, Path) else "a learned model"
    try:
        data = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise ModelFileError(f"{name} cannot be read: {error.strerror}", hint=_REBUILD) from error
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        message = f"{name} has the SHA-256 {found[:12]}..., and {sha256[:12]}... is expected"
        raise ModelFileError(message, hint=_REBUILD)
    try:
        return from_bytes(data, name)
    except ModelFileError as error:
        raise ModelFileError(error.message, hint=_REBUILD) from error


class LinearBackend(ReaderBackend):
    """The linear reader in a file, or in the bytes of one, which is read when it is first needed."""

    def __init__(self, name: str, source: Path | bytes, ops: Ops, sha256: str | None = None) -> None:
        super().__init__(name, ops)
        self.source = source
        self.sha256 = sha256
        self._reader: LinearReader | None = None
        self._closed = False

    async def read(self, slots: Slots, prompt: Prompt) -> tuple[Reading, Cost]:
        reader = self._ready()
        reading = reader.read(slots, {tool.name for tool in prompt.tools})
        macs = len(vector(slots, reader.model.bits)) * len(reader.model.labels)
        return reading, Cost(macs, tokens_in=len(slots.text.split()), tokens_out=1)

    def _ready(self) -> LinearReader:
        if self._closed:
            raise BackendError(f"model {self.name!r} is closed", hint="build it again")
        if self._reader is None:
            self._reader = LinearReader(load(self.source, self.sha256), self.ops)
        return self._reader

    async def probe(self) -> str:
        origin = f"read from {self.source.name}" if isinstance(self.source, Path) else "learned"
        return f"{self.name}: {len(self._ready().model.labels)} calls known, {origin}"

    async def close(self) -> None:
        self._closed = True
        self._reader = None


class LinearRouter:
    """Routes by the probabilities of the labels in its file; what else the file knows is under no label.

    So None is chosen where a refusal, or a label that is not offered, is likelier than each one offered.
    """

    def __init__(self, source: Path | bytes, sha256: str | None = None) -> None:
        self.source = source
        self.sha256 = sha256
        self._model: Linear | None = None

    async def choose(self, text: str, labels: Sequence[str]) -> Choice:
        """The choice for a text. Raises ModelFileError where the file cannot be used."""
        start = time.perf_counter()
        if self._model is None:
            self._model = load(self.source, self.sha256)
        known, on = self._model.labels, vector(find(text), self._model.bits)
        odds = {label: float(p) for label, p in zip(known, self._model.probabilities(on), strict=True)}
        likeliest = max(odds, key=lambda label: odds[label])
        cost = Cost(
            macs=len(on) * len(known),
            tokens_in=len(text.split()),
            milliseconds=(time.perf_counter() - start) * 1e3,
        )
        chosen = likeliest if likeliest in labels else None
        return Choice(chosen, {label: odds.get(label, 0.0) for label in labels}, cost)
