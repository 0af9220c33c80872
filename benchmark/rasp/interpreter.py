"""What a program means: its value on inputs, without any transformer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from knowncircuits.rasp.columns import NONE, Batch, Column, encode, tabulate
from knowncircuits.rasp.expressions import SOp
from knowncircuits.rasp.values import Value

# Selections are [batch, query, key]; larger batches are cut so that one has at most so many cells.
MAX_CELLS = 4_000_000


def evaluate(program: SOp, inputs: Column, *, causal: bool = False) -> Column:
    """The program's value on inputs that are already encoded.

    Raises:
        ProgramError: where a function fails, or values that are no numbers would be averaged.
    """
    parts = [program.column(Batch(chunk, causal)) for chunk in _chunks(inputs)]
    codes, values = tabulate(v for part in parts for v in part.values)
    starts = np.cumsum([0, *(len(part.values) for part in parts)])
    lookups = [np.append(codes[a:b], NONE) for a, b in itertools.pairwise(starts)]
    merged = [look[part.codes] for look, part in zip(lookups, parts, strict=True)]
    return Column(np.concatenate(merged), values)


def _chunks(inputs: Column) -> Iterable[Column]:
    n, seq = inputs.codes.shape
    step = max(1, MAX_CELLS // seq**2)
    return (Column(inputs.codes[i : i + step], inputs.values) for i in range(0, n, step))


def interpret(
    program: SOp, inputs: Sequence[Sequence[Value]], *, causal: bool = False
) -> list[list[Value]]:
    """The program's value on inputs of one length.

    In a causal program no selector selects a position after the query.

    Raises:
        InputError: for no inputs, or inputs of different lengths.
        ProgramError: where the program has no value.
    """
    return evaluate(program, encode(inputs), causal=causal).decode()
