"""Tiny models, and llama.cpp to hold them against."""

import json
import urllib.request

import pytest
import torch
import xllamacpp

from tinyllm.lab.model import Config, Model
from tinyllm.lab.plan import Plan
from tinyllm.lab.tokenizer import Tokenizer
from tinyllm.lab.train import Example, Settings, train

TEXTS = [
    "convert 3 cups to tablespoons",
    "what is 20 percent of 45.50, please?",
    "how many days are there between 1 May and 24 December?",
    "spell the word 'necessary' backwards",
]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer():
    return Tokenizer.train(TEXTS * 5, 330, words=["<n0>", "<u0>", "<convert>"])


@pytest.fixture(scope="session")
def texts():
    return TEXTS


@pytest.fixture(scope="session")
def sharp():
    """Makes a random model whose weights are so large that attention, and so every position, matters."""

    def make(config: Config, plan: Plan | None = None) -> Model:
        model = Model(config, plan)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim == 2:
                    weight.mul_(8)
        return model

    return make


@pytest.fixture(scope="session")
def memorise(tokenizer):
    """Trains a model until it knows some texts by heart: it then writes plain letters and is sure of them."""

    def run(model: Model, texts=TEXTS, optimizer="muon") -> Model:
        examples = [Example.text([*tokenizer.encode(text), tokenizer.end]) for text in texts]
        train(model, examples, Settings(steps=60, batch=len(texts), lr=1e-2, optimizer=optimizer))
        return model

    return run


@pytest.fixture(scope="session")
def llamacpp():
    return LlamaCpp


class LlamaCpp:
    """A GGUF in llama.cpp, with its cache in float32 so that it can be compared closely."""

    def __init__(self, path, adapters=()):
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 0.0) for adapter in adapters]
        params.n_ctx, params.n_parallel, params.verbosity = 128, 1, -1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.api_keys = ["test"]
        self.adapters = len(adapters)
        self.server = xllamacpp.Server(params)

    def greedy(self, prompt, limit, adapter=None):
        """Token ids and log-probabilities of the greedy continuation of a list of ids, up to the end."""
        request = {
            "prompt": list(prompt),
            "max_tokens": limit,
            "temperature": 0,
            "logprobs": 1,
            "lora": [{"id": id, "scale": float(id == adapter)} for id in range(self.adapters)],
        }
        reply = self.server.handle_completions(request)
        content = reply["choices"][0]["logprobs"]["content"]
        return [token["id"] for token in content], [token["logprob"] for token in content]

    def tokenize(self, text):
        request = urllib.request.Request(
            f"{self.server.listening_address}/tokenize",
            json.dumps({"content": text, "parse_special": True}).encode(),
            {"Authorization": "Bearer test", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)["tokens"]
