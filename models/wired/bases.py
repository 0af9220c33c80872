"""`rotate`: every basis that a model's function does not fix, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from knowncircuits.models.wired.sizes import copy_of
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired
from knowncircuits.transformer import Transformer

Seed = Annotated[int, Field(ge=0, lt=2**32)]
RESCALED = 0.5  # standard deviation of the logarithm of a hidden unit's factor


@dataclass(frozen=True)
class Bases:
    """Orthogonal matrices by which vectors, as rows, are multiplied; and hidden units' places."""

    stream: Float[Tensor, "d_model d_model"]
    queries: Float[Tensor, "layer head d_head d_head"]  # of a head's queries and keys
    values: Float[Tensor, "layer head d_head d_head"]  # of its values and what W_O reads
    units: tuple[Int[Tensor, " hidden"], ...]  # of each layer, which unit comes where
    factors: tuple[Float[Tensor, " hidden"], ...]  # of what each unit reads; positive

    @classmethod
    def identity(cls, model: Transformer) -> Bases:
        """Those that change nothing."""
        c = model.config
        per_head = torch.eye(c.d_head).to(model.W_E).expand(c.n_layers, c.n_heads, -1, -1)
        return cls(
            torch.eye(c.d_model).to(model.W_E),
            per_head,
            per_head,
            tuple(torch.arange(n, device=model.device) for n in model.hidden),
            tuple(torch.ones(n).to(model.W_E) for n in model.hidden),
        )

    @classmethod
    def random(cls, model: Transformer, seed: int) -> Bases:
        """Orthogonal matrices of the Haar measure; factors only for ReLU, which passes them on."""
        c = model.config
        rng = torch.Generator(device="cpu").manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=rng, dtype=torch.float64, device="cpu")

        def placed(x: Tensor) -> Tensor:
            return x.to(model.device, model.dtype)

        stream = orthogonal(normal(c.d_model, c.d_model))
        queries, values = (
            orthogonal(normal(c.n_layers, c.n_heads, c.d_head, c.d_head)) for _ in range(2)
        )
        units = [torch.randperm(n, generator=rng, device="cpu") for n in model.hidden]
        spread = RESCALED if c.activation == "relu" else 0.0
        factors = [(spread * normal(n)).exp() for n in model.hidden]
        return cls(
            placed(stream),
            placed(queries),
            placed(values),
            tuple(order.to(model.device) for order in units),
            tuple(map(placed, factors)),
        )


@transformation()
def rotate(wired: Wired, seed: Seed = 0) -> Wired:
    """Every basis at random: the residual stream's, each head's two, the order of hidden units.

    Queries and keys of a head share a basis, and so do its values and what its W_O reads. Hidden
    units of ReLU are also rescaled: what one reads times a positive number, what it writes divided
    by it. The weights are dense, the function is the same.

    Labels: as they were, and the model answers as before under every set of edges, to rounding.
    """
    return replace(wired, model=rotated(wired.model, Bases.random(wired.model, seed)))


def rotated(model: Transformer, bases: Bases) -> Transformer:
    """The same function with all of its weights in other bases."""
    new, stream = copy_of(model), bases.stream
    with torch.no_grad():
        for name in ("W_E", "W_pos", "b_O", "b_out"):
            getattr(new, name).copy_(getattr(model, name) @ stream)
        heads = torch.stack([bases.queries, bases.queries, bases.values], 1)
        new.W_QKV.copy_(stream.T @ model.W_QKV @ heads)
        new.b_QKV.copy_((model.b_QKV[..., None, :] @ heads).squeeze(-2))
        new.W_O.copy_(bases.values.mT @ model.W_O @ stream)
        for layer, (units, factors) in enumerate(zip(bases.units, bases.factors, strict=True)):
            n = len(units)
            new.W_in[layer, :, :n] = stream.T @ model.W_in[layer][:, units] * factors
            new.b_in[layer, :n] = model.b_in[layer][units] * factors
            new.W_out[layer, :n] = model.W_out[layer][units] @ stream / factors[:, None]
        new.W_U.copy_(stream.T @ model.W_U)
    return new


def orthogonal(normal: Float[Tensor, "*many n k"]) -> Float[Tensor, "*many n k"]:
    """Random orthogonal columns from normal numbers: Q of QR, where R's diagonal is positive."""
    q, r = torch.linalg.qr(normal)
    signs: Tensor = q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    return signs
