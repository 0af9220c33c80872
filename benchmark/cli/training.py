"""Commands that train one model and certify it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.choices import Norm
from knowncircuits.cli.groups import ExecutorOptions, TrackingOptions, grouped
from knowncircuits.cli.options import (
    MAX_SEED,
    CaseArgument,
    DeviceOption,
    OwnCaseOption,
    ReleaseOption,
    check_device,
    output_option,
    pairs_option,
    parse_options,
    seed_option,
    setting_option,
    to_path,
)
from knowncircuits.cli.stopping import stoppable
from knowncircuits.models.choices import DEFAULT_ZOO, ObjectiveName, ZooVersion
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    from knowncircuits.models.zoo.plans import Plan


@dataclass(frozen=True)
class PlanOptions:
    """What departs from the recipe of a case's shipped model."""

    objective: Annotated[
        ObjectiveName | None,
        typer.Option(
            help="Interchange sets of edges, the same with a guide for deep chains, single nodes "
            "(SIIT as published), or nothing. By default the recipe's."
        ),
    ] = None
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps at most; training ends earlier if the certificate passes."),
    ] = None
    option: Annotated[
        list[str] | None, setting_option("Set a field of TrainingConfig, as batch_size=128")
    ] = None
    seed: Annotated[int, seed_option("Seed of weights, inputs and drawn edges.")] = 0
    shuffle: Annotated[
        int | None,
        typer.Option(
            min=0, max=MAX_SEED, help="Seed of a random placement, instead of the recipe's."
        ),
    ] = None
    zoo: ReleaseOption = None
    layers: Annotated[int | None, typer.Option(min=1, max=128, help="By default the recipe's.")] = (
        None
    )
    heads: Annotated[int | None, typer.Option(min=1, max=128, help="By default the recipe's.")] = (
        None
    )
    d_model: Annotated[
        int | None, typer.Option(min=1, max=4096, help="By default the recipe's.")
    ] = None
    d_head: Annotated[
        int | None, typer.Option(min=1, max=4096, help="By default the recipe's.")
    ] = None
    norm: Annotated[
        Norm | None,
        typer.Option(
            help="Norm before each attention and MLP, and at the end. By default the recipe's."
        ),
    ] = None
    gated: Annotated[
        bool,
        typer.Option("--gated", help="Gate MLPs: GEGLU, or SwiGLU with -x activation=silu."),
    ] = False
    rotary: Annotated[
        bool, typer.Option("--rotary", help="Use rotary positions instead of learned ones.")
    ] = False

    def plan(self, case: str) -> Plan:
        """The recipe with what is said; raises ModelError for settings that there are not."""
        from knowncircuits.models.zoo.plans import plan_model

        plan = plan_model(case, zoo=self.zoo or DEFAULT_ZOO)
        if self.shuffle is not None:
            plan = replace(plan, shuffle=self.shuffle)
        if self.objective:
            plan = plan.trained_by(self.objective)
        settings = {
            "seed": self.seed,
            "steps": self.steps,
            "layers": self.layers,
            "heads": self.heads,
            "d_model": self.d_model,
            "d_head": self.d_head,
            "norm": self.norm,
            "gated": self.gated or None,
            "positions": "rotary" if self.rotary else None,
            **parse_options(self.option),
        }
        return plan.changed({name: value for name, value in settings.items() if value is not None})


