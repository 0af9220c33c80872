"""Effects as a table that people read."""

from __future__ import annotations

import pandas as pd

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError


@takes(effects=pd.DataFrame)
def wide_effects(effects: pd.DataFrame) -> pd.DataFrame:
    """A row for each node, a column for each scale, in the order of the tidy frame.

    Args:
        effects: what `causal_effects` returned, or several of these put together.

    Returns:
        The effects. The index is node and status and, before them, whichever of model, ablation and
        position has more than one value.

    Raises ResultError for a frame without these columns.
    """
    missing = {"node", "status", "scale", "effect"} - {*effects.columns}
    if missing:
        raise ResultError(
            f"expected a frame of causal_effects, got one without {', '.join(sorted(missing))}"
        )
    varying = [
        column
        for column in ("model", "ablation", "position")
        if column in effects and effects[column].nunique() > 1
    ]
    keys = [*varying, "node", "status"]
    order = pd.MultiIndex.from_frame(effects[keys].drop_duplicates())
    return effects.pivot(index=keys, columns="scale", values="effect").reindex(order)
