"""Every case's compiled model equals its program: on all inputs where they are few."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from knowncircuits.cases import CASES, Case
from knowncircuits.rasp.columns import Batch, Column
from knowncircuits.rasp.program import flatten
from knowncircuits.transformer import Transformer
from parts import some_long
from programs import TWELVE

MAX_ENUMERATED = 20_000
N_SAMPLED = 2_000


def inputs_of(case: Case, length: int) -> np.ndarray:
    if case.n_inputs(length) <= MAX_ENUMERATED:
        return case.enumerate(length)
    if length < case.max_len:
        return case.draw(200, seed=length, length=length)
    return case.draw(N_SAMPLED, seed=length)


@pytest.mark.parametrize("name", some_long(TWELVE, "balanced_parentheses", "unique_tokens_first"))
def test_compiled_equals_program(name: str) -> None:
    case = CASES[name]
    compiled = case.compile()
    for length in range(1, case.max_len + 1):
        codes = inputs_of(case, length)
        wanted = case.outputs(codes)
        ids = torch.from_numpy(np.pad(codes + 1, ((0, 0), (1, 0))))
        logits = compiled.model(ids)
        if compiled.output.numerical:
            got = logits[:, 1:, 0].numpy()
            assert np.abs(got - wanted.numbers()).max() < 1e-4
            continue
        defined = compiled.defined(logits)[:, 1:].numpy()
        assert np.array_equal(defined, wanted.codes >= 0)
        place = {value: i for i, value in enumerate(compiled.output.values)}
        codes_wanted = np.array([*(place[value] for value in wanted.values), -1])[wanted.codes]
        assert np.array_equal(logits[:, 1:].argmax(-1).numpy()[defined], codes_wanted[defined])


@pytest.mark.parametrize("name", [*TWELVE, "polynomial"])
def test_hidden_units_that_no_run_computes_write_nothing(name: str) -> None:
    case = CASES[name]
    model = case.compile().model
    assert max(model.hidden) == model.config.d_mlp
    whole = Transformer(model.config, dtype=model.dtype)
    whole.load_state_dict(model.state_dict())
    ids = torch.from_numpy(np.pad(case.draw(50, seed=0) + 1, ((0, 0), (1, 0))))
    torch.testing.assert_close(model.run(ids).outputs, whole.run(ids).outputs)


@pytest.mark.parametrize("name", TWELVE)
def test_variables_hold_what_the_interpreter_says(name: str) -> None:
    """Not only the output: the residual stream holds every named variable."""
    case = CASES[name]
    compiled = case.compile()
    codes = case.draw(50, seed=0)
    ids = torch.from_numpy(np.pad(codes + 1, ((0, 0), (1, 0))))
    residual = compiled.model.run(ids).outputs.sum(1)[:, 1:]
    batch = Batch(Column(codes, case.vocab), case.causal)
    for step in flatten(case.program).steps:
        variable = compiled.variables[step.name]
        column = step.sop.column(batch)
        held = residual[..., list(variable.directions)].numpy()
        if variable.numerical:
            assert np.abs(held[..., 0] - column.numbers()).max() < 1e-4
            continue
        wanted = np.zeros_like(held)
        place = {value: i for i, value in enumerate(variable.values)}
        for row, position in zip(*np.nonzero(column.codes >= 0), strict=True):
            wanted[row, position, place[column.values[column.codes[row, position]]]] = 1.0
        assert np.abs(held - wanted).max() < 1e-4, variable.name
