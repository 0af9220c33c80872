"""How far gradients and patching agree: on every edge or component, and on their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import GraphError, MethodError, UnknownNameError
from knowncircuits.evaluation.choices import RESOLUTION, AgreementLevel, Level, RankBy
from knowncircuits.evaluation.components.methods import COMPONENT_METHODS, run_method
from knowncircuits.evaluation.components.parts import Nodes, Parts, cuts, parts_of
from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.scoring.ranking import areas, at_resolution, check_resolution
from knowncircuits.evaluation.task import Task
from knowncircuits.work.progress import part

AGREEMENT_LEVELS: tuple[AgreementLevel, ...] = get_args(AgreementLevel)
EDGE_METHODS = ("exact", "eap", "eap-ig-inputs", "eap-ig-activations")
TOP = 10  # items whose overlap is told
ROWS = 64  # runs at a time for the effects of cuts

Values = Float[np.ndarray, " item"]
Asked = str | tuple[str, Mapping[str, Any]]  # a method, perhaps with options


@dataclass(frozen=True, eq=False)
class Agreement:
    """Scores of several methods side by side, and how far they agree."""

    level: AgreementLevel
    task: str
    metric: str
    methods: tuple[str, ...]
    # A row for each item: item, status (in, out, undetermined; unknown where there is no truth),
    # and a column for each method: the mean over pairs, with its sign.
    scores: pd.DataFrame
    # A row for each two methods: pearson, spearman, sign (the share of items, of those that one of
    # them does not leave at 0, to which both give one sign), overlap (Jaccard of the `top` highest
    # of each), top. NaN where it is not defined, as a correlation with a constant is not.
    pairs: pd.DataFrame
    # A row for each method: auroc and average_precision against the truth, NaN where there is none;
    # residual, the largest over cuts, and forward and backward passes of one example each.
    quality: pd.DataFrame
    # A row for each method and cut: sum of the scores there, effect of patching all of it at once,
    # residual = sum - effect. 0 for a method that is complete.
    completeness: pd.DataFrame

    @property
    def known(self) -> bool:
        """Whether there is a truth to compare with."""
        return bool((self.scores["status"] != "unknown").any())

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All of them by name."""
        names = ("scores", "pairs", "quality", "completeness")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False)
class _Scored:
    """What a method says of every item."""

    values: Values
    rank_by: RankBy
    passes: tuple[int | None, int | None]

    def ranks(self, resolution: float) -> Values:
        """Higher means more; near ones are ties."""
        sizes = np.abs(self.values) if self.rank_by == "absolute" else self.values
        return at_resolution(sizes, resolution)


@takes(task=Task, truth=Circuit | None)
def agreement(
    task: Task,
    methods: Sequence[Asked] | None = None,
    level: AgreementLevel = "edge",
    *,
    truth: Circuit | None = None,
    top: int = TOP,
    resolution: float = RESOLUTION,
) -> Agreement:
    """Compare what methods say of the same edges or components.

    Scores are in the task's metric: positive where behaviour is lost. What a method's scores of a
    cut (the inputs, the heads of a layer, an MLP) come to is held against the effect of patching
    all of the cut at once: a method whose sum is that effect is complete (Sundararajan, Taly and
    Yan, 2017). Patching one by one is not where components act together.

    Args:
        task: what to look at.
        methods: names, or names with options, as ("ig-layer", {"steps": 20}). For edges any
            discovery method, by default EDGE_METHODS; for components those of COMPONENT_METHODS, by
            default all.
        level: `edge`; `node`, `head`, `neuron`; or `position`, nodes at each position.
        truth: the circuit, for the areas of edges, nodes and heads. A node is in where an edge out
            of it is. No circuit says which neurons or positions are in.
        top: how many of the highest are compared by their overlap; ties at the border all count,
            scores of 0 never do.
        resolution: scores that this share of the largest does not tell apart are ties, and below
            half of it they are 0; see `score`.

    Raises:
        UnknownNameError: for another level or method.
        MethodError: for fewer than two methods, the same twice, a `top` below 1, or what the
            methods raise.
        GraphError: for a truth of another graph.
    """
    if level not in AGREEMENT_LEVELS:
        raise UnknownNameError("level", level, AGREEMENT_LEVELS)
    check_resolution(resolution)
    if top < 1:
        raise MethodError(f"expected a top of at least 1, got {top}")
    if truth is not None and truth.graph != task.graph:
        raise GraphError(f"expected a truth of {task.graph.summary()}, got {truth.graph.summary()}")
    asked = _labelled(methods or (EDGE_METHODS if level == "edge" else tuple(COMPONENT_METHODS)))
    items, parts = _items(task, level)
    found: dict[str, _Scored] = {}
    for label, (name, options) in asked.items():
        with part(label):
            found[label] = _scored(name, options, task, level, truth)
    labels = _labels(items, truth, level)
    statuses = {"item": [name for name, _ in items], "status": _statuses(labels)}
    completeness = _completeness(task, parts, np.array([source for _, source in items]), found)
    return Agreement(
        level,
        task.name,
        task.metric,
        tuple(found),
        pd.DataFrame({**statuses, **{label: each.values for label, each in found.items()}}),
        pd.DataFrame(
            {"method": a, "other": b, **_compare(found[a], found[b], top, resolution)}
            for a, b in combinations(found, 2)
        ),
        _quality(found, labels, completeness, resolution),
        completeness,
    )


