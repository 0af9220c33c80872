"""The settings of a training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field

from knowncircuits.checks.values import fit_all
from knowncircuits.errors import ModelError
from knowncircuits.models.choices import ObjectiveName
from knowncircuits.models.training.objectives import Term

# Pairs on which edges that are not inside must pass before training ends early.
ENDING = 1_000

# Objectives under which sets of edges read another input, so that outside nodes can have work.
OF_SETS = ("edges", "guided")

Schedule = Literal["cosine", "constant"]
OptimizerName = Literal["muon", "adam"]
Count = Annotated[int, Field(gt=0)]
Steps = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained; equal settings give equal weights on one machine."""

    objective: ObjectiveName = "edges"
    steps: Count = 2_000
    batch_size: Count = 64  # pairs of inputs in each step
    balanced: Share = 0.3  # share of inputs drawn so that rare answers are as frequent as others
    optimizer: OptimizerName = "muon"  # for attention's and MLPs' matrices; others are Adam's
    muon_rate: Positive = 0.02  # Muon's learning rate at the end of the warm-up
    learning_rate: Positive = 5e-3  # Adam's, likewise
    schedule: Schedule = "cosine"  # of both rates, to zero, or constant
    # Steps at which a cosine has ended and another begins, from `RESTART` of the rates before.
    restarts: tuple[int, ...] = ()
    warmup: Steps = 100
    betas: tuple[float, float] = (0.9, 0.98)
    clip: Positive = 1.0  # of the gradient's norm
    behaviour_weight: Positive = 1.0  # of the loss where nothing is patched
    patched_weight: Positive = 2.0  # of the loss under interchange
    # Weight of positions where no pair of a step has an answer; others have 1. `ioi` answers at 1
    # of 14.
    silent_weight: Positive = 1.0
    strict_weight: Positive = 0.4  # of `nodes`'s loss under interchange outside the circuit
    # Share of the single inside edges that are drawn by how far each fell short in validation.
    lagging: Share = 0.0
    # Share of its past that the weights' moving average keeps in a step, the average being the
    # model that results: high rates shake the weights more than it. 0: the weights themselves.
    average: Share = 0.0
    quiet: Steps = 0  # steps before outside edges read the source at all
    ramp: Steps = 0  # steps after that until they read nothing else
    alone: Steps = 0  # steps in which outside nodes write nothing
    rise: Steps = 0  # steps after that until they are as loud as they are
    # Weight of `guided`'s loss where variables cannot be read off their nodes.
    guide_weight: Positive = 0.5
    # Rows of each other length that variables are to be read off nodes in, too; see `OtherLengths`.
    other_lengths: Steps = 0
    busy: Share = 0.0  # share of outside nodes that get work; see `Busy`
    busy_weight: Positive = 1.0
    # Steps on inputs of all strata, shorter ones included, not on the sampler's alone.
    strata: bool = False
    shorter: Share = 0.3  # of these steps the share on shorter lengths; ...
    shorter_alone: Share = 0.3  # ... and as long as outside nodes write nothing
    # Share of steps on the strata that a certificate before the last step has missed.
    dwell: Share = 0.0
    # Share of pairs in which all edges that are not inside read the source at once; in others, a
    # random part of them does.
    together: Share = 0.5
    # Share of each batch that are the worst pairs of earlier steps, run again; see `Replay`.
    again: Share = 0.0
    n_inputs: Count = 100_000  # training inputs that are drawn once
    validate_every: Count = 100
    n_validation: Count = 1_000  # pairs of test inputs
    # Steps from a validation that passes to an early end, rates falling to zero.
    cooldown: Steps = 100
    ending_pairs: Count = ENDING  # on which each inside edge must pass then
    seed: int = 0

    def __post_init__(self) -> None:
        """Make every value what its annotation says; raises ModelError for one that cannot be."""
        for name, value in fit_all(vars(self), TrainingConfig, ModelError).items():
            object.__setattr__(self, name, value)
        if self.busy and self.objective not in OF_SETS:
            raise ModelError(
                f"expected busy nodes of objective edges or guided, got {self.objective}"
            )
        if self.again and self.objective not in OF_SETS:
            raise ModelError(
                f"expected pairs again of objective edges or guided, got {self.objective}"
            )
        if any(a >= b for a, b in pairwise((0, *self.restarts))):
            raise ModelError(f"expected restarts at rising steps above 0, got {self.restarts}")

    @staticmethod
    def following(objective: ObjectiveName) -> dict[str, Any]:
        """The objective with what others than those of sets of edges must do without."""
        without = {} if objective in OF_SETS else {"busy": 0.0, "again": 0.0}
        return {"objective": objective, **without}

    def weight(self, term: Term) -> float:
        """The weight of a term of the loss: the setting `behaviour_weight` for `behaviour`."""
        weight: float = getattr(self, f"{term}_weight")
        return weight


# What InterpBench's code trains its models with by default (Gupta et al., 2024): Adam at a constant
# rate, both betas 0.9, gradients clipped to 0.1, weights 1, 1 and 0.4. Its up to 2,000 epochs over
# 12,000 inputs and more are left to `steps`.
SIIT = TrainingConfig(
    objective="nodes",
    batch_size=256,
    balanced=0.0,
    optimizer="adam",
    learning_rate=1e-3,
    schedule="constant",
    warmup=0,
    betas=(0.9, 0.9),
    clip=0.1,
    behaviour_weight=1.0,
    patched_weight=1.0,
    strict_weight=0.4,
    cooldown=0,
)
