"""What a method says of every edge, and how good that is against the known circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import GraphError
from knowncircuits.graph import Graph, check_edge_vector

RankBy = Literal["absolute", "signed"]


@dataclass(frozen=True, eq=False)
class Scores:
    """One number for every edge, in the graph's order."""

    graph: Graph
    values: Float[np.ndarray, " edge"]  # with their signs
    method: str
    rank_by: RankBy = "absolute"
    options: Mapping[str, Any] = field(default_factory=dict)  # all, with those left as they are
    forward_passes: int = 0  # of one example each
    backward_passes: int = 0
    seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)  # what else the method says

    def __post_init__(self) -> None:
        checked = check_edge_vector(self.graph, self.values, f"scores of {self.method}")
        object.__setattr__(self, "values", checked)

    @property
    def ranking(self) -> Float[np.ndarray, " edge"]:
        """Higher means more in the circuit."""
        return np.abs(self.values) if self.rank_by == "absolute" else self.values

    def top(self, n: int) -> list[tuple[str, float]]:
        """The n highest edges with their signed scores; ties in the graph's order."""
        order = np.argsort(-self.ranking, kind="stable")[:n]
        return [(self.graph.edges[i], float(self.values[i])) for i in order]


@dataclass(frozen=True)
class Score:
    """How well scores tell the edges of a circuit from the others, over its determined edges.

    None where it is not defined, since all determined edges are of one kind.
    """

    auroc: float | None  # area under the ROC curve; ties count half; 0.5 at random
    average_precision: float | None  # area under the precision-recall steps; `prevalence` at random
    precision_at_size: (
        float | None
    )  # and recall: of as many edges as are true, ties broken at random
    prevalence: float  # share of true edges among the determined ones
    n_edges: int
    n_determined: int
    n_true: int

    def to_dict(self) -> dict[str, float | int | None]:
        """The fields by name."""
        return asdict(self)


def score(scores: Scores, circuit: Circuit) -> Score:
    """Compare scores with a known circuit.

    Undetermined edges are left out: nobody can know them. AUROC and average precision are
    scikit-learn's, which treat tied scores as one threshold.

    Raises:
        GraphError: if the two are about different graphs.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    if scores.graph != circuit.graph:
        raise GraphError(
            f"expected scores over {circuit.graph.summary()}, got {scores.graph.summary()}"
        )
    truth = circuit.labels[circuit.determined] == Label.IN
    ranking = scores.ranking[circuit.determined]
    n, n_true = len(truth), int(truth.sum())
    both = 0 < n_true < n
    return Score(
        auroc=float(roc_auc_score(truth, ranking)) if both else None,
        average_precision=float(average_precision_score(truth, ranking)) if both else None,
        precision_at_size=precision_at(truth, ranking, n_true) if both else None,
        prevalence=n_true / n if n else 0.0,
        n_edges=circuit.graph.n_edges,
        n_determined=n,
        n_true=n_true,
    )


def precision_at(truth: np.ndarray, ranking: np.ndarray, size: int) -> float:
    """Expected precision of the `size` highest, where ties at the border are broken at random."""
    border = np.sort(ranking)[::-1][size - 1]
    above, tied = ranking > border, ranking == border
    drawn = size - above.sum()
    return float((truth[above].sum() + truth[tied].mean() * drawn) / size)
