"""How well rankings do where it is known which sets of edges are enough: economy and best match.

Both ask for one set that is enough, not for all edges that have a part in some: a circuit of one of
two flags is a good answer, where either flag will do.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.scoring.ranking import precision_at

OF_SETS = ("economy", "best_match")
Numbers = Float[np.ndarray, "*batch"]


def set_scores(circuit: Circuit, rankings: Float[np.ndarray, "*batch edge"]) -> dict[str, Numbers]:
    """Economy and best-match F1 of rankings; of a circuit without truth under sets, nothing.

    Economy is the size of the smallest minimal sufficient set, over how many determined edges are
    kept from the top until these hold a sufficient set: 1 is best. Tied edges are kept together, as
    for average precision: a ranking that does not tell edges apart has no say in which comes first.

    Best match is F1 of as many of the highest edges as a minimal set has, against that set, for the
    set for which it is greatest; ties at the border are broken at random.

    NaN where no edge at all is needed.

    Args:
        circuit: the truth.
        rankings: higher is more in the circuit; equal ones are ties.
    """
    if circuit.sets is None:
        return {}
    shape, minimal = rankings.shape[:-1], circuit.sets.minimal
    if not all(minimal):
        return {name: np.full(shape, np.nan) for name in OF_SETS}
    determined = circuit.determined
    reached, matches = [], []
    for edges in minimal:
        members = np.zeros(len(determined), dtype=bool)
        members[[circuit.graph.index(edge) for edge in edges]] = True
        reached.append(rankings[..., members].min(-1))
        matches.append(precision_at(members[determined], rankings[..., determined], len(edges)))
    threshold = np.max(reached, axis=0)[..., None]
    kept = (rankings[..., determined] >= threshold).sum(-1)
    economy = np.asarray(len(circuit.sets.smallest) / kept)
    return dict(zip(OF_SETS, (economy, np.max(matches, axis=0)), strict=True))
