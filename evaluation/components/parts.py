"""Components of a model: nodes, heads and neurons, each a part of what some source writes.

A component's difference is how much of its source's output moves when the component goes from its
clean to its corrupted value. All that is asked of components is so asked of sources, which the
primitive patches, and no hook on a head or a neuron is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, final, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.errors import ModelError, UnknownNameError
from knowncircuits.evaluation.choices import Level
from knowncircuits.evaluation.task import Task
from knowncircuits.inference import ordinary_tensors
from knowncircuits.names import Node
from knowncircuits.primitive import ShowsUnits

if TYPE_CHECKING:
    import pandas as pd

LEVELS: tuple[Level, ...] = get_args(Level)
Rows = Int[Tensor, " row"]
Values = Float[np.ndarray, "component *pos"]


@dataclass(frozen=True, eq=False)
class ComponentScores:
    """One number for every component, at each position where it was asked for, on each pair."""

    level: Level
    method: str
    components: tuple[str, ...]  # `embed`, `a0.h1`, `m0`, or `m0.n3` for a neuron
    by_pair: Float[np.ndarray, "pair component *pos"]
    options: Mapping[str, Any] = field(default_factory=dict)
    forward_passes: int = 0  # of one example each
    backward_passes: int = 0

    @cached_property
    def values(self) -> Values:
        """The mean over pairs."""
        means: Values = self.by_pair.mean(0)
        return means

    @property
    def per_position(self) -> bool:
        """Whether a component has a score for each position."""
        return self.by_pair.ndim == 3

    def frame(self) -> pd.DataFrame:
        """A row for each component, and position where there are some: the mean over pairs."""
        import pandas as pd

        names = np.array(self.components, dtype=object)
        if not self.per_position:
            return pd.DataFrame({"component": names, "score": self.values})
        n = self.values.shape[1]
        return pd.DataFrame(
            {
                "component": names.repeat(n),
                "position": np.tile(np.arange(n), len(names)),
                "score": self.values.ravel(),
            }
        )


@final
class Nodes:
    """The nodes that write, or of them the heads."""

    def __init__(self, task: Task, *, heads: bool) -> None:
        """Raises ModelError for heads of a model without any."""
        self.task, graph = task, task.graph
        chosen = [i for i, node in enumerate(graph.sources) if not heads or node.kind == "head"]
        if not chosen:
            raise ModelError("expected a model with heads, got one without")
        self.names: tuple[str, ...] = tuple(str(graph.sources[i]) for i in chosen)
        self.sources = torch.tensor(chosen, device=task.clean.device)

    @property
    def moved(self) -> Bool[Tensor, "pair component pos"]:
        """Where a component's clean and corrupted values differ."""
        found: Tensor = (self.task.differences[:, self.sources] != 0).any(-1)
        return found

    def differences(self, pairs: Rows, components: Rows) -> Float[Tensor, "row pos d_model"]:
        """How far what is written moves with one component of one pair."""
        return self.task.differences[pairs, self.sources[components]]

    def together(self, pairs: Rows) -> Float[Tensor, "row source pos d_model"]:
        """How far what is written moves with all components of these pairs."""
        differences = torch.zeros_like(self.task.differences[pairs])
        differences[:, self.sources] = self.task.differences[pairs][:, self.sources]
        return differences

    def project(
        self, gradients: Float[Tensor, "row source pos d_model"], pairs: Rows
    ) -> Float[Tensor, "row component pos"]:
        """Each component's share of a gradient: the product with its difference."""
        gradients, differences = (
            x[:, self.sources] for x in (gradients, self.task.differences[pairs])
        )
        return (gradients * differences).sum(-1)


@final
class Neurons:
    """The hidden units of all MLPs, each of which writes its value times its row of W_out."""

    @ordinary_tensors()
    def __init__(self, task: Task) -> None:
        """Raises ModelError for a model without MLPs, or one that does not show their units."""
        model, graph = task.model, task.graph
        if not graph.mlp:
            raise ModelError("expected a model with MLPs, got one without")
        if not isinstance(model, ShowsUnits):
            raise ModelError(
                "expected a model with hidden_units and unit_weights, as ours and bridges have, "
                f"got a {type(model).__name__}"
            )
        self.task = task
        self._weights = model.unit_weights.detach()  # [layer, unit, d_model]
        with torch.no_grad():
            clean, corrupted = model.hidden_units(task.clean), model.hidden_units(task.corrupted)
        if task.ablation == "mean":
            corrupted = corrupted.mean(0, keepdim=True)
        elif task.ablation == "zero":
            corrupted = torch.zeros_like(clean)
        self._moves = corrupted - clean  # [pair, layer, pos, unit]
        layers, n_units = self._weights.shape[:2]
        mlps = [i for i, node in enumerate(graph.sources) if node.kind == "mlp"]
        self._mlps = torch.tensor(mlps, device=clean.device)
        self.sources = self._mlps.repeat_interleave(n_units)
        self.names: tuple[str, ...] = tuple(
            f"{Node.of_mlp(layer)}.n{unit}" for layer in range(layers) for unit in range(n_units)
        )

    @property
    def moved(self) -> Bool[Tensor, "pair component pos"]:
        """Where a component's clean and corrupted values differ."""
        return (self._moves != 0).transpose(2, 3).flatten(1, 2)

    def differences(self, pairs: Rows, components: Rows) -> Float[Tensor, "row pos d_model"]:
        """How far what is written moves with one component of one pair."""
        n_units = self._weights.shape[1]
        layers, units = components // n_units, components % n_units
        moves = self._moves[pairs, layers, :, units]
        return moves[..., None] * self._weights[layers, units][:, None]

    def together(self, pairs: Rows) -> Float[Tensor, "row source pos d_model"]:
        """How far what is written moves with all components of these pairs."""
        differences = torch.zeros_like(self.task.differences[pairs])
        differences[:, self._mlps] = self._moves[pairs] @ self._weights
        return differences

    def project(
        self, gradients: Float[Tensor, "row source pos d_model"], pairs: Rows
    ) -> Float[Tensor, "row component pos"]:
        """Each component's share of a gradient: the product with its difference."""
        slopes = gradients[:, self._mlps] @ self._weights.mT  # [row, layer, pos, unit]
        return (slopes * self._moves[pairs]).transpose(2, 3).flatten(1, 2)


Parts = Nodes | Neurons


def parts_of(task: Task, level: Level) -> Parts:
    """The components of a level; raises UnknownNameError for another, ModelError where none are."""
    if level not in LEVELS:
        raise UnknownNameError("level", level, LEVELS)
    return Neurons(task) if level == "neuron" else Nodes(task, heads=level == "head")


def cuts(parts: Parts) -> tuple[tuple[str, ...], Bool[Tensor, "cut source"]]:
    """The sources of the components, those of one depth together, and names of such cuts.

    They are `inputs`, `a0` for the heads of a layer, and `m0`: what is between two of them reads
    the one and is read by the other, so that all of a cut can move at once.
    """
    sources = parts.task.graph.sources
    names: dict[float, str] = {}
    places = sorted(set(parts.sources.tolist()))
    for place in places:
        node = sources[place]
        short = {"head": f"a{node.layer}", "mlp": str(node)}
        names[node.depth] = short.get(node.kind, "inputs")
    depths = np.array(list(names))
    of_source = np.array([node.depth for node in sources])
    belongs = of_source == depths[:, None]
    belongs &= np.isin(np.arange(len(sources)), places)
    return tuple(names.values()), torch.from_numpy(belongs).to(parts.sources.device)
