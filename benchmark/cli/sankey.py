"""The command that draws scores or a circuit as a Sankey diagram."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.cli.layout import Column, Table, words
from knowncircuits.cli.options import (
    CompiledOption,
    FormatOption,
    ThemeOption,
    VariantOption,
    ZooOption,
    load_chosen,
    save_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowncircuits.circuit import Circuit
    from knowncircuits.models.choices import ZooVersion


def sankey(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="FILE|CASE",
            help="A .json of scores or of a circuit, ours or EAP-IG's; or a case, for its truth.",
        ),
    ],
    threshold: Annotated[
        float | None, typer.Option(help="Draw edges whose score, or its size, is at least this.")
    ] = None,
    edges: Annotated[
        int | None,
        typer.Option(min=0, help="Draw the highest so many; 30 where there is no threshold."),
    ] = None,
    truth: Annotated[
        bool, typer.Option("--truth", help="Tell true and false positives and misses apart.")
    ] = False,
    vertical: Annotated[
        bool, typer.Option("--vertical", help="Inputs at the bottom, not left.")
    ] = False,
    variant: VariantOption = None,
    zoo: ZooOption = None,
    compiled: CompiledOption = False,
    save: Annotated[list[Path] | None, save_option(".html, .png, .pdf or .svg")] = None,
    theme: ThemeOption = "default",
    form: FormatOption = "table",
) -> None:
    """Draw scores, or a true circuit, as ribbons from inputs to logits; lists what is drawn.

    Ribbons are as wide as scores are large, blue where they are positive and red where negative.
    """
    from knowncircuits.evaluation.figures.pictures import check_targets, save_figure
    from knowncircuits.evaluation.figures.sankey import circuit_sankey, shown_edges

    check_targets(save or ())
    shown, circuit, title = _read(subject, truth, variant, zoo, compiled)
    drawn = shown_edges(shown, threshold=threshold, n_edges=edges)
    to = Output(form)
    to.say(f"{title}: {len(drawn)} edges")
    _print_edges(drawn, shown, circuit, to)
    figure = circuit_sankey(
        shown,
        circuit,
        threshold=threshold,
        n_edges=edges,
        vertical=vertical,
        theme=theme,
        title=title,
    )
    for path in save or ():
        save_figure(figure, path)
        to.say(f"wrote {path}")


def _print_edges(
    drawn: Sequence[tuple[str, float]], shown: Any, circuit: Circuit | None, to: Output
) -> None:
    """Scores, and their labels where the truth is known; or what a circuit's edges carry."""
    import pandas as pd

    from knowncircuits.evaluation.scoring.scores import Scores

    scored = circuit is not None or isinstance(shown, Scores)
    columns = [words("edge")]
    rows: list[dict[str, Any]] = [{"edge": edge} for edge, _ in drawn]
    if scored:
        columns.append(Column("score", lambda row: f"{row['score']:.4g}"))
        rows = [{"edge": edge, "score": value} for edge, value in drawn]
    if circuit is not None:
        columns.append(words("truth"))
        rows = [row | {"truth": circuit.label(row["edge"]).name.lower()} for row in rows]
    elif not scored:
        columns.append(words("carries", wraps=True))
        carries = shown.circuit.carries
        rows = [row | {"carries": ", ".join(carries.get(row["edge"], ()))} for row in rows]
    to.show(Table(columns, rows), data=pd.DataFrame(rows, columns=[c.name for c in columns]))


def _read(
    subject: str, truth: bool, variant: str | None, zoo: ZooVersion | None, compiled: bool
) -> tuple[Any, Circuit | None, str]:
    """What is drawn, the truth that it is compared with, and a title."""
    path = Path(subject)
    if path.suffix != ".json":
        if truth:
            raise InputError(f"expected a file of scores for --truth, got the case {subject}")
        model, name = load_chosen(subject, variant, zoo, compiled=compiled)
        return model, None, f"The circuit of {name}"
    if compiled or variant or zoo:
        raise InputError("expected --compiled, --variant and --zoo with a case, got a file")
    from knowncircuits.evaluation.scoring.stored import read_scores

    stored = read_scores(path)
    if truth and stored.truth is None:
        raise InputError(f"{path}: expected labels of edges for --truth, got a file without them")
    title = f"Scores of {stored.scores.method}{stored.where}"
    return stored.scores, stored.truth if truth else None, title
