"""Contextual decomposition: what is read and written in two parts, one of which comes of a source.

The parts of a run, relevant and irrelevant, are carried through the model side by side, and always
add up to what the run itself has.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.layers import ACTIVATIONS
from knowncircuits.transformer import Transformer

TINY = 1e-8  # as published: parts that are both zero have equal shares, none


class Parts(NamedTuple):
    """Two tensors of one shape."""

    relevant: Tensor
    irrelevant: Tensor

    @property
    def total(self) -> Tensor:
        """What the run has."""
        return self.relevant + self.irrelevant

    def plus(self, other: Parts) -> Parts:
        """Part by part."""
        return Parts(self.relevant + other.relevant, self.irrelevant + other.irrelevant)

    def biased(self, bias: Tensor, by: Parts | None = None) -> Parts:
        """With a bias, which is shared out by the sizes of the parts, or of others.

        What is left over, all of it where both are zero, is irrelevant.
        """
        relevant, irrelevant = (part.abs() for part in by or self)
        share = bias * relevant / (relevant + irrelevant + TINY)
        return Parts(self.relevant + share, self.irrelevant + (bias - share))

    def of_one_sign(self) -> Parts:
        """Where the parts have opposite signs the larger one is all, and the other nothing."""
        opposite = self.relevant * self.irrelevant < 0
        larger = self.relevant.abs() >= self.irrelevant.abs()
        whole, none = self.total, torch.zeros_like(self.relevant)
        return Parts(
            torch.where(opposite, torch.where(larger, whole, none), self.relevant),
            torch.where(opposite, torch.where(larger, none, whole), self.irrelevant),
        )

    def share(self) -> Float[Tensor, "*batch"]:
        """The relevant part's, of the parts' mean sizes; 0 where both are zero."""
        sizes = [part.abs().mean(-1) for part in self]
        return (sizes[0] / (sizes[0] + sizes[1])).nan_to_num(0)


def normed(model: Transformer, x: Parts, place: int) -> Parts:
    """A norm, whose scale is that of the run."""
    c = model.config
    if c.norm == "none":
        return x
    centred = Parts(
        *(part - part.mean(-1, keepdim=True) if c.norm == "layer" else part for part in x)
    )
    scale = (centred.total.square().mean(-1, keepdim=True) + c.norm_eps).sqrt()
    scaled = Parts(*(part / scale * model.ln_w[place] for part in centred))
    return scaled.biased(model.ln_b[place], x) if c.norm == "layer" else scaled


def heads(model: Transformer, x: Parts, layer: int) -> Parts:
    """What a layer's heads write, [row, head, pos, d_model].

    A pattern of the relevant queries and keys alone hands on the relevant values; all else that a
    head writes is irrelevant.
    """
    read = normed(model, x, layer)
    projected = [torch.einsum("btd,ghdk->gbhtk", part, model.W_QKV[layer]) for part in read]
    parts = Parts(*projected).biased(model.b_QKV[layer][:, None, :, None])
    relevant, whole = model.rotate(parts.relevant), model.rotate(parts.total)
    ends = [
        torch.einsum("bhtk,hkd->bhtd", model.mixed(q, k, v), model.W_O[layer])
        for q, k, v in (relevant, whole)
    ]
    return Parts(ends[0], ends[1] - ends[0])


def mlp(model: Transformer, x: Parts, layer: int) -> Parts:
    """What a layer's MLP writes: a unit's relevant part is what it loses without that part."""
    read, used = normed(model, x, model.config.n_layers + layer), model.hidden[layer]
    hidden = _units(read, model.W_in[layer, :, :used], model.b_in[layer, :used])
    act = ACTIVATIONS[model.config.activation]
    if model.config.gated:
        gate = _units(read, model.W_gate[layer, :, :used], model.b_gate[layer, :used])
        whole = act(gate.total) * hidden.total
        without = act(gate.irrelevant) * hidden.irrelevant
    else:
        whole, without = act(hidden.total), act(hidden.irrelevant)
    active = Parts(whole - without, without)
    written = Parts(*(part @ model.W_out[layer, :used] for part in active))
    return written.biased(model.b_out[layer]).of_one_sign()


def logits(model: Transformer, x: Parts) -> Parts:
    """The parts of the logits of a final stream."""
    read = normed(model, x, -1)
    return Parts(*(part @ model.W_U for part in read)).biased(model.b_U)


def _units(read: Parts, weights: Tensor, bias: Tensor) -> Parts:
    return Parts(*(part @ weights for part in read)).biased(bias).of_one_sign()
