"""Inputs with rare answers are drawn more often."""

import pytest
import torch

import knowncircuits as kc
from knowncircuits.models.training.balance import balanced_weights


@pytest.mark.parametrize("name", ["histogram", "fraction_of_x"])
def test_an_input_weighs_the_mean_rarity_of_its_answers(name: str) -> None:
    case = kc.load_case(name)
    compiled = case.compile()
    codes = case.draw(500, 0)
    ids = compiled.to_ids(codes)
    inputs = [[case.vocab[code] for code in row] for row in codes.tolist()]
    answers = [
        [round(a / 0.05) if compiled.output.numerical else a for a in row if a is not None]
        for row in case.interpret(inputs)
    ]
    every = [a for row in answers for a in row]
    frequency = {a: every.count(a) for a in set(every)}
    want = torch.tensor(
        [sum(1 / frequency[a] for a in row) / len(row) for row in answers], dtype=torch.float64
    )
    assert torch.allclose(balanced_weights(compiled, ids), want / want.sum())


def test_rare_counts_come_up() -> None:
    case = kc.load_case("histogram")
    compiled = case.compile()
    ids = compiled.to_ids(case.draw(20_000, 0))
    weights = balanced_weights(compiled, ids)
    most = torch.tensor([row.bincount(minlength=4).max() for row in ids])
    nearly_all_equal = most >= 8
    assert nearly_all_equal.double().mean() < 0.01
    assert weights[nearly_all_equal].sum() > 0.1
