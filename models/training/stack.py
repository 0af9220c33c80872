"""Models of one shape trained in one batch: a pass, a loss and an update for a stack of weights.

For GPUs, of which one small model leaves most idle. What is drawn is drawn for each model by
its own trainer, and each is judged by its own validations: a model in a stack sees what it sees
alone, and its losses and weights are the same but for rounding, which grows with the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ModelError
from knowncircuits.inference import recorded_gradients
from knowncircuits.models.training.config import OF_SETS, TrainingConfig
from knowncircuits.models.training.objectives import (
    EdgeInterchanges,
    Step,
    Term,
    losses_at,
    targets,
)
from knowncircuits.models.training.readout import unexplained
from knowncircuits.models.training.stacked_weights import PerModel, StackedWeights
from knowncircuits.models.training.stepping import Losses
from knowncircuits.models.training.trainer import Trainer, check_finite
from knowncircuits.transformer import Transformer, weights_hash
from knowncircuits.work.progress import report

Tokens: TypeAlias = Int[Tensor, "model pair pos"]
Targets: TypeAlias = tuple[Tensor, Bool[Tensor, "model pair pos"]]  # see `targets`

# Settings with which a model trains alone, where they are not as by default.
ALONE = ("busy", "alone", "rise", "again", "other_lengths", "strata", "dwell", "silent_weight")


def shape_of(low: TransformerConfig, config: TrainingConfig, *, numerical: bool) -> Hashable | None:
    """What models have in common that can be in one stack; None for those that train alone.

    All but tokens, answers and seeds. Alone are objectives of nodes or of behaviour, outside nodes
    that have work, and inputs of several lengths.

    Args:
        low: the sizes of the model that is trained.
        config: how.
        numerical: whether it answers by numbers.
    """
    usual = all(getattr(config, name) == getattr(TrainingConfig, name) for name in ALONE)
    if config.objective not in OF_SETS or not usual:
        return None
    return replace(low, d_vocab=1, d_vocab_out=1), replace(config, seed=0), numerical


class Stack:
    """Trainers whose models take every step together."""

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        """Take over their weights; raises ModelError for models of several shapes, or alone."""
        shapes = {_shape(trainer) for trainer in trainers}
        if len(shapes) != 1 or None in shapes:
            raise ModelError(f"expected models that can be stacked, got {len(shapes)} shapes")
        self.trainers, self.config = list(trainers), trainers[0].config
        self.device = trainers[0].placed.model.device
        self.objectives = [_objective(trainer) for trainer in trainers]
        self.weights = StackedWeights([trainer.stepper for trainer in trainers])
        n_tokens, n_answers = (self.weights.values[k].shape[i] for k, i in (("W_E", 1), ("W_U", 2)))
        low = trainers[0].placed.model.config
        low = replace(low, d_vocab=n_tokens, d_vocab_out=n_answers)
        self.runs = PairOfRuns(low, self.device)
        compiled = [weights_hash(trainer.placed.compiled.model) for trainer in trainers]
        # Models that follow the same compiled one; it runs once for all of them.
        self.groups = [
            [i for i, other in enumerate(compiled) if other == one]
            for one in dict.fromkeys(compiled)
        ]
        self.guided = any(objective.guided for objective in self.objectives)
        # The model and the place of each node that is read off, in the order of the groups.
        self.places = self._indices(
            (i, node)
            for group in self.groups
            for i in group
            for node in self.objectives[i].low_nodes
        )
        self.high_places = [
            self._indices(
                (row, node) for row, i in enumerate(group) for node in self.objectives[i].high_nodes
            )
            for group in self.groups
        ]

    @recorded_gradients()
    def step(self) -> list[Losses]:
        """Take a step of each model; see `Trainer.step`."""
        steps = [trainer.draw() for trainer in self.trainers]
        terms = self._losses(steps)
        total = torch.stack([self.config.weight(name) * loss for name, loss in terms.items()])
        trained = self.weights.trained
        values = [self.weights.values[name] for name in trained]
        gradients = torch.autograd.grad(total.sum(), values, materialize_grads=True)
        rates = torch.tensor([t.rate for t in self.trainers], dtype=torch.float64, device="cpu")
        for trainer in self.trainers:
            trainer.n_steps += 1
        norms = self.weights.update(
            dict(zip(trained, gradients, strict=True)), rates, [t.n_steps for t in self.trainers]
        )
        *found, clipped = torch.stack([*terms.values(), norms]).tolist()
        return [
            Losses(dict(zip(terms, losses, strict=True)), norm)
            for *losses, norm in zip(*found, clipped, strict=True)
        ]

    def _indices(self, pairs: Iterable[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """First and second numbers, to index with."""
        indices = torch.tensor([*pairs], dtype=torch.long, device=self.device).reshape(-1, 2)
        return indices[:, 0], indices[:, 1]

    def hand_back(self) -> None:
        """Give the trainers their weights and their optimizers' memory."""
        self.weights.hand_back()

    def _losses(self, steps: Sequence[Step]) -> dict[Term, PerModel]:
        """See `EdgeInterchanges.losses`."""
        masks = [
            objective.masks(*objective.draw(len(step.base), step.generator, step.emphasis))
            for objective, step in zip(self.objectives, steps, strict=True)
        ]
        base = torch.stack([step.base for step in steps])
        source = torch.stack([step.source for step in steps])
        on_source, wanted, written = self._targets(base, source, [high for high, _ in masks])
        weights = {f"model.{name}": stack for name, stack in self.weights.values.items()}
        run = vmap(lambda of, *pairs: functional_call(self.runs, of, pairs))
        source_logits, logits, outputs = run(
            weights, base, source, torch.stack([low for _, low in masks])
        )
        losses: dict[Term, PerModel] = {
            "behaviour": _mean_losses(source_logits, *on_source),
            "patched": _mean_losses(logits, *wanted),
        }
        if self.guided:
            models, nodes = self.places
            read = outputs[models, :, nodes].movedim(0, 1)
            shares = unexplained(read, written)
            losses["guide"] = shares.new_zeros(len(steps)).index_add(0, models, shares)
        return losses

    @torch.no_grad()
    def _targets(
        self, base: Tokens, source: Tokens, masks: Sequence[Tensor]
    ) -> tuple[Targets, Targets, Float[Tensor, "pair node pos high"]]:
        """What the compiled models answer on the source and under masks, and what nodes write."""
        n_pairs = base.shape[1]
        found: list[tuple[Tensor, ...]] = []
        written = []
        for group, (rows, nodes) in zip(self.groups, self.high_places, strict=True):
            placed = self.objectives[group[0]].placed
            high = placed.compiled.model
            clean = high.run(source[group].flatten(0, 1))
            mask = torch.cat([masks[i] for i in group])
            patched = high.run(base[group].flatten(0, 1), clean.outputs, mask)
            both = (*targets(placed, clean.logits), *targets(placed, patched.logits))
            found.append(tuple(t.reshape(len(group), n_pairs, *t.shape[1:]) for t in both))
            if self.guided:
                outputs = patched.outputs.reshape(len(group), n_pairs, *patched.outputs.shape[1:])
                written.append(outputs[rows, :, nodes].movedim(0, 1))
        order = torch.tensor([i for group in self.groups for i in group], device="cpu").argsort()
        together = [torch.cat(parts)[order] for parts in zip(*found, strict=True)]
        width = max((outputs.shape[-1] for outputs in written), default=0)
        # Directions in which nothing is written have nothing to be explained.
        padded = [functional.pad(w, (0, width - w.shape[-1])) for w in written]
        variables = torch.cat(padded, 1) if padded else base.new_zeros(n_pairs, 0, base.shape[2], 0)
        return (together[0], together[1]), (together[2], together[3]), variables.float()


