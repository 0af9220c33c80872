"""The inputs that a model is trained on, and those that it is validated on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.cases.case import Case
from knowncircuits.cases.strata import SAMPLER, draw_stratum, is_of_length, strata_of
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.quick import strata_pairs
from knowncircuits.models.training.balance import balanced_weights
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.objectives import draw_place, draw_uniform

Inputs = Int[Tensor, "input pos"]
Pairs = tuple[Int[Tensor, "pair pos"], Int[Tensor, "pair pos"]]

# For training on strata: how many pairs of each kind and of each shorter length are drawn once, and
# the share of pairs of the greatest length that are not the sampler's.
OF_KIND, OF_LENGTH = 8_000, 2_000
BEYOND = 0.5
OF_MISSED = 20_000  # pairs of a stratum that training dwells on
OF_STRATUM = 2  # a validation has one pair of each stratum for every two of its own


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
        n = config.n_validation // OF_STRATUM
        self.strata = strata_pairs(compiled, n, config.seed) if config.strata and n else {}
        self._compiled, self._config = compiled, config
        weights = balanced_weights(compiled, train) if config.balanced else None
        self._cumulative = None if weights is None else weights.cumsum(0)
        self._beyond, self._shorter = _strata(compiled, config.seed) if config.strata else ([], [])
        self._missed: dict[str, list[Tensor]] = {}

    def draw_pairs(
        self, generator: torch.Generator, *, alone: bool = False, missed: Sequence[str] = ()
    ) -> Pairs:
        """A batch of base and source inputs of one length, a share of them with rare answers.

        Places are drawn on the CPU, so that devices see the same batches.

        Args:
            generator: of all that is drawn.
            alone: whether outside nodes write nothing yet.
            missed: strata to dwell on, if the config says so.
        """
        n, dwell = self._config.batch_size, self._config.dwell
        if dwell and missed and float(draw_uniform(1, generator=generator)) < dwell:
            return _chosen(self._of(missed[draw_place(len(missed), generator)]), n, generator)
        shorter = self._config.shorter_alone if alone else self._config.shorter
        if self._shorter and float(draw_uniform(1, generator=generator)) < shorter:
            return _chosen(self._shorter[draw_place(len(self._shorter), generator)], n, generator)
        base, source = self._sampled(n - int(BEYOND * n) if self._beyond else n, generator)
        if not self._beyond:
            return base, source
        others = _chosen(self._beyond, n - len(base), generator)
        return torch.cat([base, others[0]]), torch.cat([source, others[1]])

    def _of(self, stratum: str) -> list[Tensor]:
        """Base and source inputs of a stratum, drawn where they are first asked for."""
        if stratum not in self._missed:
            # Others than those that every step draws from.
            self._missed[stratum] = _pairs(
                self._compiled, stratum, OF_MISSED, self._config.seed + 1
            )
        return self._missed[stratum]

    def _sampled(self, n: int, generator: torch.Generator) -> Pairs:
        """Pairs of the sampler's inputs."""
        shape = (2, n)
        chosen = torch.randint(len(self.train), shape, generator=generator, device="cpu")
        if self._cumulative is not None:
            draws = draw_uniform(*shape, generator=generator, dtype=torch.float64)
            rare = torch.searchsorted(self._cumulative, draws).clamp(max=len(self.train) - 1)
            balanced = draw_uniform(*shape, generator=generator) < self._config.balanced
            chosen = torch.where(balanced, rare, chosen)
        base, source = self.train[chosen.to(self.train.device)]
        return base, source


def _strata(compiled: Compiled, seed: int) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Base and source inputs of the strata beside the sampler, and for each shorter length.

    Those of the greatest length are of all kinds together, as many of each.
    """
    assert isinstance(compiled.case, Case)
    of_kinds: list[list[Tensor]] = []
    shorter: list[list[Tensor]] = []
    for stratum in strata_of(compiled.case):
        n = OF_LENGTH if is_of_length(stratum) else OF_KIND
        if stratum != SAMPLER:
            sides = _pairs(compiled, stratum, n, seed)
            (shorter if is_of_length(stratum) else of_kinds).append(sides)
    return [torch.cat(sides) for sides in zip(*of_kinds, strict=True)], shorter


def _pairs(compiled: Compiled, stratum: str, n: int, seed: int) -> list[Tensor]:
    """Base and source inputs of a stratum, for training."""
    assert isinstance(compiled.case, Case)
    pairs = draw_stratum(compiled.case, stratum, n, seed, split="train")
    return [compiled.to_ids(side) for side in (pairs.base, pairs.source)]


def _chosen(pairs: list[Tensor], n: int, generator: torch.Generator) -> Pairs:
    """Draw n of these pairs."""
    places = torch.randint(len(pairs[0]), (n,), generator=generator, device="cpu")
    base, source = (side[places.to(side.device)] for side in pairs)
    return base, source
