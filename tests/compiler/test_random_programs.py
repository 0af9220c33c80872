"""Whatever compiles computes what the interpreter says, on every input."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from knowncircuits.compiler import Compiled, compile_program
from knowncircuits.errors import CompileError
from knowncircuits.rasp import interpret
from knowncircuits.rasp.vocabulary import Vocabulary
from parts import examples
from programs import TOKENS, RandomProgram, programs


def agree(value: Any, answer: Any) -> bool:
    if value is None or answer is None:
        return value is None and answer is None
    if isinstance(value, float) or isinstance(answer, float):
        # As pytest.approx says, which takes 9 us for each of very many values.
        return value == answer or abs(value - answer) <= 1e-4 * max(1.0, abs(answer))
    return bool(value == answer)


def compiled(program: RandomProgram) -> Compiled:
    """In float64. For one that is refused another is drawn; where most are, hypothesis fails."""
    try:
        return compile_program(
            program.output, program.vocabulary, causal=program.causal, dtype=torch.float64
        )
    except CompileError:
        reject()


@settings(
    max_examples=examples(350),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programs())
def test_compiled_equals_interpreted(program: RandomProgram) -> None:
    model = compiled(program)
    vocabulary = program.vocabulary
    for length in range(1, vocabulary.max_len + 1):
        inputs = list(itertools.product(vocabulary.tokens, repeat=length))
        wanted = interpret(program.output, inputs, causal=program.causal)
        run = model.model.run(model.encode(inputs))
        assert model.unmixed(run.outputs).all()
        got = model.decode(run.logits)
        for xs, ys, zs in zip(inputs, wanted, got, strict=True):
            assert ys == zs or all(map(agree, ys, zs)), f"{program!r}: {xs}: {ys} {zs}"


PADDED = st.builds(Vocabulary, st.just(TOKENS), st.integers(2, 4), pad=st.just(True))


@settings(
    max_examples=examples(50),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programs(PADDED))
def test_padding_changes_nothing(program: RandomProgram) -> None:
    model, vocabulary = compiled(program), program.vocabulary
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, vocabulary.max_len, size=20).tolist()
    inputs = [rng.choice(vocabulary.tokens, size=n).tolist() for n in lengths]
    full = rng.choice(vocabulary.tokens, size=vocabulary.max_len).tolist()
    padded = model.decode(model.model(model.encode([*inputs, full])))
    for xs, zs in zip([*inputs, full], padded, strict=True):
        (wanted,) = interpret(program.output, [xs], causal=program.causal)
        assert all(map(agree, wanted, zs)), f"{program!r}: {xs}: {wanted} {zs}"
