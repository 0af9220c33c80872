"""The whole comparison of two modalities: circuits, overlap, interchange, back-patching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knowncircuits.checks.arguments import expect, takes
from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import NodeMetric
from knowncircuits.evaluation.modalities.alignment import unembedding_similarity
from knowncircuits.evaluation.modalities.attribution import STEPS, node_scores
from knowncircuits.evaluation.modalities.back_patching import (
    N_LOOPS,
    WINDOWS,
    BackPatching,
    back_patch,
)
from knowncircuits.evaluation.modalities.circuits import (
    SHARE,
    SHARES,
    first_share,
    node_faithfulness,
    node_faithfulness_curve,
    random_circuit,
)
from knowncircuits.evaluation.modalities.interchange import interchange_faithfulness
from knowncircuits.evaluation.modalities.nodes import NodeCircuit
from knowncircuits.evaluation.modalities.overlap import circuit_overlap
from knowncircuits.evaluation.modalities.positions import PositionMapping
from knowncircuits.evaluation.modalities.prompts import Prompts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ModalityStudy:
    """What was found of two modalities.

    A modality that is never answered rightly has no circuit; what takes two is then missing.
    """

    summary: pd.DataFrame  # a row for each modality: accuracy, circuit's size, faithfulness
    circuits: Mapping[str, NodeCircuit]  # of the modalities that have one
    curves: pd.DataFrame | None  # faithfulness by share; the column `prompts` says of which
    overlap: pd.DataFrame | None
    interchange: pd.DataFrame | None
    back_patching: BackPatching  # of the second modality, the first being its control
    similarity: pd.DataFrame  # to the unembedding


@takes(first=Prompts, second=Prompts)
def study_modalities(
    first: Prompts,
    second: Prompts,
    *,
    share: float = SHARE,
    shares: Sequence[float] = SHARES,
    steps: int = STEPS,
    metric: NodeMetric = "logit_diff",
    windows: Sequence[int] = WINDOWS,
    n_loops: int = N_LOOPS,
    mapping: PositionMapping | None = None,
    seed: int = 0,
) -> ModalityStudy:
    """Compare how a model does one task in two modalities, as Nikankin et al. (2025) do.

    Args:
        first: prompts of the one, such as text.
        second: of the other, such as images, whose data are back-patched.
        share: of heads and neurons in circuits.
        shares: of the curves of faithfulness.
        steps: of integrated gradients.
        metric: of faithfulness.
        windows: of back-patching.
        n_loops: of back-patching.
        mapping: from the first's to the second's positions.
        seed: of random circuits.

    Circuits are of the prompts that are answered rightly, all else of all prompts. Errors are those
    of the parts.
    """
    import pandas as pd

    if first.name == second.name:
        raise InputError(f"expected prompts of two modalities, got {first.name} twice")
    rows, circuits, curves, answered = [], {}, [], []
    for prompts in (first, second):
        expect(prompts, Prompts, "prompts")
        row: dict[str, object] = {"prompts": prompts.name, "accuracy": prompts.accuracy}
        rows.append(row)
        if not prompts.answers.any():
            continue
        right = prompts.right_only()
        scores = node_scores(right, steps=steps)
        circuit = scores.circuit(share)
        curve = node_faithfulness_curve(right, scores, shares, metric)
        other = random_circuit(circuit, prompts.classes, seed)
        f, random = node_faithfulness(right, [circuit, other], metric)
        row |= {
            "heads": circuit.n_heads,
            "neurons": circuit.n_neurons,
            "faithfulness": float(f),
            "random": float(random),
            "first share": first_share(curve),
        }
        circuits[prompts.name] = circuit
        answered.append(right)
        curves.append(curve.assign(prompts=prompts.name))
    overlap = interchange = None
    if len(circuits) > 1:
        pair = (circuits[first.name], circuits[second.name])
        classes, names = (first.classes, second.classes), (first.name, second.name)
        overlap = circuit_overlap(*pair, classes, mapping, names)
        interchange = interchange_faithfulness(
            answered[0], answered[1], pair, mapping, metric=metric, seed=seed
        )
    return ModalityStudy(
        summary=pd.DataFrame(rows),
        circuits=circuits,
        curves=pd.concat(curves, ignore_index=True) if curves else None,
        overlap=overlap,
        interchange=interchange,
        back_patching=back_patch(second, first, windows=windows, n_loops=n_loops),
        similarity=pd.concat(map(unembedding_similarity, (first, second)), ignore_index=True),
    )
