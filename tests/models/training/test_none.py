"""Models that answer "none": where a compiled model says None, all of its edges are measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from knowncircuits.cases import load_case
from knowncircuits.compiler import Compiled
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.certifying import certify
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.recheck import recheck
from knowncircuits.models.training.objectives import answer_loss, pair_losses
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.transformer import Transformer

N_PAIRS = 60


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return load_case("drop_repeated_neighbour").compile()


def with_none(compiled: Compiled, logit: float) -> Transformer:
    """The compiled model with one output more, of this logit everywhere; its own are 0 or 1.

    The first is raised a little, so that no two are equal where there is no answer.
    """
    high = compiled.model
    n = high.config.d_vocab_out
    low = Transformer(replace(high.config, d_vocab_out=n + 1))
    state = high.state_dict()
    state["W_U"] = functional.pad(state["W_U"], (0, 1))
    state["b_U"] = functional.pad(state["b_U"], (0, 1), value=logit)
    state["b_U"][0] += 0.1
    low.load_state_dict(state)
    return low


def test_all_positions_count_and_every_change_is_followed(compiled: Compiled) -> None:
    """Without the answer, a change to None counts nowhere and one from None only half."""
    same = Correspondence.same_names(compiled.circuit, compiled.model.graph)
    low = with_none(compiled, 0.5)
    found = certify(Placed(low, compiled, same), n_pairs=N_PAIRS, ablations=["resample"])
    without = certify(
        Placed(compiled.model, compiled, same), n_pairs=N_PAIRS, ablations=["resample"]
    )
    assert found.passed
    assert found.accuracy.positions == N_PAIRS * load_case(compiled.name).max_len
    assert found.accuracy.positions > without.accuracy.positions
    for edge in same.circuit.edges():
        assert found.edges[edge].low_changed == found.edges[edge].high_changed > 0
        assert without.edges[edge].low_changed < without.edges[edge].high_changed
    recheck(Placed(low, compiled, same), found, n_edges=4)  # through hooks, in plain Python


@pytest.mark.parametrize("logit", [-1.0, 2.0])
def test_answering_where_there_is_none_and_the_reverse_fail(
    compiled: Compiled, logit: float
) -> None:
    same = Correspondence.same_names(compiled.circuit, compiled.model.graph)
    low = with_none(compiled, logit)
    found = certify(Placed(low, compiled, same), n_pairs=N_PAIRS, ablations=["resample"])
    defined = certify(
        Placed(compiled.model, compiled, same), n_pairs=N_PAIRS, ablations=["resample"]
    )
    answered = defined.accuracy.positions
    wrong = found.accuracy.positions - answered if logit < 0 else answered
    assert found.accuracy.agreeing == found.accuracy.positions - wrong
    assert found.failures[0].startswith("accuracy")
    recheck(Placed(low, compiled, same), found, n_edges=4)


@pytest.mark.parametrize("silent_weight", [1.0, 0.1])
def test_the_loss_is_that_of_a_class_more(compiled: Compiled, silent_weight: float) -> None:
    """In which a position weighs less where no input has an answer."""
    wanted = compiled.model(compiled.draw(20, 0)).float()
    logits = torch.randn(*wanted.shape[:2], wanted.shape[-1] + 1, generator=torch.manual_seed(0))
    log_p = logits.log_softmax(-1)
    answers = [
        [compiled.output.values.index(x) if x is not None else -1 for x in row]
        for row in compiled.decode(wanted)
    ]
    silent = [set(column) == {-1} for column in zip(*answers, strict=True)]
    assert any(silent)
    assert not all(silent)
    weights = [silent_weight if no_answer else 1.0 for no_answer in silent]
    each = [
        sum(-w * log_p[i, 1 + j, k] for j, (w, k) in enumerate(zip(weights, row, strict=True)))
        for i, row in enumerate(answers)
    ]
    expected = sum(each) / (sum(weights) * len(answers))
    same = Correspondence.same_names(compiled.circuit, compiled.model.graph)
    placed = Placed(with_none(compiled, 0.0), compiled, same)
    got = answer_loss(placed, logits, wanted, silent_weight)
    assert got.item() == pytest.approx(float(expected), rel=1e-5)
    torch.testing.assert_close(
        pair_losses(placed, logits, wanted, silent_weight), torch.stack(each), rtol=1e-5, atol=1e-6
    )
    assert any(-1 in row for row in answers)


def test_numbers_have_no_none() -> None:
    with pytest.raises(ModelError, match="expected values for an answer none, got numbers of fra"):
        low_level_config(load_case("fraction_of_x").compile(), none=True)