def cut_effects(
    task: Task, parts: Parts, cut_sources: Bool[torch.Tensor, "cut source"]
) -> Float[np.ndarray, " cut"]:
    """The metric, mean over pairs, with all components of a cut at their corrupted values."""
    clean = task.clean_run.outputs
    of_edge = torch.from_numpy(task.graph.source_of_edge).to(clean.device)
    effects = torch.zeros(len(cut_sources), dtype=torch.float64, device=clean.device)
    with torch.no_grad():
        for rows in batches(len(cut_sources) * task.n_pairs, ROWS, clean.device):
            places, pairs = rows // task.n_pairs, rows % task.n_pairs
            mask = cut_sources[places][:, of_edge].to(clean.dtype)
            alternative = clean[pairs] + parts.together(pairs)
            logits = task.model.run(task.clean[pairs], alternative, mask).logits
            effects.index_add_(0, places, task.measure(logits, pairs).double())
    found: Float[np.ndarray, " cut"] = (effects / task.n_pairs).cpu().numpy()
    return found


def _labelled(methods: Sequence[Asked]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Each method with its options, by what it is called."""
    asked: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for method in methods:
        name, options = (method, {}) if isinstance(method, str) else method
        label = " ".join([name, *(f"{key}={value}" for key, value in options.items())])
        if label in asked:
            raise MethodError(f"expected each method once, got {label!r} twice")
        asked[label] = name, options
    if len(asked) < 2:
        raise MethodError(f"expected at least two methods to compare, got {', '.join(asked)}")
    return asked


def _items(task: Task, level: AgreementLevel) -> tuple[list[tuple[str, int]], Parts]:
    """What is scored, each with the place of the source that it is a part of."""
    graph = task.graph
    if level == "edge":
        nodes = Nodes(task, heads=False)
        return list(zip(graph.edges, graph.source_of_edge.tolist(), strict=True)), nodes
    parts = parts_of(task, "node" if level == "position" else level)
    items = list(zip(parts.names, parts.sources.tolist(), strict=True))
    if level == "position":
        n = task.clean.shape[1]
        items = [(f"{name}@{position}", at) for name, at in items for position in range(n)]
    return items, parts


def _scored(
    name: str, options: Mapping[str, Any], task: Task, level: AgreementLevel, truth: Circuit | None
) -> _Scored:
    if level == "edge":
        edges = discover(name, task, circuit=truth, **options)
        return _Scored(edges.values, edges.rank_by, (edges.forward_passes, edges.backward_passes))
    per_position = level == "position"
    of = cast(Level, "node" if per_position else level)
    scores = run_method(name, task, of, per_position=per_position, **options)
    passes = scores.forward_passes, scores.backward_passes
    return _Scored(scores.values.ravel(), "absolute", passes)


def _labels(
    items: Sequence[tuple[str, int]], truth: Circuit | None, level: AgreementLevel
) -> Int[np.ndarray, " item"] | None:
    """The labels by the truth, where it says something of such items."""
    if truth is None or level in ("neuron", "position"):
        return None
    if level == "edge":
        return truth.labels.astype(int)
    labels = truth.project("node")
    return np.array([int(labels[name]) for name, _ in items])


def _statuses(labels: Int[np.ndarray, " item"] | None) -> list[str] | str:
    if labels is None:
        return "unknown"
    return [Label(label).name.lower() for label in labels.tolist()]


def _completeness(
    task: Task, parts: Parts, source_of_item: Int[np.ndarray, " item"], found: Mapping[str, _Scored]
) -> pd.DataFrame:
    names, cut_sources = cuts(parts)
    belongs = cut_sources.cpu().numpy()[:, source_of_item]  # [cut, item]
    table = pd.DataFrame(
        {"method": label, "cut": name, "sum": float(scored.values[own].sum())}
        for label, scored in found.items()
        for name, own in zip(names, belongs, strict=True)
    )
    effects = np.tile(cut_effects(task, parts, cut_sources), len(found))
    return table.assign(effect=effects, residual=table["sum"] - effects)


def _quality(
    found: Mapping[str, _Scored],
    labels: Int[np.ndarray, " item"] | None,
    completeness: pd.DataFrame,
    resolution: float,
) -> pd.DataFrame:
    largest = completeness["residual"].abs().groupby(completeness["method"]).max()
    return pd.DataFrame(
        {
            "method": label,
            **_areas(scored.ranks(resolution), labels),
            "residual": float(largest[label]),
            "forward_passes": scored.passes[0],
            "backward_passes": scored.passes[1],
        }
        for label, scored in found.items()
    )


def _areas(ranks: Values, labels: Int[np.ndarray, " item"] | None) -> dict[str, float]:
    if labels is None:
        return {"auroc": float("nan"), "average_precision": float("nan")}
    determined = labels != Label.UNDETERMINED
    return areas(labels[determined] == Label.IN, ranks[determined])


def _compare(one: _Scored, other: _Scored, top: int, resolution: float) -> dict[str, float]:
    first, second = (at_resolution(each.values, resolution) for each in (one, other))
    moved = (first != 0) | (second != 0)
    sign = (np.sign(first) == np.sign(second))[moved].mean() if moved.any() else np.nan
    highest, others = (_highest(each.ranks(resolution), top) for each in (one, other))
    either = (highest | others).sum()
    return {
        "pearson": _correlation(one.values, other.values, first, second),
        "spearman": _correlation(rankdata(first), rankdata(second), first, second),
        "sign": float(sign),
        "overlap": float((highest & others).sum() / either) if either else float("nan"),
        "top": top,
    }


def _correlation(x: Values, y: Values, *steps: Values) -> float:
    """Pearson's; NaN where one of the two is constant, at the resolution of its steps."""
    if any(np.ptp(each) == 0 for each in steps):
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _highest(ranks: Values, top: int) -> Bool[np.ndarray, " item"]:
    """The `top` highest with all that tie with the last of them, but none of 0."""
    border = np.sort(ranks)[::-1][min(top, len(ranks)) - 1]
    chosen: Bool[np.ndarray, " item"] = (ranks >= border) & (ranks != 0)
    return chosen
