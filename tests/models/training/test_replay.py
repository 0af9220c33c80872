"""The worst pairs of past steps: which are kept, and that they are run again as they were."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from knowncircuits.cases import load_case
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.objectives import answer_loss, pair_losses
from knowncircuits.models.training.replay import CAPACITY, Interchanges, Replay
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.models.training.trainer import Trainer

AGAIN = TrainingConfig(n_inputs=500, batch_size=16, again=0.25, n_validation=100)


def trainer(name: str = "fraction_of_x", **changes: object) -> Trainer:
    compiled = load_case(name).compile()
    low = low_level_config(compiled)
    placement = Correspondence.same_names(compiled.circuit, low.graph)
    return Trainer(compiled, placement, low, dataclasses.replace(AGAIN, **changes))


def some(losses: list[float], length: int = 3) -> Interchanges:
    """Pairs that can be told by their base."""
    n = len(losses)
    base = torch.tensor(losses)[:, None].mul(1000).long().expand(n, length + 1)
    return Interchanges(base, base + 1, torch.ones(n, 2), torch.zeros(n, 5), torch.tensor(losses))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def test_the_worst_new_pairs_are_kept_with_all_that_is_theirs() -> None:
    replay = Replay()
    replay.learn(3, some([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]), 0)
    kept = replay.kept[3]
    assert kept.loss.tolist() == pytest.approx([0.8, 0.7])
    assert kept.base[:, 0].tolist() == [800, 700]
    assert kept.source[:, 0].tolist() == [801, 701]
    assert replay.draw(4, 5, generator()) is None  # of another length


def test_what_is_run_again_stays_while_it_is_worse_than_new_pairs() -> None:
    replay = Replay()
    replay.learn(3, some([0.0] * 6 + [0.8, 0.9]), 0)
    again = replay.draw(3, 2, generator())
    assert again is not None
    assert replay.draw(3, 2, generator()) is None  # both are out
    solved = dataclasses.replace(again, loss=torch.where(again.loss > 0.85, 0.05, again.loss))
    replay.learn(3, some([0.1, 0.1, 0.1, 0.1]).beside(solved), 2)
    assert replay.kept[3].loss.tolist() == pytest.approx([0.8])


def test_no_more_are_kept_than_there_is_room_for() -> None:
    replay = Replay()
    for start in range(4):
        replay.learn(3, some([0.0] * 300 + [start + i / 1000 for i in range(1, 100)]), 0)
    kept = replay.kept[3].loss
    assert len(kept) == CAPACITY
    assert kept.tolist() == sorted(kept.tolist(), reverse=True)
    assert float(kept.min()) > 1


@pytest.mark.parametrize("name", ["fraction_of_x", "histogram"])
def test_losses_of_pairs_add_up_to_the_batch_s(name: str) -> None:
    """Up to how many positions count."""
    t = trainer(name)
    base, _ = t.inputs.draw_pairs(t.generator)
    low, high = t.placed.model.run(base).logits, t.placed.compiled.model.run(base).logits
    n = t.placed.compiled.defined(high).sum()
    each = pair_losses(t.placed, low, high)
    assert each.shape == (len(base),)
    torch.testing.assert_close(each.sum() / n, answer_loss(t.placed, low, high))


def test_a_step_runs_pairs_again_under_the_same_edges() -> None:
    t = trainer()
    drawn: list[Interchanges] = []
    draw = t.replay.draw

    def spy(length: int, n: int, by: torch.Generator) -> Interchanges | None:
        found = draw(length, n, by)
        drawn.extend([found] if found is not None else [])
        return found

    t.replay.draw = spy  # type: ignore[method-assign]
    for _ in range(5):
        t.step()
        seen = t.stepper.objective.seen
        assert seen is not None
        assert len(seen.loss) == AGAIN.batch_size
    again, n = drawn[-1], len(drawn[-1].loss)
    assert n == 4  # a quarter of 16
    ran: list[Tensor] = [seen.base, seen.source, seen.inside, seen.outside]
    for before, now in zip(again.parts, ran, strict=False):
        assert torch.equal(before, now[-n:])


def test_pairs_wait_until_outside_nodes_are_what_they_will_be() -> None:
    t = trainer(busy=1.0, alone=2, rise=2)
    for step in range(6):
        t.step()
        assert bool(t.replay.kept) == (step >= 4)


def test_objectives_of_nodes_have_no_such_pairs() -> None:
    with pytest.raises(ModelError, match="pairs again of objective edges or guided, got nodes"):
        dataclasses.replace(AGAIN, objective="nodes")
