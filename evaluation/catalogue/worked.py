"""An input worked through: what every step of a case's program holds at every position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from knowncircuits.cases.case import Case
from knowncircuits.rasp.columns import Batch, encode
from knowncircuits.rasp.program import INPUTS, flatten
from knowncircuits.rasp.values import Value

N_TRIED = 60  # inputs, of which the most telling is shown


@dataclass(frozen=True)
class Worked:
    """An input, the value of each step at each position, and the answer."""

    tokens: tuple[Value, ...]
    steps: tuple[tuple[str, tuple[Value, ...]], ...]  # in the order of computation; the answer last

    @property
    def answer(self) -> tuple[Value, ...]:
        """The value of the last step: the program's."""
        return self.steps[-1][1] if self.steps else self.tokens


def worked_example(case: Case) -> Worked:
    """The most telling of some inputs that the case draws, always the same one.

    That is one on which the answer has most different values over the positions, and among those
    the one on which all steps have most.
    """
    return max(_work_through(case, case.sample(N_TRIED, seed=0)), key=_richness)


def _work_through(case: Case, inputs: Sequence[Sequence[Value]]) -> Iterator[Worked]:
    """What each step of a case's program holds on inputs of one length."""
    batch = Batch(encode(inputs), case.causal)
    steps = [step for step in flatten(case.program).in_order if step.kind not in INPUTS]
    values = [step.sop.column(batch).decode() for step in steps]
    for tokens, *held in zip(inputs, *values, strict=True):
        named = zip(steps, held, strict=True)
        yield Worked(tuple(tokens), tuple((step.name, tuple(value)) for step, value in named))


def _richness(worked: Worked) -> tuple[int, int]:
    return len({*worked.answer}), sum(len({*values}) for _, values in worked.steps)
