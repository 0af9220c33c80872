"""When training ends: after its last step, or early, where every edge passes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from knowncircuits.errors import MissedError
from knowncircuits.models.certificates.certifying import certify
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.quick import QuickAgreement, accuracy_alone, quick_agreement
from knowncircuits.models.training.config import ENDING, TrainingConfig
from knowncircuits.models.training.inputs import TrainingInputs


class Ending:
    """Validations, the cool-down after one that passes, and the certificate that has the last word.

    Training for behaviour is judged by behaviour.
    """

    def __init__(self, placed: Placed, config: TrainingConfig, inputs: TrainingInputs) -> None:
        """The model is judged as it is at each call, on pairs that are never trained on."""
        self.placed, self.config, self.inputs = placed, config, inputs
        self.natural = config.objective == "behaviour"
        self.lags: list[float] = []  # of the inside edges, in the last validation
        self.cooling_since: int | None = None  # the step at which a validation passed
        self.done = False
        self.missed: list[str] = []  # strata on which a certificate missed a threshold, in order

    @property
    def _cooled(self) -> int | None:
        """The step at which the present cool-down ends."""
        return None if self.cooling_since is None else self.cooling_since + self.config.cooldown

    def due(self, n_steps: int) -> bool:
        """Whether it is time to validate."""
        c = self.config
        return n_steps % c.validate_every == 0 or n_steps in (c.steps, self._cooled)

    def validate(self) -> QuickAgreement:
        """The certificate's quick form."""
        base, source = self.inputs.validation
        if self.natural:
            return accuracy_alone(self.placed, base)
        generator = torch.Generator("cpu").manual_seed(self.config.seed)
        return quick_agreement(self.placed, base, source, generator, strata=self.inputs.strata)

    def judge(self, agreement: QuickAgreement, n_steps: int) -> None:
        """Cool down after a validation that passes; after that, end if every edge passes, or go on.

        Validation sees outside edges dealt out over its pairs, too few for each to be certain.
        """
        # An edge under which no position counts cannot lag.
        self.lags = [1 - a.share if a.positions else 0.0 for a in agreement.inside.values()]
        if self.cooling_since is None and agreement.promising:
            self.cooling_since = n_steps
        if n_steps == self._cooled:
            self.done = agreement.promising and (self.natural or self._every_edge_passes())
            self.cooling_since = None
        self.done |= n_steps >= self.config.steps

    def miss(self, stratum: str) -> None:
        """Have training dwell on a stratum, if it is to dwell on any."""
        if stratum not in self.missed:
            self.missed.append(stratum)

    def _every_edge_passes(self) -> bool:
        """Whether every edge passes a certificate of few pairs, which are not those of its own one.

        Inside edges come first, on as many pairs as are asked for: there are few, and it is they
        that fall short.
        """
        c, inside = self.config, self.placed.circuit.edges()
        others = [edge for edge in self.placed.circuit.graph.edges if edge not in inside]
        return self._passes(inside, c.ending_pairs, [*self.inputs.strata]) and self._passes(
            others, min(c.ending_pairs, ENDING), ()
        )

    def _passes(self, edges: Sequence[str], n_pairs: int, strata: Sequence[str]) -> bool:
        try:
            certificate = certify(
                self.placed,
                n_pairs=n_pairs,
                edges=edges,
                seed=self.config.seed + 1,
                ablations=("resample",),
                strata=strata,
                until_missed=True,
            )
        except MissedError as error:
            self.miss(error.stratum)
            return False
        return not certificate.misses
