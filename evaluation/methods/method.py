"""What a discovery method is, what a control is, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from knowncircuits.evaluation.choices import RankBy
from knowncircuits.evaluation.methods.cost import Cost
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.graph import Graph

# Of options: what they may be is checked before a method runs; see `knowncircuits.checks.values`.
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]  # of a term of a loss
# What a control looks at: the graph alone, the circuit, or the task.
Shown = Literal["graph", "truth", "task"]


@dataclass(frozen=True, eq=False)
class Attribution:
    """Raw scores in the order of the task's edges, and what they cost in passes of one example."""

    values: Float[np.ndarray, " edge"]
    forward_passes: int | None = None  # None where they are not counted
    backward_passes: int | None = 0
    details: Mapping[str, Any] = field(default_factory=dict)  # what else a method has to say
    by_pair: Float[np.ndarray, "pair edge"] | None = None  # of which `values` are made, where told
    by_position: Float[np.ndarray, "edge pos"] | None = None  # as `by_pair`, of positions

    def scores(
        self,
        graph: Graph,
        name: str,
        method: Method | Control,
        options: Mapping[str, Any],
        cost: Cost | None = None,
    ) -> Scores:
        """These as the scores of a method of that name, run with those options."""
        measured = {} if cost is None else vars(cost)
        return Scores(
            graph=graph,
            method=name,
            rank_by=method.rank_by,
            threshold=method.threshold,
            options=dict(options),
            **vars(self),
            **measured,
        )


@dataclass(frozen=True)
class Method:
    """A function of a task and options, and how its scores rank edges.

    `absolute`: effects in either direction, such as gradients, count by their size. `signed`:
    higher is more in the circuit.
    """

    run: Callable[..., Attribution | Any]
    rank_by: RankBy = "absolute"
    threshold: float | None = None  # edges that rank above it are the method's own circuit


@dataclass(frozen=True)
class Control:
    """Scores that cost no patch and no gradient: what a method is held against.

    Controls may know the truth, which is why they are no methods: those see the task alone. And
    they may look at weights, which not every model shows.
    """

    run: Callable[..., Float[np.ndarray, " edge"]]
    sees: Shown = "graph"
    rank_by: RankBy = "signed"
    threshold: float | None = None
