"""Two models, a weak and a strong one: what routing between them recovers, as RouteLLM measures it.

Ong et al. 2024. The published routers were trained on preferences of people and of judges, not on outcomes of
this kind of request: their figures are another training regime's.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinyllm.bench import figures
from tinyllm.types import JSON

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Part = tuple["Array", "Array"]  # rows, and what each of the two models is worth for them


def two_models(scores: "Array", orderings: Sequence[Sequence[Part]], seed: int) -> dict[str, JSON]:
    """APGR and CPT, means over orderings; each is the parts of one pass over the rows. The interval is over rows.

    Requests are ranked within each part: what one part learned gives no scale for another.
    """
    import numpy as np

    strong = int(scores.mean(axis=0).argmax())
    tested = np.unique(np.concatenate([rows for rows, _ in orderings[0]]))
    weak, better = scores[tested, 1 - strong], scores[tested, strong]
    ranks = []
    for parts in orderings:
        rank = np.zeros(len(scores))
        for rows, means in parts:
            margins = means[:, strong] - means[:, 1 - strong]
            rank[rows] = margins.argsort(kind="stable").argsort() / len(rows)
        ranks.append(rank[tested])
    gaps = [figures.recovered(rank, weak, better) for rank in ranks]
    areas = [figures.apgr(gap) for gap in gaps]
    random, drawn = np.random.default_rng(seed), []
    for _ in range(400):
        rows = random.integers(len(tested), size=len(tested))
        again = [figures.apgr(figures.recovered(rank[rows], weak[rows], better[rows])) for rank in ranks]
        drawn.append(np.mean(again))
    return {
        "apgr": float(np.mean(areas)),
        "cpt50": float(np.mean([figures.cpt(gap, 0.5) for gap in gaps])),
        "cpt80": float(np.mean([figures.cpt(gap, 0.8) for gap in gaps])),
        "apgr_interval": [float(edge) for edge in np.quantile(drawn, (0.025, 0.975))],
        "apgr_orderings": areas,
    }
