"""The group `seal`: held-out sets that are made, committed to, published and scored on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from knowncircuits.cli.generating import DepthOption, FanInOption, SizeOption
from knowncircuits.cli.groups import ExecutorOptions, grouped
from knowncircuits.cli.options import FormatOption, output_option, to_path
from knowncircuits.work.showing import show_progress

seal_app = typer.Typer(
    help="Hold programs and models out for a release: publish a hash now, the set when it closes.",
    no_args_is_help=True,
)
SetArgument = Annotated[
    Path, typer.Argument(metavar="SET", parser=to_path, help="Folder of the set.")
]
CommitmentArgument = Annotated[
    Path, typer.Argument(metavar="COMMITMENT", parser=to_path, help="File that was published.")
]


@seal_app.command("make")
def seal_make(
    folder: SetArgument,
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, max=10_000, help="How many programs.")
    ] = 20,
    size: SizeOption = range(2, 7),
    depth: DepthOption = range(2, 5),
    fan_in: FanInOption = range(1, 4),
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Draws of pairs.")] = 3,
) -> None:
    """Draw a set's programs and seeds, which nobody can foresee; none is like a public one."""
    from knowncircuits.cases.drawing import shapes_within
    from knowncircuits.cases.generated import SHIPPED
    from knowncircuits.cases.written import read_written
    from knowncircuits.leaderboard.sealing import MODELS, PROGRAMS, make_set

    shapes, public = shapes_within(size, depth, fan_in), read_written(SHIPPED)
    with show_progress("seal make", number) as shown:
        make_set(
            folder,
            number,
            shapes,
            n_seeds=seeds,
            there=public,
            on_program=lambda program: shown.advance(),
        )
    print(f"{number} programs and {seeds} seeds in {folder}; their models, if it is to have any:")
    print(f"knowncircuits models train -c {folder / PROGRAMS} --zoo 2 -o {folder / MODELS}")


@seal_app.command("commit")
def seal_commit(
    folder: SetArgument,
    output: Annotated[Path, output_option("File to publish: .json.")],
    release: Annotated[str, typer.Option(help="Release that the set is held out for.")],
) -> None:
    """Write a set's manifest, and its hash into a file to publish now; the set stays secret."""
    from knowncircuits.files.writing import check_writable
    from knowncircuits.leaderboard.sealing import commit, write_commitment

    check_writable(output.parent)
    commitment = commit(folder, release)
    write_commitment(commitment, output)
    print(f"{commitment.files} files, manifest {commitment.sha256}; wrote {output}")


@seal_app.command("verify")
def seal_verify(folder: SetArgument, commitment: CommitmentArgument) -> None:
    """Compare a published set with what was committed to; exits with 1 if anything is wrong."""
    from knowncircuits.leaderboard.sealing import read_commitment, verify

    said = read_commitment(commitment)
    problems = verify(folder, said)
    for problem in problems:
        print(problem)
    print(f"{said.files} files of {said.release}, {len(problems)} problems")
    raise typer.Exit(1 if problems else 0)


@seal_app.command("score")
@grouped
def seal_score(
    folder: SetArgument,
    commitment: CommitmentArgument,
    method: Annotated[
        list[str],
        typer.Argument(metavar="METHOD...", help="Methods, or a submitter's as FILE.py:FUNCTION."),
    ],
    executed: ExecutorOptions,
    output: Annotated[Path, output_option("Folder of the result files.")] = Path("sealed"),
    form: FormatOption = "table",
) -> None:
    """Score methods on a set that is as was committed to, and rank them.

    The hash of each method's code is printed: that a submitter has published before.
    """
    from knowncircuits.cli.following import follow_runs
    from knowncircuits.cli.printing import Output
    from knowncircuits.cli.score_tables import summary_table
    from knowncircuits.evaluation.comparison.scored import score_results
    from knowncircuits.evaluation.comparison.summary import suites_frame, summarise
    from knowncircuits.evaluation.methods.discovery import expand_methods
    from knowncircuits.evaluation.runs.provenance import code_hash
    from knowncircuits.evaluation.runs.running import run
    from knowncircuits.evaluation.runs.settings import Settings
    from knowncircuits.files.writing import check_writable
    from knowncircuits.leaderboard.sealing import open_set, read_commitment

    methods = expand_methods(method)
    models, seeds = open_set(folder, read_commitment(commitment))
    check_writable(output)
    to = Output(form)
    with follow_runs(len(methods) * len(models) * len(seeds)) as followed:
        results = run(
            [Settings(name) for name in methods],
            models,
            output,
            seeds=seeds,
            executor=executed.chosen(),
            on_result=followed.on_result,
            on_failure=followed.on_failure,
        )
    for name in methods:
        to.say(f"{name}: code {code_hash(name)}")
    if results:
        summaries = summarise(score_results(results))
        to.show(*map(summary_table, summaries), data=suites_frame(summaries))
    followed.print_end(output, to)
