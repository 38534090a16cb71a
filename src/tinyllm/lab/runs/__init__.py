"""The runs of the lab, by name: what each does, what it needs, and the figure that it is judged by.

One plain table; a run's module is imported when it runs. `reference` is what others report, with the source;
`ours` is what was measured here (`benchmarks/lab.json` has the commands), `seconds` the CPU that it took.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from tinyllm.errors import NotFound, RequestError
from tinyllm.lab.folder import Folder


@dataclass(frozen=True)
class Run:
    """`make` is module:function under this package; `config` the defaults that `--set` may change."""

    about: str
    make: str
    metric: str
    reference: float | None
    source: str
    ours: float | None
    seconds: int
    config: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def function(self) -> Callable[[Folder], dict[str, Any]]:
        module, name = self.make.split(":")
        return getattr(import_module(f"{__name__}.{module}"), name)


def find(name: str) -> Run:
    """The run called `name`. Raises NotFound, naming the nearest one."""
    if name not in RUNS:
        near = get_close_matches(name, RUNS, 1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise NotFound(f"there is no run {name!r}", hint=f"{meant}`tinyllm lab list` shows all")
    return RUNS[name]


def configured(run: Run, changes: Mapping[str, str]) -> dict[str, Any]:
    """The run's config with `changes`, each read as the kind of value that it replaces. Raises RequestError."""
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
    return config


def rung(about: str, reference: float | None, source: str, ours: float | None, seconds: int, **change: Any):
    """A neural rung of the names ladder."""
    config: dict[str, Any] = {"steps": 3000, "batch": 128, "lr": 3e-3, "optimizer": "muon", "weight_decay": 0.1}
    config |= {"width": 64, "hidden": 192} | change
    return Run(about, "names:ladder", "dev_loss", reference, source, ours, seconds, config, ("names.txt",))


_LECTURE = "Karpathy, makemore lecture, part "

RUNS: dict[str, Run] = {
    "names-count": Run(
        "A table of counts with modified Kneser-Ney: rung zero of the ladder.",
        "names:count",
        "dev_loss",
        1.974,
        "modified Kneser-Ney of order 6",
        1.974,
        5,
        {"orders": 7},
        ("names.txt",),
    ),
    "names-bigram": Run(
        "How often each letter follows each: counted, and found by gradient descent.",
        "names:bigram",
        "train_loss",
        2.4541,
        _LECTURE + "1",
        None,
        20,
        {"steps": 1000, "batch": 256, "lr": 1e-2, "optimizer": "adamw", "weight_decay": 0.0}
        | {"width": 32, "layers": 1, "hidden": 64, "mixer": "none", "ffn": "mlp", "position": "none"},
        ("names.txt",),
    ),
    "names-mlp": rung(
        "A window of three letters and a hidden layer (Bengio 2003).",
        2.1701,
        _LECTURE + "2",
        None,
        60,
        layers=1,
        mixer="window",
        window=3,
        ffn="mlp",
        position="none",
    ),
    "names-batchnorm": rung(
        "The same with batch normalisation.",
        2.1057,
        _LECTURE + "3",
        None,
        60,
        layers=2,
        mixer="window none",
        window=3,
        ffn="mlp",
        norm="batch",
        position="none",
    ),
    "names-wavenet": rung(
        "A tree of convolutions that sees eight letters (van den Oord 2016).",
        1.9937,
        _LECTURE + "5",
        None,
        90,
        layers=3,
        mixer="conv",
        ffn="mlp",
        norm="batch",
        position="none",
    ),
    "names-rnn": rung("A plain recurrent net.", None, "none reported", None, 60, layers=1, mixer="rnn"),
    "names-lstm": rung("An LSTM.", None, "none reported", None, 90, layers=1, mixer="lstm"),
    "names-gru": rung("A GRU.", None, "none reported", None, 90, layers=1, mixer="gru"),
    "names-transformer": rung(
        "Four layers of attention, a small Llama.",
        1.92,
        "makemore, README",
        None,
        180,
        layers=4,
        mixer="attention",
        heads=4,
        groups=4,
        position="rope",
    ),
}
