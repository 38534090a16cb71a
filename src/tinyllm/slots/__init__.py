"""Slots: what a request holds that a call may point at, and the language of such calls."""

from tinyllm.slots.calls import (
    REFUSE,
    Op,
    Ops,
    allowed,
    figures_of,
    fill,
    grammar,
    legal_calls,
    literal_call,
    point,
    read_call,
)
from tinyllm.slots.carry import carry, leans
from tinyllm.slots.find import Slot, Slots, find
from tinyllm.slots.tell import figure, tells, told, ungrouped

__all__ = [
    "REFUSE",
    "Op",
    "Ops",
    "Slot",
    "Slots",
    "allowed",
    "carry",
    "figure",
    "figures_of",
    "fill",
    "find",
    "grammar",
    "leans",
    "legal_calls",
    "literal_call",
    "point",
    "read_call",
    "tells",
    "told",
    "ungrouped",
]
