"""How hard the circuit of one model is to find, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.hardness.gap import effect_gap
from knowncircuits.evaluation.hardness.nodes import READ, Living, edge_reads, living
from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.evaluation.methods.exact import exact
from knowncircuits.evaluation.scoring.scores import Scores, score
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.trained import Trained
from knowncircuits.names import Node

PAIRS = 200
ROWS = 256  # patched runs at a time: more are slower, in float64
# Scores that neither patch nor take gradients, and the control and paths of each.
CHEAP = {
    "read share": ("read-share", "best"),
    "read share, all paths": ("read-share", "all"),
    "weights": ("weights", "all"),
    "weights, best path": ("weights", "best"),
}
VIEWS = ("edge", "circuit-nodes")  # of circuits, in which cheap scores are scored


@dataclass(frozen=True)
class Areas:
    """How well scores tell edges inside from edges outside; None where all are of one kind."""

    auroc: float | None
    average_precision: float | None


@dataclass(frozen=True)
class Hardness:
    """What makes a model's circuit easy or hard to find."""

    spread_inside: float | None  # median of what heads and MLPs inside write; see `node_spreads`
    spread_outside: float | None
    alive: tuple[str, ...]  # outside nodes that write as much as half of the former
    outside_nodes: int
    read: tuple[str, ...]  # those alive that another outside node reads; see `edge_reads`
    readable: int  # those alive that another outside node stands behind
    living_edges: float | None  # of outside edges, the share between nodes alive or inside
    smallest_inside: float | None  # the smallest effect of a true edge
    largest_outside: float | None  # the largest one of another
    gap: float | None  # the former over the latter; see `Gap.ratio`
    middle: float  # share of edges with effects of 1e-4 to .1 of the largest
    cheap: Mapping[str, Mapping[str, Areas]] = field(default_factory=dict)  # by score and view

    @property
    def spread(self) -> float | None:
        """The median spread of outside nodes over that of inside ones."""
        if self.spread_outside is None or not self.spread_inside:
            return None
        return self.spread_outside / self.spread_inside

    @property
    def best_cheap(self) -> float | None:
        """The highest average precision over all edges that a cheap score reaches."""
        found = [of["edge"].average_precision for of in self.cheap.values()]
        return max((value for value in found if value is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as JSON has them."""
        return {**asdict(self), "alive": [*self.alive], "read": [*self.read]}


@takes(placed=Placed | Trained)
def hardness(placed: Placed | Trained, seed: int = 0, *, n_pairs: int = PAIRS) -> Hardness:
    """Measure how hard the circuit of a model is to find, on drawn inputs of its case.

    Everything is computed in float64, on the CPU: effects of outside edges may be far below what
    float32 tells apart.

    Args:
        placed: a low-level model and its circuit; it need not be certified.
        seed: of the inputs.
        n_pairs: of inputs. Effects are those of `exact`: the mean over pairs of the KL divergence,
            or of the squared distance of numbers, under an interchange of one edge alone.
    """
    trained = placed if isinstance(placed, Trained) else Trained(placed)
    circuit = trained.circuit
    task = make_task(trained, n_pairs, seed)
    task = replace(task, model=deepcopy(trained.model).to(dtype=torch.float64, device="cpu"))
    varies = (task.differences != 0).flatten(2).any(2).any(0).numpy()
    effects = exact(task, batch_size=ROWS).values
    nodes, gap = living(task, circuit), effect_gap(circuit, effects, varies)
    read, readable = _read(task, nodes)
    return Hardness(
        nodes.spread_inside,
        nodes.spread_outside,
        nodes.alive,
        len(nodes.outside),
        read,
        readable,
        nodes.living_edges,
        gap.smallest_inside,
        gap.largest_outside,
        gap.ratio,
        gap.middle,
        cheap_areas(task, circuit),
    )


def cheap_areas(task: Task, circuit: Circuit) -> dict[str, dict[str, Areas]]:
    """What each of CHEAP reaches, in each of VIEWS."""
    found = {}
    for name, (control, paths) in CHEAP.items():
        values = CONTROLS[control].run(task, paths=paths)
        found[name] = areas(Scores(task.graph, values, control, "signed"), circuit)
    return found


def areas(scores: Scores, circuit: Circuit) -> dict[str, Areas]:
    """AUROC and average precision of scores in each of VIEWS."""
    found = {view: score(scores, circuit, view) for view in VIEWS}
    return {view: Areas(s.auroc, s.average_precision) for view, s in found.items()}


def _read(task: Task, nodes: Living) -> tuple[tuple[Node, ...], int]:
    """Nodes alive of which another outside node reads READ, and how many have one behind them."""
    graph = task.graph
    alive, outside = (
        np.array([node in some for node in graph.nodes]) for some in (nodes.alive, nodes.outside)
    )
    chosen: Bool[np.ndarray, " edge"] = alive[graph.source_of_edge] & outside[graph.target_of_edge]
    is_read = edge_reads(task, chosen) >= READ
    found, possible = (set(graph.source_of_edge[some].tolist()) for some in (is_read, chosen))
    return tuple(graph.sources[i] for i in sorted(found)), len(possible)
