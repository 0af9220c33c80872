"""The command `models strata`: what certificates say of each family of inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from knowncircuits.cli.groups import CaseOptions, VariantOptions, grouped
from knowncircuits.cli.layout import Row, Table, numbers, share_text, words
from knowncircuits.cli.options import FolderOption, FormatOption
from knowncircuits.cli.printing import Output
from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


@grouped
def models_strata(
    cases: CaseOptions,
    variants: VariantOptions,
    folder: FolderOption = None,
    answers: Annotated[
        bool, typer.Option("--answers", help="Show how often the model is right at each answer.")
    ] = False,
    form: FormatOption = "table",
) -> None:
    """List what the certificates of trained models say of each stratum of inputs."""
    import pandas as pd

    from knowncircuits.models.zoo.listing import describe_answers, describe_strata

    zoo = variants.in_folder(folder)
    chosen = zoo.among(cases.names_in(zoo), variants.chosen("all", zoo))
    rows = (describe_answers if answers else describe_strata)(zoo, chosen)
    if not rows:
        raise InputError(f"expected certificates with strata in {zoo.folder}, got none")
    to = Output(form)
    to.say(
        "accuracy: agreement with the compiled model where it gives the answer, nothing patched"
        if answers
        else "inside: the lowest agreement when one inside edge reads the other input;\n"
        "change: the largest share of own answers that edges change that are not inside"
    )
    to.show((_answers if answers else _strata)(rows), data=pd.DataFrame(rows))
    to.say(f"{len(chosen)} models")


def _strata(rows: Sequence[Row]) -> Table:
    columns = [
        words("case"),
        words("variant"),
        words("stratum"),
        numbers("pairs"),
        numbers("accuracy", form=share_text),
        numbers("inside", "worst_inside", share_text),
        words("edge", "worst_inside_edge"),
        numbers("change", "largest_change", share_text),
        words("under", "most_changing", wraps=True),
    ]
    return Table(columns, rows, ("under", "edge", "pairs", "variant"))


def _answers(rows: Sequence[Row]) -> Table:
    columns = [
        words("case"),
        words("variant"),
        words("answer"),
        numbers("positions"),
        numbers("accuracy", form=share_text),
    ]
    return Table(columns, rows, ("positions", "variant"))
