"""A stack of models: each becomes what it becomes alone, enters and leaves between any steps."""

from __future__ import annotations

from typing import Any

import pytest

from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.quick import QuickAgreement
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.ending import Ending
from knowncircuits.models.training.stack import Stack, train_stack
from knowncircuits.models.training.stepping import Losses
from knowncircuits.models.training.trainer import Trainer, train
from knowncircuits.models.zoo.plans import Plan
from knowncircuits.transformer import weights_hash

SHORT = {"n_inputs": 300, "n_validation": 20, "validate_every": 2, "steps": 4, "warmup": 2}
LONG = pytest.mark.long
MOVED = 0.02  # what rounding comes to in directions of tiny gradients is far less than a step
SIZES = {"n_layers": 2, "n_heads": 4, "d_model": 12}


def make(name: str, seed: int, sizes: dict[str, Any] | None = None, **config: Any) -> Trainer:
    """At a random place, but for seed 0."""
    settings = TrainingConfig(**{**SHORT, **config}, seed=seed)
    return Plan(name, settings, {**SIZES, **(sizes or {})}, seed or None).trainer()


def distance(a: Trainer, b: Trainer) -> float:
    """The largest difference of two models' weights."""
    weights = (trainer.placed.model.state_dict().values() for trainer in (a, b))
    return max(float((x - y).abs().max()) for x, y in zip(*weights, strict=True))


def near(stacked: Losses, alone: Losses) -> bool:
    return stacked.terms == pytest.approx(alone.terms, rel=1e-4, abs=1e-6) and (
        stacked.gradient_norm == pytest.approx(alone.gradient_norm, rel=1e-3)
    )


@pytest.mark.parametrize(
    ("sizes", "config"),
    [
        ({}, {"objective": "guided", "average": 0.9, "lagging": 0.5, "quiet": 1, "ramp": 4}),
        pytest.param({"norm": "layer", "gated": True}, {"optimizer": "adam"}, marks=LONG),
        pytest.param(
            {"norm": "rms", "positions": "rotary", "d_head": 4}, {"clip": 0.1}, marks=LONG
        ),
    ],
    ids=["guided", "gated", "rotary"],
)
def test_each_model_takes_the_steps_that_it_takes_alone(
    sizes: dict[str, Any], config: dict[str, Any]
) -> None:
    """Two seeds of one case, and another case of other tokens, answers, nodes and variables."""
    models = (("histogram", 0), ("histogram", 1), ("frequency_class", 2))
    alone, together = ([make(*model, sizes, **config) for model in models] for _ in range(2))
    assert near(together[1].step(), alone[1].step())  # it enters later than the others
    stack = Stack(together)
    for _ in range(3):
        for other, losses in zip(alone, stack.step(), strict=True):
            assert near(losses, other.step())
    stack.hand_back()
    assert max(map(distance, alone, together)) < MOVED / 10
    assert [trainer.n_steps for trainer in together] == [3, 4, 3]
    # Alone again, with what its optimizers remember.
    assert near(together[0].step(), alone[0].step())


def test_models_with_an_answer_none() -> None:
    sizes = {"none": True, "d_head": 6}
    alone, together = (make("drop_repeated_neighbour", 0, sizes) for _ in range(2))
    (losses,) = Stack([together]).step()
    assert near(losses, alone.step())


def test_the_next_takes_the_place_of_one_that_is_done() -> None:
    waiting = [make("histogram", seed) for seed in range(3)]
    waiting[0].step()
    validated: list[tuple[int, int]] = []
    done = []
    for trainer, error in train_stack(
        iter(waiting), 2, on_validation=lambda t: validated.append((t.config.seed, t.n_steps))
    ):
        assert error is None
        assert trainer.done
        done.append(trainer.config.seed)
    assert done == [0, 1, 2]
    assert validated == [(0, 2), (1, 2), (0, 4), (1, 4), (2, 2), (2, 4)]
    alone = make("histogram", 2)
    with pytest.raises(ModelError, match="expected models that can be stacked, got 2 shapes"):
        Stack([alone, make("histogram", 3, steps=5)])
    train(alone)
    assert distance(alone, waiting[2]) < MOVED / 10


def test_an_end_is_taken_back_and_all_is_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuickAgreement, "promising", True)
    monkeypatch.setattr(Ending, "_every_edge_passes", lambda self: True)
    found = []
    for _ in range(2):
        ended = []
        trainers = [make("histogram", 0, steps=6, cooldown=2) for _ in range(2)]
        for trainer, _ in train_stack(trainers, 2):
            ended.append(trainer.n_steps)
            trainer.go_on()
        assert ended == [4, 4, 6, 6]
        found.append([weights_hash(trainer.placed.model) for trainer in trainers])
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:lower rates")
def test_one_that_diverges_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    trainers = [make("histogram", seed) for seed in range(2)]
    trainers[0].placed.model.W_U.data[:] = float("nan")
    found = {t.config.seed: (str(error or ""), t.n_steps) for t, error in train_stack(trainers, 2)}
    assert "training diverged at step 1" in found[0][0]
    assert found[1] == ("", 4)


@pytest.mark.parametrize("config", [{"busy": 1.0}, {"objective": "behaviour"}, {"strata": True}])
def test_some_train_alone(config: dict[str, Any]) -> None:
    plan = Plan("histogram", TrainingConfig(**SHORT, **config), SIZES)
    assert plan.shape() is None


def test_shapes_are_of_all_but_tokens_answers_and_seeds() -> None:
    plans = [
        Plan(name, TrainingConfig(**{**SHORT, **config}), {**SIZES, **sizes})
        for name, config, sizes in (
            ("histogram", {}, {}),
            ("histogram", {"seed": 1}, {}),
            ("frequency_class", {}, {}),
            ("histogram", {"steps": 5}, {}),
            ("histogram", {}, {"d_model": 16}),
            ("fraction_of_x", {}, {}),  # numbers
        )
    ]
    first, *others = [plan.shape() for plan in plans]
    assert first is not None
    assert [other == first for other in others] == [True, True, False, False, False]
