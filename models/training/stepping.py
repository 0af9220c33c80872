"""One step of training: the objective's losses, gradients, optimizers, and the moving average."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.training.busy import Busy
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.muon import Muon
from knowncircuits.models.training.objectives import OBJECTIVES, EdgeInterchanges, Step, Term
from knowncircuits.models.training.readout import OtherLengths
from knowncircuits.transformer import Transformer


@dataclass(frozen=True)
class Losses:
    """What one step has seen, before weights."""

    terms: Mapping[Term, float]  # the objective's; 0 where there was nothing to interchange
    gradient_norm: float  # before clipping; the largest, if there are several updates

    @property
    def total(self) -> float:
        """The sum of all terms."""
        return sum(self.terms.values())


class Stepper:
    """Steps weights by an objective's losses; the model follows them as their average, or is them.

    `moving` holds the weights that are stepped.
    """

    def __init__(
        self, placed: Placed, config: TrainingConfig, inputs: Int[Tensor, "input pos"]
    ) -> None:
        """The model that results is the placed one; `inputs` are some that it is trained on."""
        self.config, self.model = config, placed.model
        self.moving = deepcopy(placed.model) if config.average else placed.model
        moving = replace(placed, model=self.moving)
        self.objective = OBJECTIVES[config.objective](moving)
        self.objective.silent_weight = config.silent_weight
        if config.busy and isinstance(self.objective, EdgeInterchanges):
            self.objective.occupy(Busy(moving, config.busy, config.seed, inputs))
        if config.other_lengths and isinstance(self.objective, EdgeInterchanges):
            self.objective.others = OtherLengths(config.other_lengths)
        self.optimizers = _optimizers(self.moving, config)

    def step(self, step: Step, rate: float, n_steps: int) -> Losses:
        """Take a step on each of the objective's losses in turn.

        Args:
            step: what they are computed on.
            rate: the learning rates, as a share of the highest.
            n_steps: how many steps this one makes.
        """
        seen: dict[Term, float] = dict.fromkeys(self.objective.terms, 0.0)
        norm = 0.0
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
        for losses in self.objective.losses(step):
            self.moving.zero_grad()
            weighted = [self.config.weight(term) * loss for term, loss in losses.items()]
            torch.autograd.backward(torch.stack(weighted).sum())
            clipped = torch.nn.utils.clip_grad_norm_(self.moving.parameters(), self.config.clip)
            with torch.device("cpu"):  # on which Adam counts its steps
                for optimizer in self.optimizers:
                    optimizer.step()
            seen |= {term: loss.item() for term, loss in losses.items()}
            norm = max(norm, float(clipped))
        self._average(n_steps)
        return Losses(seen, norm)

    @torch.no_grad()
    def _average(self, n_steps: int) -> None:
        """Let the model follow the weights that are stepped; closely at first, from any start."""
        if self.config.average:
            kept = kept_share(self.config, n_steps)
            for mean, moving in zip(self.model.parameters(), self.moving.parameters(), strict=True):
                mean.lerp_(moving, 1 - kept)


def kept_share(config: TrainingConfig, n_steps: int) -> float:
    """What the average keeps of its past in a step, as the last of so many."""
    return min(config.average, n_steps / (n_steps + 9))


def _optimizers(model: Transformer, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Muon, if it is asked for, and Adam for the rest; groups know their highest rate, `peak`."""
    optimizers: list[torch.optim.Optimizer] = []
    rest = list(model.parameters())
    if config.optimizer == "muon":
        muon = Muon(model, config.muon_rate)
        taken = {id(p) for p in muon.parameters}
        rest = [p for p in rest if id(p) not in taken]
        optimizers.append(muon)
    optimizers.append(torch.optim.Adam(rest, lr=config.learning_rate, betas=config.betas))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers
