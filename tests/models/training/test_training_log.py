"""W&B for real, offline: what a run's file says is read back without W&B's own reader."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from knowncircuits.cases import load_case
from knowncircuits.cli import app
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import TrackingError
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.certifying import certify
from knowncircuits.models.trained import as_trained, save_trained
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.models.training.stepping import Losses
from knowncircuits.models.training.trainer import Trainer, train
from knowncircuits.models.training.training_log import COLUMNS, RUN_ID, certificate_rows, track
from offline_wandb import runs

pytestmark = pytest.mark.usefixtures("wandb_home")
SHORT = TrainingConfig(steps=4, n_inputs=200, n_validation=20, validate_every=2, batch_size=8)


def trainer(config: TrainingConfig = SHORT) -> Trainer:
    compiled = load_case("fraction_of_x").compile()
    low = low_level_config(compiled)
    placement = Correspondence.shuffled(compiled.circuit, low.graph, 3)
    return Trainer(compiled, placement, low, config)


def small_certificate(trained_by: Trainer) -> Certificate:
    return certify(trained_by.placed, n_pairs=20, batch_size=20)


def test_a_run_holds_losses_agreements_certificate_and_model(tmp_path: Path) -> None:
    done, folder = trainer(), tmp_path / "model"
    seen = []
    with track(done, "circuits", folder, zoo=1) as tracker:

        def step(n: int, losses: Losses) -> None:
            seen.append(losses)
            tracker.step(n, losses)

        agreement = train(done, on_step=step, on_validation=tracker.validation)
        certificate = small_certificate(done)
        trained = as_trained(done.placed)
        save_trained(dataclasses.replace(trained, certificate=certificate), folder)
        (folder / "checkpoint.pt").touch()
        tracker.certified(certificate, folder)
    (run,) = runs(tmp_path)
    assert not (folder / RUN_ID).exists()
    assert run.exit_code == 0
    assert run.config["case"] == "fraction_of_x"
    assert run.config["zoo"] == 1
    assert run.config["training"]["batch_size"] == 8
    assert run.config["transformer"]["d_model"] == done.placed.model.config.d_model
    assert run.config["placement"] == dict(done.placed.correspondence.nodes)
    assert set(run.config["versions"]) == {"knowncircuits", "torch", "wandb"}

    steps = [row for row in run.history if "train/behaviour" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert [row["train/patched"] for row in steps] == [losses.terms["patched"] for losses in seen]
    assert [row["train/gradient_norm"] for row in steps] == [x.gradient_norm for x in seen]
    assert 0 < steps[0]["train/learning_rate"] < steps[1]["train/learning_rate"]  # warming up
    assert "train/strict" not in steps[0]

    validations = [row for row in run.history if "validation/accuracy" in row]
    assert [row["step"] for row in validations] == [2, 4]
    last = validations[-1]
    assert last["validation/accuracy"] == agreement.accuracy.share
    assert (last["validation/worst_inside_edge"], last["validation/worst_inside"]) == (
        agreement.worst_inside
    )
    for name, found in agreement.sets.items():
        assert last[f"validation/{name}"] == found.share

    (table,) = run.tables.values()
    assert table["columns"] == list(COLUMNS)
    assert table["data"] == [list(row) for row in certificate_rows(certificate)]
    assert run.summary["passed"] is False
    assert run.summary["failures"] == list(certificate.failures)
    assert run.summary["weights"] == certificate.weights
    name, contents = run.artifacts["model"]
    assert name == "fraction_of_x"
    assert contents == {"certificate.json", "circuit.json", "config.json", "model.safetensors"}


def test_the_table_has_a_row_for_everything_measured() -> None:
    certificate = small_certificate(trainer())
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in certificate_rows(certificate)]
    resampled = [row for row in rows if row["ablation"] == "resample"]
    assert [row["kind"] for row in rows if row["name"] == "accuracy"] == ["nothing"]
    for kind in ("edge", "node", "set"):
        names = [row["name"] for row in resampled if row["kind"] == kind]
        assert names == list(getattr(certificate, f"{kind}s"))
    edge = next(row for row in resampled if row["name"] == "embed->m0")
    assert edge["label"] == "in"
    assert edge["positions"] == certificate.edges["embed->m0"].positions
    assert {row["ablation"] for row in rows} == {"resample", "mean", "zero"}


def test_a_killed_run_goes_on_under_its_id(tmp_path: Path) -> None:
    """If it had a checkpoint; one that had none starts anew, and so does one after the end."""
    folder = tmp_path / "model"
    checkpoint = folder / "checkpoint.pt"

    def start(die_at: int) -> None:
        again = trainer(dataclasses.replace(SHORT, objective="nodes"))
        with track(again, "circuits", folder, zoo=1) as tracker:

            def step(n: int, losses: Losses) -> None:
                tracker.step(n, losses)
                if n == die_at:
                    raise KeyboardInterrupt

            train(again, checkpoint=checkpoint, on_step=step)

    for die_at in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            start(die_at)
    start(99)
    checkpoint.unlink()
    start(99)
    steps = {
        tuple(row["step"] for row in run.history): (run.run_id, run.exit_code)
        for run in runs(tmp_path)
    }
    (first, lost), (killed, died), (resumed, done), (anew, _) = (
        steps[n] for n in ((1,), (1, 2, 3), (3, 4), (1, 2, 3, 4))
    )
    assert (lost, died, done) == (1, 1, 0)
    assert killed == resumed
    assert len({first, killed, anew}) == 3
    assert all("train/strict" in row for run in runs(tmp_path) for row in run.history)


def test_a_disabled_run_writes_nothing(tmp_path: Path) -> None:
    done = trainer()
    with track(done, "circuits", tmp_path / "model", zoo=1, mode="disabled") as tracker:
        train(done, on_step=tracker.step, on_validation=tracker.validation)
        tracker.certified(small_certificate(done), tmp_path / "model")
    assert runs(tmp_path) == []


def test_without_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with (
        pytest.raises(TrackingError, match=r"not installed: pip install 'knowncircuits\[wandb\]'"),
        track(trainer(), "circuits", tmp_path, zoo=1),
    ):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["--wandb", "circuits", "--wandb-mode", "online"],
            "error: Weights & Biases: ",
            marks=pytest.mark.long,
        ),
        (["--wandb-mode", "offline"], "error: expected --wandb PROJECT"),
    ],
)
def test_the_command_says_so_before_training(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "knowncircuits.cli", "train", "fraction_of_x", *arguments]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "model")],
        env=os.environ | {"HOME": str(tmp_path)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "model" / "checkpoint.pt").exists()


def test_the_command_logs_and_is_tidy(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    short = ["--steps", "5", "--pairs", "50", "--objective", "nodes", "-o", str(folder)]
    done = CliRunner().invoke(app, ["train", "fraction_of_x", "--wandb", "circuits", *short])
    assert done.exit_code == 1, done.output  # not certified after so few steps
    (run,) = runs(tmp_path)
    assert run.config["training"]["objective"] == "nodes"
    assert run.config["training"]["betas"] == [0.9, 0.9]
    assert run.config["training"]["batch_size"] == 256
    assert run.exit_code == 0
    assert run.summary["steps"] == 5
    assert {path.name for path in folder.iterdir()} == run.artifacts["model"][1]
