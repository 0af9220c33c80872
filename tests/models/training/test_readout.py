"""The guide: a share of variance, against numpy's least squares, and what it is for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from knowncircuits.cases import load_case
from knowncircuits.correspondence import Correspondence
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.objectives import EdgeInterchanges, Step
from knowncircuits.models.training.readout import OtherLengths, rows_of, unexplained
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.models.training.trainer import Trainer, train

CONFIG = TrainingConfig(objective="guided", n_inputs=2000, n_validation=200, steps=1000)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trainer(config: TrainingConfig) -> Trainer:
    compiled = load_case("fraction_of_x").compile()
    low = low_level_config(compiled)
    placement = Correspondence.shuffled(compiled.circuit, low.graph, 3)
    return Trainer(compiled, placement, low, config)


def test_it_is_what_least_squares_leaves() -> None:
    written, wanted = draw(50, 3, 4, 6), draw(50, 3, 4, 5, seed=1)
    wanted[:, 1] += written[:, 1] @ draw(6, 5, seed=2)
    found = unexplained(written, wanted)
    for node in range(3):
        x, y = (v[:, node].flatten(0, 1).double().numpy() for v in (written, wanted))
        x, y = np.column_stack([x, np.ones(len(x))]), y - y.mean(0)
        left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        assert found[node].item() == pytest.approx((left**2).sum() / (y**2).sum(), rel=1e-3)
    assert found[1] < 0.3 < 0.9 < found[0]


def test_what_is_there_linearly_is_read_off_whatever_its_scale_and_place() -> None:
    wanted = draw(40, 1, 5, 3)
    written = 1e-2 * wanted @ draw(3, 8, seed=1) + draw(8, seed=2)
    assert unexplained(written, wanted) < 0.01
    assert unexplained(torch.zeros_like(written), wanted) == pytest.approx(1)
    assert unexplained(written, torch.ones_like(wanted)) == 0  # nothing to explain


def test_what_is_the_same_in_all_of_a_step_is_told_from_other_lengths() -> None:
    """A node that writes one vector for every length may write another one for each."""
    lengths = {n: draw(20, 1, n, 2, seed=n) * 1e-3 for n in (2, 3)}
    told = {
        n: (noise + float(n), torch.full((20, 1, n, 1), float(n))) for n, noise in lengths.items()
    }
    same = {n: (lengths[n], told[n][1]) for n in lengths}
    for written, share in ((told, 0.0), (same, 1.0)):
        others = OtherLengths(16)
        assert others.beside(2) == []
        for n, rows in written.items():
            others.keep(n, rows_of(*rows))
            assert others.rows[n][0].shape == (1, 16, 2)
        assert unexplained(*written[2]) == pytest.approx(0, abs=0.01)  # nothing to explain
        found = unexplained(*written[2], others.beside(2))
        assert found.item() == pytest.approx(share, abs=0.2)


def test_gradients_are_those_of_the_minimum() -> None:
    """Against differences of the whole function, the readout fitted anew each time."""
    written, wanted, move = draw(60, 1, 5, 4), draw(60, 1, 5, 3, seed=1), draw(60, 1, 5, 4, seed=2)
    wanted += written[..., :3]
    written, wanted, move = written.double(), wanted.double(), move.double()
    written.requires_grad_()
    unexplained(written, wanted).sum().backward()
    assert written.grad is not None
    with torch.no_grad():
        ahead, behind = (unexplained(written + h * move, wanted) for h in (1e-4, -1e-4))
    slope = (ahead - behind).item() / 2e-4
    assert (written.grad * move).sum().item() == pytest.approx(slope, rel=2e-2)


@pytest.mark.long
def test_guided_training_reads_variables_at_their_places() -> None:
    """The loss is of the nodes that stand for others, in the interchange; the rest is as ever."""
    guided, plain = trainer(CONFIG), trainer(replace(CONFIG, objective="edges"))
    first, other = guided.step(), plain.step()
    guide = first.terms["guide"]
    assert first.terms == {**other.terms, "guide": guide}
    assert guide > 0.5
    agreement = train(guided)
    assert agreement.passed, agreement.failures
    objective, placed = guided.stepper.objective, guided.placed
    assert isinstance(objective, EdgeInterchanges)
    base, source = guided.inputs.validation
    (losses,) = objective.losses(Step(base, source, guided.generator))
    high, low = placed.compiled.model, placed.model
    nodes = [(h, l) for h, l in placed.correspondence.nodes.items() if h[0] in "am"]
    assert [h for h, _ in nodes] == ["m0", "a1.h0"]
    for h, l in nodes:
        written = low.run(base).outputs[:, [low.graph.sources.index(l)]]
        wanted = high.run(base).outputs[:, [high.graph.sources.index(h)]]
        assert unexplained(written, wanted) < 0.05
    assert losses["guide"] < 0.1
