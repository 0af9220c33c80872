"""What a method says of every edge, and how good that is against the known circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from knowncircuits.checks.arguments import expect, takes
from knowncircuits.circuit import Circuit
from knowncircuits.errors import GraphError
from knowncircuits.evaluation.choices import RESOLUTION, RankBy
from knowncircuits.evaluation.scoring.ranking import (
    at_resolution,
    auroc,
    average_precision,
    precision_at,
)
from knowncircuits.evaluation.scoring.set_scores import OF_SETS, set_scores
from knowncircuits.evaluation.scoring.views import VIEWS, View, view_circuit
from knowncircuits.graph import Graph, check_edge_vector, check_position_scores
from knowncircuits.shown import BLANK, ROWS, Card, Shown, Table, counted

AREAS = ("auroc", "average_precision", "precision_at_size")
OF_VIEW = ("prevalence", "n_items", "n_determined", "n_true")


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Shown):
    """One number for every edge, in the graph's order."""

    graph: Graph
    values: Float[np.ndarray, " edge"]  # with their signs
    method: str
    rank_by: RankBy = "absolute"
    threshold: float | None = None  # edges that rank above are the method's own circuit
    options: Mapping[str, Any] = field(default_factory=dict)  # all, with those left as they are
    forward_passes: int | None = None  # of one example each; None where the method does not say
    backward_passes: int | None = None
    seconds: float = 0.0
    peak_memory: int | None = None  # bytes beyond what was in use before; None where unknown
    details: Mapping[str, Any] = field(default_factory=dict)  # what else the method says
    by_pair: Float[np.ndarray, "pair edge"] | None = None  # on each pair, where the method tells
    # At each position, where the method tells; `values` are made of them, see `over_positions`.
    by_position: Float[np.ndarray, "edge pos"] | None = None

    def __post_init__(self) -> None:
        expect(self.graph, Graph, "graph")
        checked = check_edge_vector(self.graph, self.values, f"scores of {self.method}")
        object.__setattr__(self, "values", checked)
        if self.by_pair is not None:
            rows = [
                check_edge_vector(self.graph, row, f"scores of {self.method} on pair {i}")
                for i, row in enumerate(self.by_pair)
            ]
            object.__setattr__(self, "by_pair", np.array(rows))
        if self.by_position is not None:
            what = f"scores of {self.method} at positions"
            table = check_position_scores(self.graph, self.by_position, what)
            object.__setattr__(self, "by_position", table)

    def _card(self) -> Card:
        highest = ", ".join(f"{edge} {value:.3g}" for edge, value in self.top(1))
        passes = self.forward_passes, self.backward_passes
        cost = "{} forward and {} backward passes".format(*passes) if None not in passes else ""
        n = 0 if self.by_position is None else self.by_position.shape[1]
        places = f"at each of {counted(n, 'position')}" if n else ""
        facts = (counted(len(self.values), "edge"), places, f"highest {highest}", cost)
        return Card(self.method, tuple(filter(None, facts)), self._tables)

    def _tables(self) -> list[Table]:
        rows = [(i + 1, edge, value) for i, (edge, value) in enumerate(self.top(ROWS))]
        columns = ("place", "edge", "score")
        return [Table("Highest edges", columns, rows, total=len(self.values))]

    @property
    def ranking(self) -> Float[np.ndarray, " edge"]:
        """Higher means more in the circuit. A threshold looks at this, all else at `ranks`."""
        return np.abs(self.values) if self.rank_by == "absolute" else self.values

    def ranks(self, resolution: float = RESOLUTION) -> Float[np.ndarray, " edge"]:
        """The ranking with scores that are too near to be told apart as ties; `at_resolution`."""
        return at_resolution(self.ranking, resolution)

    def top(self, n: int, *, resolution: float = RESOLUTION) -> list[tuple[str, float]]:
        """The n highest edges with their signed scores; ties in the graph's order."""
        order = np.argsort(-self.ranks(resolution), kind="stable")[:n]
        return [(self.graph.edges[i], float(self.values[i])) for i in order]


def over_positions(
    by_position: Float[np.ndarray, "edge pos"], rank_by: RankBy
) -> Float[np.ndarray, " edge"]:
    """One score for each edge: the sum over positions of what ranks.

    Where sizes rank it is that of the sizes, so that an edge that is needed at one position and in
    the way at another does not vanish.
    """
    sums: np.ndarray = (np.abs(by_position) if rank_by == "absolute" else by_position).sum(1)
    return sums


@dataclass(frozen=True)
class Chosen:
    """How good the circuit is that a method itself draws, by its own threshold."""

    n_chosen: int  # determined items above the threshold
    precision: float | None  # of no items None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, repr=False)
