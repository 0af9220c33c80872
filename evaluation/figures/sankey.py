"""Scores of edges, or a circuit, as a Sankey diagram: ribbons from inputs to logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int8

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, Label, circuit_of
from knowncircuits.errors import GraphError
from knowncircuits.evaluation.faithfulness.circuits import true_circuit
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.diagram import MANY, draw_diagrams, draw_nothing
from knowncircuits.evaluation.figures.kinds import Kind, Ribbon
from knowncircuits.evaluation.scoring.ranking import at_resolution
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.graph import Graph

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from knowncircuits.compiler.compiled import Compiled
    from knowncircuits.models.trained import Trained
    from knowncircuits.models.wired.wired import Wired

N_EDGES = 30  # that are drawn where nothing else is asked for
THICKEST, MISSED = 24.0, 5.0  # pixels
THINNEST, THINNEST_OF_MANY = 2.0, 1.0
BROADEST = 130.0  # all ribbons of a node

EdgeScores = Float[np.ndarray, "edge *pos"]
Values = Float[np.ndarray, "edge pos"]
Labels = Int8[np.ndarray, "edge at"]  # at each position, or at none: one column
KINDS: dict[Label, Kind] = {
    Label.IN: "true",
    Label.OUT: "false",
    Label.UNDETERMINED: "undetermined",
}


@takes(truth=Circuit | np.ndarray | None, graph=Graph | None)
def circuit_sankey(
    shown: Scores | Circuit | Compiled | Trained | Wired | EdgeScores,
    truth: Circuit | Labels | None = None,
    *,
    graph: Graph | None = None,
    threshold: float | None = None,
    n_edges: int | None = None,
    vertical: bool = False,
    positions: Sequence[str] = (),
    all_positions: bool = False,
    aligned: bool = False,
    theme: str = "default",
    title: str = "",
) -> go.Figure:
    """Draw the highest edges as ribbons, wide by `|score|`: blue if positive, red if negative.

    Nodes stand in columns by layer. Against a true circuit, true positives are plain, false ones
    hatched, undetermined edges dotted, and missed edges empty with a dashed outline. Of a circuit
    whose truth under sets is known, edges in company are pale with a dashed outline. Hovering names
    an edge with its value, or a node with its sums. Equal arguments give equal figures.

    Args:
        shown: scores; a circuit, or a model that has one; or an array of scores [edge] or
            [edge, pos]. Scores at positions become a diagram for each.
        truth: the true circuit; or, for scores at positions, a label of each edge at each
            position, see `position_labels`, so that true ones are told from false ones there.
        graph: of an array.
        threshold: the least ranking of edges that are drawn: of `|score|`, or of the score itself
            where the method ranks by sign.
        n_edges: at most so many edges (and positions), the highest; by default 30 where there is no
            threshold either. Of a circuit, all that are in. Edges whose score is 0,
            without a threshold at the resolution of `score`, are never drawn.
        vertical: inputs at the bottom and logits at the top, not left and right.
        positions: what positions are called, such as tokens; empty text for none.
        all_positions: those too that have nothing to draw.
        aligned: a column for every layer, so that diagrams of different edges line up; by default
            only for those with a node.
        theme: `default` or `colourblind`.
        title: by default it names the method, or says that it is a circuit.

    Raises:
        GraphError: for an array without a graph, scores that are not finite or do not fit it, a
            truth of another graph or of other positions, or fewer than no edges.
        UnknownNameError: for another theme.
    """
    look.load_theme(theme)
    graph, values, ranking, name = _read(shown, graph)
    labels = None if truth is None else _labels(truth, graph, values.shape[1])
    scored = isinstance(shown, Scores | np.ndarray)
    company = () if scored else _company(circuit_of(shown))
    chosen = choose(ranking, values, threshold, n_edges, default=N_EDGES if scored else None)
    ribbons = _ribbons(graph, values, chosen, labels, "score" if scored else "member")
    ribbons = [replace(r, kind="company") if r.edge in company else r for r in ribbons]
    title = title or name
    small = _summary(graph, values, ranking, chosen, threshold, labels)
    names = named_positions(ribbons, values.shape[1], positions, all_positions=all_positions)
    if not ribbons:
        return draw_nothing(title, small)
    return draw_diagrams(
        graph, ribbons, title, small, theme, vertical=vertical, names=names, aligned=aligned
    )


def named_positions(
    ribbons: Sequence[Ribbon], n: int, labels: Sequence[str], *, all_positions: bool
) -> dict[int, str]:
    """What the diagrams of n positions are called, by their labels; of those that are drawn.

    None where there is one diagram without a label. Raises GraphError for another number of labels.
    """
    if labels and len(labels) != n:
        raise GraphError(f"expected names of {n} positions, got {len(labels)}")
    if labels:
        names = {
            i: f"{i}: {escape(str(label))}" if label else f"position {i}"
            for i, label in enumerate(labels)
        }
    else:
        names = {i: f"position {i}" if i else "BOS" for i in range(n)} if n > 1 else {}
    drawn = {ribbon.position for ribbon in ribbons}
    return {i: name for i, name in names.items() if all_positions or i in drawn}


def shown_edges(
    shown: Scores | Circuit | Compiled | Trained | Wired,
    *,
    threshold: float | None = None,
    n_edges: int | None = None,
) -> list[tuple[str, float]]:
    """The edges that `circuit_sankey` draws, the highest first, with their scores.

    Scores at positions are drawn as those of whole edges; see `shown_at_positions`.
    """
    if isinstance(shown, Scores):
        shown = replace(shown, by_position=None)
    graph, values, ranking, _ = _read(shown, None)
    default = N_EDGES if isinstance(shown, Scores) else None
    chosen = choose(ranking, values, threshold, n_edges, default=default)
    order = np.argsort(-ranking[:, 0], kind="stable")
    return [(graph.edges[i], float(values[i, 0])) for i in order if chosen[i, 0]]


def shown_at_positions(
    shown: Scores | Values,
    graph: Graph | None = None,
    *,
    threshold: float | None = None,
    n_edges: int | None = None,
) -> list[tuple[str, int, float]]:
    """The edges at positions that `circuit_sankey` draws of scores or an array, highest first."""
    graph, values, ranking, _ = _read(shown, graph)
    chosen = choose(ranking, values, threshold, n_edges, default=N_EDGES)
    places = np.argwhere(chosen)
    order = np.argsort(-ranking[chosen], kind="stable")
    return [(graph.edges[i], pos, float(values[i, pos])) for i, pos in places[order].tolist()]


def _company(circuit: Circuit) -> tuple[str, ...]:
    """The edges that matter only together with others, where it is known which."""
    return circuit.sets.company if circuit.sets else ()


def _read(
    shown: Scores | Circuit | Compiled | Trained | Wired | np.ndarray, graph: Graph | None
) -> tuple[Graph, Values, Values, str]:
    """The graph, its values [edge, pos], what they rank by, and what to call them."""
    if isinstance(shown, Scores):
        values = shown.values[:, None] if shown.by_position is None else shown.by_position
        ranks = np.abs(values) if shown.rank_by == "absolute" else values  # a threshold sees them
        return shown.graph, values, ranks, f"Scores of {shown.method}"
    if not isinstance(shown, np.ndarray):
        circuit = circuit_of(shown)
        members = true_circuit(circuit)[:, None] * 1.0
        return circuit.graph, members, members, "The circuit"
    if graph is None:
        raise GraphError("expected the graph of an array of scores, got none")
    values = shown[:, None] if shown.ndim == 1 else shown
    if values.ndim != 2 or len(values) != graph.n_edges:
        raise GraphError(
            f"expected scores of shape [{graph.n_edges}] or [{graph.n_edges}, pos], "
            f"got {list(shown.shape)}"
        )
    if not np.isfinite(values).all():
        raise GraphError("expected finite scores, got NaN or infinity")
    return graph, values.astype(float), np.abs(values).astype(float), "Scores"


def _labels(truth: Circuit | np.ndarray, graph: Graph, n_pos: int) -> Labels:
    """The labels of a truth; a circuit says nothing of positions."""
    if isinstance(truth, Circuit):
        if truth.graph != graph:
            raise GraphError(f"expected a truth of {graph.summary()}, got {truth.graph.summary()}")
        return truth.labels[:, None]
    if truth.shape != (graph.n_edges, n_pos):
        raise GraphError(
            f"expected labels of shape [{graph.n_edges}, {n_pos}], got {list(truth.shape)}"
        )
    return truth


def choose(
    ranking: Values,
    values: Values,
    threshold: float | None,
    n_edges: int | None,
    default: int | None,
) -> Bool[np.ndarray, "edge pos"]:
    """What is drawn: the highest, ties in the graph's order; scores rank as they are scored."""
    if n_edges is not None and n_edges < 0:
        raise GraphError(f"expected a number of edges of at least 0, got {n_edges}")
    if threshold is not None and np.isnan(threshold):
        raise GraphError("expected a number as threshold, got NaN")
    if threshold is None and n_edges is None:
        n_edges = default
    ranks = at_resolution(ranking.ravel())
    passing = at_resolution(values.ravel()).reshape(values.shape) != 0
    if threshold is not None:
        passing = (values != 0) & (ranking >= threshold)
    order = np.argsort(-ranks, kind="stable")
    kept = order[passing.flat[order]][:n_edges]
    chosen = np.zeros(values.shape, dtype=bool)
    chosen.flat[kept] = True
    return chosen


