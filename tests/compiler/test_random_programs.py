"""Whatever compiles computes what the interpreter says, on every input."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from knowncircuits.compiler import compile_program
from knowncircuits.errors import CompileError
from knowncircuits.rasp import interpret
from programs import RandomProgram, programs


def agree(value: object, answer: object) -> bool:
    if value is None or answer is None:
        return value is None and answer is None
    if isinstance(value, float) or isinstance(answer, float):
        return value == pytest.approx(answer, abs=1e-4, rel=1e-4)
    return value == answer


COUNTS: Counter[str] = Counter()


@settings(
    max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(programs())
def test_compiled_equals_interpreted(program: RandomProgram) -> None:
    try:
        compiled = compile_program(
            program.output, program.vocabulary, causal=program.causal, dtype=torch.float64
        )
    except CompileError:
        COUNTS["refused"] += 1
        return
    COUNTS["compiled"] += 1
    vocabulary = program.vocabulary
    for length in range(1, vocabulary.max_len + 1):
        inputs = list(itertools.product(vocabulary.tokens, repeat=length))
        wanted = interpret(program.output, inputs, causal=program.causal)
        run = compiled.model.run(compiled.encode(inputs))
        assert compiled.unmixed(run.outputs).all()
        got = compiled.decode(run.logits)
        for xs, ys, zs in zip(inputs, wanted, got, strict=True):
            assert all(map(agree, ys, zs)), f"{program!r}: {xs}: {ys} {zs}"


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(programs())
def test_padding_changes_nothing(program: RandomProgram) -> None:
    vocabulary = program.vocabulary
    if not vocabulary.pad or vocabulary.max_len < 2:
        return
    try:
        compiled = compile_program(
            program.output, vocabulary, causal=program.causal, dtype=torch.float64
        )
    except CompileError:
        return
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, vocabulary.max_len, size=20).tolist()
    inputs = [rng.choice(vocabulary.tokens, size=n).tolist() for n in lengths]
    full = [rng.choice(vocabulary.tokens, size=vocabulary.max_len).tolist()]
    padded = compiled.decode(compiled.model(compiled.encode(inputs + full)))
    for xs, zs in zip(inputs, padded, strict=False):
        (wanted,) = interpret(program.output, [xs], causal=program.causal)
        assert all(map(agree, wanted, zs)), f"{program!r}: {xs}: {wanted} {zs}"


def test_most_programs_were_compiled() -> None:
    """Guards the test above: it must not pass by refusing everything."""
    if COUNTS:  # with several test processes, another one may have drawn the programs
        assert COUNTS["compiled"] > COUNTS["refused"] / 2
