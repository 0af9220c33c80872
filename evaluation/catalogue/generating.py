"""Random programs that make good cases: no two alike, and all of their true edges can be found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256

import numpy as np
import torch
from jaxtyping import Int

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.checks import check_case
from knowncircuits.cases.drawing import Shape, draw_program
from knowncircuits.cases.sampling import enumerate_inputs
from knowncircuits.cases.written import INPUTS, Written
from knowncircuits.errors import InputError, KnownCircuitsError
from knowncircuits.evaluation.catalogue.measuring import interchange, is_degenerate
from knowncircuits.evaluation.task import make_task
from knowncircuits.rasp.columns import Batch, Column
from knowncircuits.rasp.program import flatten
from knowncircuits.rasp.text import steps_text

# Inputs that all generated programs have in common, of which tables of outputs are compared.
COMMON_TOKENS, COMMON_LENGTH = 3, 4
RAREST = 0.05  # share of pairs in which every true edge has to show
MOST_EDGES = 3_000  # of the compiled model
MOST_TRIES = 20_000  # for one program
N_DRAWN = 500  # inputs, to see whether steps vary


def generate(
    n: int,
    shapes: Sequence[Shape],
    seed: int = 0,
    *,
    there: Iterable[Case] = (),
    on_program: Callable[[Written], None] = lambda program: None,
) -> list[Written]:
    """Draw programs, none of which is like another or like those that are there.

    Args:
        n: how many.
        shapes: sizes, depths and fan-ins, which programs have in turn.
        seed: equal seeds give equal programs, and more of them the same ones first.
        there: cases that none may be like.
        on_program: told of each.

    Raises InputError where none of a shape is found among many that are drawn.
    """
    known = {mark for case in there for mark in marks(case)}
    found: list[Written] = []
    for i, shape in zip(range(n), itertools.cycle(shapes), strict=False):
        for program in _drawn(seed, i, shape):
            case = program.case()
            with suppress(KnownCircuitsError):  # what cannot be computed or compiled
                found_marks = marks(case)
                if known.isdisjoint(found_marks) and is_good(case):
                    break
        else:
            raise InputError(f"expected programs of {shape}, got none in {MOST_TRIES} tries")
        known |= found_marks
        found.append(program)
        on_program(program)
    return found


def _drawn(seed: int, place: int, shape: Shape) -> Iterator[Written]:
    rng = np.random.default_rng([seed, place])
    for _ in range(MOST_TRIES):
        program = draw_program(rng, shape)
        if program is not None:
            yield program


def marks(case: Case) -> set[str]:
    """What two cases have in common that are alike: the program's text, or all that it says.

    What it says is its outputs on every input of up to four of three tokens, whatever the outputs
    are called. A case that is not meant for these inputs is compared by its text alone.
    """
    found = {steps_text(case.program)}
    if len(case.vocab) >= COMMON_TOKENS and case.max_len >= COMMON_LENGTH:
        digest = sha256()
        with suppress(KnownCircuitsError):
            for length in range(1, COMMON_LENGTH + 1):
                outputs = case.outputs(enumerate_inputs(COMMON_TOKENS, length))
                decoded = [value for row in outputs.decode() for value in row]
                names: dict[object, int] = {None: -1}
                digest.update(
                    repr([names.setdefault(value, len(names)) for value in decoded]).encode()
                )
            found.add(digest.hexdigest())
    return found


def is_good(case: Case) -> bool:
    """Whether nothing is wrong with its data, and its circuit is worth looking for.

    The circuit is not degenerate, every step says something of its own, and every edge that carries
    something is detected: its interchange alone moves the metric in RAREST of the case's own pairs.
    An edge that carries the same in all inputs, such as positions, cannot be.

    Raises KnownCircuitsError for programs that have no value on some input or cannot be compiled.
    """
    if check_case(case).problems or not _steps_say_something(case):
        return False
    compiled = case.compile(dtype=torch.float64)
    circuit = compiled.circuit
    if circuit.graph.n_edges > MOST_EDGES or is_degenerate(circuit):
        return False
    task = make_task(compiled, case.n_pairs, 0)
    carrying = [
        edge
        for edge in circuit.carrying_edges
        if any(compiled.variables[name].varies for name in circuit.carries[edge])
    ]
    return all(
        interchange(compiled, task, edge)[1] >= RAREST * task.n_pairs
        for edge in dict.fromkeys([*circuit.edges(), *carrying])
    )


def _steps_say_something(case: Case) -> bool:
    """Whether every step varies, and says something else than the input and every other one."""
    batch = Batch(Column(case.draw(N_DRAWN, 0), case.vocab), case.causal)
    steps = flatten(case.program).in_order
    columns = [rasp.tokens, rasp.indices, *(step.sop for step in steps if step.reads)]
    codes = [sop.column(batch).codes for sop in columns]
    vary = all(bool((found != found[0]).any()) for found in codes[len(INPUTS) :])
    return vary and len(set(map(_partition, codes))) == len(codes)


def _partition(codes: Int[np.ndarray, "n length"]) -> bytes:
    """Where codes are equal, whatever they are."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    places: np.ndarray = first[inverse.reshape(-1)]
    return places.tobytes()
