"""Interchange training: an ordinary transformer learns a compiled model's function and circuit.

One loss does both. Draw a base and a source input and a random set E of low-level edges; run the
low-level model on the base with E reading its own run on the source; run the compiled model with
the images of E, edges without one being dropped; train the first output to equal the second. E
within the circuit is interchange intervention training (Geiger et al., 2022), E outside it is
strictness, edge by edge; both are drawn together. That is the objective `edges`; it and the others
are in `knowncircuits.models.training.objectives`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from knowncircuits.architecture import TransformerConfig
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError, ResultError
from knowncircuits.files.writing import write_bytes
from knowncircuits.inference import ordinary_tensors, recorded_gradients
from knowncircuits.models.certificates.identity import TRAINED_DTYPE
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.quick import QuickAgreement
from knowncircuits.models.trained import Trained
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.ending import Ending
from knowncircuits.models.training.inputs import TrainingInputs
from knowncircuits.models.training.objectives import INTERCHANGES, Emphasis, Step
from knowncircuits.models.training.replay import Replay
from knowncircuits.models.training.schedule import emphasis, rate
from knowncircuits.models.training.start import start_from
from knowncircuits.models.training.stepping import Losses, Stepper
from knowncircuits.transformer import Transformer, weights_hash
from knowncircuits.work.progress import part, report

# Weights start at half the usual scale. From full scale the noise of a thousand random edges
# drowns the few that matter: under Adam, `histogram`'s circuit formed in 1,000 steps with half of
# it, and with all of it not in 4,000.
GAIN = 0.5
SCALING = 2_000  # inputs that side circuits' signals are scaled by
CHECKPOINT = "checkpoint.pt"  # in a model's folder, until training is done


class Trainer:
    """Trains one model, step by step; its state can be saved and loaded between any two."""

    @ordinary_tensors()
    def __init__(
        self,
        compiled: Compiled,
        correspondence: Correspondence,
        low: TransformerConfig,
        config: TrainingConfig,
        device: str | torch.device = "cpu",
        start: Trained | None = None,
    ) -> None:
        """Draw inputs and initial weights by the config's seed.

        All is in float32: of a model compiled in another dtype a copy is followed.

        With `start`, a model of the same widths, of at most as many layers and of at least the same
        tokens, its weights take the place of those that are drawn; see `start_from`.

        Raises ModelError where the sizes do not fit the compiled model and the correspondence, or
        those of `start`.
        """
        compiled = compiled.to(dtype=TRAINED_DTYPE, device=device)
        model = Transformer(low, device=device).initialise(config.seed, gain=GAIN)
        if low.norm == "layer":
            # All that reads a norm has a bias of its own. One that moves for all heads at once
            # holds up what each learns: with it `histogram` was at 51% on its worst inside edge
            # after 2,000 steps, without it certified after 1,900.
            model.ln_b.requires_grad_(False)
        self.config, self.placed = config, Placed(model, compiled, correspondence)
        wanted, got = ((c.n_ctx, c.causal) for c in (compiled.model.config, low))
        if wanted != got:
            raise ModelError(f"expected n_ctx and causality {wanted}, got {got}")
        self.start = weights_hash(start.model) if start else None
        if start:
            start_from(model, compiled, start)
        self.inputs = TrainingInputs(compiled, config)
        self.stepper = Stepper(self.placed, config, self.inputs.train[:SCALING])
        self.replay = Replay()
        self.ending = Ending(self.placed, config, self.inputs)
        # Everything random is drawn on the CPU, so that devices see the same batches.
        self.generator = torch.Generator("cpu").manual_seed(config.seed)
        self.n_steps = 0

    @property
    def done(self) -> bool:
        """Whether training has ended."""
        return self.ending.done

    @property
    def steps_left(self) -> bool:
        """Whether an end would be an early one."""
        return self.n_steps < self.config.steps

    def go_on(self, missed: str | None = None) -> None:
        """Take an early end back, if it was one; a certificate may have missed a stratum."""
        self.ending.done = not self.steps_left
        if missed:
            self.ending.miss(missed)

    @property
    def rate(self) -> float:
        """The next step's learning rates, as a share of the highest."""
        return rate(self.config, self.n_steps, self.ending.cooling_since)

    @property
    def emphasis(self) -> Emphasis:
        """What the next step's interchanges dwell on."""
        return emphasis(self.config, self.n_steps, self.ending.lags)

    def draw(self) -> Step:
        """What the next step is computed on, some of it pairs of earlier ones."""
        emphasis = self.emphasis
        base, source = self.inputs.draw_pairs(
            self.generator, alone=emphasis.volume == 0, missed=self.ending.missed
        )
        again, length = None, base.shape[1] - 1
        kept = self.config.again > 0 and emphasis.settled
        if kept:
            n = int(self.config.again * len(base))
            again = self.replay.draw(length, n, self.generator)
        if again is not None:
            n_new = len(base) - len(again.loss)
            base = torch.cat([base[:n_new], again.base])
            source = torch.cat([source[:n_new], again.source])
        return Step(base, source, self.generator, emphasis, again, kept)

    @recorded_gradients()
    def step(self) -> Losses:
        """Draw pairs, and take a step on each of the objective's losses in turn.

        Gradients are recorded, whatever the caller has switched off.
        """
        step = self.draw()
        losses = self.stepper.step(step, self.rate, self.n_steps + 1)
        seen, again = self.stepper.objective.seen, step.again
        if step.kept and seen is not None:
            length = step.base.shape[1] - 1
            self.replay.learn(length, seen, 0 if again is None else len(again.loss))
        self.n_steps += 1
        return losses

    def save(self, path: Path) -> None:
        """Write all that a later `load` needs to go on exactly; whole or not at all."""
        stepper, ending = self.stepper, self.ending
        state = {
            "settings": self._settings(),
            "steps": self.n_steps,
            "lags": ending.lags,
            "cooling_since": ending.cooling_since,
            "done": ending.done,
            "missed": ending.missed,
            "model": stepper.model.state_dict(),
            "moving": stepper.moving.state_dict() if self.config.average else {},
            "optimizers": [optimizer.state_dict() for optimizer in stepper.optimizers],
            "generator": self.generator.get_state(),
            "replay": self.replay.state(),
            "others": stepper.objective.others.rows if stepper.objective.others else {},
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; raises ResultError for one of other settings, or none at all."""
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            settings = state["settings"]
        except Exception as error:  # a broken archive can fail in any way
            raise ResultError(f"{path}: expected a checkpoint, got {error}") from error
        if settings != self._settings():
            raise ResultError(
                f"{path}: expected a checkpoint of {self._settings()}, got one of {settings}"
            )
        stepper, ending = self.stepper, self.ending
        stepper.model.load_state_dict(state["model"])
        if self.config.average:
            stepper.moving.load_state_dict(state["moving"])
        for optimizer, saved in zip(stepper.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        self.replay.load(state["replay"])
        if stepper.objective.others:
            stepper.objective.others.rows = state["others"]
        self.n_steps, ending.done = state["steps"], state["done"]
        ending.missed = state["missed"]
        ending.lags, ending.cooling_since = state["lags"], state["cooling_since"]

    def _settings(self) -> str:
        """What a checkpoint must agree in."""
        name, nodes = self.placed.compiled.name, sorted(self.placed.correspondence.nodes.items())
        settings = f"{name}, {self.config}, {self.placed.model.config}, {nodes}"
        return f"{settings}, from {self.start}" if self.start else settings


def train(
    trainer: Trainer,
    *,
    checkpoint: Path | None = None,
    on_step: Callable[[int, Losses], None] = lambda step, losses: None,
    on_validation: Callable[[int, QuickAgreement], None] = lambda step, agreement: None,
) -> QuickAgreement:
    """Train to the last step, or until the certificate passes on few pairs.

    Args:
        trainer: the model, the compiled one and the settings.
        checkpoint: a file to go on from, if it is there, and to write at each validation.
        on_step: told of every step.
        on_validation: told of every validation.

    Returns:
        The last validation.

    Raises:
        ResultError: for a checkpoint of other settings.
        ModelError: if the loss is no longer finite.
    """
    if checkpoint is not None and checkpoint.exists():
        trainer.load(checkpoint)
    agreement = trainer.ending.validate()
    with part(f"training {trainer.placed.compiled.name}"):
        while not trainer.done:
            losses = trainer.step()
            check_finite(trainer, losses)
            on_step(trainer.n_steps, losses)
            report(trainer.n_steps, trainer.config.steps, _progress_text(losses, agreement))
            if trainer.ending.due(trainer.n_steps):
                agreement = trainer.ending.validate()
                trainer.ending.judge(agreement, trainer.n_steps)
                on_validation(trainer.n_steps, agreement)
                if checkpoint is not None:
                    trainer.save(checkpoint)
    return agreement


def check_finite(trainer: Trainer, losses: Losses) -> None:
    """Raise ModelError if those of the last step are no longer finite."""
    config = trainer.config
    if not math.isfinite(losses.total):
        raise ModelError(
            f"training diverged at step {trainer.n_steps} ({losses}); lower learning rates "
            f"than {config.learning_rate:g} (Adam) and {config.muon_rate:g} (Muon) may help"
        )


def _progress_text(losses: Losses, agreement: QuickAgreement) -> str:
    """How training goes: losses of this step, and what the last validation found."""
    edge, worst = agreement.worst_inside
    answers = losses.terms["behaviour"]
    interchanges = sum(losses.terms.get(term, 0.0) for term in INTERCHANGES)
    return f"loss {answers:.3f} + {interchanges:.3f}, agreement {agreement.accuracy.share:.2%}" + (
        f", {edge} {worst:.2%}" if edge else ""
    )
