"""Labels of a task's own: the answers of each pair that are right, and those that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import expect
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import TaskError
from knowncircuits.rasp.values import Value, canonical
from knowncircuits.shown import Card, Shown, counted

NONE = -1  # fills up the rows of pairs that have fewer answers than others

# One answer, or a set of several that count alike.
OneOrMore = Value | frozenset[Value] | set[Value]
# The same for all pairs; for each pair its own, in a list; or what a function says of clean tokens.
Wanted = OneOrMore | Sequence[OneOrMore] | Callable[[list[Value]], OneOrMore]


@dataclass(frozen=True, eq=False, repr=False)
class Answers(Shown):
    """The right and the wrong answers of each pair, as outputs of the model.

    One of each, [pair], or several, [pair, answer], in rows that are filled up with -1.
    """

    right: Int[Tensor, pair * right]
    wrong: Int[Tensor, pair * wrong]

    def __post_init__(self) -> None:
        for name in ("right", "wrong"):
            answers = getattr(self, name)
            expect(answers, Tensor, name)
            whole = answers.dtype in (torch.int64, torch.int32, torch.int16, torch.uint8)
            if not whole or answers.ndim not in (1, 2) or not answers.numel():
                raise TaskError(
                    f"expected {name} answers as outputs of the model, [pair] or [pair, answer], "
                    f"got {answers.dtype} of shape {list(answers.shape)}"
                )
            answers = answers.reshape(len(answers), -1).long()
            if not (answers >= 0).any(1).all() or answers.min() < NONE:
                raise TaskError(
                    f"expected at least one {name} answer of each pair, and -1 for none"
                )
            object.__setattr__(self, name, answers)
        if len(self.right) != len(self.wrong):
            raise TaskError(
                f"expected as many right as wrong answers, got those of {len(self.right)} and of "
                f"{len(self.wrong)} pairs"
            )
        same = _within(self.right, self.wrong) & _within(self.wrong, self.right)
        if len(same) and same.all():
            raise TaskError(
                "expected wrong answers that differ from the right ones, got the same for all "
                f"{len(same)} pairs"
            )

    def _card(self) -> Card:
        most = f"up to {self.right.shape[1]} right and {self.wrong.shape[1]} wrong"
        return Card("", (counted(len(self), "pair"), f"{most} of each"))

    def __len__(self) -> int:
        return len(self.right)

    def of_pairs(self, pairs: Int[Tensor, " chosen"]) -> Answers:
        """Those of some of the pairs."""
        return Answers(self.right[pairs], self.wrong[pairs])

    def check(self, n_outputs: int) -> None:
        """Raise TaskError for an answer that a model of so many outputs does not have."""
        largest = int(max(self.right.max(), self.wrong.max()))
        if largest >= n_outputs:
            raise TaskError(f"expected answers among {n_outputs} outputs, got {largest}")

    @property
    def swapped(self) -> Answers:
        """Right and wrong, the other way round."""
        return Answers(self.wrong, self.right)

    def lead(
        self, values: Float[Tensor, "batch pos output"], pairs: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch pos"]:
        """The mean of the values of a pair's right answers, less that of its wrong ones."""
        return _mean(values, self.right[pairs]) - _mean(values, self.wrong[pairs])

    def gap(
        self, values: Float[Tensor, "batch pos output"], pairs: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch pos"]:
        """As `lead`, of sums: for probabilities, of which several answers have theirs together."""
        return _sum(values, self.right[pairs]) - _sum(values, self.wrong[pairs])


def _within(
    answers: Int[Tensor, "pair answer"], others: Int[Tensor, "pair other"]
) -> Bool[Tensor, " pair"]:
    """For which pairs all answers are among some others."""
    among: Tensor = (answers[:, :, None] == others[:, None]).any(2) | (answers == NONE)
    return among.all(1)


def _sum(values: Tensor, answers: Int[Tensor, "batch answer"]) -> Tensor:
    places = answers.clamp(min=0)[:, None].expand(-1, values.shape[1], -1)
    return (values.gather(-1, places) * _known(answers, values)).sum(-1)


def _mean(values: Tensor, answers: Int[Tensor, "batch answer"]) -> Tensor:
    return _sum(values, answers) / _known(answers, values).sum(-1)


def _known(answers: Int[Tensor, "batch answer"], values: Tensor) -> Tensor:
    known: Bool[Tensor, "batch answer"] = answers != NONE
    return known.to(values.dtype)[:, None]


def encode_answers(
    compiled: Compiled, inputs: Sequence[list[Value]], labels: tuple[Wanted, Wanted]
) -> Answers:
    """Labels in the values of a program, as outputs of its models.

    Args:
        compiled: whose output's values they are.
        inputs: the clean tokens of each pair.
        labels: the right and the wrong answers.

    Raises TaskError for a program of numbers, for values that it never has, for lists of another
    length than there are pairs, and for anything else than two.
    """
    if compiled.output.numerical:
        raise TaskError(
            f"expected labels of a program with categories, {compiled.name} has numbers"
        )
    if not isinstance(labels, tuple) or len(labels) != 2:
        raise TaskError(f"expected labels (right, wrong), got {labels!r}")
    right, wrong = (_encode(compiled, inputs, wanted) for wanted in labels)
    return Answers(right, wrong)


def _encode(
    compiled: Compiled, inputs: Sequence[list[Value]], wanted: Wanted
) -> Int[Tensor, "pair answer"]:
    if callable(wanted):
        found = [wanted(tokens) for tokens in inputs]
    elif isinstance(wanted, list):
        found = wanted
    else:
        found = [wanted] * len(inputs)
    if len(found) != len(inputs):
        raise TaskError(f"expected labels of {len(inputs)} pairs, got {len(found)}")
    outputs = outputs_of(compiled)
    rows = []
    for answers in found:
        several = answers if isinstance(answers, set | frozenset) else [answers]
        unknown = [answer for answer in several if canonical(answer) not in outputs]
        if unknown or not several:
            known = ", ".join(map(repr, list(outputs)[:12]))
            raise TaskError(f"expected labels among {known}; got {unknown or answers!r}")
        rows.append(sorted(outputs[canonical(answer)] for answer in several))
    return padded(rows, compiled.model.device)


def padded(rows: Sequence[Collection[int]], device: torch.device) -> Int[Tensor, "pair answer"]:
    """Rows of several lengths, filled up with -1."""
    longest = max(map(len, rows))
    filled = [[*row, *[NONE] * (longest - len(row))] for row in rows]
    return torch.tensor(filled, device=device)


def outputs_of(compiled: Compiled) -> dict[Value, int]:
    """Which output of a model says each value of its program."""
    return {canonical(value): i for i, value in enumerate(compiled.output.values)}


def said_tokens(compiled: Compiled) -> Int[Tensor, " token"]:
    """For each token's id the output that says the same: -1 for BOS, PAD and those never said."""
    outputs = {} if compiled.output.numerical else outputs_of(compiled)
    said = [NONE] * compiled.vocabulary.size
    for i, token in enumerate(compiled.vocabulary.tokens):
        said[i + 1] = outputs.get(canonical(token), NONE)
    return torch.tensor(said, device=compiled.model.device)
