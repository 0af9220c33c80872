"""Results do not depend on torch's settings: gradients on or off, default device and dtype."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch
from quick_methods import QUICK

import knowncircuits as kc
from knowncircuits.circuit import Label
from knowncircuits.evaluation.faithfulness.circuits import circuit_faithfulness
from knowncircuits.evaluation.methods import METHODS
from knowncircuits.evaluation.task import Task
from knowncircuits.inference import make_ordinary, ordinary, ordinary_tensors, recorded_gradients
from knowncircuits.models.certificates.recheck import recheck
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.trainer import Trainer
from parts import some_long
from strategies import random_task


@contextmanager
def default_device(name: str) -> Iterator[None]:
    """`meta`, whose tensors hold no numbers, stands for any other device."""
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


GRADIENTS_OFF: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "set_grad_enabled(False)": lambda: torch.set_grad_enabled(False),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}
MODES = GRADIENTS_OFF | {
    "default device": lambda: default_device("meta"),
    "float64 by default": lambda: default_dtype(torch.float64),
    "bfloat16 by default": lambda: default_dtype(torch.bfloat16),
}
LONG = ("default device", "float64 by default", "bfloat16 by default")


def plain_task() -> Task:
    return random_task(n_pairs=3)


def run_all(task: Task) -> dict[str, list[float]]:
    """The scores of every method."""
    return {
        name: kc.discover(name, task, **QUICK.get(name, {})).values.tolist() for name in METHODS
    }


@pytest.fixture(scope="module")
def scores() -> dict[str, list[float]]:
    return run_all(plain_task())


@pytest.mark.parametrize("mode", some_long(MODES, *LONG))
def test_every_method_gives_the_same(mode: str, scores: dict[str, list[float]]) -> None:
    task = plain_task()
    with MODES[mode]():
        assert run_all(task) == scores


@pytest.mark.parametrize("mode", GRADIENTS_OFF)
def test_what_a_task_keeps_can_be_used_later(mode: str, scores: dict[str, list[float]]) -> None:
    with MODES[mode]():
        task = plain_task()
        for kept in (task.alternative, task.differences, task.clean_run.outputs):
            assert not kept.is_inference()
            assert not kept.requires_grad
    assert run_all(task) == scores


def test_a_model_cast_in_inference_mode(scores: dict[str, list[float]]) -> None:
    with torch.inference_mode():
        task = plain_task()
        task.model.to(torch.float32).to(torch.float64)  # type: ignore[attr-defined]
    assert task.model.W_E.is_inference()  # type: ignore[attr-defined]
    again = Task("again", task.model, task.clean, task.corrupted, task.counts, task.metric)
    np.testing.assert_allclose(run_all(again)["eap"], scores["eap"], atol=1e-6)


def measure() -> dict[str, list[float]]:
    """What is measured of a model that is loaded, and of one that is trained, in a few steps."""
    trained = kc.load_model("fraction_of_x", zoo=1)
    task = kc.make_task(trained, n_pairs=3)
    effects = kc.causal_effects(trained, scales=[0, 1], n_inputs=4, granularity="node")
    certificate = kc.certify(trained.placed, n_pairs=4, strata=("balanced", "length:2"))
    circuits = np.stack([trained.circuit.labels == Label.IN])
    config = TrainingConfig(steps=2, n_inputs=40, n_validation=10, batch_size=4, balanced=0.5)
    trainer = Trainer(trained.compiled, trained.correspondence, trained.model.config, config)
    trainer.step()
    trainer.ending.judge(trainer.ending.validate(), trainer.n_steps)
    trainer.step()
    return {
        "effects": effects["effect"].tolist(),
        "certificate": [float(a.agreeing) for a in certificate.edges.values()],
        "recheck": [float(len(recheck(trained.placed, certificate, n_edges=2)))],
        "faithfulness": circuit_faithfulness(task, circuits).tolist(),
        "hooked": trained.to_hooked()(task.clean).flatten().tolist(),
        "bridge": trained.to_transformer_lens()(task.clean).flatten().tolist(),
        "weights": [float(p.detach().sum()) for p in trainer.placed.model.parameters()],
    }


@pytest.fixture(scope="module")
def measured() -> dict[str, list[float]]:
    return measure()


@pytest.mark.parametrize("mode", some_long(MODES, *LONG))
def test_everything_else_gives_the_same(mode: str, measured: dict[str, list[float]]) -> None:
    with MODES[mode]():
        assert measure() == measured


class TestModes:
    def test_gradients_are_recorded(self) -> None:
        for off in GRADIENTS_OFF.values():
            with off(), recorded_gradients():
                x = torch.ones(1, requires_grad=True)
                torch.autograd.grad((x * x).sum(), x)

    def test_ordinary_tensors_leave_gradients_as_they_are(self) -> None:
        for recorded in (True, False):
            with torch.set_grad_enabled(recorded), ordinary_tensors():
                assert torch.is_grad_enabled() == recorded
        with torch.inference_mode(), ordinary_tensors():
            assert not torch.ones(1).is_inference()
            assert not torch.is_grad_enabled()

    def test_tensors_and_weights_are_copied_only_if_they_must_be(self) -> None:
        plain = torch.ones(2)
        assert ordinary(plain) is plain
        with torch.inference_mode():
            module = torch.nn.BatchNorm1d(2)
        make_ordinary(module)
        tensors = [*module.parameters(), *module.buffers()]
        assert len(tensors) == 5
        assert not any(tensor.is_inference() for tensor in tensors)
        weights = [tensor.data_ptr() for tensor in tensors]
        make_ordinary(module)
        assert [tensor.data_ptr() for tensor in tensors] == weights
