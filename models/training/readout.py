"""How far the compiled model's variables can be read off the nodes that stand for them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

# The share of the mean square of what is read that is added to each direction's. Readouts of a few
# hundred positions would otherwise fit noise in directions that are hardly used.
RIDGE = 1e-3
TINY = 1e-6  # the same for nodes that write nothing yet

# What nodes write and what they are to write, over pairs and positions.
Rows = tuple[Float[Tensor, "node row low"], Float[Tensor, "node row high"]]


class OtherLengths:
    """What nodes wrote when inputs were last of another length.

    A step has inputs of one length. What depends on the length alone is the same in all of them,
    and there would be nothing to read off the node that computes it.
    """

    def __init__(self, n: int) -> None:
        self.n = n  # rows that are kept of each length
        self.rows: dict[int, Rows] = {}

    def beside(self, length: int) -> list[Rows]:
        """Those of all lengths but this one, in their order."""
        return [rows for other, rows in sorted(self.rows.items()) if other != length]

    def keep(self, length: int, rows: Rows) -> None:
        """Some of a step's, from first to last."""
        n_rows = rows[0].shape[1]
        chosen = torch.linspace(0, n_rows - 1, min(self.n, n_rows)).long().to(rows[0].device)
        self.rows[length] = (rows[0][:, chosen].detach(), rows[1][:, chosen].detach())


def rows_of(
    written: Float[Tensor, "pair node pos low"], wanted: Float[Tensor, "pair node pos high"]
) -> Rows:
    """Pairs and positions in a row, node by node."""
    x, y = (outputs.movedim(1, 0).flatten(1, 2) for outputs in (written, wanted))
    return x, y


def unexplained(
    written: Float[Tensor, "pair node pos low"],
    wanted: Float[Tensor, "pair node pos high"],
    beside: Sequence[Rows] = (),
) -> Float[Tensor, " node"]:
    """The share of what each compiled node writes that no linear readout of its place explains.

    The readout is the best one for these very positions, by ridge regression: it has no weights to
    be trained. That it is best is also why gradients need not flow through it.

    Args:
        written: by the low-level nodes.
        wanted: by the compiled ones that they stand for, in the same order.
        beside: rows that the readout is to explain as well.

    Returns:
        For each node a share of the variance over pairs and positions, from 0 to about 1; 0 where
        there is none.
    """
    x, y = rows_of(written, wanted)
    if beside:
        x = torch.cat([x, *(rows[0] for rows in beside)], 1)
        y = torch.cat([y, *(rows[1] for rows in beside)], 1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    with torch.no_grad():
        gram = x.mT @ x
        ridge = RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + TINY
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        readout = torch.linalg.solve(gram + ridge * eye, x.mT @ y)
    left, total = ((v**2).sum((1, 2)) for v in (y - x @ readout, y))
    return left / total.clamp(min=TINY)
