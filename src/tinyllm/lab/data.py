"""The public data sets that runs learn from: where to get each, and whether a file is the right one."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tinyllm.errors import NotFound, RequestError


@dataclass(frozen=True)
class Source:
    url: str
    sha256: str
    licence: str


SOURCES = {
    "names.txt": Source(
        "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        "MIT",
    ),
    "tinyshakespeare.txt": Source(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "public-domain text",
    ),
    "gsm8k_train.jsonl": Source(
        "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data/train.jsonl",
        "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
        "MIT",
    ),
}


def read(name: str, folder: Path | None) -> str:
    """The text of the data set `name` in `folder`. Raises NotFound, or RequestError for a file that differs."""
    source = SOURCES[name]
    fetch = f"download {source.url} as {name} (sha256 {source.sha256})"
    if folder is None:
        raise NotFound(
            f"no data folder is set, and {name!r} is needed", hint=f"{fetch}, then set TINYLLM_DATA_DIR"
        )
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFound(f"{str(path)!r} cannot be read: {error.strerror}", hint=fetch) from None
    if not content.strip():
        raise RequestError(f"{str(path)!r} is empty", hint=fetch)
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise RequestError(f"{str(path)!r} is another file: its sha256 is {found}", hint=fetch)
    return content.decode("utf-8")
