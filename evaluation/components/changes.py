"""Patched heads of our own models: by how much what they write changes, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import groupby, product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.evaluation.choices import View
from knowncircuits.evaluation.components.sides import Sides
from knowncircuits.evaluation.components.views import READS
from knowncircuits.names import QKV, Node
from knowncircuits.suffixes import Behind, Suffixes
from knowncircuits.transformer import Transformer
from knowncircuits.work.progress import reported

Items = Sequence[tuple[View, Node]]
# In the widest activation of the rows that are run at once: enough for matrix products, and not too
# much for caches.
NUMBERS = 2**20


def values_by_suffixes(
    sides: Sides, items: Items, *, per_position: bool
) -> Float[np.ndarray, "item position"]:
    """The task's value under each patch, mean over pairs, computing only what is behind it.

    Args:
        sides: of a task whose model is a `Transformer`.
        items: a view of a head or an MLP each.
        per_position: at one position at a time, or at all.
    """
    task, model = sides.task, sides.task.model
    assert isinstance(model, Transformer)
    changes, seq, causal = _Changes(model, sides), sides.tokens.shape[1], model.config.causal
    read, last = task.counted
    values = np.full((len(items), seq if per_position else 1), sides.unpatched)
    places: Sequence[int | None] = range(seq) if per_position else [None]
    groups = _groups(items)
    for (layer, behind, spreads), place in reported([*product(groups, places)]):
        first, stop = 0, seq
        if place is not None and causal:
            # Up to here the two runs may be the same, or nobody may look at what comes later.
            if place > last or not sides.moved[: place + 1].any():
                continue
            first, stop = place, seq if spreads else place + 1
        mine = groups[layer, behind, spreads]
        size = _n_items(model, sides.tokens[:, first:].numel())
        for chunk in (mine[i : i + size] for i in range(0, len(mine), size)):
            change = changes.of([items[i] for i in chunk], place, first, stop)
            rows = sides.every.repeat(len(chunk))
            logits = changes.suffixes.logits(
                change.flatten(0, 1), rows, layer, behind, first=first, read=read
            )
            if first > read:
                logits = torch.cat([sides.base.logits[rows, read:first], logits], 1)
            found = task.value(logits, rows, first=read).double()
            values[chunk, place or 0] = found.reshape(len(chunk), -1).mean(1).cpu().numpy()
    return values


def _groups(items: Items) -> dict[tuple[int, Behind, bool], list[int]]:
    """The items, by their places, of each layer's heads and of its MLP.

    Apart those whose patch at one position changes what a head writes at later ones: keys and
    values.
    """
    groups: dict[tuple[int, Behind, bool], list[int]] = {}
    for i, (view, node) in enumerate(items):
        behind: Behind = "mlp" if view == "mlp" else "attention"
        groups.setdefault((node.layer, behind, view in ("k", "v")), []).append(i)
    return dict(sorted(groups.items()))


def _n_items(model: Transformer, n_tokens: int) -> int:
    """How many items to run at a time, of so many tokens each."""
    c = model.config
    return max(1, NUMBERS // (n_tokens * max(c.d_model, c.d_mlp, 3 * c.n_heads * c.d_head)))


class _Changes:
    """By how much what heads and MLPs write changes when a view of them is patched."""

    def __init__(self, model: Transformer, sides: Sides) -> None:
        self.model, self.sides = model, sides
        self.suffixes = Suffixes(model, sides.base)
        self._sources = {node: i for i, node in enumerate(model.graph.sources)}

    @cached_property
    def _others(self) -> list[Float[Tensor, "3 pair head seq d_head"]]:
        """Queries, keys and values of each layer whose every input reads the alternative."""
        found, graph = [], self.model.graph
        reads = [block for block in graph.blocks if block.destinations[0].letter == "q"]
        for layer, block in enumerate(reads):
            change = self.sides.differences[:, : block.n_sources].sum(1)
            stream = self.suffixes.before[layer] + change
            found.append(self.model.qkv(stream, None, layer))
        return found

    def of(
        self, items: Items, place: int | None, first: int, stop: int
    ) -> Float[Tensor, "item pair some d_model"]:
        """At positions `first` to `stop`, of items in one layer, patched at a place or at all."""
        return torch.cat(
            [
                self._view(view, [node for _, node in same], place, slice(first, stop))
                for view, same in groupby(items, key=lambda item: item[0])
            ]
        )

    def _view(
        self, view: View, nodes: Sequence[Node], place: int | None, at: slice
    ) -> Float[Tensor, "node pair some d_model"]:
        sources = [self._sources[node] for node in nodes]
        if view in READS:
            own = self.sides.base.outputs[:, sources, at].transpose(0, 1)
            change = self._written(view, nodes, place, at) - own
        else:
            change = self.sides.differences[:, sources, at].transpose(0, 1)
        if place is None or view in ("k", "v") or change.shape[2] == 1:
            return change
        there = torch.arange(at.start, at.stop, device=change.device) == place
        return change * there[:, None]

    def _written(
        self, view: View, nodes: Sequence[Node], place: int | None, at: slice
    ) -> Float[Tensor, "node pair some d_model"]:
        """What heads write when they read the alternative; as patterns do, at every position."""
        layer, heads = nodes[0].layer, [node.head for node in nodes]
        own, other = (x[layer][:, :, heads] for x in (self.suffixes.qkv, self._others))
        qkv = list(own)
        for letter in READS[view]:
            i = QKV.index(letter)
            if place is None or view == "pattern":
                qkv[i] = other[i]
            else:
                qkv[i] = own[i].clone()
                qkv[i][:, :, place] = other[i][:, :, place]
        q, k, v = qkv
        if self.model.config.causal:  # later keys are hidden
            k, v = k[:, :, : at.stop], v[:, :, : at.stop]
        z = self.model.mixed(q[:, :, at], k, v)
        return torch.einsum("bhtk,hkd->hbtd", z, self.model.W_O[layer, heads])
