"""The group `maintain`: what is stored in the repository, measured and written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from knowncircuits.cli.groups import ExecutorOptions, grouped
from knowncircuits.cli.options import ReleaseOption, ResultsArgument, output_option, to_path
from knowncircuits.cli.printing import Output
from knowncircuits.cli.stopping import stoppable
from knowncircuits.errors import InputError
from knowncircuits.models.choices import DEFAULT_ZOO
from knowncircuits.work.showing import show_progress

maintain_app = typer.Typer(
    help="Measure and write anew what the repository stores; needs a checkout.",
    no_args_is_help=True,
)


@maintain_app.command()
@grouped
def difficulty(executed: ExecutorOptions) -> None:
    """Measure how hard each case is, anew, and store it where `cases` and the suites look it up.

    What was killed goes on where it was, unless the package's source has changed.
    """
    from knowncircuits.cases.difficulty import GENERATED, STORED, write_difficulties
    from knowncircuits.cases.generated import generated_cases
    from knowncircuits.cases.registry import CASES
    from knowncircuits.evaluation.catalogue.measuring import measure_difficulties
    from knowncircuits.files.shards import remove_shards

    shards = find_checkout() / ".shards" / "difficulty"
    names = [*CASES, *generated_cases()]
    done: list[str] = []

    def so_far() -> str:
        return f"{len(done)} of {len(names)} cases measured; the same command goes on"

    with stoppable(so_far), show_progress("difficulty", len(names)) as shown:

        def on_measured(name: str) -> None:
            done.append(name)
            shown.advance()

        measured = measure_difficulties(names, shards, executed.chosen(), on_measured)
    for path, cases in ((STORED, CASES), (GENERATED, generated_cases())):
        write_difficulties((found for found in measured if found.case in cases), path)
        print(f"wrote {path}")
    remove_shards(shards)


@maintain_app.command()
def docs(
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FILE",
            parser=to_path,
            help="File to write; by default docs/cases.md.",
        ),
    ] = None,
) -> None:
    """Write the reference page of the cases."""
    from knowncircuits.evaluation.catalogue.page import cases_page
    from knowncircuits.files.writing import check_writable, write_text

    page = save or find_checkout() / "docs" / "cases.md"
    check_writable(page.parent)
    write_text(page, cases_page())
    print(f"wrote {page}")


@maintain_app.command()
def schema() -> None:
    """Write the JSON Schema of submissions, which the site publishes."""
    from knowncircuits.leaderboard.schema import PUBLISHED, write_schema

    find_checkout()
    write_schema()
    print(f"wrote {PUBLISHED}")


@maintain_app.command()
def effects(zoo: ReleaseOption = None) -> None:
    """Measure the causal-effect curves of models that have none yet, for the pages of cases."""
    from knowncircuits.leaderboard.stored_effects import (
        STORED,
        curves_of,
        shown_models,
        write_curves,
    )
    from knowncircuits.leaderboard.truth import certified_models

    find_checkout()
    version = zoo or DEFAULT_ZOO
    models, stored = shown_models(certified_models(version)), STORED[version]
    measured: list[str] = []
    with show_progress("effects"):
        write_curves(curves_of(models, stored, on_measure=measured.append), stored)
    print(f"{len(models)} models, {len(measured)} of them measured now")


@maintain_app.command()
@grouped
def board(
    executed: ExecutorOptions,
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROW...]", help="Rows to make; by default all.", show_default=False
        ),
    ] = None,
    output: Annotated[Path, output_option("Folder of the result files.")] = Path("results"),
) -> None:
    """Run our own rows of the board again on zoo 1, and make their submissions anew.

    A run that was stopped goes on where it was. Where a model of a row fails, the row's submission
    stays as it is, and the exit code is 1.
    """
    from knowncircuits.cases.registry import list_cases
    from knowncircuits.cli.following import follow_runs
    from knowncircuits.evaluation.runs.subjects import shipped_subjects
    from knowncircuits.leaderboard.rows import chosen_rows, renew
    from knowncircuits.models.zoo.variants import VARIANTS

    find_checkout()
    chosen = chosen_rows(rows or [])
    models = shipped_subjects(list_cases("all"), list(VARIANTS[DEFAULT_ZOO]))
    with follow_runs(len(chosen) * len(models)) as followed:
        written = renew(
            chosen,
            models,
            output,
            executor=executed.chosen(),
            on_result=followed.on_result,
            on_failure=followed.on_failure,
        )
    for folder in written:
        print(f"wrote {folder}")
    followed.print_end(output, Output("table"))


@maintain_app.command()
def hard(results: ResultsArgument) -> None:
    """Store what finished runs on the hard suite came to, for the site's page of it.

    What is stored of other methods stays, where it is of the same levels.
    """
    from knowncircuits.evaluation.comparison.radar import radar
    from knowncircuits.evaluation.runs.results import read_results
    from knowncircuits.leaderboard.stored_hard import STORED, beside, read_hard, write_hard

    find_checkout()
    found, stored = radar(read_results(*results)), read_hard()
    written = found if stored is None else beside(stored, found)
    write_hard(written)
    n_levels = len(written.levels) // len(written.means)
    print(f"{len(written.means)} methods on {n_levels} levels; wrote {STORED}")


@maintain_app.command()
@grouped
def hardness(
    executed: ExecutorOptions,
    zoo: ReleaseOption = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Measure all models, also those that have been measured."),
    ] = False,
) -> None:
    """Measure how hard the circuits of a zoo's models are to find, and store it beside them.

    Models whose weights and circuit are those that were measured before are not measured again.
    """
    from knowncircuits.cases.registry import CASES
    from knowncircuits.evaluation.hardness.stored import hardness_file, measure_zoo, write_hardness
    from knowncircuits.models.zoo.shelf import shipped

    find_checkout()
    of = shipped(zoo or DEFAULT_ZOO)
    models = of.among(list(CASES), list(of.variants))
    if not models:
        raise InputError(f"expected trained models in {of.folder}, got none")
    with show_progress("hardness", len(models)) as shown:
        found = measure_zoo(
            of,
            models,
            fresh=fresh,
            executor=executed.chosen(),
            on_measured=lambda model: shown.advance(),
        )
    write_hardness(of, found)
    print(f"{len(found)} models; wrote {hardness_file(of)}")


def find_checkout() -> Path:
    """The top of the repository that the package is imported from.

    Raises InputError for an installed package: what is written there belongs to nobody's history,
    and is lost with the next version.
    """
    from knowncircuits import cases

    top = Path(cases.__file__).parents[1]
    if not (top / "pyproject.toml").is_file():
        raise InputError(
            f"expected a checkout of the repository, got the installed package {top}; "
            "clone the repository and `pip install -e` it"
        )
    return top
