"""Components' numbers against what is known: the nodes of a role, or a circuit's labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

import numpy as np
import pandas as pd

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import ResultError, UnknownNameError
from knowncircuits.evaluation.choices import RESOLUTION, RankBy
from knowncircuits.evaluation.components.views import READS, edges_of_view, telling_column
from knowncircuits.evaluation.scoring.ranking import areas, at_resolution
from knowncircuits.names import Node

# What frames of this room say of nodes, by what they rank them unless told otherwise; of patches
# see `telling_column`.
COLUMNS = (
    "lost",
    "recovered",
    "difference",
    "attribution",
    "change",
    "positive",
    "effect",
    "score",
)

# Which of its edges' labels a component has: the first that there is.
OF_OUTPUTS = (Label.IN, Label.UNDETERMINED, Label.OUT)
OF_READS = (Label.IN, Label.OUT, Label.UNDETERMINED)


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
        column: of the numbers; by default the first of attribution, change, positive, effect and
            score that the frame has; of patches lost, of corrupted runs recovered, and difference
            where the clean and the corrupted run have one value.
        rank_by: `absolute` or `signed`.
        resolution: what is a tie, as of `kc.score`.

    Returns:
        A row for each view and role: view (where the frame has them), role, auroc,
        average_precision, n and n_true. Where all nodes of a role are heads, heads alone are
        ranked. NaN where all are true, or none is.

    Raises:
        ResultError: for a frame without the column, or with missing numbers.
        UnknownNameError: for a node that the frame has not, or another way to rank.
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

    What a component is in the circuit see `labels_in`; what is undetermined is left out.

    Args: as of `score_nodes`.

    Returns:
        A row for each view: view (where the frame has them), auroc, average_precision, n, n_true.

    Raises:
        ResultError: for a frame without the column.
        UnknownNameError: for a node that the circuit has not, or another way to rank.
    """
    column = _column(frame, column)
    rows = []
    for view, numbers in _by_view(frame):
        ranked = _highest(numbers, column, rank_by)
        of_node = labels_in(circuit, frame, view.get("view", ""), ranked.index)
        labels = np.array([of_node[node] for node in ranked.index])
        known = labels != Label.UNDETERMINED
        truth = labels[known] == Label.IN
        rows.append(view | _areas(truth, ranked.to_numpy()[known], resolution))
    return pd.DataFrame(rows)


def labels_in(
    circuit: Circuit, frame: pd.DataFrame, view: str, nodes: Iterable[str]
) -> dict[str, Label]:
    """Whether what a frame tells of nodes is about the circuit.

    What a node writes is in where one of the edges out of it is, and undetermined where none is but
    one is undetermined, as in `kc.score`. What it reads is in where one of the edges that its view
    is a mask of is, else out where one is out: undetermined edges only ever carry what is the same
    in both runs, which to patch changes nothing. Where a frame is about paths to receivers, as
    those of `path_patch` and `direct_logits` are, so is the label: a node is in where such a path
    leads over edges that are in, through MLPs alone, or through nothing where they were frozen.

    Raises UnknownNameError for a node that the circuit has not.
    """
    found = {}
    for name in nodes:
        parts = name.split("+")  # that were patched together
        for part in parts:
            if part not in circuit.graph.sources:
                raise UnknownNameError("node", part, circuit.graph.sources)
        if "receivers" in frame.attrs:
            labels = {_label_of_paths(circuit, frame, Node(part)) for part in parts}
        else:
            edges = [edges_of_view(circuit.graph, Node(part), view or "z") for part in parts]
            labels = {Label(x) for x in circuit.labels[np.any(edges, axis=0)].tolist()}
        order = OF_READS if view in READS else OF_OUTPUTS
        found[name] = next(label for label in order if label in labels)
    return found


def _label_of_paths(circuit: Circuit, frame: pd.DataFrame, sender: Node) -> Label:
    """The label of the paths from a node to the receivers of a frame."""
    graph, frozen = circuit.graph, frame.attrs.get("freeze_mlps", False)
    names = {str(name) for name in frame.attrs["receivers"]}
    receives = np.array([not names.isdisjoint((d, *d.nodes)) for d in graph.destinations])
    receives = receives[graph.destination_of_edge]
    through = np.array([node.kind == "mlp" and not frozen for node in graph.nodes])
    for least in (Label.IN, Label.UNDETERMINED):
        usable = np.isin(circuit.labels, [Label.IN, least])
        reached = np.array([node == sender for node in graph.nodes])
        for _ in range(graph.n_layers + 1):  # an MLP at a time
            leaves = usable & reached[graph.source_of_edge]
            if (leaves & receives).any():
                return least
            reached[graph.target_of_edge[leaves]] |= through[graph.target_of_edge[leaves]]
    return Label.OUT


def _column(frame: pd.DataFrame, column: str | None) -> str:
    found = telling_column(frame, COLUMNS) if column is None else column
    if found is None or not {found, "node", "kind"} <= {*frame.columns} or frame.empty:
        wanted = column or f"one of {', '.join(COLUMNS)}"
        raise ResultError(
            f"expected a frame of nodes with {wanted}, got {', '.join(frame.columns)}"
        )
    if not pd.api.types.is_numeric_dtype(frame[found]):
        raise ResultError(f"expected a column of numbers, got {found}: {frame[found].iloc[0]}")
    if frame[found].isna().any():
        raise ResultError(f"expected a number of every node, got NaN among {found}")
    return found


def _by_view(frame: pd.DataFrame) -> list[tuple[dict[str, str], pd.DataFrame]]:
    if "view" not in frame:
        return [({}, frame)]
    return [({"view": str(view)}, part) for view, part in frame.groupby("view", sort=False)]


def _highest(frame: pd.DataFrame, column: str, rank_by: RankBy) -> pd.Series:
    """The rank of each node's highest row; UnknownNameError for another way to rank."""
    if rank_by not in get_args(RankBy):
        raise UnknownNameError("way to rank", rank_by, get_args(RankBy))
    ranks = frame[column].abs() if rank_by == "absolute" else frame[column]
    return ranks.groupby(frame["node"], sort=False).max()


def _areas(truth: np.ndarray, numbers: np.ndarray, resolution: float) -> dict[str, float]:
    ranks = at_resolution(numbers.astype(float), resolution)
    return areas(truth, ranks) | {"n": len(truth), "n_true": int(truth.sum())}
