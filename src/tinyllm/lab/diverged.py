"""When a training has to stop: what it raises, and how large a loss is too large. It needs no library."""

from typing import Any

EXPLODED = 100.0  # nats a token: knowing nothing of a vocabulary of millions is 15


class Diverged(RuntimeError):
    """The loss exploded, or a number stopped being one. What is kept are the last good weights; `card` says how far
    a training of the trainer came."""

    def __init__(self, what: str, step: int, card: Any = None):
        super().__init__(f"{what} at step {step}; the last good weights are kept. Try a lower lr")
        self.card = card
