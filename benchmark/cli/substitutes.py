"""The command that says whether scores without truth rank methods as the truth does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from knowncircuits.cli.groups import ExecutorOptions, grouped
from knowncircuits.cli.layout import Table, number_text, numbers, words
from knowncircuits.cli.options import (
    DeviceOption,
    FormatOption,
    OwnCaseOption,
    ResolutionOption,
    ResultsArgument,
    check_device,
    output_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.work.showing import show_progress


@grouped
def substitutes(
    results: ResultsArgument,
    executed: ExecutorOptions,
    output: Annotated[
        Path | None, output_option("Folder of the two tables; none by default.")
    ] = None,
    resolution: ResolutionOption = RESOLUTION,
    case: OwnCaseOption = None,
    device: DeviceOption = "cpu",
    form: FormatOption = "table",
) -> None:
    """Compare how CPR, CMD and economy rank methods with how AUROC and average precision do.

    Measures CPR and CMD of finished runs on the pairs that they are from. With -o: agreement.csv
    and reliability.csv.
    """
    from knowncircuits.evaluation.comparison.substitutes import substitutes as compared
    from knowncircuits.evaluation.comparison.written import write_all
    from knowncircuits.evaluation.runs.results import read_results
    from knowncircuits.evaluation.scoring.ranking import check_resolution
    from knowncircuits.files.writing import check_writable

    check_resolution(resolution)
    check_device(device)
    if output:
        check_writable(output)
    with show_progress("substitutes"):
        found = compared(
            read_results(*results),
            resolution=resolution,
            executor=executed.chosen(),
            device=device,
        )
    to = Output(form)
    agreement = Table(
        [
            words("score"),
            words("truth"),
            numbers("tau", form=number_text),
            numbers("low", form=number_text),
            numbers("high", form=number_text),
            numbers("cases", "n_cases"),
            numbers("tau of means", "overall", form=number_text),
        ],
        found.agreement.to_dict("records"),
        ("low", "high"),
        "Kendall's tau-b between two scores' orders of methods: mean over cases, and of the means",
    )
    reliability = Table(
        [
            words("score"),
            numbers("noise", form=number_text),
            numbers("repeat", form=number_text),
            numbers("told apart", "told", form=number_text),
            numbers("cases", "n_cases"),
        ],
        found.reliability.to_dict("records"),
        (),
        "noise: standard deviation over draws of pairs; repeat: tau-b between halves of the draws; "
        "told apart: share of pairs of methods (sign test over cases, Holm's correction)",
    )
    to.show(agreement, reliability, data=found.tables)
    if output:
        for path in write_all(output, found.tables, {}):
            to.say(f"wrote {path}")
