"""A stream folded into one answer: the only place where chunks become a completion."""

from collections.abc import AsyncGenerator, Callable

from tinyllm.errors import BadReply
from tinyllm.protocols import Backend
from tinyllm.types import Completion, Prompt


async def complete(
    backend: Backend, prompt: Prompt, on_text: Callable[[str], None] | None = None
) -> Completion:
    """The whole answer; `on_text` hears each piece of text as it arrives.

    Raises what the backend raises, and BadReply where its stream has no last chunk. Leaving early (cancelled,
    or `on_text` raises) stops the generation before the call returns.
    """
    pieces: list[str] = []
    stream = backend.stream(prompt)
    try:
        async for chunk in stream:
            if chunk.text:
                pieces.append(chunk.text)
                if on_text is not None:
                    on_text(chunk.text)
            if chunk.finish is not None and chunk.cost is not None:
                return Completion("".join(pieces), chunk.tool_calls, chunk.finish, chunk.cost, chunk.scores)
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
    raise BadReply(f"model {backend.name!r} ended its answer without a finish", hint="ask again")
