"""LinUCB with disjoint linear models (Li et al. 2010): the choice whose optimistic estimate is highest.

Knows nothing about text, and of prices only what the reward says.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class LinUCB:
    """`optimism` is alpha of the paper: how many standard errors above its estimate a choice is taken for."""

    def __init__(self, dimensions: int, choices: int, optimism: float = 0.5) -> None:
        import numpy as np

        self.optimism = optimism
        self.inverse: Array = np.repeat(np.eye(dimensions)[None], choices, axis=0)
        self.sums: Array = np.zeros((choices, dimensions))
        self.weights: Array = np.zeros((choices, dimensions))

    def choose(self, vector: "Array", handicap: "Array") -> int:
        """The choice for a request, a `handicap` (such as the price) taken off each choice's estimate."""
        import numpy as np

        doubt = np.sqrt(np.einsum("i,cij,j->c", vector, self.inverse, vector, optimize=True))
        return int((self.weights @ vector + self.optimism * doubt - handicap).argmax())

    def learn(self, vector: "Array", choice: int, score: float) -> None:
        """Take in the outcome of one choice (a rank-one update, Sherman and Morrison 1950)."""
        import numpy as np

        side = self.inverse[choice] @ vector
        self.inverse[choice] -= np.outer(side, side) / (1 + vector @ side)
        self.sums[choice] += score * vector
        self.weights[choice] = self.inverse[choice] @ self.sums[choice]
