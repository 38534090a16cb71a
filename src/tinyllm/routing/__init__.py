"""Routing: text to probabilities over labels in well under a millisecond, knowing when it does not know."""

from tinyllm.routing.features import features
from tinyllm.routing.linear import Linear, calibrate, from_bytes, train

__all__ = ["Linear", "calibrate", "features", "from_bytes", "train"]
