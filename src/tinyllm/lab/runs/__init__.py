"""The runs of the lab, by name: what each does, what it needs, and the figure that it is judged by.

One plain table; a run's module is imported when it runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from math import inf
from typing import Any

from tinyllm.errors import NotFound, RequestError
from tinyllm.lab.folder import Folder


@dataclass(frozen=True)
class Figure:
    """The metric that a run is judged by: what others report and where, what was measured here (benchmarks/lab.json
    has the commands; None: not yet), and the seconds of CPU that it took."""

    metric: str
    reference: float | None
    source: str
    ours: float | None
    seconds: int


@dataclass(frozen=True)
class Run:
    """`make` is module:function under this package; `config` the defaults that `--set` may change."""

    about: str
    make: str
    figure: Figure
    config: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def function(self) -> Callable[[Folder], dict[str, Any]]:
        module, name = self.make.split(":")
        return getattr(import_module(f"{__name__}.{module}"), name)


MAY_BE_ZERO = {"demonstrations", "doublings", "dropout", "noise", "test", "unread", "weight_decay"}


def find(name: str) -> Run:
    """The run called `name`. Raises NotFound, naming the nearest one."""
    if name not in RUNS:
        near = get_close_matches(name, RUNS, 1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise NotFound(f"there is no run {name!r}", hint=f"{meant}`tinyllm lab list` shows all")
    return RUNS[name]


def configured(run: Run, changes: Mapping[str, str]) -> dict[str, Any]:
    """The run's config with `changes`, each read as the kind of value that it replaces. Raises RequestError.

    Numbers are above 0, but those of MAY_BE_ZERO.
    """
    config = dict(run.config)
    for name, text in changes.items():
        if name not in config:
            raise RequestError(f"this run has no setting {name!r}", hint=f"it has {', '.join(config)}")
        kind = type(config[name])
        try:
            config[name] = kind(text)
        except ValueError:
            raise RequestError(
                f"{name}={text!r} is no {kind.__name__}", hint=f"the default is {config[name]!r}"
            ) from None
        at_all = name in MAY_BE_ZERO and config[name] == 0
        if kind in (int, float) and not (0 < config[name] < inf or at_all):
            wanted = "0 or more" if name in MAY_BE_ZERO else "above 0"
            raise RequestError(
                f"{name} must be {wanted}, not {text}", hint=f"the default is {run.config[name]!r}"
            )
    return config


def rung(about: str, figure: Figure, change: Mapping[str, Any]) -> Run:
    """A neural rung of the names ladder."""
    config: dict[str, Any] = {"steps": 600, "batch": 128, "lr": 6e-3, "optimizer": "muon"}
    config |= {"weight_decay": 0.1, "dropout": 0.0, "width": 64, "hidden": 192}
    return Run(about, "names:ladder", figure, config | dict(change), ("names.txt",))


POINTWISE = {"ffn": "mlp", "position": "none"}  # windows and convolutions know places without a code


def lecture(part: int) -> str:
    return f"Karpathy, makemore lecture {part}"


RUNS: dict[str, Run] = {
    "perceptron": Run(
        "Two weights and a bias in a file learn a line.",
        "scratch:perceptron",
        Figure("accuracy", 1.0, "Rosenblatt 1958, for classes that a line divides", ours=1.0, seconds=1),
        {"points": 200, "epochs": 500},
    ),
    "logic": Run(
        "AND, OR and XOR by one unit and by a hidden layer: the error on XOR.",
        "scratch:logic",
        Figure("xor_hidden", 0.01, "aim", ours=1.0435e-05, seconds=4),
        {"steps": 1000, "hidden": 4},
    ),
    "addition": Run(
        "Adding two numbers, and where what was learned breaks.",
        "scratch:addition",
        Figure("tanh_error_1", None, "none reported", ours=0.014462, seconds=3),
        {"steps": 600, "hidden": 16},
    ),
    "moons": Run(
        "Two half circles told apart by two hidden layers.",
        "scratch:moons",
        Figure("accuracy", 1.0, "Karpathy, micrograd demo", ours=1.0, seconds=2),
        {"steps": 600, "noise": 0.1},
    ),
    "deep-gradients": Run(
        "What of the gradient reaches the first of 60 layers, by everything that matters.",
        "scratch:deep_gradients",
        Figure("relu_he_norm_residual", None, "none reported", ours=16.425, seconds=3),
        {"width": 64},
    ),
    "digits-cnn": Run(
        "Two convolutions written out in NumPy read 8 x 8 digits.",
        "arrays:digits_cnn",
        Figure(
            "accuracy", 0.97, "scikit-learn, digits example with a vector machine", ours=0.97998, seconds=19
        ),
        {"steps": 1800, "batch": 32, "lr": 1e-2},
    ),
    "scalar-gpt": Run(
        "A complete GPT on single numbers and on arrays: how many times faster the second is.",
        "arrays:tiny_gpt",
        Figure("speedup", 20.0, "aim", ours=254.17, seconds=9),
        {"steps": 1000, "batch": 32, "lr": 1e-2, "width": 16, "heads": 4, "layers": 1, "raced": 4},
        ("names.txt",),
    ),
    "names-count": Run(
        "A table of counts with modified Kneser-Ney: rung zero of the ladder.",
        "counting:names",
        Figure("dev_loss", 1.974, "modified Kneser-Ney, the same split", ours=1.9746, seconds=2),
        {"orders": 7},
        ("names.txt",),
    ),
    "names-bigram": Run(
        "How often each letter follows each: counted, and found by gradient descent.",
        "names:bigram",
        Figure("train_loss", 2.4541, lecture(1), ours=2.454, seconds=19),
        {"steps": 600, "batch": 256, "lr": 1e-2, "optimizer": "adamw", "weight_decay": 0.0, "dropout": 0.0}
        | {"width": 32, "layers": 1, "hidden": 64, "mixer": "none", "ffn": "mlp", "position": "none"},
        ("names.txt",),
    ),
    "names-mlp": rung(
        "A window of three letters and a hidden layer (Bengio 2003).",
        Figure("dev_loss", 2.1701, lecture(2), ours=2.1473, seconds=24),
        POINTWISE | {"layers": 1, "mixer": "window", "window": 3},
    ),
    "names-batchnorm": rung(
        "The same with batch normalisation and a second layer.",
        Figure("dev_loss", 2.1057, lecture(3), ours=2.0803, seconds=63),
        POINTWISE | {"layers": 2, "mixer": "window none", "window": 3, "norm": "batch", "steps": 3000},
    ),
    "names-backprop": Run(
        "Batch normalisation and all by hand: the largest difference from automatic derivatives.",
        "arrays:backprop",
        Figure("gradient_error", 1e-6, "aim", ours=4.1633e-17, seconds=16),
        {"steps": 12000, "batch": 32, "lr": 0.1, "embed": 10, "hidden": 200},
        ("names.txt",),
    ),
    "names-wavenet": rung(
        "A tree of convolutions that sees eight letters (van den Oord 2016).",
        Figure("dev_loss", 1.9937, lecture(5), ours=1.9669, seconds=168),
        POINTWISE | {"layers": 3, "mixer": "conv", "steps": 4000, "dropout": 0.1},
    ),
    "names-rnn": rung(
        "A plain recurrent net.",
        Figure("dev_loss", None, "none reported", ours=2.0531, seconds=21),
        {"layers": 1, "mixer": "rnn"},
    ),
    "names-lstm": rung(
        "An LSTM.",
        Figure("dev_loss", None, "none reported", ours=1.927, seconds=259),
        {"layers": 1, "mixer": "lstm", "width": 160, "hidden": 320}
        | {"dropout": 0.15, "unread": 0.1, "lr": 8e-3, "steps": 3000},
    ),
    "names-gru": rung(
        "A GRU.",
        Figure("dev_loss", None, "none reported", ours=2.0301, seconds=24),
        {"layers": 1, "mixer": "gru"},
    ),
    "names-transformer": rung(
        "Four layers of attention: a small Llama.",
        Figure("dev_loss", 1.92, "makemore, README", ours=1.9374, seconds=365),
        {
            "layers": 4,
            "mixer": "attention",
            "heads": 4,
            "groups": 4,
            "dropout": 0.2,
            "lr": 5e-3,
            "steps": 4000,
        },
    ),
    "shakespeare-count": Run(
        "A table of counts over the plays of Shakespeare, by order.",
        "counting:shakespeare",
        Figure("dev_loss", 1.5165, "modified Kneser-Ney of order 7, the same split", ours=1.5165, seconds=12),
        {"orders": 8},
        ("tinyshakespeare.txt",),
    ),
    "shakespeare-gpt": Run(
        "A GPT on the plays, with the tokens of nanoGPT's run for a processor.",
        "plays:gpt",
        Figure("dev_loss", 1.88, "nanoGPT, README, configuration for a processor", ours=1.5345, seconds=328),
        {"steps": 1500, "batch": 8, "context": 128, "lr": 4e-3, "optimizer": "muon", "weight_decay": 0.1}
        | {"dropout": 0.0, "width": 128, "hidden": 352, "layers": 4, "heads": 4, "groups": 4},
        ("tinyshakespeare.txt",),
    ),
    "shakespeare-gpt-long": Run(
        "The same with more tokens, against the table.",
        "plays:gpt",
        Figure(
            "dev_loss", 1.5165, "modified Kneser-Ney of order 7, the same split", ours=1.4935, seconds=695
        ),
        {"steps": 2000, "batch": 16, "context": 128, "lr": 4e-3, "optimizer": "muon", "weight_decay": 0.1}
        | {"dropout": 0.1, "width": 128, "hidden": 352, "layers": 4, "heads": 4, "groups": 4},
        ("tinyshakespeare.txt",),
    ),
    "seq2seq-addition": Run(
        "Three-digit sums by an encoder and a decoder, last digit first.",
        "sequences:addition",
        Figure("accuracy", 0.99, "aim", ours=1.0, seconds=37),
        {"steps": 900, "batch": 64, "lr": 6e-3, "optimizer": "muon", "weight_decay": 0.01, "tested": 2000}
        | {"width": 64, "hidden": 192, "layers": 1, "heads": 4, "groups": 4, "position": "learned"},
    ),
    "seq2seq-reverse": Run(
        "Thirty letters backwards: what attention adds to one vector of context.",
        "sequences:reverse",
        Figure("gain", 0.2, "aim", ours=0.80393, seconds=169),
        {"steps": 500, "batch": 64, "lr": 6e-3, "optimizer": "muon", "weight_decay": 0.01, "tested": 500}
        | {"width": 64, "hidden": 192, "layers": 2, "position": "learned", "length": 30},
    ),
    "recall-distance": Run(
        "How far back each mixer can remember a letter.",
        "sequences:recall",
        Figure("attention_far", None, "none reported", ours=1.0, seconds=106),
        {"steps": 400, "batch": 64, "lr": 6e-3, "optimizer": "muon", "weight_decay": 0.01, "tested": 500}
        | {"width": 32, "hidden": 96, "layers": 2, "heads": 4, "groups": 4, "farthest": 64},
    ),
    "arithmetic-formats": Run(
        "Sums written plainly, backwards and step by step: how many examples each takes.",
        "arithmetic:formats",
        Figure("reversed_best", None, "none reported", ours=0.99222, seconds=452),
        {"steps": 500, "batch": 32, "lr": 6e-3, "optimizer": "muon", "weight_decay": 0.1, "tested": 300}
        | {"width": 64, "hidden": 192, "layers": 1, "heads": 4, "groups": 4, "position": "learned"}
        | {"places": 2, "seeds": 3, "smallest": 125, "doublings": 5},
    ),
    "arithmetic-length": Run(
        "Trained on sums of up to ten digits, asked for fifty: digits of equal value are coupled.",
        "arithmetic:length",
        Figure("accuracy", 0.99, "aim", ours=1.0, seconds=73),
        {"steps": 500, "batch": 64, "lr": 6e-3, "optimizer": "muon", "weight_decay": 0.0, "tested": 1000}
        | {"width": 64, "hidden": 128, "layers": 1, "heads": 4, "groups": 4, "position": "coupled"}
        | {"places": 10, "asked": 50},
    ),
    "scaling": Run(
        "Loss against parameters, data and compute, and what that says of a larger budget.",
        "scaling:laws",
        Figure("prediction_error", 0.02, "aim", ours=0.015108, seconds=418),
        {"budget": 2e10, "budgets": 3, "ratio": 2.5, "widths": "16 24 32 48 64 96 128", "sizes": 5}
        | {"layers": 1, "context": 64, "batch": 8, "lr": 2e-2, "optimizer": "muon", "weight_decay": 0.1}
        | {"resampled": 300},
        ("tinyshakespeare.txt",),
    ),
}
