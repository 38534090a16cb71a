"""Figures of the lab that no run measures: small models held against references, in about a minute.

python -m benchmarks.lab checks        writes them into benchmarks/lab.json

Engines against known digits and finite differences, merges against minbpe's, the cost of a pass against torch's
profiler, exported models and adapters against the libraries that load them. One thread, weights from a seed.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.decode import server
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tinyllm.lab import export, lora
from tinyllm.lab.folder import machine
from tinyllm.lab.generate import greedy
from tinyllm.lab.model import Config, Model
from tinyllm.lab.plan import Plan
from tinyllm.lab.scratch import gpt, nets
from tinyllm.lab.scratch.bpe import BPE
from tinyllm.lab.scratch.scalar import Value
from tinyllm.lab.scratch.tensor import Tensor
from tinyllm.lab.tokenizer import Tokenizer
from tinyllm.lab.train import Example, Settings, train

Figures = dict[str, dict[str, Any]]
SEED = 0
MINBPE = {  # what its BasicTokenizer learns from the strings of its own tests
    "aaabdaaabac": [(97, 97), (256, 97), (257, 98)],
    "hello world!!!? (안녕하세요!) lol123 😉": [
        *[(108, 111), (33, 33), (104, 101), (258, 108), (259, 256), (260, 32)],
        *[(261, 119), (262, 111), (263, 114), (264, 108), (265, 100), (266, 257)],
    ],
}
MIXERS = ("attention", "rnn", "lstm", "gru", "conv", "window", "none")
PLANS = ("0 1 2", "0 1 2 1 2", "0 (1 2)*2 0")
TEXTS = [
    "convert 3 cups to tablespoons",
    "what is 20 percent of 45.50, please?",
    "how many days are there between 1 May and 24 December?",
    "spell the word 'necessary' backwards",
]
SHARED = 15  # characters after which the texts that the adapter knows are others
OTHER_ENDS = [" in one bowl, thanks", ", and of 80 too?", " of the next year?", " and say it aloud"]


def checks() -> dict[str, Any]:
    """The entry of lab.json."""
    torch.set_num_threads(1)
    began = time.process_time()
    values: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in (digits(), differences(), merges(), cost(), exported(Path(folder))):
            values |= part
    return {
        "command": "python -m benchmarks.lab checks",
        "metrics": values,
        "seed": SEED,
        "device": "cpu",
        "cpu_seconds": round(time.process_time() - began, 1),
        "machine": machine(),
    }


def figure(value: float, reference: float, source: str, n: int) -> dict[str, Any]:
    return {"value": value, "reference": reference, "source": source, "n": n}


def digits() -> Figures:
    """The example of micrograd's README, on numbers."""
    a, b = Value(-4.0), Value(2.0)
    c, d = a + b, a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    found = {"g": (g.data, 24.7041), "a_gradient": (a.grad, 138.8338), "b_gradient": (b.grad, 645.5773)}
    return {
        f"micrograd_{name}": figure(value, wanted, "micrograd, README", 1)
        for name, (value, wanted) in found.items()
    }


def differences() -> Figures:
    """The largest difference between gradients of the tensor engine and central differences (1e-6 to each side)."""
    draw = np.random.default_rng(SEED)
    shape = gpt.Shape(vocab=7, width=8, heads=2, layers=1, context=9)
    words = {name: Tensor(draw.normal(size=data.shape) * 0.5) for name, data in gpt.draw(shape, SEED).items()}
    ids = draw.integers(7, size=(2, 6))
    net, images = nets.Convolutions(SEED, channels=(2, 3)), draw.normal(size=(2, 8, 8))
    layers, corners = nets.small(4, SEED), nets.CORNERS
    models: list[tuple[list[Tensor], Callable[[], Tensor]]] = [
        (list(words.values()), lambda: gpt.loss(words, shape, ids)),
        (net.weights, lambda: net(images).cross_entropy(np.array([3, 7]))),
        (layers.weights, lambda: (layers(corners).sigmoid() ** 2).mean()),
    ]
    found = [abs(slope - by) for weights, loss in models for slope, by in _slopes(weights, loss)]
    return {"tensor_gradient_error": figure(max(found), 1e-6, "aim", len(found))}


def _slopes(weights: list[Tensor], loss: Callable[[], Tensor]) -> Iterator[tuple[float, float]]:
    """Each derivative of the engine, and the same by differences."""
    loss().backward()
    grads = [np.zeros_like(weight.data) if weight.grad is None else weight.grad for weight in weights]
    for weight, grad in zip(weights, grads, strict=True):
        for place in np.ndindex(weight.data.shape):
            here, ends = weight.data[place], list[float]()
            for step in (1e-6, -1e-6):
                weight.data[place] = here + step
                ends.append(float(loss().data))
            weight.data[place] = here
            yield float(grad[place]), (ends[0] - ends[1]) / 2e-6


def merges() -> Figures:
    """How many merges are those of minbpe, on its test strings."""
    learned = [(BPE.train(text, len(wanted)).merges, wanted) for text, wanted in MINBPE.items()]
    n = sum(len(wanted) for _, wanted in learned)
    equal = sum(one == other for pairs in learned for one, other in zip(*pairs, strict=True))
    return {"merges_equal": figure(equal, n, "minbpe, test strings", n)}


