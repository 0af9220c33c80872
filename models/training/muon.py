"""Muon for a transformer's matrices (Jordan et al., 2024, kellerjordan.github.io/posts/muon).

A matrix moves by its momentum with all singular values brought to about one: directions of small
gradients, such as those of rare answers, move as far as those of large ones. Adam, which scales
entry by entry, needs several times the steps to form a circuit; `knowncircuits bench training`
compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.transformer import Transformer

# Newton-Schulz iteration: five times an odd polynomial that takes singular values between 0 and 1
# to the neighbourhood of 1. The coefficients are the authors'.
A, B, C = 3.4445, -4.7750, 2.0315
ITERATIONS = 5
MATRICES = ("W_QKV", "W_O", "W_in", "W_out", "W_gate")


class Muon(torch.optim.Optimizer):
    """Muon for one transformer's attention and MLP matrices; other weights are left to Adam.

    The heads of a layer are one matrix, [d_model, n_heads * d_head] for each of q, k and v, and as
    much for what they write: orthogonalised one by one, heads that are not needed would move as
    fast as those that are.
    """

    def __init__(self, model: Transformer, lr: float, momentum: float = 0.95) -> None:
        """`lr`: how far each singular direction moves in a step."""
        named = dict(model.named_parameters())
        self.parameters = [named[name] for name in MATRICES if name in named]
        super().__init__(self.parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix."""
        for group in self.param_groups:
            parameters = group["params"]
            updates = [self._update(p, group["momentum"]) for p in parameters]
            for parameter, (move, scale) in zip(parameters, moves(updates), strict=True):
                parameter.sub_(move, alpha=group["lr"] * scale)

    def _update(self, parameter: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average: Tensor = state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(average, momentum)


def moves(updates: Sequence[Tensor]) -> list[tuple[Tensor, float]]:
    """What is taken off each matrix, and by which factor, at a learning rate of one.

    Args:
        updates: of the parameters in the order of MATRICES; of several models of one shape, with a
            leading dimension.
    """
    qkv, out, *mlp = updates
    # What writes is transposed: matrices of one shape then share one iteration.
    by_letter = qkv.movedim(-3, -2)
    writing = out.flatten(-3, -2).mT.unsqueeze(-3)
    heads = orthogonalised(torch.cat([by_letter.flatten(-2), writing], -3))
    found = [
        heads[..., :3, :, :].reshape(by_letter.shape).movedim(-2, -3),
        heads[..., 3, :, :].mT.reshape(out.shape),
    ]
    widths = [heads.shape[-2:], heads.mT.shape[-2:]]
    if mlp:
        into, back, *gate = orthogonalised(torch.stack([mlp[0], mlp[1].mT, *mlp[2:]]))
        found += [into, back.mT, *gate]
        widths += [move.shape[-2:] for move in found[2:]]
    scales = [max(1.0, n_out / n_in) ** 0.5 for n_in, n_out in widths]
    return list(zip(found, scales, strict=True))


def orthogonalised(x: Float[Tensor, "*stack rows columns"]) -> Float[Tensor, "*stack rows columns"]:
    """Each matrix with its singular values brought near one, between about 0.7 and 1.2.

    Zero stays zero.
    """
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    return x.mT if tall else x
