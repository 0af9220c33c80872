"""Prompts of one modality with their right and wrong answers, and the model that is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import expect, takes
from knowncircuits.errors import InputError, ModelError, TaskError
from knowncircuits.evaluation.modalities.positions import PositionClasses
from knowncircuits.evaluation.task import Task
from knowncircuits.inference import ordinary
from knowncircuits.models.interop.bridge import BridgedModel
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.interop.lens_library import HookedRootModule, TransformerBridge
from knowncircuits.shown import Card, Shown, counted
from knowncircuits.transformer import Transformer

Hooked: TypeAlias = HookedRootModule | TransformerBridge
BATCH_SIZE = 64  # runs at a time

Answers = Float[Tensor, "batch d_vocab_out"]  # logits at the position of the answer


@dataclass(frozen=True, eq=False, repr=False)
class Prompts(Shown):
    """Pairs of clean and corrupted prompts of one length, and a hooked model.

    The model is a hooked twin or any TransformerLens bridge, with grouped queries and parallel MLPs
    too: what is looked at are its `hook_z`, `mlp.hook_post` and `hook_resid_post`.
    """

    name: str  # of the modality
    model: Hooked
    clean: Int[Tensor, "pair pos"]
    corrupted: Int[Tensor, "pair pos"]
    right: Int[Tensor, " pair"]  # ids of the answers to the clean prompts
    wrong: Int[Tensor, " pair"]  # and to the corrupted ones
    classes: PositionClasses
    # Ids of the answers that are told apart, as in the study; by default every token's.
    among: Int[Tensor, " choice"] | None = None

    def __post_init__(self) -> None:
        expect(self.model, HookedRootModule | TransformerBridge, "model")
        expect(self.classes, PositionClasses, "classes")
        for name in ("clean", "corrupted", "right", "wrong"):
            expect(getattr(self, name), Tensor, name)
            object.__setattr__(self, name, ordinary(getattr(self, name)))
        shape = (len(self.right), self.classes.n_positions)
        for name in ("clean", "corrupted"):
            if getattr(self, name).shape != shape or not shape[0]:
                raise TaskError(
                    f"expected {name} prompts of shape {list(shape)}, as many as answers, got "
                    f"{list(getattr(self, name).shape)}"
                )
        self._check_ids()
        if self.wrong.shape != self.right.shape or (self.wrong == self.right).any():
            raise TaskError("expected a wrong answer for each prompt that differs from the right")
        if self.among is not None and not torch.isin(self.right, self.among).all():
            raise TaskError(
                f"expected right answers among {self.among.tolist()}, got "
                f"{int(self.right[~torch.isin(self.right, self.among)][0])}"
            )

    def _card(self) -> Card:
        positions = counted(self.classes.n_positions, "position")
        return Card(self.name, (f"{counted(self.n_pairs, 'pair')} of {positions}",))

    def _check_ids(self) -> None:
        """Raise TaskError for tokens outside the vocabulary, and for answers that are no output."""
        ids = {"clean": 2, "corrupted": 2, "right": 1, "wrong": 1}
        ids |= {} if self.among is None else {"among": 1}
        for name, n_dims in ids.items():
            of = getattr(self, name)
            if of.is_floating_point() or of.dtype == torch.bool or of.ndim != n_dims:
                raise TaskError(
                    f"expected {name} to be ids in {n_dims} dimensions, got {of.dtype} of shape "
                    f"{list(of.shape)}"
                )
            n = self.model.cfg.d_vocab if n_dims == 2 else self.model.W_U.shape[-1]
            outside = of[(of < 0) | (of >= n)]
            if len(outside):
                raise TaskError(f"expected {name} to be ids from 0 to {n - 1}, got {outside[0]}")

    @classmethod
    @takes(task=Task, classes=PositionClasses)
    def of_task(cls, task: Task, classes: PositionClasses, name: str = "") -> Prompts:
        """A task's pairs with its labels, or the model's own answers: the clean run's is right.

        Pairs of which both runs give the same answer are left out.

        Raises TaskError where none is left, for several answers of a pair and for classes of other
        positions; ModelError for a model without hooks.
        """
        if classes.n_positions != task.clean.shape[1]:
            raise TaskError(
                f"expected classes of {task.clean.shape[1]} positions, got {classes.n_positions}"
            )
        right, wrong = _labels(task, classes.generation[-1])
        differ = right != wrong
        if not differ.any():
            raise TaskError("expected a pair with two answers, got the same one for both of each")
        clean, corrupted = task.clean[differ], task.corrupted[differ]
        model = hooked_model(task.model)
        return cls(
            name or task.name, model, clean, corrupted, right[differ], wrong[differ], classes
        )

    @property
    def n_pairs(self) -> int:
        """How many pairs there are."""
        return len(self.clean)

    def answered(self, logits: Answers, pairs: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Whether the right answer's logit is above all others; a tie is no answer.

        Logits that rounding alone tells apart are tied: a model that has nothing to say says that.
        """
        right = self.right[pairs][:, None]
        others = logits.scatter(1, right, float("-inf"))
        if self.among is not None:
            others = others[:, self.among]
        found: Tensor = logits.gather(1, right)[:, 0] - others.amax(1) > rounding(logits.dtype)
        return found

    def logit_diff(self, logits: Answers, pairs: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The right answer's logit less the wrong one's."""
        of_both = [logits.gather(1, ids[pairs][:, None])[:, 0] for ids in (self.right, self.wrong)]
        return of_both[0] - of_both[1]

    @cached_property
    def answers(self) -> Bool[Tensor, " pair"]:
        """Which clean prompts the model answers rightly."""
        found = []
        for pairs in rows_at_a_time(self.n_pairs, BATCH_SIZE, self.clean.device):
            with torch.no_grad():
                logits = self.model.run_with_hooks(self.clean[pairs], fwd_hooks=[])
            found.append(self.answered(self.at_answer(logits), pairs))
        return torch.cat(found)

    @property
    def accuracy(self) -> float:
        """The share of clean prompts that the model answers rightly."""
        return float(self.answers.double().mean())

    def at_answer(self, logits: Float[Tensor, "batch pos d_vocab_out"]) -> Answers:
        """What the model says where the answer is read."""
        return logits[:, self.classes.generation[-1]]

    def right_only(self) -> Prompts:
        """The prompts that are answered rightly, of which the study takes circuits.

        Raises TaskError where there is none.
        """
        right = self.answers
        if not right.any():
            raise TaskError(f"expected {self.name} prompts that are answered rightly, got none")
        names = ("clean", "corrupted", "right", "wrong")
        return replace(self, **{name: getattr(self, name)[right] for name in names})


def _labels(task: Task, last: int) -> list[Int[Tensor, " pair"]]:
    """The right and the wrong answer of each pair of a task."""
    if task.labels is None:
        return [run.logits[:, last].argmax(-1) for run in (task.clean_run, task.corrupted_run)]
    labels = task.labels.right, task.labels.wrong
    if any(answers.shape[1] > 1 for answers in labels):
        raise TaskError(
            "expected one right and one wrong answer of each pair, got up to "
            f"{labels[0].shape[1]} and {labels[1].shape[1]}"
        )
    return [answers[:, 0] for answers in labels]


def rounding(dtype: torch.dtype) -> float:
    """By how much logits may differ and say the same."""
    return 1e-9 if dtype == torch.float64 else 1e-4


def rows_at_a_time(n: int, size: int, device: torch.device) -> tuple[Int[Tensor, " row"], ...]:
    """0 to n - 1, so many at a time; raises InputError for less than one at a time."""
    if size < 1:
        raise InputError(f"expected a batch_size of at least 1, got {size}")
    return torch.split(torch.arange(n, device=device), size)


def hooked_model(model: object) -> Hooked:
    """The model with HookedTransformer's hooks; raises ModelError for one that has none."""
    if isinstance(model, BridgedModel):
        return model.bridge
    if isinstance(model, Transformer):
        return to_hooked(model)
    if isinstance(model, HookedRootModule | TransformerBridge):
        return model
    raise ModelError(f"expected a Transformer or a bridge, got a {type(model).__name__}")
