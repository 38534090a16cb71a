"""OpenAI's `/v1/embeddings`: texts as vectors of hashed words and letters, without a model.

Texts are near each other when they share words, word stems and phrases; of meaning beyond that the vectors
know nothing. The same text gives the same vector on every machine.
"""

import base64
from typing import Literal

from pydantic import Field
from starlette.responses import JSONResponse, Response

from tinyllm.routing import features
from tinyllm.server.faults import BadParameter
from tinyllm.server.messages import Body, parsed

MODEL = "hashed-ngrams"
DIMENSIONS = 1024
_BITS = 30  # of a hash: the lower ones say where, the highest which sign
_PART = 4000  # characters that `features` looks at
_MOST = 200_000  # characters of all texts


class Embeddings(Body):
    input: str | list[str] = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int = Field(default=DIMENSIONS, ge=16, le=4096)


async def embeddings(body: bytes) -> Response:
    """The vectors of the texts of a body. Raises BadParameter."""
    asked = parsed(Embeddings, body)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if sum(map(len, texts)) > _MOST:
        raise BadParameter(f"the texts have more than {_MOST} characters", "input")
    import numpy as np

    data = []
    for index, text in enumerate(texts):
        vector = np.asarray(embed(text, asked.dimensions), "<f4")
        told = (
            vector.tolist()
            if asked.encoding_format == "float"
            else base64.b64encode(vector.tobytes()).decode()
        )
        data.append({"object": "embedding", "index": index, "embedding": told})
    words = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return JSONResponse({"object": "list", "data": data, "model": MODEL, "usage": usage})


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The text as a vector of length 1 (Weinberger et al., Feature Hashing, 2009)."""
    import numpy as np

    vector = np.zeros(dimensions)
    for start in range(0, max(len(text), 1), _PART):
        for hashed in features(text[start : start + _PART], bits=_BITS):
            vector[hashed % dimensions] += 1.0 if hashed >> (_BITS - 1) else -1.0
    length = float(np.linalg.norm(vector))
    return (vector / length).tolist() if length else vector.tolist()
