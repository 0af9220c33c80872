"""The inputs that a model is trained on, and those that it is validated on."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.cases.case import Case
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError
from knowncircuits.models.training.balance import balanced_weights
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.objectives import draw_uniform

Inputs = Int[Tensor, "input pos"]
Pairs = tuple[Int[Tensor, "pair pos"], Int[Tensor, "pair pos"]]


class TrainingInputs:
    """Ids of a case's inputs, BOS first, drawn once; pairs of them are drawn for every step."""

    def __init__(self, compiled: Compiled, config: TrainingConfig) -> None:
        """Draw by the config's seed, on the compiled model's device.

        Raises ModelError for a program that is no case: it has no parts for training and testing.
        """
        if not isinstance(compiled.case, Case):
            raise ModelError("expected a compiled case, whose inputs can be drawn, got a program")
        train, test = (
            compiled.to_ids(compiled.case.draw(n, config.seed, split=split))
            for n, split in ((config.n_inputs, "train"), (2 * config.n_validation, "test"))
        )
        base, source = test.chunk(2)
        self.train: Inputs = train
        self.validation: Pairs = (base, source)  # of inputs that are never trained on
        self._config = config
        weights = balanced_weights(compiled, train) if config.balanced else None
        self._cumulative = None if weights is None else weights.cumsum(0)

    def draw_pairs(self, generator: torch.Generator) -> Pairs:
        """A batch of base and source inputs, a share of them with rare answers.

        Places are drawn on the CPU, so that devices see the same batches.
        """
        shape = (2, self._config.batch_size)
        chosen = torch.randint(len(self.train), shape, generator=generator, device="cpu")
        if self._cumulative is not None:
            draws = draw_uniform(*shape, generator=generator, dtype=torch.float64)
            rare = torch.searchsorted(self._cumulative, draws).clamp(max=len(self.train) - 1)
            balanced = draw_uniform(*shape, generator=generator) < self._config.balanced
            chosen = torch.where(balanced, rare, chosen)
        base, source = self.train[chosen.to(self.train.device)]
        return base, source
