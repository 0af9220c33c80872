"""Which nodes outside a circuit are alive: by how much they write, and by who reads that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float

from knowncircuits.circuit import Circuit, Label
from knowncircuits.evaluation.task import Outputs, Task
from knowncircuits.names import Node
from knowncircuits.patching import SinglePatches
from knowncircuits.transformer import Transformer

ALIVE = 0.5  # of the median spread of inside nodes: as much as a living node writes
READ = 0.1  # of a node's own spread: as much as it changes with what it reads

Spreads = Mapping[str, float]


@dataclass(frozen=True)
class Living:
    """How much the heads and MLPs of a model write, and which of those outside are alive."""

    circuit: Circuit
    spreads: Spreads  # of every source

    @cached_property
    def inside(self) -> tuple[Node, ...]:
        """Heads and MLPs at an end of an edge that is in."""
        return tuple(n for n in self.circuit.inside_nodes if n.kind in ("head", "mlp"))

    @cached_property
    def outside(self) -> tuple[Node, ...]:
        """Heads and MLPs at no end of an edge that carries anything."""
        known = {*self.inside, *self.circuit.carrying_nodes}
        nodes = self.circuit.graph.sources
        return tuple(n for n in nodes if n.kind in ("head", "mlp") and n not in known)

    @property
    def spread_inside(self) -> float | None:
        """The median spread of inside nodes; None without any."""
        return self._median(self.inside)

    @property
    def spread_outside(self) -> float | None:
        """The median spread of outside nodes; None without any."""
        return self._median(self.outside)

    @cached_property
    def alive(self) -> tuple[Node, ...]:
        """Outside nodes that write at least ALIVE of what the median inside node writes."""
        least = ALIVE * (self.spread_inside or 0.0)
        return tuple(n for n in self.outside if self.spreads[n] >= least and self.spreads[n] > 0)

    @property
    def living_edges(self) -> float | None:
        """The share of outside edges between two nodes that are alive or inside."""
        graph, out = self.circuit.graph, self.circuit.labels == Label.OUT
        living = {*self.circuit.inside_nodes, *self.alive}
        is_living = np.array([node in living for node in graph.nodes])
        between = is_living[graph.source_of_edge] & is_living[graph.target_of_edge]
        return float(between[out].mean()) if out.any() else None

    def _median(self, nodes: tuple[Node, ...]) -> float | None:
        return float(np.median([self.spreads[node] for node in nodes])) if nodes else None


def node_spreads(outputs: Outputs) -> Float[np.ndarray, " source"]:
    """How much what each source writes varies: the root of its variance, over all directions.

    Over inputs and positions after BOS together, of which it is the mean square distance from the
    mean.
    """
    written = outputs[:, :, 1:].double()
    varied = written - written.mean((0, 2), keepdim=True)
    spreads: np.ndarray = varied.square().sum(-1).mean((0, 2)).sqrt().cpu().numpy()
    return spreads


def living(task: Task, circuit: Circuit) -> Living:
    """The living nodes of a task's model, by what it writes on the clean inputs."""
    found = node_spreads(task.clean_run.outputs).tolist()
    return Living(circuit, dict(zip(circuit.graph.sources, found, strict=True)))


def edge_reads(task: Task, chosen: Bool[np.ndarray, " edge"]) -> Float[np.ndarray, " edge"]:
    """How much the target of each chosen edge changes what it writes when the edge is patched.

    The root mean square, over pairs and positions after BOS, of the change under an interchange of
    this edge alone, as a share of the target's own spread (`node_spreads`). 0 for edges that are
    not chosen, into `logits`, or into nodes that write the same throughout.
    """
    graph, model = task.graph, task.model
    assert isinstance(model, Transformer)
    squares = torch.zeros(graph.n_edges, dtype=torch.float64, device="cpu")
    places = torch.from_numpy(np.flatnonzero(chosen))
    edges, pairs = places.repeat_interleave(task.n_pairs), torch.arange(task.n_pairs, device="cpu")
    pairs = pairs.repeat(len(places))
    with torch.no_grad():
        patches = SinglePatches(model, task.clean_run, task.alternative)
        for rows, change in patches.changes(edges, pairs):
            found = change[:, 1:].double().square().sum(-1).mean(1)
            squares.index_add_(0, edges[rows], found)
    spreads = np.append(node_spreads(task.clean_run.outputs), 0.0)[graph.target_of_edge]
    changes = (squares / task.n_pairs).sqrt().numpy()
    reads: np.ndarray = np.divide(changes, spreads, out=np.zeros_like(changes), where=spreads > 0)
    return reads