class Score(Shown):
    """How well scores tell what is in a circuit from the rest, over what is determined.

    None where it is not defined, since all determined items are of one kind.
    """

    auroc: float | None  # area under the ROC curve; ties count half; 0.5 at random
    average_precision: float | None  # area under the precision-recall steps; `prevalence` at random
    # Precision, recall and F1, which are one here, of as many items as are true.
    precision_at_size: float | None
    prevalence: float  # share of true items among the determined ones
    n_items: int  # edges, or heads' edges, or nodes: see `views`
    n_determined: int
    n_true: int
    resolution: float  # scores that this share of the largest does not tell apart were ties
    chosen: Chosen | None = None  # where the method has a threshold
    # Where the circuit says which sets of edges are enough; see `set_scores`.
    economy: float | None = None
    best_match: float | None = None

    def _card(self) -> Card:
        facts = (
            f"AUROC {_digits(self.auroc)}",
            f"average precision {_digits(self.average_precision)}",
            f"{self.n_true:,} of {self.n_determined:,} true",
        )
        return Card("", facts, self._tables)

    def _tables(self) -> list[Table]:
        chance = {"auroc": 0.5}
        rows: list[tuple[str, float | None, float | None]] = [
            (_in_words(name), getattr(self, name), chance.get(name, self.prevalence))
            for name in AREAS
        ]
        rows += [
            (_in_words(name), value, None)
            for name in OF_SETS
            if (value := getattr(self, name)) is not None
        ]
        if self.chosen is not None:
            rows.append(("F1 of the method's own circuit", self.chosen.f1, None))
        return [Table("Against the circuit", ("", "score", "at random"), rows)]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; without those of sets where these are not known."""
        fields = asdict(self)
        return {k: v for k, v in fields.items() if k not in OF_SETS or v is not None}


@takes(scores=Scores, circuit=Circuit)
def score(
    scores: Scores, circuit: Circuit, view: str = "edge", *, resolution: float = RESOLUTION
) -> Score:
    """Compare scores with a known circuit.

    What is undetermined is left out: nobody can know it. Tied scores are one threshold, see
    `ranking`; ties at the true size are broken at random, and the expected precision counts. Time
    and memory grow as the number of edges (sorting aside).

    Args:
        scores: of every edge.
        circuit: the truth, over the same graph.
        view: `edge`; `no-embed`, edges that do not leave the embedding of the tokens;
            `circuit-nodes`, edges between two nodes of the circuit; `head`, with q, k and v of a
            head as one; `node`, nodes that write.
        resolution: scores that a share of the largest magnitude does not tell apart are ties, see
            `ranking.at_resolution`; 0 ties equal scores only.

    Raises:
        GraphError: if the two are about different graphs.
        UnknownNameError: for another view.
        InputError: for a resolution that is not from 0 to below 1.
    """
    if scores.graph != circuit.graph:
        raise GraphError(
            f"expected scores over {circuit.graph.summary()}, got {scores.graph.summary()}"
        )
    seen, threshold = view_circuit(circuit, view), scores.threshold
    found = score_rankings(seen, scores.ranks(resolution))
    values: dict[str, Any] = {name: found[name].item() for name in (*AREAS, *OF_VIEW)}
    if view == "edge":
        of_sets = set_scores(circuit, scores.ranks(resolution))
        values |= {name: value.item() for name, value in of_sets.items()}
    defined: dict[str, Any] = {n: None if np.isnan(value) else value for n, value in values.items()}
    chosen = None
    if threshold is not None:
        chosen = choose(seen.truth, seen.select(scores.ranking) > threshold)
    return Score(**defined, resolution=resolution, chosen=chosen)


@takes(scores=Scores, circuit=Circuit)
def score_views(
    scores: Scores, circuit: Circuit, *, resolution: float = RESOLUTION
) -> dict[str, Score]:
    """The score of every view; see `score`."""
    return {view: score(scores, circuit, view, resolution=resolution) for view in VIEWS}


def score_rankings(
    view: View, rankings: Float[np.ndarray, "*batch edge"]
) -> dict[str, Shaped[np.ndarray, "*batch"]]:
    """AREAS and OF_VIEW of any number of rankings of one graph's edges.

    All that is scored is scored here: single vectors, results of runs, and submissions. AREAS are
    NaN where all determined items are of one kind.

    Args:
        view: of the circuit.
        rankings: higher is more in the circuit; equal ones are ties.
    """
    n_true, n = int(view.truth.sum()), view.truth.size
    shape, items = rankings.shape[:-1], view.select(rankings)
    both = 0 < n_true < n
    at_size = precision_at(view.truth, items, n_true) if both else np.full(shape, np.nan)
    areas = (auroc(view.truth, items), average_precision(view.truth, items), at_size)
    constants = (n_true / n if n else 0.0, view.n_items, n, n_true)
    found = dict(zip(AREAS, areas, strict=True))
    return found | {
        name: np.full(shape, value) for name, value in zip(OF_VIEW, constants, strict=True)
    }


def _in_words(name: str) -> str:
    return name.replace("_", " ").replace("auroc", "AUROC")


def _digits(value: float | None) -> str:
    return BLANK if value is None else f"{value:.4f}"


def choose(truth: Bool[np.ndarray, " item"], chosen: Bool[np.ndarray, " item"]) -> Chosen:
    """Precision, recall and F1 of the chosen items."""
    hits, n_chosen, n_true = (int(x.sum()) for x in (truth & chosen, chosen, truth))
    return Chosen(
        n_chosen,
        hits / n_chosen if n_chosen else None,
        hits / n_true if n_true else None,
        2 * hits / (n_chosen + n_true) if n_chosen + n_true else None,
    )
