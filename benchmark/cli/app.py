"""All commands, in the order of `--help`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from knowncircuits.cli import (
    agreement,
    bench,
    budget,
    cases,
    comparison,
    effects,
    faithfulness,
    generating,
    hardness,
    hub,
    leaderboard,
    maintenance,
    modalities,
    models,
    patching,
    radar,
    sankey,
    scoring,
    sealing,
    strata,
    submitting,
    substitutes,
    text,
    training,
    wiring,
)
from knowncircuits.cli.ending import run_command


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"knowncircuits {version('knowncircuits')}")
        raise typer.Exit
    return wanted  # the option's value


app = typer.Typer(
    name="knowncircuits",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Score circuit-discovery methods against circuits that are known."""


for command in (
    scoring.score,
    comparison.compare,
    budget.budget,
    radar.radar,
    scoring.methods,
    faithfulness.faithfulness,
    substitutes.substitutes,
    agreement.agreement,
    sankey.sankey,
    cases.cases,
    cases.show,
    cases.run,
    generating.generate,
    training.train,
    training.certify,
    wiring.wire,
    effects.effects,
    patching.patch,
    effects.realism,
    modalities.modalities,
    text.text,
    submitting.submit,
    hub.push,
    hub.pull,
):
    app.command()(command)
models.models_app.command("hardness")(hardness.models_hardness)
models.models_app.command("strata")(strata.models_strata)
app.add_typer(models.models_app, name="models")
app.add_typer(leaderboard.leaderboard_app, name="leaderboard")
app.add_typer(sealing.seal_app, name="seal")
app.add_typer(bench.bench_app, name="bench")
app.add_typer(maintenance.maintain_app, name="maintain")


def main() -> None:
    """The entry point: runs the command of `sys.argv`, and ends as `run_command` says."""
    # The models are so small that threads wait for each other more than they work: up to 30 times
    # slower where another program uses a core. Whoever has reason to can set more.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_command(app))
