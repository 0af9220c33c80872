"""Circuits of heads and neurons at positions, and how much of what the model does they do alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from jaxtyping import Float

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.evaluation.choices import RESOLUTION, NodeMetric
from knowncircuits.evaluation.modalities.attribution import STEPS, node_scores
from knowncircuits.evaluation.modalities.nodes import KINDS, NodeCircuit, NodeScores
from knowncircuits.evaluation.modalities.positions import CLASSES, PositionClasses
from knowncircuits.evaluation.modalities.prompts import BATCH_SIZE, Prompts
from knowncircuits.evaluation.modalities.running import circuit_answers, no_nodes

if TYPE_CHECKING:
    import pandas as pd

SHARE = 0.27  # of heads and of neurons
LINE = 0.8  # a circuit is faithful from here on
# The study's: many small ones, few large ones.
SHARES = (0, 0.001, 0.005, *(i / 100 for i in range(1, 21)), 0.3, 0.5, 0.7, 0.9, 1)


@takes(prompts=Prompts, scores=NodeScores | None)
def node_circuit(
    prompts: Prompts,
    share: float = SHARE,
    *,
    scores: NodeScores | None = None,
    steps: int = STEPS,
    resolution: float = RESOLUTION,
) -> NodeCircuit:
    """The circuit of the highest heads and neurons at positions, by integrated gradients.

    Nikankin et al. (2025), "Same Task, Different Circuits", take a share of all heads and the same
    share of all neurons, from 0 to 1. Here nodes without any attribution are never taken, so that
    a circuit may be smaller: theirs is filled up with such nodes, in whatever order.

    Args:
        prompts: pairs with their right and wrong answers.
        share: of each kind, at all positions.
        scores: of `node_scores`, where they are at hand.
        steps: of the integral, otherwise.
        resolution: this share of a kind's largest score and what lies below is no attribution.

    Raises:
        GraphError: for a share that is not from 0 to 1.
        InputError: for no steps, or a resolution that is not from 0 to below 1.
    """
    return (scores or node_scores(prompts, steps=steps)).circuit(share, resolution)


@takes(prompts=Prompts, circuits=[NodeCircuit])
def node_faithfulness(
    prompts: Prompts,
    circuits: Sequence[NodeCircuit],
    metric: NodeMetric = "logit_diff",
    *,
    batch_size: int = BATCH_SIZE,
) -> Float[np.ndarray, " circuit"]:
    """How much of what the model does each circuit does by itself: f = 1 all, 0 nothing.

    f(C) = (m(C) - m(∅)) / (m(N) - m(∅)): m is the metric's mean over pairs of the run in which all
    heads and neurons outside C, each at its position, are as in the corrupted run; N has all of
    them. Embeddings are the clean prompt's throughout. The study takes the mean of each pair's
    ratio instead, which a pair with next to no difference takes over.

    Args:
        prompts: pairs with their right and wrong answers.
        circuits: of `node_circuit`, or any others.
        metric: `logit_diff`, right less wrong; `accuracy`, the share of right answers.
        batch_size: runs at a time.

    Cost: n_pairs forward passes for each circuit, and as many for each of ∅, the clean and the
    corrupted run.

    Raises:
        GraphError: for circuits of other sizes.
        TaskError: where taking everything away does not make the metric fall.
        UnknownNameError: for another metric.
    """
    if metric not in get_args(NodeMetric):
        raise UnknownNameError("metric of nodes", metric, get_args(NodeMetric))
    nothing = no_nodes(prompts)
    logits = circuit_answers(prompts, [nothing, ~nothing, *circuits], batch_size)
    measure = prompts.logit_diff if metric == "logit_diff" else prompts.answered
    pairs = torch.arange(prompts.n_pairs, device=logits.device)
    none, whole, *found = (float(measure(of, pairs).double().mean()) for of in logits)
    if not whole > none:
        raise TaskError(
            f"expected the {metric} of {prompts.name} prompts to fall where every head and neuron "
            f"is corrupted, got {none:.3g} from {whole:.3g}"
        )
    return (np.array(found) - none) / (whole - none)


@takes(prompts=Prompts, scores=NodeScores)
def node_faithfulness_curve(
    prompts: Prompts,
    scores: NodeScores,
    shares: Sequence[float] = SHARES,
    metric: NodeMetric = "logit_diff",
    *,
    resolution: float = RESOLUTION,
    batch_size: int = BATCH_SIZE,
) -> pd.DataFrame:
    """The faithfulness of circuits of growing shares: a row for each, with its size.

    Errors are those of `node_faithfulness` and `node_circuit`.
    """
    import pandas as pd

    circuits = [scores.circuit(share, resolution) for share in shares]
    return pd.DataFrame(
        {
            "share": [float(share) for share in shares],
            "heads": [circuit.n_heads for circuit in circuits],
            "neurons": [circuit.n_neurons for circuit in circuits],
            "faithfulness": node_faithfulness(prompts, circuits, metric, batch_size=batch_size),
        }
    )


def first_share(curve: pd.DataFrame, line: float = LINE) -> float:
    """The least share whose faithfulness is at the line or above; NaN where none's is."""
    over = curve.loc[curve["faithfulness"] >= line, "share"]
    return float(over.min())


@takes(circuit=NodeCircuit, classes=PositionClasses)
def random_circuit(
    circuit: NodeCircuit, classes: PositionClasses, seed: int = 0, *, outside: bool = True
) -> NodeCircuit:
    """Draw as many random heads and neurons as a circuit has in each class of positions.

    Args:
        circuit: which is as large; its nodes at positions of no class are not stood for.
        classes: of its positions.
        seed: of the draw.
        outside: none of the circuit's own, so that the draw says what others do; where too few are
            left, all of these. The study draws from all nodes.
    """
    rng = np.random.default_rng(seed)
    drawn = ~(circuit | ~circuit)
    for name, kind in ((name, kind) for name in CLASSES for kind in KINDS):
        here = np.zeros(circuit.n_positions, dtype=bool)
        here[list(classes.of(name))] = True
        mine = circuit.of(kind) & here[:, None]
        free = np.flatnonzero(here[:, None] & ~(mine & outside) & np.ones_like(mine))
        chosen = rng.choice(free, size=min(len(free), int(mine.sum())), replace=False)
        drawn.of(kind).reshape(-1)[chosen] = True
    return drawn
