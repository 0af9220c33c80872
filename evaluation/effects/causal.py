"""The causal effect of every node or edge, for one ablation at many scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import get_args

import pandas as pd
import torch

from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.evaluation.choices import Ablated, EffectMetric, MlpPlace
from knowncircuits.evaluation.effects.ablations import load_ablation, node_statistics
from knowncircuits.evaluation.effects.items import list_items, statuses
from knowncircuits.evaluation.effects.subjects import Inputs, Model, Subject
from knowncircuits.evaluation.effects.sweep import PositionedPatch, Sweep
from knowncircuits.work.progress import reported

SCALES = (0, 0.1, 0.2, 0.5, 0.7, 0.8, 1, 1.2, 1.4, 2, 5, 10)
POSITIONS = ("all", "after BOS")
COLUMNS = (
    "model",
    "node",
    "kind",
    "layer",
    "status",
    "ablation",
    "scale",
    "effect",
    "n",
    "n_changed",
)


def default_scales(granularity: str, per_position: bool) -> Sequence[float]:
    """All of `SCALES` for nodes; for edges and positions, which are many, 1 alone."""
    return (1.0,) if per_position or granularity == "edge" else SCALES


def causal_effects(
    model: Model,
    *,
    ablation: str = "resample",
    scales: Sequence[float] = SCALES,
    granularity: str = "node",
    nodes: Sequence[str] | None = None,
    inputs: Inputs | None = None,
    n_inputs: int = 100,
    n_pairs: int | None = None,
    seed: int = 0,
    metric: str = "flips",
    per_position: bool = False,
    positions: str | None = None,
    n_components: int = 1,
    centred: bool = True,
    legacy: bool = False,
    mlp_at: str | None = None,
    atol: float = 0.05,
    name: str | None = None,
) -> pd.DataFrame:
    """How often the output changes when one node or edge is ablated, as InterpBench defines it.

    For all ordered pairs (base, source) of different places in the list of inputs, the node is
    patched on base. Of the positions whose high-level label differs between base and source, the
    effect is the share at which the model's answer is then no longer the label of base: one ratio
    over all pairs (Gupta et al., 2024, whose code averages the ratios of unequal batches). A number
    has changed if it is farther than `atol` from the label; a token if another is likelier, or, in
    a compiled model, if there is none any more. Positions count where both labels are defined, and
    not BOS. What lies on the border to within rounding has not changed. A position at which the
    model is wrong by itself counts as changed. A trained model was never told what to say where a
    patch leaves the compiled one without an answer: there their effects may differ.

    With metric `kl` the effect is `(kl - kl_clean) / (kl_corrupted - kl_clean)`, averaged over the
    same positions of all pairs: the KL divergence of the patched, the unpatched and the source's
    output from the one-hot label of base. Positions with denominator 0 are left out; how many is in
    the frame's `attrs["n_excluded"]`, and the metric in `attrs["metric"]`.

    Args:
        model: compiled, trained, InterpBench's, or anything with the primitive `run`. The labels of
            the last are its own answers, numbers within `atol` being one, and its inputs are to be
            given as ids; so pass `trained.model` to count changes of a model's own answers.
        ablation: a name in `ABLATIONS`, such as resample; `ablations.py` and docs/effects.md have
            the formula of each.
        scales: finite numbers.
        granularity: `node` (heads, MLPs, embed and pos), `head` or `edge`.
        nodes: only these nodes or edges, by name; by default all.
        inputs: sequences of tokens, or ids [input, pos] with BOS first; all of one length. By
            default n_inputs that the case draws.
        n_inputs: how many are drawn.
        n_pairs: so many pairs chosen at random; by default all.
        seed: of inputs and pairs.
        metric: `flips` or, for categorical outputs, `kl`.
        per_position: patch one position at a time; the column `position` tells which (BOS is 0).
        positions: patch `all` of them, or those `after BOS`. By default all, and those after BOS
            for the four ablations by directions.
        n_components: principal directions of each node and position.
        centred: whether directions are taken around the mean; see `node_statistics`.
        legacy: the four ablations as in InterpBench's notebook, which adds the sum of scalar
            coefficients to every dimension in place of their directions. This is a defect, offered
            so that its plots can be reproduced (it has `n_components=2`). MLPs are ablated at
            `post` then, as there, unless `mlp_at` says otherwise.
        mlp_at: what of an MLP is ablated, scaled, and has a mean and directions: its `output`, by
            default, with its bias; or `post`, its hidden units (`mlp.hook_post`), which leave the
            bias of the output as it is, as in InterpBench's study. What resampling and means do at
            scale 1 is the same at both.
        atol: how far numbers may differ and be equal.
        name: what the column `model` says; by default the case's name.

    Returns:
        A row for each node or edge and each scale: model, node, kind (embed, pos, input, head, mlp,
        edge), layer (of an edge its source's; -1 for inputs), status (in, out, undetermined;
        unknown without a circuit), ablation, scale, effect, n (positions behind it, summed over
        pairs) and n_changed of them. A node is in where an edge out of it is, else undetermined
        where an edge out of it is, else out.

    Raises:
        InputError: for fewer than two inputs, or of several lengths.
        TaskError: where no label differs, or for scales, atol or numbers that are none.
        UnknownNameError: for an ablation, granularity, metric, position, node or edge unknown.
        ModelError: for something else than a model, one without a vocabulary for its inputs, or
            `post` in one that shows no hidden units.
    """
    chosen = load_ablation(ablation)
    where = mlp_at or ("post" if legacy else "output")
    for kind, got, known in (
        ("granularity", granularity, get_args(Ablated)),
        ("metric", metric, get_args(EffectMetric)),
        ("positions", positions or chosen.positions, POSITIONS),
        ("mlp_at", where, get_args(MlpPlace)),
    ):
        if got not in known:
            raise UnknownNameError(kind, got, known)
    _check_numbers(scales, n_components, atol)
    subject = Subject.of(model)
    items = list_items(subject.model.graph, granularity, nodes)
    ids = subject.ids(inputs, n_inputs, seed)
    patched = list(range(1 if (positions or chosen.positions) == "after BOS" else 0, ids.shape[1]))
    rows = []
    with torch.no_grad():
        sweep = Sweep(
            subject,
            ids,
            metric,
            n_pairs=n_pairs,
            seed=seed,
            atol=atol,
            mlp_at="post" if where == "post" else "output",
        )
        statistics = {
            source: node_statistics(
                sweep.ablated(source),
                sweep.counts,
                n_components,
                centred=centred,
                legacy=legacy,
            )
            for source in {item.source for item in items}
        }
        for item in reported(items):
            for group in [[p] for p in patched] if per_position else [patched]:
                places = torch.tensor(group, device=ids.device)
                patch = PositionedPatch(chosen.patch, places, statistics[item.source].at(places))
                found = sweep.effects(item, patch, chosen.from_source, scales)
                rows += [
                    (item.name, item.kind, item.layer, float(scale), *numbers, group[0])
                    for scale, numbers in zip(scales, found, strict=True)
                ]
    names = ["node", "kind", "layer", "scale", "effect", "n_changed", "position"]
    frame = pd.DataFrame(rows, columns=names)
    frame["status"] = frame["node"].map(statuses(subject.model.graph, subject.circuit, granularity))
    frame = frame.assign(model=name or subject.name, ablation=ablation, n=sweep.n)
    frame.attrs |= {"metric": metric, "n_excluded": sweep.n_excluded, "mlp_at": where}
    return frame[[*COLUMNS, "position"] if per_position else list(COLUMNS)]


def _check_numbers(scales: Sequence[float], n_components: int, atol: float) -> None:
    for what, numbers in (("scales", scales), ("atol", [atol])):
        if isinstance(numbers, str) or not len(numbers):
            raise TaskError(f"expected {what} that are numbers, got {numbers!r}")
        for number in numbers:
            ok = isinstance(number, Real) and not isinstance(number, bool)
            if not ok or not math.isfinite(number):
                raise TaskError(f"expected {what} that are finite numbers, got {number!r}")
    if n_components < 1 or atol < 0:
        raise TaskError(
            f"expected at least one component and an atol of at least 0, got {n_components} and "
            f"{atol}"
        )
