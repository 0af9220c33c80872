"""Economy and best match: what controls must have, and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knowncircuits.circuit import Circuit, circuit_from_edges
from knowncircuits.evaluation.methods.controls import inverted_truth, truth
from knowncircuits.evaluation.scoring import Scores, score, score_views, set_scores
from knowncircuits.graph import Graph
from knowncircuits.sets import SetTruth

GRAPH = Graph(1, 2)
MINIMAL = (("embed->m0", "m0->logits"), ("embed->a0.h0<v>", "a0.h0->m0", "m0->logits"))


def circuit(minimal: tuple[tuple[str, ...], ...] = MINIMAL) -> Circuit:
    inside = sorted({edge for edges in MINIMAL for edge in edges})
    undetermined = [edge for edge in GRAPH.edges if edge.startswith("pos")]
    sets = SetTruth("on-off", 4, ("m0->logits",), tuple(inside[:3]), (), minimal)
    return replace(circuit_from_edges(GRAPH, inside, undetermined), sets=sets)


def ranked(*edges: str) -> np.ndarray:
    """Scores of these edges from the highest down; all others are tied at 0."""
    values = dict.fromkeys(GRAPH.edges, 0.0)
    values |= {edge: float(len(edges) - i) for i, edge in enumerate(edges)}
    return GRAPH.vector(values)


@pytest.mark.parametrize(
    ("edges", "economy", "best_match"),
    [
        (("embed->m0", "m0->logits"), 1, 1),
        (("embed->m0", "embed->logits", "m0->logits"), 2 / 3, 0.5),
        (("embed->a0.h0<v>", "a0.h0->m0", "m0->logits"), 2 / 3, 1),
        (("pos->m0", "embed->m0", "m0->logits"), 1, 1),  # undetermined edges do not count
    ],
)
def test_by_hand(edges: tuple[str, ...], economy: float, best_match: float) -> None:
    found = set_scores(circuit(), ranked(*edges))
    assert found["economy"] == pytest.approx(economy)
    assert found["best_match"] == pytest.approx(best_match)


def test_ties_are_kept_together() -> None:
    n_determined = int(circuit().determined.sum())
    found = set_scores(circuit(), ranked("m0->logits"))
    assert found["economy"] == pytest.approx(2 / n_determined)
    assert found["best_match"] == pytest.approx((1 + 1 / (n_determined - 1)) / 2)


def test_controls() -> None:
    known = circuit()
    n = int(known.determined.sum())
    best = score(Scores(GRAPH, truth(known), "truth", "signed"), known)
    assert (best.auroc, best.average_precision) == (1, 1)
    assert (best.economy, best.best_match) == (1, 1)
    worst = score(Scores(GRAPH, inverted_truth(known), "inverted-truth", "signed"), known)
    assert (worst.auroc, worst.economy, worst.best_match) == (0, 2 / n, 0)
    rankings = np.random.default_rng(0).uniform(size=(4000, GRAPH.n_edges))
    found = set_scores(known, rankings)
    assert found["economy"].min() >= 2 / n  # no ranking is worse than the inverted truth
    # One by one, in random orders of the determined edges: how many until a set is there.
    edges = [edge for edge, there in zip(GRAPH.edges, known.determined, strict=True) if there]
    rng, drawn = np.random.default_rng(1), []
    for _ in range(4000):
        places = {edge: i for i, edge in enumerate(rng.permutation(edges).tolist())}
        drawn.append(2 / (1 + min(max(places[edge] for edge in edges) for edges in MINIMAL)))
    assert found["economy"].mean() == pytest.approx(np.mean(drawn), abs=0.01)


def test_where_nothing_is_known_or_needed_there_is_no_number() -> None:
    scores = Scores(GRAPH, ranked("m0->logits"), "test", "signed")
    unknown = replace(circuit(), sets=None)
    assert set_scores(unknown, scores.ranking) == {}
    assert "economy" not in score(scores, unknown).to_dict()
    none_needed = circuit(((),))
    assert np.isnan(set_scores(none_needed, scores.ranking)["economy"])
    assert score(scores, none_needed).economy is None
    views = score_views(scores, circuit())
    assert views["edge"].to_dict()["economy"] == views["edge"].economy
    assert {view.economy for name, view in views.items() if name != "edge"} == {None}
