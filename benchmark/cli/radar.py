"""The command that shows methods over the experiments of the hard suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from knowncircuits.cli.layout import Table, indexed_table
from knowncircuits.cli.options import (
    FiguresOption,
    FormatOption,
    ResolutionOption,
    ResultsArgument,
    output_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.evaluation.choices import RESOLUTION

if TYPE_CHECKING:
    from knowncircuits.evaluation.comparison.radar import Radar


def radar(
    results: ResultsArgument,
    output: Annotated[
        Path | None,
        output_option("Folder of tables and figures; none by default."),
    ] = None,
    figures: FiguresOption = "html",
    resolution: ResolutionOption = RESOLUTION,
    form: FormatOption = "table",
) -> None:
    """Show finished runs on the hard suite by tag and by experiment.

    Scores are average precision above chance, (AP - prevalence) / (1 - prevalence), at least 0:
    means over the levels that all methods have. With -o: levels.csv, experiments.csv, tags.csv, and
    figures of the radar and of the response to each experiment's dial.
    """
    from knowncircuits.evaluation.comparison.radar import radar as methods_by_tag
    from knowncircuits.evaluation.comparison.radar_plots import write_radar
    from knowncircuits.evaluation.figures.pictures import check_targets
    from knowncircuits.evaluation.runs.results import read_results
    from knowncircuits.evaluation.scoring.ranking import check_resolution

    check_resolution(resolution)
    if output:
        check_targets([output / f"radar.{figures}"])
    found = methods_by_tag(read_results(*results), resolution=resolution)
    to = Output(form)
    to.show(*_tables(found), data=found.tables)
    if found.left_out:
        to.say(f"left out, since some method lacks them: {', '.join(found.left_out)}")
    if output:
        for path in write_radar(found, output, f".{figures}"):
            to.say(f"wrote {path}")


def _tables(found: Radar) -> tuple[Table, Table]:
    n = found.levels[["experiment", "pairs", "level"]].drop_duplicates().shape[0]
    about = f"average precision above chance, {n} levels and kinds of pairs"
    tags = found.tags.assign(mean=found.means)
    return (
        indexed_table(found.experiments, f"by experiment: {about}"),
        indexed_table(tags, "by tag"),
    )