def _ribbons(
    graph: Graph,
    values: Values,
    chosen: Bool[np.ndarray, "edge pos"],
    labels: Labels | None,
    kind: Kind,
) -> list[Ribbon]:
    unit = pixels_per_unit(graph, values * chosen)
    thinnest = THINNEST if chosen.sum() <= MANY else THINNEST_OF_MANY
    everywhere = None if labels is None else np.broadcast_to(labels, values.shape)
    ribbons = []
    for place, position in np.argwhere(chosen).tolist():
        value = float(values[place, position])
        if everywhere is not None:
            kind = KINDS[Label(int(everywhere[place, position]))]
        width = max(thinnest, abs(value) * unit)
        ribbons.append(Ribbon(graph.edge(place), position, value, kind, width))
    if labels is not None and labels.shape == values.shape:  # it says where edges are missed
        for place, position in np.argwhere((labels == Label.IN) & ~chosen).tolist():
            value = float(values[place, position])
            ribbons.append(Ribbon(graph.edge(place), position, value, "missed", MISSED))
    return ribbons


def pixels_per_unit(graph: Graph, values: Values) -> float:
    """Pixels for a score of 1: no ribbon and no node may grow too large."""
    sizes = np.abs(values)
    flows = np.zeros((2, len(graph.nodes), sizes.shape[1]))  # out of nodes, and into them
    for flow, nodes in zip(flows, (graph.source_of_edge, graph.target_of_edge), strict=True):
        np.add.at(flow, nodes, sizes)
    most = float(flows.max())
    return min(THICKEST / sizes.max(), BROADEST / most) if most else 0.0


