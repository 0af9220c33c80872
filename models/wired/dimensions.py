"""`squeeze`: the residual stream projected to fewer dimensions, so that directions overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from knowncircuits.errors import ModelError
from knowncircuits.models.wired.bases import Seed, orthogonal
from knowncircuits.models.wired.enumeration import SEED, answers_stay
from knowncircuits.models.wired.streams import SMALL, directions, read, unit
from knowncircuits.models.wired.streams import written as rows_of
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired
from knowncircuits.transformer import Transformer

INPUTS = 256
RARE = 1e-3  # weight of all that can be written, however rare on the inputs
JITTER = 0.01  # how much, relatively, the seed changes the weight of what is read


def squeezed_answers_stay(before: Wired, after: Wired) -> Mapping[str, float]:
    """See `answers_stay`; beside what that finds, the ratio of d_model over directions."""
    n = directions(before.model)
    ratio = after.model.config.d_model / n
    try:
        found = answers_stay(before, after)
    except ModelError as error:
        raise ModelError(
            f"{error}; d_model is {after.model.config.d_model} for {n} directions, a ratio of "
            f"{ratio:.2f}"
        ) from error
    return {"directions": n, "ratio": ratio, **found}


@transformation(check=squeezed_answers_stay)
def squeeze(wired: Wired, d_model: Annotated[int, Field(ge=1)], seed: Seed = 0) -> Wired:
    """The residual stream in fewer dimensions, which lose least of what is read.

    Everything is written through one matrix and read through another, so that every node reads a
    little of what it does not read in the wider model. They are the best of their rank for the mean
    square of what that changes, over inputs, each reading relative to its size (reduced-rank
    regression, Izenman, 1975). At as many dimensions as there are directions that are written and
    read, nothing changes but rounding.

    Labels: as they were, about answers: it is refused where an answer changes, of clean inputs or
    under random sets of edges. Logits do change, also under sets of edges that are out.

    Raises ModelError for a d_model that is not smaller.
    """
    model = wired.model
    if d_model > model.config.d_model:
        raise ModelError(f"expected a d_model of at most {model.config.d_model}, got {d_model}")
    into, out = narrow(wired, d_model, seed)
    config = replace(model.config, d_model=d_model)
    new = Transformer(config, hidden=model.hidden, dtype=model.dtype, device=model.device)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            getattr(new, name).copy_(_projected(name, weights, into, out))
    return replace(wired, model=new.requires_grad_(False))


def _projected(name: str, weights: Tensor, into: Tensor, out: Tensor) -> Tensor:
    if name in ("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out"):
        return weights @ into
    return out @ weights if name in ("W_QKV", "W_in", "W_U") else weights


def narrow(
    wired: Wired, d_model: int, seed: int
) -> tuple[Float[Tensor, "wide narrow"], Float[Tensor, "narrow wide"]]:
    """Matrices to write and to read through."""
    model = wired.model
    with torch.no_grad():
        written = model.run(wired.compiled.draw(INPUTS, SEED)).outputs.flatten(0, 2).double()
    columns = torch.cat([read(model, d) for d in model.graph.destinations], 1).double()
    gram = written.T @ written / len(written)
    rows = torch.cat([unit(rows_of(model, node), 1) for node in model.graph.sources]).double()
    root, inverse = _root(gram + RARE * rows.T @ rows)
    sizes = (root @ columns).norm(dim=0)
    heard = sizes > SMALL * sizes.max()
    rng = torch.Generator(device="cpu").manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64, device="cpu").to(sizes)

    relative = root @ columns[:, heard] / sizes[heard]
    relative = relative * (1 + JITTER * normal(relative.shape[1]))
    left, values, _ = torch.linalg.svd(relative, full_matrices=False)
    rank = min(d_model, int((values > SMALL * values.max()).sum()))
    kept = left[:, :rank]
    # A basis of their span that no rounding turns: by the projections of random vectors.
    kept = orthogonal(kept @ (kept.T @ normal(len(kept), rank)))
    turn = orthogonal(normal(d_model, d_model))[:rank]
    into, out = inverse @ kept @ turn, turn.T @ kept.T @ root
    return into.to(model.dtype), out.to(model.dtype)


def _root(gram: Float[Tensor, "n n"]) -> tuple[Float[Tensor, "n n"], Float[Tensor, "n n"]]:
    """The root of a positive matrix, and its inverse where it has one."""
    values, vectors = torch.linalg.eigh(gram)
    there = values > SMALL * values.max()
    roots = values[there].sqrt()
    vectors = vectors[:, there]
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T
