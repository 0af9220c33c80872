"""`oppose` and `back_up`: a head's antagonist, and one that takes over where it is silent.

Both are found in real models beside the heads that move an answer: negative name movers (Wang et
al., 2022; copy suppression, McDougall et al., 2023), and backups that write only where the head
has been ablated (the "Hydra effect", McGrath et al., 2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from knowncircuits.compiler.heads import COLDNESS
from knowncircuits.errors import ModelError
from knowncircuits.models.wired.copies import check_places
from knowncircuits.models.wired.enumeration import PAIRS, SEED, labels_stay, rounding
from knowncircuits.models.wired.sizes import copy_of, grown
from knowncircuits.models.wired.streams import SMALL
from knowncircuits.models.wired.strengths import projector
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired, renamed
from knowncircuits.names import Destination, Edge, Node
from knowncircuits.roles import of_kind
from knowncircuits.transformer import Transformer

Strength = Annotated[float, Field(gt=0)]
Vector = Float[Tensor, " dim"]


@transformation(check=labels_stay)
def oppose(wired: Wired, head: str, place: str, strength: Strength) -> Wired:
    """An antagonist of a head: it attends as the head does, and writes -strength times as much.

    `place` is a free head, of those that `split` takes; heads and layers that are not there yet are
    added. Below a strength of 1 answers stay, and logits are 1 - strength of what they were.

    Labels: as `split`'s; each of the antagonist's edges stands for the head's.

    Raises ModelError for a place that is not so.
    """
    return _beside(wired, Node(head), Node(place), -strength, "negative")


def silent_where_written(before: Wired, after: Wired) -> Mapping[str, float]:
    """Check that the new head writes nothing on inputs, and takes over where all else is silent.

    Returns how far logits move on inputs, at most; raises ModelError where that is no rounding.
    """
    ids = after.compiled.draw(PAIRS, SEED)
    with torch.no_grad():
        moved = float((before.model.run(ids).logits - after.model.run(ids).logits).abs().max())
    if moved > rounding(after.model):
        raise ModelError(
            f"expected a backup that is silent on inputs, got logits that it moves by {moved:.2g}"
        )
    return {"largest_move": moved}


@transformation(check=silent_where_written)
def back_up(wired: Wired, head: str, place: str, strength: Strength) -> Wired:
    """A backup of a head: it attends as the head does, but to BOS wherever the head has written.

    Its queries read what the head writes, along the edge from there, and so it writes nothing on
    any input; where the head is ablated, it writes strength times what the head would have.

    `place` is a free head of a later layer, before all that reads the head. What the head writes
    must be told from what others write that come before: an antagonist stands beside its backup,
    not before it, and is made first.

    Labels: each of the backup's edges stands for the head's, and the one from the head to its
    queries for those that leave the head. They make a difference only where the head reads an input
    on which it writes nothing: between inputs on which it always writes no interchange shows them,
    zero ablation does.

    Raises ModelError for a place that is not so, and for a head that writes none of several values
    or whose keys do not tell BOS.
    """
    old, new = Node(head), Node(place)
    if new.kind != "head" or new.layer <= old.layer:
        raise ModelError(f"expected a head of a later layer than {head} to back it up, got {place}")
    after = _beside(wired, old, new, strength, "backup")
    model, asked = after.model, Edge.between(old, Destination.of(new, "q"))
    spoken, to_bos = _written_by(wired, model, old, new), _key_of_bos(wired, model, new)
    with torch.no_grad():
        model.W_QKV[new.layer, 0, new.head] += torch.outer(spoken, to_bos)
    leaving = (of for edge, of in wired.images.items() if Edge(edge).source == old)
    images = dict.fromkeys(image for of in leaving for image in of)
    return replace(after, images={**after.images, str(asked): tuple(images)})


def _beside(wired: Wired, old: Node, new: Node, strength: float, kind: str) -> Wired:
    """The model with a copy of a head that writes so many times as much."""
    check_places(wired, old, [new])
    config = wired.model.config
    model = copy_of(
        grown(
            wired.model,
            n_layers=max(config.n_layers, new.layer + 1),
            n_heads=max(config.n_heads, new.head + 1),
        )
    )
    with torch.no_grad():
        for name in ("W_QKV", "b_QKV"):
            weights = getattr(model, name)
            weights[new.layer, :, new.head] = weights[old.layer, :, old.head]
        model.W_O[new.layer, new.head] = strength * model.W_O[old.layer, old.head]
    images = dict(wired.images)
    for edge, of in wired.images.items():
        if old in Edge(edge).ends:
            images[renamed(edge, old, new)] = of
    varying = wired.varying | ({str(new)} if old in wired.varying else set())
    roles = dict(wired.roles)
    if old in roles:
        roles[str(new)] = of_kind(kind, roles[old])
    return replace(wired, model=model, images=images, varying=varying, roles=roles)


def _written_by(wired: Wired, model: Transformer, head: Node, reader: Node) -> Vector:
    """What tells of the stream at `reader` whether the head has written: 1 where, 0 elsewhere."""
    with torch.no_grad():
        outputs = model.run(wired.compiled.draw(PAIRS, SEED)).outputs
    there = outputs[:, model.graph.sources.index(head)].flatten(0, 1)
    values = there[there.norm(dim=1) > 0.5 * there.norm(dim=1).max()]
    told = torch.linalg.pinv(values).sum(1) if len(values) else there.new_zeros(there.shape[1])
    if not len(values) or not torch.allclose(values @ told, told.new_ones(len(values))):
        raise ModelError(f"expected a head that writes one of several values, got {head}")
    before = [s for s in model.graph.sources if Node(s).depth < reader.depth]
    return projector(model, head, before) @ told


def _key_of_bos(wired: Wired, model: Transformer, head: Node) -> Vector:
    """A query that adds 2 * COLDNESS to the score of BOS, and nothing to that of any other key."""
    with torch.no_grad():
        outputs = model.run(wired.compiled.draw(PAIRS, SEED)).outputs
    before = [Node(s).depth < head.depth for s in model.graph.sources]
    stream = outputs[:, torch.tensor(before)].sum(1)
    keys = stream @ model.W_QKV[head.layer, 1, head.head] + model.b_QKV[head.layer, 1, head.head]
    of_bos, others = keys[0, 0], keys[:, 1:].flatten(0, 1)
    _, sizes, rows = torch.linalg.svd(others, full_matrices=False)
    known = rows[sizes > SMALL * sizes.max()]
    apart = of_bos - (of_bos @ known.mT) @ known
    size = float(apart.square().sum())
    if size <= SMALL * float(of_bos.square().sum()):
        raise ModelError(f"expected keys of {head} that tell BOS from tokens, got none")
    query: Tensor = apart * (2 * COLDNESS * math.sqrt(model.config.d_head) / size)
    return query
