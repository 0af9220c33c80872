"""The command that says how faithful circuits of growing size out of finished runs are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knowncircuits.cli.groups import ExecutorOptions, FileOptions, grouped
from knowncircuits.cli.layout import Table, number_text, numbers, words
from knowncircuits.cli.options import (
    DeviceOption,
    FormatOption,
    ModelOption,
    OwnCaseOption,
    ResolutionOption,
    check_device,
    to_path,
)
from knowncircuits.cli.printing import Output
from knowncircuits.cli.stopping import stoppable
from knowncircuits.evaluation.choices import RESOLUTION, Construction, RankBy, SizeBy
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    import pandas as pd


@grouped
def faithfulness(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS...",
            parser=to_path,
            help="Result files of `score`, or folders of them.",
        ),
    ],
    *,
    construction: Annotated[
        Construction,
        typer.Option(help="Take the highest edges, or grow circuits backwards from logits."),
    ] = "top-n",
    rank_by: Annotated[
        RankBy | None,
        typer.Option(help="Rank by size or by value; by default as each method says."),
    ] = None,
    resolution: ResolutionOption = RESOLUTION,
    size: Annotated[
        SizeBy,
        typer.Option(help="Size of a circuit: the size asked for, or what is left after pruning."),
    ] = "nominal",
    prune: Annotated[
        bool, typer.Option(help="Leave out edges on no path from an input to logits.")
    ] = True,
    merged: Annotated[
        bool, typer.Option("--merged", help="Count embed and pos as one input, as MIB does.")
    ] = False,
    model: ModelOption = None,
    case: OwnCaseOption = None,
    device: DeviceOption = "cpu",
    executed: ExecutorOptions,
    files: FileOptions,
    form: FormatOption = "table",
) -> None:
    """Measure how faithful circuits of growing size are, taken from scores: f, CPR and CMD.

    Each result is measured on its own pairs, beside the true circuit. Prints means over cases,
    and writes tables and figures by their endings: --save faithfulness.html.
    """
    from knowncircuits.evaluation.faithfulness.runs import faithfulness_table
    from knowncircuits.evaluation.figures.faithfulness import faithfulness_figure
    from knowncircuits.evaluation.runs.results import read_results
    from knowncircuits.evaluation.scoring.ranking import check_resolution

    check_resolution(resolution)
    check_device(device)
    found = read_results(*results)
    files.check()
    tasks = {(result.case, result.variant, result.seed) for result in found}
    measured: list[str] = []

    def so_far() -> str:
        return f"{len(measured)} of {len(tasks)} tasks measured; nothing is kept of them"

    with stoppable(so_far), show_progress("faithfulness", len(tasks)) as shown:

        def tick(case: str) -> None:
            measured.append(case)
            shown.advance()

        table = faithfulness_table(
            found,
            model=model,
            executor=executed.chosen(),
            device=device,
            on_task=tick,
            construction=construction,
            rank_by=rank_by,
            resolution=resolution,
            size_by=size,
            pruned=prune,
            merged=merged,
        )
    to = Output(form)
    _print_faithfulness(table, to)
    drawn = files.draw(lambda: faithfulness_figure(table, theme=files.theme))
    files.write(table, drawn, to)


def _print_faithfulness(table: pd.DataFrame, to: Output) -> None:
    """Macro means, the structural and the other cases apart: a row for each method."""
    import pandas as pd

    from knowncircuits.evaluation.faithfulness.runs import by_suite, macro_means

    first = table.iloc[0]
    zoo = "".join(f", zoo {zoo:.0f}" for zoo in table["zoo"].dropna().unique())
    ranking = " or ".join(sorted(table.loc[table["method"] != "truth", "rank_by"].unique()))
    to.say(
        f"circuits: {first['construction']}, ranked by {ranking or first['rank_by']} scores "
        f"at a resolution of {first['resolution']:g}, "
        f"{'pruned' if first['pruned'] else 'not pruned'}, {first['size_by']} size"
        f"{', merged inputs' if first['merged'] else ''}; "
        f"metric {' or '.join(sorted(table['metric'].unique()))}, "
        f"ablation {' or '.join(sorted(table['ablation'].unique()))}{zoo}"
    )
    suites = by_suite(table)
    to.show(
        *(_means_table(f"mean of {cases}", part) for cases, part in suites.items()),
        data=pd.concat(
            [macro_means(part).reset_index().assign(cases=cases) for cases, part in suites.items()],
            ignore_index=True,
        ),
    )


def _means_table(title: str, table: pd.DataFrame) -> Table:
    import math

    from knowncircuits.evaluation.faithfulness.runs import macro_means

    means = macro_means(table)
    true = table.drop_duplicates(["case", "variant", "seed"]).sort_values("true_f").iloc[0]
    about = (
        f"{title}; CPR: area under f, CMD: area between f and 1; the true circuit's f is at least "
        f"{math.floor(1e5 * true['true_f']) / 1e5:.5f} ({true['case']})"
    )
    shares = [f"{100 * share:g}%" for share in means.columns[2:]]
    rounded = means.round(3) + 0.0  # and no -0.000
    names = ("CPR", "CMD", *shares)
    rows = [
        {"method": str(name), **dict(zip(names, row, strict=True))}
        for name, row in zip(means.index, rounded.to_numpy().tolist(), strict=True)
    ]
    columns = [
        words("method"),
        *(numbers(name, form=number_text) for name in names),
    ]
    # Every other share first, so that those that stay are spread over all sizes.
    return Table(columns, rows, (*shares[::2], *shares[1::2]), about)
