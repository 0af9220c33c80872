"""One modality's circuit with a class of positions out of the other's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import NodeMetric
from knowncircuits.evaluation.modalities.circuits import node_faithfulness, random_circuit
from knowncircuits.evaluation.modalities.nodes import NodeCircuit
from knowncircuits.evaluation.modalities.positions import CLASSES, PositionMapping, map_positions
from knowncircuits.evaluation.modalities.prompts import BATCH_SIZE, Prompts

if TYPE_CHECKING:
    import pandas as pd

N_RANDOM = 5


@takes(first=Prompts, second=Prompts, circuits=[NodeCircuit])
def interchange_faithfulness(
    first: Prompts,
    second: Prompts,
    circuits: tuple[NodeCircuit, NodeCircuit],
    mapping: PositionMapping | None = None,
    *,
    metric: NodeMetric = "logit_diff",
    n_random: int = N_RANDOM,
    outside: bool = True,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> pd.DataFrame:
    """Whether the modalities' circuits do the same at the data, the query and the generation.

    Nikankin et al. (2025), "Same Task, Different Circuits": in each modality's circuit one class of
    positions is replaced by the other's, mapped to its own positions, and by random nodes. With the
    two circuits themselves these are 14 combinations. Normalised, 0 is what random nodes come to
    (the base) and 1 the circuit itself (the skyline).

    Args:
        first: prompts of the one modality.
        second: of the other, to the same model.
        circuits: of the two.
        mapping: from the first's to the second's positions; by default `map_positions`.
        metric: see `node_faithfulness`.
        n_random: draws of random nodes, whose mean is the base.
        outside: random nodes are none of the circuit's own; see `random_circuit`.
        seed: of the first draw.
        batch_size: runs at a time.

    Returns:
        A row for each combination: `prompts`, `replaced` (a class, or none), `by` (the circuit's
        own, the other modality's, or random), faithfulness, and with a replaced class its skyline,
        base and normalised; NaN where skyline and base are equal.

    Raises:
        InputError: for no draw, other than two circuits, or prompts that cannot be mapped.
        GraphError, TaskError, UnknownNameError: see `node_faithfulness`.
    """
    import pandas as pd

    if len(circuits) != 2:
        raise InputError(f"expected the circuits of two modalities, got {len(circuits)}")
    if n_random < 1:
        raise InputError(f"expected at least one draw of random nodes, got {n_random}")
    mapping = mapping or map_positions(first.classes, second.classes)
    ways = (
        (first, circuits[0], circuits[1].mapped(mapping.reversed()), second.name),
        (second, circuits[1], circuits[0].mapped(mapping), first.name),
    )
    rows = []
    for prompts, own, other, name in ways:
        draws = [
            random_circuit(own, prompts.classes, seed + i, outside=outside) for i in range(n_random)
        ]
        tried = [
            (own & ~own.at(positions)) | part.at(positions)
            for positions in map(prompts.classes.of, CLASSES)
            for part in (other, *draws)
        ]
        f = node_faithfulness(prompts, [own, *tried], metric, batch_size=batch_size)
        skyline = float(f[0])
        rows.append((prompts.name, "none", "own", skyline, np.nan, np.nan, np.nan))
        for replaced, (got, *random) in zip(CLASSES, f[1:].reshape(len(CLASSES), -1), strict=True):
            base = float(np.mean(random))
            for by, value in ((name, float(got)), ("random", base)):
                span = skyline - base
                normalised = (value - base) / span if span else np.nan
                rows.append((prompts.name, replaced, by, value, skyline, base, normalised))
    columns = ["prompts", "replaced", "by", "faithfulness", "skyline", "base", "normalised"]
    return pd.DataFrame(rows, columns=columns)
