"""Decoding one stream: a model of the lab in eager torch, and the GGUF exported from it in llama.cpp.

python benchmarks/decode.py        prints the figures and writes benchmarks/decode.json

Eager torch runs twice, in float32: with the lab's cache, and without one, all tokens anew for each (nanoGPT's
`generate` does so). llama.cpp has its cache and q8_0 weights. Weights are drawn by chance (what they say costs the
same), one thread each, in turn; greedy, no end mark. A round is one prompt of 40 tokens and the tokens after it; CPU
seconds of this process, threads of llama.cpp included. A ratio is that of eager torch's seconds to llama.cpp's.
"""

import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
import xllamacpp

from tinyllm.lab.export import write_gguf
from tinyllm.lab.folder import machine
from tinyllm.lab.generate import greedy
from tinyllm.lab.model import Config, Model
from tinyllm.lab.tokenizer import Tokenizer

OUT = Path(__file__).with_suffix(".json")
SHAPES: dict[str, dict[str, Any]] = {  # the neuron that ships, roughly, and one five times as large
    "1 M": {"width": 128, "layers": 4, "hidden": 352, "heads": 4, "groups": 2},
    "5 M": {"width": 256, "layers": 6, "hidden": 704, "heads": 8, "groups": 4},
}
PROMPT, WRITTEN, ROUNDS = 40, 64, 9


def server(path: Path, adapters: Sequence[Path] = ()) -> Any:
    """A GGUF in llama.cpp, in this process; adapters that a request does not ask for are off."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 0.0) for adapter in adapters]
    params.n_ctx, params.n_parallel, params.verbosity = 256, 1, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.api_keys = ["benchmark"]
    params.warmup = True
    return xllamacpp.Server(params)


def measure(name: str, tokenizer: Tokenizer, folder: Path, rounds: int = ROUNDS) -> dict[str, Any]:
    """Tokens a second of both, of a model of the shape called `name`."""
    model = Model(Config(vocab=tokenizer.size, context=256, **SHAPES[name])).eval()
    write_gguf(model, tokenizer, folder / "model.gguf", "q8_0")
    running = server(folder / "model.gguf")
    chance = random.Random(0)

    def eager(ids: list[int]) -> int:
        return len(greedy(model, [ids], WRITTEN)[0])

    @torch.inference_mode()
    def uncached(ids: list[int]) -> int:
        for _ in range(WRITTEN):
            seen = torch.tensor([ids])
            logits, _ = model(seen, at=torch.arange(len(ids))[None] == len(ids) - 1)
            ids = [*ids, int(logits.argmax())]
        return len(ids) - PROMPT

    def gguf(ids: list[int]) -> int:
        request = {
            "prompt": ids,
            "max_tokens": WRITTEN,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
        }
        return int(running.handle_completions(request)["usage"]["completion_tokens"])

    ways: dict[str, Callable[[list[int]], int]] = {"eager": eager, "uncached": uncached, "gguf": gguf}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        ids = [chance.randrange(300, tokenizer.size) for _ in range(PROMPT)]
        for way, write in ways.items():
            start = time.process_time()
            written = write(ids)
            seconds[way].append(time.process_time() - start)
            assert written == WRITTEN, f"{way} wrote {written} tokens, not {WRITTEN}"
    speeds = {f"{way}_tokens_a_second": WRITTEN / median(each) for way, each in seconds.items()}
    figures: dict[str, Any] = {"parameters": model.parameter_count, **speeds}
    for way, name in (("eager", "ratio"), ("uncached", "uncached_ratio")):
        ratios = sorted(one / other for one, other in zip(seconds[way], seconds["gguf"], strict=True))
        figures |= {name: median(ratios), f"{name}s": ratios}
    return figures


def main() -> None:
    torch.set_num_threads(1)
    words = random.Random(0)
    texts = ["".join(words.choices("etaoinshrdlu ", k=60)) for _ in range(400)]
    tokenizer = Tokenizer.train(texts, 1024)
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, Any] = {name: measure(name, tokenizer, Path(folder)) for name in SHAPES}
    figures |= {"prompt": PROMPT, "written": WRITTEN, "rounds": ROUNDS, "machine": machine()}
    OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
