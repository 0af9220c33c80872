"""Heads and neurons at positions: scores of them, and circuits that are sets of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from knowncircuits.errors import GraphError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.modalities.positions import PositionMapping
from knowncircuits.evaluation.scoring.ranking import check_resolution

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("head", "neuron")


@dataclass(frozen=True, eq=False)
class NodeCircuit:
    """A set of heads and MLP neurons, each at a position."""

    heads: Bool[np.ndarray, "layer pos head"]
    neurons: Bool[np.ndarray, "layer pos neuron"]

    def __post_init__(self) -> None:
        if self.heads.shape[:2] != self.neurons.shape[:2]:
            raise GraphError(
                "expected heads and neurons of the same layers and positions, got "
                f"{self.heads.shape[:2]} and {self.neurons.shape[:2]}"
            )

    @property
    def n_heads(self) -> int:
        """Heads in it, counted at each position."""
        return int(self.heads.sum())

    @property
    def n_neurons(self) -> int:
        """Neurons in it, counted at each position."""
        return int(self.neurons.sum())

    @property
    def n_positions(self) -> int:
        """Positions of the prompts that it is of."""
        return int(self.heads.shape[1])

    def of(self, kind: str) -> Bool[np.ndarray, "layer pos index"]:
        """Its heads or its neurons."""
        return self.heads if kind == "head" else self.neurons

    def at(self, positions: Iterable[int]) -> NodeCircuit:
        """Its part at some positions."""
        here = np.zeros(self.n_positions, dtype=bool)
        here[list(positions)] = True
        return NodeCircuit(self.heads & here[:, None], self.neurons & here[:, None])

    def mapped(self, mapping: PositionMapping) -> NodeCircuit:
        """The same heads and neurons at the positions of another prompt that stand for theirs.

        Raises GraphError for a mapping of prompts of another length.
        """
        if mapping.n_from != self.n_positions:
            raise GraphError(
                f"expected a mapping of {self.n_positions} positions, got one of {mapping.n_from}"
            )
        moves = mapping.matrix.astype(np.int64)
        heads, neurons = (
            np.einsum("lpi,pq->lqi", of.astype(np.int64), moves) > 0
            for of in (self.heads, self.neurons)
        )
        return NodeCircuit(heads, neurons)

    def __or__(self, other: NodeCircuit) -> NodeCircuit:
        return NodeCircuit(self.heads | other.heads, self.neurons | other.neurons)

    def __and__(self, other: NodeCircuit) -> NodeCircuit:
        return NodeCircuit(self.heads & other.heads, self.neurons & other.neurons)

    def __invert__(self) -> NodeCircuit:
        return NodeCircuit(~self.heads, ~self.neurons)

    def to_frame(self) -> pd.DataFrame:
        """A row for each node: its kind, layer, position and index in its layer."""
        import pandas as pd

        rows = [
            (kind, layer, position, index)
            for kind in KINDS
            for layer, position, index in np.argwhere(self.of(kind)).tolist()
        ]
        return pd.DataFrame(rows, columns=["kind", "layer", "position", "index"])


@dataclass(frozen=True, eq=False)
class NodeScores:
    """A score, at least 0, for each head and each neuron at each position."""

    heads: Float[np.ndarray, "layer pos head"]
    neurons: Float[np.ndarray, "layer pos neuron"]

    def circuit(self, share: float, resolution: float = RESOLUTION) -> NodeCircuit:
        """The highest heads and neurons, so many of each kind; those without a score never.

        Args:
            share: of all heads, and of all neurons, at all positions; rounded down to whole ones.
            resolution: this share of the largest score of a kind and what lies below is rounding.

        Raises:
            GraphError: for a share that is not from 0 to 1.
            InputError: for a resolution that is not from 0 to below 1.
        """
        if not 0 <= share <= 1:
            raise GraphError(f"expected a share from 0 to 1, got {share}")
        check_resolution(resolution)
        heads, neurons = (_highest(of, share, resolution) for of in (self.heads, self.neurons))
        return NodeCircuit(heads, neurons)


def _highest(scores: np.ndarray, share: float, resolution: float) -> np.ndarray:
    flat = scores.ravel()
    n = int(share * flat.size + 1e-9)
    chosen = np.zeros(flat.shape, dtype=bool)
    chosen[np.argsort(-flat, kind="stable")[:n]] = True
    chosen &= flat > resolution * flat.max(initial=0.0)
    return chosen.reshape(scores.shape)