@grouped
def train(
    case: CaseArgument,
    planned: PlanOptions,
    *,
    output: Annotated[
        Path | None, output_option("Folder of the model; by default trained/CASE.")
    ] = None,
    pairs: Annotated[int, pairs_option("Pairs of the certificate.")] = 20_000,
    device: DeviceOption = "cpu",
    logged: TrackingOptions,
) -> None:
    """Train a transformer to share a case's circuit, by interchanges, and certify it.

    What is not said is as in the recipe of the case's shipped model, or else the default. Writes
    the model and its certificate to OUTPUT; exits with 1 if it is not certified. Training that was
    killed goes on where it last validated.
    """
    from contextlib import nullcontext

    from knowncircuits.files.writing import check_replaceable, check_writable
    from knowncircuits.models.trained import save_trained
    from knowncircuits.models.training.trainer import CHECKPOINT
    from knowncircuits.models.training.trainer import train as run
    from knowncircuits.models.training.training_log import track
    from knowncircuits.models.zoo.produce import freeze

    plan = planned.plan(case)
    check_device(device)
    with show_progress("train"):
        trainer = plan.trainer(device)
    folder = output or Path("trained") / case
    check_replaceable(folder)
    check_writable(folder)
    checkpoint = folder / CHECKPOINT
    tracking: Any = nullcontext()
    if logged.wandb:
        tracking = track(trainer, logged.wandb, folder, zoo=plan.zoo, mode=logged.wandb_mode)

    def so_far() -> str:
        return (
            f"{trainer.n_steps} of {trainer.config.steps} steps; the same command goes on where it "
            "last validated"
        )

    with stoppable(so_far), tracking as tracker:
        told = {"on_step": tracker.step, "on_validation": tracker.validation} if tracker else {}
        with show_progress("train"):
            run(trainer, checkpoint=checkpoint, **told)
        trained = run_certificate(freeze(trainer), pairs, planned.seed, plan.zoo)
        save_trained(trained, folder)
        if tracker:
            tracker.certified(trained.certificate, folder)
    checkpoint.unlink(missing_ok=True)
    print(f"{trainer.n_steps} steps; model and certificate in {folder}")
    raise typer.Exit(0 if trained.certificate.passed else 1)


@grouped
def certify(
    folder: Annotated[Path, typer.Argument(parser=to_path, help="The folder of a trained model.")],
    pairs: Annotated[int, pairs_option("Pairs of inputs.")] = 20_000,
    seed: Annotated[int, seed_option("Seed of pairs and random sets of edges.")] = 0,
    case: OwnCaseOption = None,
    device: DeviceOption = "cpu",
    *,
    executed: ExecutorOptions,
) -> None:
    """Measure every edge of a trained model anew, on each stratum, and write its certificate.

    A sample of the edges is computed again through hooks, and must agree. Exits with 1 if the
    certificate fails. What was killed goes on where it was.
    """
    from knowncircuits.files.shards import remove_shards
    from knowncircuits.models.trained import CERTIFICATE, load_trained

    check_device(device)
    trained = load_trained(folder, certified=False).to(device=device)
    from knowncircuits.models.certificates.recheck import recheck  # says if its extra is missing

    shards = folder / ".shards"
    certificate = run_certificate(
        trained, pairs, seed, command="certify", executor=executed.chosen(), shards=shards
    ).certificate
    with show_progress("certify"):
        edges = recheck(trained.placed, certificate, n_pairs=500)
    certificate.write(folder / CERTIFICATE)
    remove_shards(shards)
    print(f"computed again through hooks: {', '.join(edges)}")
    raise typer.Exit(0 if certificate.passed else 1)


def run_certificate(
    trained: Any,
    pairs: int,
    seed: int,
    zoo: ZooVersion = 2,
    *,
    command: str = "train",
    **how: Any,
) -> Any:
    """The model with a new certificate, as models of a zoo have it; prints what came of it."""
    from knowncircuits.models.zoo.produce import with_certificate

    with show_progress(command):
        trained = with_certificate(trained, n_pairs=pairs, seed=seed, zoo=zoo, **how)
    certificate = trained.certificate
    outside, inside = certificate.largest_outside_effect, certificate.smallest_inside_effect
    print(f"accuracy {certificate.accuracy.share:.3%} on {certificate.n_pairs} pairs")
    print(f"largest effect of an outside edge: {outside[1]:.3%} ({outside[0]})")
    print(f"smallest effect of an inside edge: {inside[1]:.3%} ({inside[0]})")
    for failure in certificate.failures:
        print(f"failed: {failure}")
    print("certified" if certificate.passed else "not certified")
    return trained
