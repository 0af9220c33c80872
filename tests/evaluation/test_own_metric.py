"""Metrics, labels and places of one's own: against those that we have, and by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import knowncircuits as kc
from knowncircuits.cli import app
from knowncircuits.errors import MethodError, TaskError
from knowncircuits.evaluation.metrics import METRICS, Metric

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def divergence(logits: Tensor, clean: Tensor, corrupted: Tensor) -> Tensor:
    p, q = clean.softmax(-1), logits.softmax(-1)
    return (p * (p / q).log()).sum(-1)


def first_output(logits: Tensor) -> Tensor:
    return logits[..., 0]


@pytest.fixture(scope="module")
def trained() -> kc.Trained:
    return kc.load_model("sign")


def test_a_distance_is_as_ours(trained: kc.Trained) -> None:
    own, ours = kc.make_task(trained, 20, metric=divergence), kc.make_task(trained, 20)
    assert own.metric == "own:divergence"
    assert own.measured_by.divergence
    for method in ("exact", "eap", "eap-ig-inputs"):
        found, expected = (kc.discover(method, task) for task in (own, ours))
        assert found.values == pytest.approx(expected.values, abs=1e-6)
    with pytest.raises(MethodError, match="gradients_at='corrupted' with own:divergence"):
        kc.discover("eap", own, gradients_at="clean")


def test_a_value_falls_by_what_the_metric_is(trained: kc.Trained) -> None:
    task = kc.make_task(trained, 20, metric=first_output)
    assert not task.measured_by.divergence
    pairs = torch.arange(20)
    clean, corrupted = (run.logits for run in (task.clean_run, task.corrupted_run))
    counts = task.counts.float()
    by_hand = ((clean - corrupted)[..., 0] * counts).sum(1) / counts.sum(1)
    assert torch.allclose(task.measure(corrupted, pairs), by_hand, atol=1e-6)
    assert torch.allclose(task.value(clean, pairs) - task.value(corrupted, pairs), by_hand)
    assert not torch.allclose(by_hand, torch.zeros(20))


def test_a_metric_of_ours_is_taken_as_it_is(trained: kc.Trained) -> None:
    own = kc.make_task(trained, 20, metric=METRICS["logit_diff"])
    ours = kc.make_task(trained, 20, metric="logit_diff")
    assert kc.discover("eap", own).values == pytest.approx(kc.discover("eap", ours).values)
    assert own.metric == "own:logit_diff"


def test_of_numbers() -> None:
    compiled = kc.load_case("fraction_of_x").compile()
    squares = kc.make_task(
        compiled, 10, metric=lambda logits, clean, corrupted: (logits - clean).square().sum(-1)
    )
    assert squares.metric == "own:lambda"
    expected = kc.discover("exact", kc.make_task(compiled, 10)).values
    assert kc.discover("exact", squares).values == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda logits, clean, corrupted: logits[..., 0], "that is 0 at the clean run, got"),
        (lambda logits: logits, r"expected a metric \[batch, pos\], \[20, \d+\], got \[20, "),
        (lambda logits: 3.0, r"got float"),
        (lambda logits: logits[..., 0].log() * torch.inf, "that is finite"),
        (lambda logits, labels: logits[..., 0], "got one of 2 arguments"),
    ],
)
def test_what_is_no_metric(metric: Any, message: str, trained: kc.Trained) -> None:
    with pytest.raises(TaskError, match=message):
        kc.make_task(trained, 20, metric=metric)


def test_labels_are_of_metrics_of_labels(trained: kc.Trained) -> None:
    labels = tuple(trained.compiled.output.values[:2])
    with pytest.raises(TaskError, match="expected a metric of labels"):
        kc.make_task(trained, 5, metric=Metric(first_output, first_output, False), labels=labels)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["compiled", "trained", "wired"])
def test_dtypes_and_devices(kind: str, device: str, trained: kc.Trained) -> None:
    subject: Any = {
        "compiled": trained.compiled,
        "trained": trained,
        "wired": kc.wire(trained.compiled, [("rotate", {"seed": 1})]),
    }[kind]
    before = subject.model.dtype
    exact = kc.discover("exact", kc.make_task(subject, 10)).values
    for dtype in (torch.float64, torch.float32):
        task = kc.make_task(subject, 10, device=device, dtype=dtype)
        assert task.clean_run.logits.dtype == dtype
        assert task.clean.device.type == task.clean_run.logits.device.type == device
        assert kc.discover("exact", task).values == pytest.approx(exact, abs=1e-5)
    assert subject.model.dtype == before
    assert kc.make_task(subject, 10, device="cpu").model is subject.model


def test_a_certificate_is_of_weights_as_they_were_trained(trained: kc.Trained) -> None:
    assert trained.to(dtype=torch.float64).certificate is None
    assert trained.to(device="cpu") is trained


COMPUTING = (
    "score eap -c sign",
    "effects sign",
    "realism sign",
    "train sign",
    "show sign",
    "substitutes results",
    "modalities modalities_shared",
    "models check -c sign",
)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99"])
def test_commands_know_devices(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    for arguments in COMPUTING:
        done = CliRunner().invoke(app, [*arguments.split(), "--device", device])
        assert done.exit_code
        assert "expected device cpu, or cuda where there is one" in str(done.exception)


def test_results_do_not_say_the_usual_device(tmp_path: Path) -> None:
    arguments = ["score", "eap", "-c", "sign", "--pairs", "5", "--device", "cpu", "-o", tmp_path]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    (path,) = tmp_path.rglob("*.json")
    assert "device" not in json.loads(path.read_text())["settings"]
