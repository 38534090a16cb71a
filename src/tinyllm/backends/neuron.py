"""The language model that reads: a request as text in, one call over its slots out, held to the legal ones.

The model sees the request with its slots named and spells a call from whole tokens: `<convert><n0><u0><u1>`.
A grammar made for each request lets it say nothing that is not legal there. Knows nothing about training,
nor about which engine runs the model.
"""

import re
from collections.abc import Iterable

from tinyllm.backends.folding import complete
from tinyllm.backends.reading import ReaderBackend, Reading
from tinyllm.errors import BadReply, ToolError
from tinyllm.protocols import Backend
from tinyllm.slots import MOST_OF_A_KIND, Ops, Slots, grammar
from tinyllm.slots.find import KINDS, Slot
from tinyllm.types import Cost, Message, Prompt, Sampling

CALL = "<call>"  # ends the request
MOST_BYTES = 240  # of a request: even if each is a token, it and its call fit the 256 of the model
_CLOCK = frozenset(("second", "minute", "hour", "millisecond", "microsecond", "nanosecond"))
_MOST_TOKENS = 8  # of a call: an operation, at most five slots, and the end


def encode(slots: Slots) -> str:
    """A request as the model reads it: "how many<u0><=volume> in<n0><u1><=volume><call>".

    Slots and what they hold are whole tokens, which a request cannot spell: its own "<" is written "(".
    """
    notes = dict(note.split("=", 1) for note in slots.notes)
    pieces = []
    for word in slots.template.split():
        if word in slots.values and int(word[1:]) < MOST_OF_A_KIND:
            said = _said_of(slots.values[word], notes.get(word, ""))
            pieces.append("".join((f"<{word}>", *(f"<={note}>" for note in said))))
        else:
            pieces.append(" " + word.replace("<", "("))
    return "".join(pieces) + CALL


def _said_of(slot: Slot, note: str) -> tuple[str, ...]:
    """Of a unit its dimension, so that minutes and hours are seen to be of one; of a time also its kind."""
    if slot.kind == "u" and slot.sort == "time":
        return "time", "clock" if slot.value in _CLOCK else "calendar"
    return (note,) if note else ()


def spell(call: str) -> str:
    """A call as the model writes it: "<convert><n0><u0><u1>"."""
    return "".join(f"<{word}>" for word in call.split())


def unspell(text: str) -> str:
    """The call that `spell` wrote."""
    return " ".join(re.findall(r"<(\w+)>", text))


def words(pairs: Iterable[tuple[str, str]], ops: Ops) -> tuple[str, ...]:
    """What has to be whole tokens: every operation and slot, and what these requests and calls say of slots."""
    said = {word for pair in pairs for word in re.findall(r"<=?\w+>", "".join(pair))}
    slots = {f"<{kind}{i}>" for kind in KINDS for i in range(MOST_OF_A_KIND)}
    return tuple(sorted(said | slots | set(map(spell, ops))))


class NeuronBackend(ReaderBackend):
    """Reads with the model behind `inner`, which takes grammars and gives scores."""

    def __init__(self, name: str, inner: Backend, ops: Ops) -> None:
        super().__init__(name, ops)
        self.inner = inner

    async def read(self, slots: Slots, prompt: Prompt) -> tuple[Reading, Cost]:
        """The call that the model says, or a refusal; raises ToolError for a request that is too long to read.

        Its probability is what the model gave these tokens before the grammar cut anything off, so few tools
        make no reading surer.
        """
        text = encode(slots)
        if len(text.encode()) > MOST_BYTES:
            raise ToolError(f"the question is longer than the {MOST_BYTES} bytes or so that are read")
        offered = {"", *(tool.name for tool in prompt.tools)}
        legal = grammar(slots, {name: op for name, op in self.ops.items() if op.tool in offered})
        asked = Prompt(
            (Message("user", text),),
            sampling=Sampling(max_tokens=_MOST_TOKENS),
            grammar=re.sub('"([^"]+)"', lambda quoted: f'"{spell(quoted[1])}"', legal),
            adapter=prompt.adapter,
            scores=True,
            timeout=prompt.timeout,
        )
        done = await complete(self.inner, asked)
        if done.probability is None:
            message = f"model {self.inner.name!r} tells no log-probabilities"
            raise BadReply(message, hint="read with one that does")
        return Reading(unspell(done.text), min(1.0, done.probability)), done.cost

    async def probe(self) -> str:
        return await self.inner.probe()

    async def close(self) -> None:
        await self.inner.close()
