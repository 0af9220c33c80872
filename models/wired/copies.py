"""`split`: a head's variable over several heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from knowncircuits.errors import ModelError
from knowncircuits.models.wired.enumeration import labels_stay
from knowncircuits.models.wired.sizes import copy_of, grown
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired, renamed
from knowncircuits.names import LOGITS, Edge, Node


@transformation(check=labels_stay)
def split(
    wired: Wired, head: str, over: Sequence[str], shares: Sequence[float] | None = None
) -> Wired:
    """A head's variable over several heads: each attends as it does and writes a share of it.

    `over` may name the head itself, else it is free afterwards, and any free head that comes after
    all that the head reads and before all that reads it; heads and layers that are not there yet
    are added. `shares` add up to 1, by default equal ones; one below 0 is an antagonist.

    Labels: every copy's edges stand for the head's, and are labelled as those; the model answers as
    before where a set of edges has the same edge of all copies or of none. It is refused where a
    copy has no effect in any company, as the smallest share of a vote may have none.

    Raises ModelError for shares and places that are not so.
    """
    shares = [1 / len(over)] * len(over) if shares is None and over else list(shares or ())
    if len(shares) != len(over) or not all(shares) or not math.isclose(sum(shares), 1):
        raise ModelError(f"expected {len(over)} shares other than 0 that add up to 1, got {shares}")
    old, places = Node(head), [Node(place) for place in over]
    check_places(wired, old, places)
    config = wired.model.config
    model = grown(
        wired.model,
        n_layers=max(config.n_layers, *(place.layer + 1 for place in places)),
        n_heads=max(config.n_heads, *(place.head + 1 for place in places)),
    )
    new = copy_of(model)
    with torch.no_grad():
        for name in ("W_QKV", "b_QKV"):
            getattr(new, name)[old.layer, :, old.head] = 0.0
        new.W_O[old.layer, old.head] = 0.0
        for place, share in zip(places, shares, strict=True):
            for name in ("W_QKV", "b_QKV"):
                theirs = getattr(model, name)[old.layer, :, old.head]
                getattr(new, name)[place.layer, :, place.head] = theirs
            new.W_O[place.layer, place.head] = share * model.W_O[old.layer, old.head]
    images = {}
    for edge, of in wired.images.items():
        copies = places if old in Edge(edge).ends else [old]
        images.update({renamed(edge, old, place): of for place in copies})
    varies = set(map(str, places)) if old in wired.varying else set()
    varying = (wired.varying - {str(old)}) | varies
    roles = dict(wired.roles)
    if old in roles:
        roles |= dict.fromkeys(map(str, places), roles.pop(old))
    return replace(wired, model=new, images=images, varying=varying, roles=roles)


def check_places(wired: Wired, head: Node, places: Sequence[Node]) -> None:
    """Raise ModelError for places where a copy of the head cannot be."""
    edges = [Edge(edge) for edge in wired.images]
    circuit = {node for edge in edges for node in edge.ends}
    if head.kind != "head" or head not in circuit:
        raise ModelError(
            f"expected a head of the circuit of {wired.compiled.name}, got {str(head)!r}"
        )
    after = max((edge.source.depth for edge in edges if edge.target == head), default=-1)
    before = min((edge.target.depth for edge in edges if edge.source == head), default=LOGITS.depth)
    for i, place in enumerate(places):
        free = place == head or (place not in circuit and place not in wired.varying)
        if place.kind != "head" or not free or place in places[:i]:
            raise ModelError(f"expected different free heads, got {place}")
        if not after < place.depth < before:
            raise ModelError(
                f"expected heads after all that {head} reads and before all that reads it, got "
                f"{place}"
            )
