"""`delay`: what an MLP does for some tokens, done for others when nobody reads it any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from knowncircuits.errors import ModelError
from knowncircuits.models.wired.enumeration import answers_stay, labels_stay
from knowncircuits.models.wired.sizes import grown
from knowncircuits.models.wired.streams import meet, read
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired
from knowncircuits.names import Destination, Node
from knowncircuits.transformer import Transformer


def _both_stay(before: Wired, after: Wired) -> dict[str, float]:
    return {**labels_stay(before, after), **answers_stay(before, after)}


@transformation(check=_both_stay)
def delay(wired: Wired, source: str, target: str, tokens: Mapping[str, str]) -> Wired:
    """Hidden units in a later MLP that do for tokens what units of an earlier one do for others.

    Moved from the early layer, as it were, to a late one: what they write lies where the early ones
    write, but all that reads there comes before the target. Put what they wrote back into an
    earlier layer, as back-patching does, and it is read.

    Labels: as they were; the new units' edges are out. The model answers as before under every set
    of edges.

    Args:
        wired: the model; its program has nothing to say of the new tokens.
        source: the early MLP.
        target: the late one.
        tokens: each new token, and the one that it is to be read as.

    Raises:
        ModelError: for other nodes and tokens, and where something behind the target reads what the
            units write.
    """
    early, late, model = Node(source), Node(target), wired.model
    mlps = [node for node in model.graph.sources if node.kind == "mlp"]
    if early not in mlps or late not in mlps or early.layer >= late.layer:
        raise ModelError(f"expected an MLP and a later one, got {source} and {target}")
    known = wired.compiled.vocabulary.tokens
    strange = [token for pair in tokens.items() for token in pair if token not in known]
    if strange or not tokens:
        raise ModelError(f"expected tokens of the model, got {', '.join(strange) or 'none'}")
    first = 1  # BOS has the id 0
    rows = {token: model.W_E[first + known.index(token)] for token in {*tokens, *tokens.values()}}
    copies: list[tuple[int, Tensor]] = []  # a unit, and what its copy reads more
    for new, old in tokens.items():
        copies += [
            (unit, rows[new] - rows[old])
            for unit in range(model.hidden[early.layer])
            if model.W_in[early.layer, :, unit] @ rows[old] > 0
            and model.W_out[early.layer, unit].any()
        ]
    _check_unread(wired, late, [unit for unit, _ in copies], early.layer)
    return replace(
        wired,
        model=_with_copies(wired, early.layer, late.layer, copies),
        varying=wired.varying | {str(late)},
    )


def _check_unread(wired: Wired, late: Node, units: Sequence[int], early: int) -> None:
    """Raise ModelError for a destination behind the target that reads what the units write."""
    writes = wired.model.W_out[early, list(units)]
    for place in wired.model.graph.destinations:
        if Destination(place).node.depth > late.depth and meet(writes, read(wired.model, place)):
            raise ModelError(
                f"expected an MLP behind all that reads what the units write, got {late}, before "
                f"{place}"
            )


def _with_copies(
    wired: Wired, early: int, late: int, copies: Sequence[tuple[int, Tensor]]
) -> Transformer:
    model = wired.model
    start = model.hidden[late]
    hidden = [
        used + len(copies) if layer == late else used for layer, used in enumerate(model.hidden)
    ]
    new = grown(model, hidden=hidden)
    with torch.no_grad():
        for place, (unit, change) in enumerate(copies, start):
            new.W_in[late, :, place] = model.W_in[early, :, unit] + change
            new.b_in[late, place] = model.b_in[early, unit]
            new.W_out[late, place] = model.W_out[early, unit]
    return new
