"""How far the compiled model's variables can be read off the nodes that stand for them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# Of the mean square of what is read, added to each direction's: readouts of a few hundred positions
# would otherwise fit noise in directions that are hardly used.
RIDGE = 1e-3
TINY = 1e-6  # the same for nodes that write nothing yet


def unexplained(
    written: Float[Tensor, "pair node pos low"], wanted: Float[Tensor, "pair node pos high"]
) -> Float[Tensor, " node"]:
    """The share of what each compiled node writes that no linear readout of its place explains.

    The readout is the best one for these very positions, by ridge regression: it has no weights to
    be trained. That it is best is also why gradients need not flow through it.

    Args:
        written: by the low-level nodes.
        wanted: by the compiled ones that they stand for, in the same order.

    Returns:
        For each node a share of the variance over pairs and positions, from 0 to about 1; 0 where
        there is none.
    """
    x, y = (outputs.movedim(1, 0).flatten(1, 2) for outputs in (written, wanted))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    with torch.no_grad():
        gram = x.mT @ x
        ridge = RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + TINY
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        readout = torch.linalg.solve(gram + ridge * eye, x.mT @ y)
    left, total = ((v**2).sum((1, 2)) for v in (y - x @ readout, y))
    return left / total.clamp(min=TINY)
