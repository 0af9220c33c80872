"""What makes outside nodes live: they write variables, as loudly as inside ones, and are read.

Three losses, of one run under an interchange and one without:
- of what each outside node writes, the share of the variance that its variable does not explain;
- how far its spread falls short of that of the median inside node;
- how far each input of a circuit's node reads less of it than of a true source, linearly, by the
  variance that is read and by weights alone. In a model of ordinary training nodes read all sorts
  of writes that come to nothing in their answer, which is what makes circuits hard to read off
  weights. That no answer depends on such a read is what interchanges train, as everywhere.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.reads import norms_before, output_grams, readers
from knowncircuits.models.training.readout import TINY, unexplained
from knowncircuits.models.training.side_signals import SideSignals, Signals

SPREAD = 0.8  # that outside nodes are to reach, of the median inside node's
READ = 1.2  # that inside nodes read of each of them, of what they read of their truest source

Written = Float[Tensor, "pair source pos d_model"]
Covariances = Float[Tensor, "source d_model d_model"]


class Busy:
    """The losses of one low-level model whose outside nodes have work."""

    def __init__(
        self, placed: Placed, share: float, seed: int, inputs: Int[Tensor, "input pos"]
    ) -> None:
        """See `SideSignals`."""
        self.placed = placed
        self.signals = SideSignals(placed, share, seed, inputs)
        # Heads and MLPs at an end of an inside edge, or else all that the circuit is placed at.
        inside = {*placed.circuit.inside_nodes}
        ends = [i for i in self.signals.inside if placed.model.graph.sources[i] in inside]
        self.inside = ends or self.signals.inside

    def loss(self, got: Written, wanted: Signals, clean: Written) -> Float[Tensor, ""]:
        """The sum of the three losses.

        Args:
            got: what nodes write in a run under an interchange.
            wanted: the signals of that run.
            clean: what nodes write in a run without one.
        """
        nodes = self.signals.nodes
        signals = wanted[:, 1:, nodes].movedim(2, 1)[..., None]
        unlike = unexplained(signals, got[:, nodes, 1:])
        covariances = _covariances(clean[:, :, 1:])
        unread = self._unread(covariances) + self._unread(output_grams(self.placed.model))
        return unlike.sum() + self._quiet(covariances).sum() + unread

    def _quiet(self, covariances: Covariances) -> Float[Tensor, " node"]:
        """How far each outside node's spread falls short; a squared logarithm."""
        spreads = (covariances.diagonal(dim1=1, dim2=2).sum(1) + TINY**2).sqrt()
        inside = spreads[self.inside].quantile(0.5)
        return (SPREAD * inside / spreads[self.signals.nodes]).log().relu().square()

    def _unread(self, written: Covariances) -> Float[Tensor, ""]:
        """How far inside nodes' inputs read less of outside nodes; a mean of squared logarithms.

        Args:
            written: for each source the covariance of its writes, or the gram of what writes them.
        """
        found = []
        model = self.placed.model
        inside = torch.from_numpy(self.placed.correspondence.inside).to(written.device)
        # All but `logits`, where what is read is answered.
        places = zip(model.graph.blocks, readers(model), norms_before(model), strict=True)
        for block, matrices, (place, _) in list(places)[:-1]:
            truth = inside[block.start : block.stop].reshape(-1, block.n_sources)
            reading = truth.any(1)
            others = [node for node in self.signals.nodes if node < block.n_sources]
            if others and reading.any():
                gains = model.ln_w[place][:, None] if model.config.norms else 1.0
                W = gains * matrices[reading]
                grams = W @ W.mT
                read = torch.einsum("sij,dij->ds", written[: block.n_sources], grams)
                true = read.where(truth[reading], 0).amax(1, keepdim=True).detach()
                least = READ**2 * true.clamp(min=TINY)
                ratios = least / read[:, others].clamp(min=TINY**2)
                found.append((0.5 * ratios.log()).relu().square().flatten())
        return torch.cat(found).mean() if found else written.new_zeros(())


def _covariances(written: Written) -> Covariances:
    """Over pairs and positions."""
    flat = written.movedim(1, 0).flatten(1, 2)
    flat = flat - flat.mean(1, keepdim=True)
    return flat.mT @ flat / flat.shape[1]
