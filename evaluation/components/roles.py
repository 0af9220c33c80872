"""Components' numbers against what is known: the nodes of a role, or a circuit's labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import ResultError, UnknownNameError
from knowncircuits.evaluation.choices import RESOLUTION, RankBy
from knowncircuits.evaluation.components.views import edges_of_view
from knowncircuits.evaluation.scoring.ranking import at_resolution, auroc, average_precision
from knowncircuits.names import Node

# What frames of this room say of nodes, by what they rank them unless told otherwise.
COLUMNS = ("lost", "attribution", "change", "positive", "effect", "score")


@takes(frame=pd.DataFrame)
def score_nodes(
    frame: pd.DataFrame,
    nodes: Iterable[str] | Mapping[str, Iterable[str]],
    *,
    column: str | None = None,
    rank_by: RankBy = "absolute",
    resolution: float = RESOLUTION,
) -> pd.DataFrame:
    """How well the numbers of a frame tell some nodes from the others.

    Args:
        frame: of `act_patch`, `path_patch`, `direct_logits`, `copy_scores` or `backup`, or any with
            the columns node, kind and one of numbers. Of several positions of a node the highest
            counts; each view is scored on its own.
        nodes: those that should be high; or by role, as {"name mover": ["a9.h9"]}.
        column: of the numbers; by default the first of lost, attribution, change, positive, effect
            and score that the frame has.
        rank_by: `absolute` or `signed`.
        resolution: what is a tie, as of `kc.score`.

    Returns:
        A row for each view and role: view (where the frame has them), role, auroc,
        average_precision, n and n_true. Where all nodes of a role are heads, heads alone are
        ranked. NaN where all are true, or none is.

    Raises:
        ResultError: for a frame without the column, or with missing numbers.
        UnknownNameError: for a node that the frame has not.
    """
    column = _column(frame, column)
    roles = nodes if isinstance(nodes, Mapping) else {"": nodes}
    rows = []
    for view, numbers in _by_view(frame):
        for role, members in roles.items():
            ranked = _highest(numbers, column, rank_by)
            wanted = [str(member) for member in members]
            for name in wanted:
                if name not in ranked.index:
                    raise UnknownNameError("node", name, ranked.index)
            kinds = numbers.drop_duplicates("node").set_index("node")["kind"]
            if wanted and (kinds[wanted] == "head").all():
                ranked = ranked[kinds[ranked.index] == "head"]
            truth = ranked.index.isin(wanted)
            rows.append(view | {"role": role} | _areas(truth, ranked.to_numpy(), resolution))
    found = pd.DataFrame(rows)
    return found if isinstance(nodes, Mapping) else found.drop(columns="role")


@takes(frame=pd.DataFrame, circuit=Circuit)
def score_components(
    frame: pd.DataFrame,
    circuit: Circuit,
    *,
    column: str | None = None,
    rank_by: RankBy = "absolute",
    resolution: float = RESOLUTION,
) -> pd.DataFrame:
    """How well the numbers of a frame tell what is in a circuit from what is not, view by view.

    A component is in where one of the edges that its view is a mask of is in, and undetermined,
    which is left out, where none is but one is undetermined. What has no view is told by the edges
    out of its node.

    Args: as of `score_nodes`.

    Returns:
        A row for each view: view (where the frame has them), auroc, average_precision, n, n_true.

    Raises:
        ResultError: for a frame without the column.
        UnknownNameError: for a node that the circuit has not.
    """
    column = _column(frame, column)
    rows = []
    for view, numbers in _by_view(frame):
        ranked = _highest(numbers, column, rank_by)
        labels = np.array(
            [component_label(circuit, n, view.get("view", "z")) for n in ranked.index]
        )
        known = labels != Label.UNDETERMINED
        truth = labels[known] == Label.IN
        rows.append(view | _areas(truth, ranked.to_numpy()[known], resolution))
    return pd.DataFrame(rows)


def component_label(circuit: Circuit, node: str, view: str) -> Label:
    """Whether a view of a node is in a circuit; see `score_components`."""
    if node not in circuit.graph.sources:
        raise UnknownNameError("node", node, circuit.graph.sources)
    edges = edges_of_view(circuit.graph, Node(node), view)
    labels = set(circuit.labels[edges].tolist())
    return next(x for x in (Label.IN, Label.UNDETERMINED, Label.OUT) if x in labels)


def _column(frame: pd.DataFrame, column: str | None) -> str:
    found = [name for name in COLUMNS if name in frame] if column is None else [column]
    if not found or not {found[0], "node", "kind"} <= {*frame.columns} or frame.empty:
        wanted = column or f"one of {', '.join(COLUMNS)}"
        raise ResultError(
            f"expected a frame of nodes with {wanted}, got {', '.join(frame.columns)}"
        )
    if frame[found[0]].isna().any():
        raise ResultError(f"expected a number of every node, got NaN among {found[0]}")
    return found[0]


def _by_view(frame: pd.DataFrame) -> list[tuple[dict[str, str], pd.DataFrame]]:
    if "view" not in frame:
        return [({}, frame)]
    return [({"view": str(view)}, part) for view, part in frame.groupby("view", sort=False)]


def _highest(frame: pd.DataFrame, column: str, rank_by: RankBy) -> pd.Series:
    """Of each node the rank of its highest row."""
    ranks = frame[column].abs() if rank_by == "absolute" else frame[column]
    return ranks.groupby(frame["node"], sort=False).max()


def _areas(truth: np.ndarray, numbers: np.ndarray, resolution: float) -> dict[str, float]:
    ranks = at_resolution(numbers.astype(float), resolution)
    return {
        "auroc": float(auroc(truth, ranks)),
        "average_precision": float(average_precision(truth, ranks)),
        "n": len(truth),
        "n_true": int(truth.sum()),
    }
