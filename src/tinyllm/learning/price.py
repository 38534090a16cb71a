"""What answers cost, in one unit for all that are compared. Knows nothing about what was bought."""

from collections.abc import Callable, Iterable

from tinyllm.types import Trace

UNTOLD = 10**9  # parameters that a language model is taken to have where nobody tells


def price_of(traces: Iterable[Trace]) -> Callable[[Trace], float]:
    """The unit in which these runs can be compared: money where any was spent, else operations.

    A model of ours that reads counts a few hundred operations. One of a server whose size is not told would count
    none at all, and everything else would seem dearer.
    """
    if any(trace.cost.money for trace in traces):
        return lambda trace: trace.cost.money
    return operations


def operations(trace: Trace) -> float:
    """The multiply-accumulates of a run, as far as they are known or can be guessed."""
    untold = sum(span.cost.tokens_in + span.cost.tokens_out for span in trace.spans if not span.cost.macs)
    return float(trace.cost.macs + UNTOLD * untold)