class PairOfRuns(nn.Module):
    """A model's runs of a step, as a function of its weights: `functional_call` wants a module."""

    def __init__(self, config: TransformerConfig, device: torch.device) -> None:
        super().__init__()
        self.model = Transformer(config, device=device)
        self.model.dense_masks = True

    def forward(
        self,
        base: Int[Tensor, "pair pos"],
        source: Int[Tensor, "pair pos"],
        mask: Float[Tensor, "pair edge"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits on the source; logits and outputs on the base, whose edges read the source."""
        clean = self.model.run(source)
        patched = self.model.run(base, clean.outputs, mask)
        return clean.logits, patched.logits, patched.outputs


def train_stack(
    waiting: Iterable[Trainer],
    size: int,
    *,
    on_validation: Callable[[Trainer], None] = lambda trainer: None,
) -> Iterator[tuple[Trainer, ModelError | None]]:
    """Train models of one shape, so many at a time; the next takes the place of one that is done.

    Args:
        waiting: trainers, made when there is a place for them.
        size: of the stack.
        on_validation: told of each trainer that was validated and goes on.

    Yields:
        Each trainer that is done, and the error of one that diverged. It leaves the stack, unless
        `go_on` takes its end back before the next is asked for.
    """
    waiting = iter(waiting)
    running: list[Trainer] = []
    while running := [*running, *islice(waiting, size - len(running))]:
        diverged = {}
        if not any(trainer.done for trainer in running):
            diverged = _train_until_done(Stack(running), on_validation)
        for trainer in running:
            if trainer.done or trainer in diverged:
                yield trainer, diverged.get(trainer)
        running = [t for t in running if not (t.done or t in diverged)]


def _train_until_done(
    stack: Stack, on_validation: Callable[[Trainer], None]
) -> dict[Trainer, ModelError]:
    """Step until the first is done, or has diverged: these with their errors."""
    trainers = stack.trainers
    diverged: dict[Trainer, ModelError] = {}
    while not (diverged or any(trainer.done for trainer in trainers)):
        for trainer, losses in zip(trainers, stack.step(), strict=True):
            try:
                check_finite(trainer, losses)
            except ModelError as error:
                diverged[trainer] = error
        due = [t for t in trainers if t.ending.due(t.n_steps) and t not in diverged]
        if due or diverged:
            stack.hand_back()
        for trainer in due:
            trainer.ending.judge(trainer.ending.validate(), trainer.n_steps)
            on_validation(trainer)
        report(min(trainer.n_steps for trainer in trainers), stack.config.steps)
    return diverged


def _shape(trainer: Trainer) -> Hashable | None:
    numerical = trainer.placed.compiled.output.numerical
    return shape_of(trainer.placed.model.config, trainer.config, numerical=numerical)


def _objective(trainer: Trainer) -> EdgeInterchanges:
    objective = trainer.stepper.objective
    assert isinstance(objective, EdgeInterchanges)  # says the shape
    return objective


def _mean_losses(
    logits: Float[Tensor, "model pair pos out"],
    answers: Tensor,
    counts: Bool[Tensor, "model pair pos"],
) -> PerModel:
    """The loss of each model, as in `answer_loss`."""
    each = losses_at(logits.flatten(0, 1), answers.flatten(0, 1), counts.flatten(0, 1))
    summed: Tensor = each.reshape(len(counts), -1).sum(1) / counts.flatten(1).sum(1)
    return summed
