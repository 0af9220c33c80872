"""Natural models: of the same sizes as a trained one, but trained for behaviour alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from knowncircuits.checks.arguments import takes
from knowncircuits.checks.values import fit_all
from knowncircuits.errors import ModelError, ResultError
from knowncircuits.files.writing import check_writable
from knowncircuits.models.certificates.quick import QuickAgreement
from knowncircuits.models.trained import CONFIG, Trained, load_trained, save_trained
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.stepping import Losses
from knowncircuits.models.training.trainer import CHECKPOINT, Trainer, train
from knowncircuits.models.zoo.produce import freeze
from knowncircuits.work.progress import part


def natural_config(trained: Trained, **changes: Any) -> TrainingConfig:
    """The settings of a model's training, but for behaviour, and for changes of `TrainingConfig`.

    Settings that have gone since a model was trained are left out: the natural model is its own.

    Raises:
        ModelError: for settings that there are not, or values that they do not take.
    """
    names = {field.name for field in fields(TrainingConfig)}
    if unknown := set(changes) - names:
        raise ModelError(
            f"expected settings among {', '.join(sorted(names))}; got {', '.join(sorted(unknown))}"
        )
    of_trained = trained.training.get("config", {})
    settings = {name: value for name, value in of_trained.items() if name in names}
    settings |= {**TrainingConfig.following("behaviour"), **changes, "objective": "behaviour"}
    return TrainingConfig(**fit_all(settings, TrainingConfig, ModelError))


def natural_trainer(trained: Trained, config: TrainingConfig | None = None) -> Trainer:
    """A trainer for a model of the same sizes and initial weights, on the same training inputs.

    The weights are those of the seed, also where the trained model started from another's. It
    trains on the trained model's device.

    Args:
        trained: the model that it is to be compared with.
        config: by default `natural_config`'s.

    Raises:
        ModelError: for an objective other than behaviour.
    """
    config = config or natural_config(trained)
    if config.objective != "behaviour":
        raise ModelError(f"expected the objective behaviour, got {config.objective}")
    with part(f"preparing to train {trained.compiled.name}"):
        low = trained.model
        return Trainer(
            trained.compiled, trained.correspondence, low.config, config, device=low.device
        )


@takes(trained=Trained)
def train_natural(
    trained: Trained,
    config: TrainingConfig | None = None,
    *,
    checkpoint: Path | None = None,
    on_step: Callable[[int, Losses], None] = lambda step, losses: None,
    on_validation: Callable[[int, QuickAgreement], None] = lambda step, agreement: None,
) -> Trained:
    """A model of the same sizes that learns the answers, by whatever circuit comes of it.

    It ends early once 99.9% of answers are right. What it is returned with, the correspondence and
    its circuit, are those of the other model: the natural one need not have them.
    """
    trainer = natural_trainer(trained, config)
    train(trainer, checkpoint=checkpoint, on_step=on_step, on_validation=on_validation)
    return freeze(trainer).to(device=trained.model.device)


def natural_model(
    trained: Trained,
    folder: Path,
    config: TrainingConfig | None = None,
    *,
    on_trained: Callable[[Trained], None] = lambda natural: None,
) -> Trained:
    """The natural model of a folder; where there is none yet, it is trained and written there.

    It is on the trained model's device. Training that was killed goes on where it last validated.

    Args:
        trained: the model that it is to be compared with.
        folder: of the natural model.
        config: by default `natural_config`'s.
        on_trained: told of the model if it is trained now.

    Raises:
        ResultError: for a model of other settings, or a folder that cannot be written.
    """
    config = config or natural_config(trained)
    if (folder / CONFIG).exists():
        return _read_natural(folder, config).to(device=trained.model.device)
    check_writable(folder)
    checkpoint = folder / CHECKPOINT
    natural = train_natural(trained, config, checkpoint=checkpoint)
    save_trained(natural, folder)
    checkpoint.unlink(missing_ok=True)
    on_trained(natural)
    return natural


def _read_natural(folder: Path, config: TrainingConfig) -> Trained:
    found = load_trained(folder)
    if found.training.get("config") != json.loads(json.dumps(asdict(config))):
        raise ResultError(
            f"{folder}: expected a natural model of these settings, got another; "
            "name another folder with --natural"
        )
    return found