def cost() -> Figures:
    """The largest difference of a pass's multiply-accumulates from what torch's profiler counts, of these."""
    ids = torch.randint(0, 23, (3, 12), generator=torch.Generator().manual_seed(SEED))
    found = []
    for mixer in MIXERS:
        window = 4 if mixer == "window" else None
        shape = Config(23, width=32, layers=3, heads=4, groups=2, hidden=48, mixer=mixer, window=window)
        model = Model(shape, seed=SEED).eval()
        for plan in PLANS:
            # The profiler looks into attention and recurrence only where they are done step by step.
            with (
                torch.no_grad(),
                sdpa_kernel(SDPBackend.MATH),
                torch.backends.mkldnn.flags(enabled=False),
                FlopCounterMode(display=False) as profiler,
            ):
                macs = model(ids, plan=Plan.parse(plan))[1].cost.macs
            found.append(abs(2 * macs / profiler.get_total_flops() - 1))
    return {"cost_error": figure(max(found), 0.02, "aim, by torch's FlopCounterMode", len(found))}


def exported(folder: Path) -> Figures:
    """A Llama that knows four texts by heart, and an adapter that knows other ends, in the libraries that load them."""
    tokenizer = Tokenizer.train([*TEXTS, *OTHER_ENDS] * 5, 330)
    model = Model(
        Config(tokenizer.size, width=64, layers=2, heads=4, groups=2, hidden=96, context=128), seed=SEED
    )
    _memorise(model, tokenizer, TEXTS)
    starts = [tokenizer.encode(text)[:length] for text in TEXTS for length in range(2, 13)]
    prompts = [
        start for start in starts if len(tokenizer.decode(start)) <= SHARED
    ]  # known to model and adapter
    kinds: tuple[export.Precision, ...] = ("f16", "q8_0")
    for kind in kinds:
        export.write_gguf(model, tokenizer, folder / f"{kind}.gguf", kind)
    export.write_safetensors(model, tokenizer, folder / "base")
    plain = greedy(model, prompts, 12, stop=tokenizer.end)
    logits = {"transformers": model(torch.tensor([tokenizer.encode(TEXTS[1])]))[0]}

    lora.attach(model, rank=4, alpha=6.0)
    _memorise(model, tokenizer, [text[:SHARED] + end for text, end in zip(TEXTS, OTHER_ENDS, strict=True)])
    export.write_lora(model, folder / "adapter.gguf")
    export.write_peft(model, folder / "adapter")
    adapted = greedy(model, prompts, 12, stop=tokenizer.end)
    logits["peft"] = model(torch.tensor([tokenizer.encode(TEXTS[1])]))[0]

    values = _logits(folder, tokenizer, logits)
    for kind in kinds:
        running = server(folder / f"{kind}.gguf", [folder / "adapter.gguf"])
        for name, scale, wanted in (("greedy", 0.0, plain), ("greedy_lora", 1.0, adapted)):
            equal = sum(
                _written(running, prompt, scale)[: len(answer)] == answer
                for prompt, answer in zip(prompts, wanted, strict=True)
            )
            values[f"{name}_{kind}"] = figure(equal, len(prompts), "the lab's own answers", len(prompts))
    changed = sum(one != other for one, other in zip(plain, adapted, strict=True))
    values["answers_that_the_adapter_changes"] = figure(changed, 1, "one at least", len(prompts))
    return values


def _memorise(model: Model, tokenizer: Tokenizer, texts: list[str]) -> None:
    examples = [Example.text([*tokenizer.encode(text), tokenizer.end]) for text in texts]
    train(model, examples, Settings(steps=120, batch=len(texts), lr=1e-2, optimizer="adamw", seed=SEED))
    model.eval()


def _logits(folder: Path, tokenizer: Tokenizer, logits: dict[str, torch.Tensor]) -> Figures:
    """How far the logits in `transformers`, without and with our adapter by `peft`, are from ours."""
    import peft
    import transformers

    ids = torch.tensor([tokenizer.encode(TEXTS[1])])
    theirs: Any = transformers.LlamaForCausalLM.from_pretrained(folder / "base")
    values = {}
    for name, ours in logits.items():
        if name == "peft":
            theirs = peft.PeftModel.from_pretrained(theirs, folder / "adapter")
        with torch.no_grad():
            found = float((theirs(ids).logits - ours).abs().max())
        values[f"logits_{name}"] = figure(found, 1e-3, "equal but for rounding", ours.numel())
    return values


def _written(running: Any, prompt: list[int], scale: float) -> list[int]:
    """What llama.cpp writes greedily, the adapter weighted by `scale`."""
    request = {"prompt": prompt, "max_tokens": 12, "temperature": 0, "logprobs": 1}
    # What llama.cpp has kept of a prompt it takes again, though the adapter was weighted otherwise then.
    request |= {"lora": [{"id": 0, "scale": scale}], "cache_prompt": False}
    reply = running.handle_completions(request)
    return [token["id"] for token in reply["choices"][0]["logprobs"]["content"]]
