"""`merge`: hidden units of an MLP that write the same become one."""

from __future__ import annotations

from dataclasses import replace

import torch

from knowncircuits.errors import ModelError
from knowncircuits.models.wired.enumeration import answers_stay, labels_stay
from knowncircuits.models.wired.sizes import copy_of
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired
from knowncircuits.names import Node
from knowncircuits.transformer import Transformer


def _both_stay(before: Wired, after: Wired) -> dict[str, float]:
    return {**labels_stay(before, after), **answers_stay(before, after)}


@transformation(check=_both_stay)
def merge(wired: Wired, node: str) -> Wired:
    """Hidden units of an MLP that write the same become one, which reads what all of them read.

    Exact where at most one of them is on at a time, such as units of a function of one variable:
    then the sum of what they read is what the one reads. Units that write nothing stay apart.

    Labels: as they were. Refused where an answer changes, on clean inputs or under interchanges.

    Raises ModelError for a node that is no MLP, or one of which no two units write the same.
    """
    place, model = Node(node), wired.model
    if place.kind != "mlp" or place not in model.graph.sources:
        raise ModelError(f"expected an MLP of {model.graph.summary()}, got {node!r}")
    groups = _groups(model, place.layer)
    if all(len(group) == 1 for group in groups):
        raise ModelError(f"expected units of {node} that write the same, got none")
    merged, layer = copy_of(model), place.layer
    with torch.no_grad():
        for name in ("W_in", "b_in", "W_out"):
            getattr(merged, name)[layer] = 0.0
        for unit, group in enumerate(groups):
            merged.W_in[layer, :, unit] = model.W_in[layer][:, group].sum(1)
            merged.b_in[layer, unit] = model.b_in[layer, group].sum()
            merged.W_out[layer, unit] = model.W_out[layer, group[0]]
    merged.hidden = tuple(
        len(groups) if i == layer else used for i, used in enumerate(model.hidden)
    )
    return replace(wired, model=merged)


def _groups(model: Transformer, layer: int) -> list[list[int]]:
    """Units that write the same, by the first of them; each that writes nothing by itself."""
    groups: dict[object, list[int]] = {}
    for unit in range(model.hidden[layer]):
        writes = model.W_out[layer, unit]
        key = tuple(writes.tolist()) if writes.any() else unit
        groups.setdefault(key, []).append(unit)
    return list(groups.values())
