"""The command `models hardness`: what was measured of how hard circuits are to find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowncircuits.cli.groups import CaseOptions, VariantOptions, grouped
from knowncircuits.cli.layout import Column, Row, Table, magnitude_text, number_text, numbers, words
from knowncircuits.cli.options import FolderOption, FormatOption
from knowncircuits.cli.printing import Output
from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

TOGETHER = {"case": "all of them", "variant": "", "alive": None}  # a row of means


@grouped
def models_hardness(
    cases: CaseOptions,
    variants: VariantOptions,
    folder: FolderOption = None,
    form: FormatOption = "table",
) -> None:
    """List how hard the circuits of trained models are to find, as stored, and means over them.

    By default of structural cases, over which headline numbers are means too.
    """
    import pandas as pd

    from knowncircuits.evaluation.hardness.listing import describe_all, summarise
    from knowncircuits.evaluation.hardness.stored import hardness_file, read_hardness

    zoo = variants.in_folder(folder)
    if not (cases.named or zoo.own):
        cases = CaseOptions(suite="structural")
    chosen = zoo.among(cases.names_in(zoo), variants.chosen("all", zoo))
    measured = read_hardness(zoo)
    found = describe_all({model: measured[model] for model in chosen if model in measured})
    if not found:
        raise InputError(f"expected measurements of these models in {hardness_file(zoo)}, got none")
    means = summarise(found)
    to = Output(form)
    to.say(
        "alive: outside nodes that write half as much as the median node inside, of all;\n"
        "spread: outside over inside; living: edges between such nodes or the circuit's;\n"
        "gap: smallest effect inside over largest outside; middle: edges with effects of\n"
        "1e-4 to .1 of the largest; then average precisions of cheap scores, the better of\n"
        "best path and all paths; nodes: of read share between circuit nodes. Last: medians\n"
        "of spread and gap, means of the others"
    )
    data = {"models": pd.DataFrame(found), "together": pd.DataFrame([means])}
    to.show(_table([*found, {**TOGETHER, **means}]), data=data)
    to.say(f"{len(found)} models")


def _table(rows: Sequence[Row]) -> Table:
    def alive(row: Row) -> str:
        return "" if row["alive"] is None else f"{row['alive']}/{row['outside_nodes']}"

    def score(name: str, of: str, where: str = "") -> Column:
        """The better of two ways of going on along paths; of the means, the better mean."""

        def show(row: Row) -> str:
            names = [key for key in row if key.startswith(of) and key.endswith(f", AP{where}")]
            known = [row[key] for key in names if row[key] is not None]
            return number_text(max(known, default=None))

        return Column(name, show)

    columns = [
        words("case"),
        words("variant"),
        Column("alive", alive),
        numbers("spread", form=number_text),
        numbers("living", "living_edges", number_text),
        numbers("gap", form=magnitude_text),
        numbers("middle", form=number_text),
        score("read share", "read share"),
        score("weights", "weights"),
        score("names", "names"),
        score("nodes", "read share", " between circuit nodes"),
    ]
    return Table(columns, rows, ("middle", "alive", "nodes", "names", "weights", "spread"))
