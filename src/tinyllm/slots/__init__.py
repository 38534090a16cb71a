"""Slots: what a request holds that a call may point at, and the language of such calls."""

from tinyllm.slots.calls import call_in, fill, literal_call, point
from tinyllm.slots.carry import carry, leans
from tinyllm.slots.find import Slot, Slots, find
from tinyllm.slots.legal import (
    MOST_OF_A_KIND,
    REFUSE,
    Op,
    Ops,
    canonical,
    fitting_call,
    grammar,
    legal_calls,
    outline,
    read_call,
)
from tinyllm.slots.tell import figure, tells, told, ungrouped

__all__ = [
    "MOST_OF_A_KIND",
    "REFUSE",
    "Op",
    "Ops",
    "Slot",
    "Slots",
    "call_in",
    "canonical",
    "carry",
    "figure",
    "fill",
    "find",
    "fitting_call",
    "grammar",
    "leans",
    "legal_calls",
    "literal_call",
    "outline",
    "point",
    "read_call",
    "tells",
    "told",
    "ungrouped",
]