def _summary(
    graph: Graph,
    values: Values,
    ranking: Values,
    chosen: Bool[np.ndarray, "edge pos"],
    threshold: float | None,
    labels: Labels | None,
) -> str:
    """The line under the title: what is drawn of how much, and how wide."""
    n, places = int(chosen.sum()), "edges" if values.shape[1] == 1 else "edges at positions"
    at_least = "" if threshold is None else f", those of at least {threshold:g}"
    text = f"{n} of {values.size} {places}{at_least}"
    sizes = np.abs(values[chosen])
    if not n:
        best = int(np.argmax(ranking.max(1)))
        text += f"; the highest is {ranking.max():.3g}, of {graph.edges[best]}"
    elif np.ptp(sizes):
        text += f"; width: size of the score, {sizes.max():.3g} at most"
    drawn = chosen
    if labels is not None and labels.shape == values.shape:
        drawn = chosen | (labels == Label.IN)
    elif labels is not None:
        missed = np.flatnonzero((labels[:, 0] == Label.IN) & ~chosen.any(1))
        text += f"; missed: {look.few([graph.edges[i] for i in missed]) or 'none'}"
    if idle := np.flatnonzero(~drawn.any(0)).tolist() if n else []:
        text += f"; nothing at positions {look.few(list(map(str, idle)))}"
    return text
