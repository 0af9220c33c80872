"""Training logged to Weights & Biases: losses, agreements, the certificate and the model itself.

W&B is imported when a run starts, and not before.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knowncircuits.files.writing import write_text
from knowncircuits.models.certificates.agreement import Agreement, worst
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.quick import QuickAgreement
from knowncircuits.models.choices import ZooVersion
from knowncircuits.models.training.stepping import Losses
from knowncircuits.models.training.trainer import CHECKPOINT, Trainer
from knowncircuits.work.tracking import Mode, start_run

if TYPE_CHECKING:
    import wandb

# The id of a run that is not done, beside the checkpoint that it goes on from.
RUN_ID = "wandb-run-id"
COLUMNS = (
    "ablation",
    "kind",  # nothing, edge, node or set
    "name",
    "label",  # of an edge
    "share",
    "lower_bound",
    "low_effect",
    "high_effect",
    "positions",
    "pairs",
)


class Tracker:
    """Logs to one run. `step` and `validation` are what `train` calls back."""

    def __init__(self, run: wandb.Run, trainer: Trainer) -> None:
        """The trainer is asked for its learning rate."""
        self.run = run
        self.trainer = trainer
        # Steps since a checkpoint are taken again, and W&B's own counter never goes back.
        run.define_metric("step", hidden=True)
        run.define_metric("*", step_metric="step")

    def step(self, n: int, losses: Losses) -> None:
        """Log losses before weights, the gradient's norm before clipping, and the learning rate."""
        logged = {f"train/{term}": loss for term, loss in losses.terms.items()}
        logged["train/gradient_norm"] = losses.gradient_norm
        rate = self.trainer.stepper.optimizers[-1].param_groups[0]["lr"]  # Adam's
        self.run.log({"step": n, **logged, "train/learning_rate": rate})

    def validation(self, n: int, agreement: QuickAgreement) -> None:
        """Log the agreements and the inside edge where it is least."""
        edge, worst = agreement.worst_inside
        inside = "validation/worst_inside"
        self.run.log(
            {
                "step": n,
                "validation/accuracy": agreement.accuracy.share,
                **({inside: worst, f"{inside}_edge": edge} if edge else {}),
                **{f"validation/{name}": found.share for name, found in agreement.sets.items()},
                "validation/passed": agreement.passed,
            }
        )

    def certified(self, certificate: Certificate, folder: Path) -> None:
        """Log the certificate as table and summary, and the model's folder as an artifact."""
        import wandb

        rows: list[Iterable[Any]] = [list(row) for row in certificate_rows(certificate)]
        self.run.log({"certificate": wandb.Table(columns=list(COLUMNS), data=rows)})
        summary = certificate_summary(certificate) | {"steps": self.trainer.n_steps}
        self.run.summary.update(summary)
        metadata = {name: value for name, value in summary.items() if name != "failures"}
        artifact = wandb.Artifact(certificate.case, type="model", metadata=metadata)
        for path in sorted(folder.iterdir()):
            if path.suffix in (".json", ".safetensors"):
                artifact.add_file(str(path))
        self.run.log_artifact(artifact)


@contextmanager
def track(
    trainer: Trainer, project: str, folder: Path, *, zoo: ZooVersion, mode: Mode | None = None
) -> Iterator[Tracker]:
    """A W&B run around training; one that was killed goes on if its checkpoint does.

    Args:
        trainer: whose settings are logged as the configuration.
        project: W&B's.
        zoo: by whose recipe the model is trained.
        folder: of the model; holds `checkpoint.pt` and the run's id until training is done.
        mode: `online`, `offline` (sent later by `wandb sync`) or `disabled`; by default what
            WANDB_MODE says, or `online`. Offline, each start writes a folder of its own with the
            same id, which `wandb sync --append` puts together.

    Raises:
        TrackingError: if W&B is missing, not logged in or not reached.
        ResultError: if the folder cannot be written to.
    """
    run = _start(trainer, project, folder, zoo, mode)
    try:
        write_text(folder / RUN_ID, run.id + "\n")
        yield Tracker(run, trainer)
    except BaseException:  # an interrupt too; W&B shows the run as failed
        run.finish(exit_code=1)
        raise
    run.finish()
    (folder / RUN_ID).unlink(missing_ok=True)


def certificate_rows(certificate: Certificate) -> Iterator[tuple[str | float | None, ...]]:
    """The certificate as rows of COLUMNS; None for shares of no positions."""

    def row(ablation: str, kind: str, name: str, found: Agreement) -> tuple[Any, ...]:
        values = found.to_dict()
        label = certificate.labels.get(name, "")
        return ablation, kind, name, label, *(values[column] for column in COLUMNS[4:])

    yield row("resample", "nothing", "accuracy", certificate.accuracy)
    for kind in ("edge", "node", "set"):
        for name, found in getattr(certificate, f"{kind}s").items():
            yield row("resample", kind, name, found)
    for ablation, group in certificate.ablations.items():
        for name, found in group.items():
            yield row(ablation, "edge" if name in certificate.labels else "set", name, found)


def certificate_summary(certificate: Certificate) -> dict[str, Any]:
    """The numbers by which runs are compared, and what failed."""
    summary: dict[str, Any] = {
        "passed": certificate.passed,
        "accuracy": certificate.accuracy.share,
        "n_pairs": certificate.n_pairs,
        "inputs": certificate.inputs,
        "weights": certificate.weights,
        "failures": list(certificate.failures),
        **{name: found.share for name, found in certificate.sets.items()},
    }
    labels = certificate.labels
    for side, label in (("inside", "in"), ("outside", "out")):
        edges = {edge: a for edge, a in certificate.edges.items() if labels[edge] == label}
        if edges:
            edge, share = worst(edges)
            summary |= {f"worst_{side}": share, f"worst_{side}_edge": edge}
    for name in ("largest_outside_effect", "smallest_inside_effect"):
        edge, effect = getattr(certificate, name)
        summary |= {name: effect, f"{name}_edge": edge}
    return summary


def _start(
    trainer: Trainer, project: str, folder: Path, zoo: ZooVersion, mode: Mode | None
) -> wandb.Run:
    unfinished = folder / RUN_ID
    if unfinished.exists() and (folder / CHECKPOINT).exists():
        run_id = unfinished.read_text(encoding="utf-8").strip()
    else:
        run_id = secrets.token_hex(4)
    name = f"{trainer.placed.compiled.name} {trainer.config.objective} {trainer.config.seed}"
    return start_run(
        project, mode, name=name, config=_configuration(trainer) | {"zoo": zoo}, run_id=run_id
    )


def _configuration(trainer: Trainer) -> dict[str, Any]:
    packages = ("knowncircuits", "torch", "wandb")
    return {
        "case": trainer.placed.compiled.name,
        "training": asdict(trainer.config),
        "transformer": trainer.placed.model.config.document(),
        "placement": dict(trainer.placed.correspondence.nodes),
        "device": trainer.placed.model.device.type,
        "versions": {package: version(package) for package in packages},
    }
