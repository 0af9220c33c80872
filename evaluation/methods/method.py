"""What a discovery method is and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from knowncircuits.evaluation.scores import RankBy


@dataclass(frozen=True, eq=False)
class Attribution:
    """Raw scores in the order of the task's edges, and what they cost in passes of one example."""

    values: Float[np.ndarray, " edge"]
    forward_passes: int = 0
    backward_passes: int = 0


@dataclass(frozen=True)
class Method:
    """A function of a task and options, and how its scores rank edges."""

    run: Callable[..., Attribution | np.ndarray | Any]
    rank_by: RankBy = "absolute"
