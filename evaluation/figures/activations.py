"""One run as Sankey diagrams: how much is read along edges at each position, what is patched in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit
from knowncircuits.errors import GraphError
from knowncircuits.evaluation.components.by_position import edge_activations
from knowncircuits.evaluation.faithfulness.circuits import true_circuit
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.diagram import MANY, draw_diagrams, draw_nothing
from knowncircuits.evaluation.figures.kinds import Ribbon
from knowncircuits.evaluation.figures.sankey import (
    THINNEST,
    THINNEST_OF_MANY,
    choose,
    named_positions,
    pixels_per_unit,
)
from knowncircuits.primitive import Patchable

if TYPE_CHECKING:
    import plotly.graph_objects as go

N_EDGES = 60  # at positions, that are drawn where nothing else is asked for

OneInput = Int[Tensor, "1 pos"]
Alternative = Float[Tensor, "1 source pos d_model"]
Mask = Float[Tensor, "1 edge"] | Float[Tensor, "1 edge pos"]
Lengths = Float[np.ndarray, "edge pos"]


@takes(model=Patchable, circuit=Circuit | None)
def activation_sankey(
    model: Patchable,
    tokens: OneInput,
    alternative: Alternative | None = None,
    mask: Mask | None = None,
    *,
    circuit: Circuit | None = None,
    n_edges: int | None = None,
    vertical: bool = False,
    positions: Sequence[str] = (),
    all_positions: bool = False,
    aligned: bool = False,
    theme: str = "default",
    title: str = "",
) -> go.Figure:
    """Draw what is read along edges in a run: wide by its length, hatched where it is patched in.

    Args:
        model: any with the primitive.
        tokens: one input.
        alternative: what patched edges read; see `Transformer.run`.
        mask: how far each edge does, perhaps at each position.
        circuit: draws its edges and the patched ones alone; by default all are drawn.
        n_edges: at most so many edges at positions, true ones first, then those along which most
            is read; by default N_EDGES.
        vertical: inputs at the bottom and logits at the top, not left and right.
        positions: what positions are called, such as the tokens.
        all_positions: those too that have nothing to draw.
        aligned: a column for every layer; see `circuit_sankey`.
        theme: `default` or `colourblind`.
        title: by default it says what is drawn.

    Raises:
        ShapeError: for several inputs, or an alternative or a mask that does not fit.
        GraphError: for a circuit of another graph, or another number of names of positions.
        UnknownNameError: for another theme.
    """
    look.load_theme(theme)
    lengths, masks, ranking = _drawable(model, tokens, alternative, mask, circuit)
    chosen = choose(ranking, lengths, None, n_edges, default=N_EDGES)
    unit = pixels_per_unit(model.graph, lengths * chosen)
    thinnest = THINNEST if chosen.sum() <= MANY else THINNEST_OF_MANY
    ribbons = [
        Ribbon(
            model.graph.edge(place),
            position,
            length := float(lengths[place, position]),
            "patched" if masks[place, position] else "activation",
            max(thinnest, length * unit),
            float(masks[place, position]),
        )
        for place, position in np.argwhere(chosen).tolist()
    ]
    some = "edges at positions" if circuit is None else "edges at positions, true or patched"
    small = (
        f"{len(ribbons)} of {np.count_nonzero(lengths)} {some}; width: length of what is read, "
        f"{lengths.max():.3g} at most"
    )
    title = title or "What is read in a run"
    names = named_positions(ribbons, lengths.shape[1], positions, all_positions=all_positions)
    if not ribbons:
        return draw_nothing(title, small)
    return draw_diagrams(
        model.graph, ribbons, title, small, theme, vertical=vertical, names=names, aligned=aligned
    )


def activation_rows(
    model: Patchable,
    tokens: OneInput,
    alternative: Alternative | None = None,
    mask: Mask | None = None,
    *,
    circuit: Circuit | None = None,
    n_edges: int | None = None,
) -> list[tuple[str, int, float]]:
    """The edges, positions and lengths that `activation_sankey` draws, the longest first."""
    lengths, _, ranking = _drawable(model, tokens, alternative, mask, circuit)
    chosen = choose(ranking, lengths, None, n_edges, default=N_EDGES)
    found = [
        (model.graph.edges[edge], position, float(lengths[edge, position]))
        for edge, position in np.argwhere(chosen).tolist()
    ]
    return sorted(found, key=lambda row: -row[2])


def _drawable(
    model: Patchable,
    tokens: OneInput,
    alternative: Alternative | None,
    mask: Mask | None,
    circuit: Circuit | None,
) -> tuple[Lengths, Lengths, Lengths]:
    """What is read along the edges that may be drawn, 0 of others; masks; what comes first.

    That are true edges, so that many patched ones do not crowd them out, and then the longest.
    """
    lengths, masks = edge_activations(model, tokens, alternative, mask)
    if circuit is None:
        return lengths, masks, lengths
    graph = model.graph
    if circuit.graph != graph:
        raise GraphError(f"expected a circuit of {graph.summary()}, got {circuit.graph.summary()}")
    true = true_circuit(circuit)[:, None]
    lengths = lengths * (true | (masks > 0))
    return lengths, masks, lengths + lengths.max() * (true & (lengths > 0))
