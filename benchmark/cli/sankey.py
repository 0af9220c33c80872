"""The command that draws scores, a circuit or a run as Sankey diagrams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from knowncircuits.cases.choices import Direction
from knowncircuits.cli.groups import grouped
from knowncircuits.cli.layout import Column, Table, words
from knowncircuits.cli.options import (
    CompiledOption,
    DeviceOption,
    FormatOption,
    ModelOption,
    ThemeOption,
    VariantOption,
    ZooOption,
    case_name,
    load_chosen,
    save_option,
    seed_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import MetricName

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from knowncircuits.circuit import Circuit
    from knowncircuits.evaluation.scoring.stored import StoredScores

Shown = Literal["circuit", "exact", "eap", "activations"]


@dataclass(frozen=True)
class DrawingOptions:
    """How diagrams are laid out, and how much of them is shown."""

    threshold: Annotated[
        float | None, typer.Option(help="Draw edges whose score, or its size, is at least this.")
    ] = None
    edges: Annotated[
        int | None,
        typer.Option(min=0, help="Draw so many of the highest edges; 30 if there is no threshold."),
    ] = None
    vertical: Annotated[
        bool, typer.Option("--vertical", help="Draw from bottom to top, not from left to right.")
    ] = False
    aligned: Annotated[
        bool,
        typer.Option(
            "--aligned", help="Draw a column for every layer, also for layers without nodes."
        ),
    ] = False
    all_positions: Annotated[
        bool, typer.Option("--all-positions", help="Draw positions without any edges, too.")
    ] = False
    theme: ThemeOption = "default"

    @property
    def chosen(self) -> dict[str, Any]:
        """Which edges are drawn of scores."""
        return {"threshold": self.threshold, "n_edges": self.edges}

    @property
    def layout(self) -> dict[str, Any]:
        """What all diagrams take."""
        names = ("vertical", "aligned", "all_positions", "theme")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class RunOptions:
    """What is shown of a case's model at each position of one pair of inputs."""

    show: Annotated[
        Shown,
        typer.Option(
            help="What to draw of a case: its circuit; or, at each position of one input, effects "
            "of edges (exact, or eap), or how much is read along them (activations)."
        ),
    ] = "circuit"
    tokens: Annotated[
        str | None,
        typer.Option(help="Clean input, as 'a b x'; by default a pair is drawn at random."),
    ] = None
    corrupted: Annotated[str | None, typer.Option(help="Corrupted input.")] = None
    patch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EDGE",
            help="With activations: an edge that reads the corrupted input, or `outside` for all "
            "edges outside the circuit; may be repeated.",
        ),
    ] = None
    seed: Annotated[int, seed_option("Of the pair that is drawn at random.")] = 0
    direction: Annotated[
        Direction | None, typer.Option(help="Direction of the pair that is drawn at random.")
    ] = None
    metric: Annotated[
        MetricName | None, typer.Option(help="Metric of effects; by default KL, or L2 for numbers.")
    ] = None

    def __post_init__(self) -> None:
        given = [self.tokens, self.corrupted, self.direction, self.metric, self.seed or None]
        if self.show == "circuit" and any(value is not None for value in given):
            raise InputError(
                "expected --show exact, eap or activations for a pair of inputs, got none of them"
            )
        if self.patch and self.show != "activations":
            raise InputError(f"expected --show activations with --patch, got {self.show}")


@grouped
def sankey(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="FILE|CASE",
            help="A .json file of scores or of a circuit, ours or EAP-IG's; or a case, whose true "
            "circuit is drawn (your own: FILE.py:CASE).",
        ),
    ],
    *,
    truth: Annotated[
        bool,
        typer.Option(
            "--truth",
            help="Tell true and false positives and misses apart; of effects in a compiled model, "
            "at each position.",
        ),
    ] = False,
    run: RunOptions,
    drawing: DrawingOptions,
    variant: VariantOption = None,
    zoo: ZooOption = None,
    compiled: CompiledOption = False,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    save: Annotated[list[Path] | None, save_option(".html, .png, .pdf or .svg")] = None,
    form: FormatOption = "table",
) -> None:
    """Draw scores, a true circuit or a run as ribbons from inputs to logits; lists what is drawn.

    Ribbons are as wide as scores are large, blue where they are positive and red where negative.
    With --show, a diagram for each position of one input.
    """
    from knowncircuits.evaluation.figures.pictures import check_targets, save_figure

    check_targets(save or ())
    to = Output(form)
    if Path(subject).suffix == ".json":
        if compiled or variant or zoo or model or run.show != "circuit":
            raise InputError(
                "expected --compiled, --variant, --zoo, --model and --show with a case, got a file"
            )
        figure = _draw_file(Path(subject), truth, drawing, to)
    else:
        case = case_name(subject)
        loaded, name = load_chosen(
            case, variant, zoo, compiled=compiled, model=model, device=device
        )
        if run.show != "circuit":
            figure = _draw_run(loaded, name, truth, run, drawing, to)
        elif truth:
            raise InputError(f"expected a file of scores for --truth, got the case {subject}")
        else:
            figure = _draw(loaded, None, f"The circuit of {name}", drawing, to)
    for path in save or ():
        save_figure(figure, path)
        to.say(f"wrote {path}")


def _draw_file(path: Path, truth: bool, drawing: DrawingOptions, to: Output) -> go.Figure:
    from knowncircuits.evaluation.scoring.stored import read_scores

    stored = read_scores(path)
    if truth and stored.truth is None:
        raise InputError(f"{path}: expected labels of edges for --truth, got a file without them")
    title = f"Scores of {stored.scores.method}{stored.where}"
    if stored.scores.by_position is not None:
        return _draw_positions(stored, truth, title, drawing, to)
    return _draw(stored.scores, stored.truth if truth else None, title, drawing, to)


def _draw_positions(
    stored: StoredScores, truth: bool, title: str, drawing: DrawingOptions, to: Output
) -> go.Figure:
    """Scores at positions: a diagram for each, called by its token where the file says it."""
    from knowncircuits.evaluation.figures.sankey import circuit_sankey, shown_at_positions

    scores, names = stored.scores, stored.positions
    rows = shown_at_positions(scores, **drawing.chosen)
    to.say(f"{title}: {len(rows)} edges at positions")
    _print_positions(rows, names, "score", to)
    circuit = stored.truth if truth else None
    about: dict[str, Any] = {**drawing.chosen, **drawing.layout, "positions": names}
    return circuit_sankey(scores, circuit, title=title, **about)


def _draw(
    shown: Any, circuit: Circuit | None, title: str, drawing: DrawingOptions, to: Output
) -> go.Figure:
    from knowncircuits.evaluation.figures.sankey import circuit_sankey, shown_edges

    drawn = shown_edges(shown, **drawing.chosen)
    to.say(f"{title}: {len(drawn)} edges")
    _print_edges(drawn, shown, circuit, to)
    return circuit_sankey(shown, circuit, **drawing.chosen, **drawing.layout, title=title)


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


def _draw_run(
    subject: Any, name: str, truth: bool, run: RunOptions, drawing: DrawingOptions, to: Output
) -> go.Figure:
    """Effects of edges, or what is read along them, at each position of one pair.

    The truth at each position is known of compiled models alone; of others, that of whole edges.
    """
    from knowncircuits.circuit import Label
    from knowncircuits.compiler.compiled import Compiled
    from knowncircuits.evaluation.components.by_position import EdgesBy, edge_effects_by_position
    from knowncircuits.evaluation.components.pair import one_pair
    from knowncircuits.evaluation.figures.activations import activation_rows, activation_sankey
    from knowncircuits.evaluation.figures.sankey import circuit_sankey, shown_at_positions
    from knowncircuits.evaluation.truth.positions import position_labels

    tokens, corrupted = (
        None if text is None else text.split() for text in (run.tokens, run.corrupted)
    )
    task, names = one_pair(
        subject, tokens, corrupted, seed=run.seed, metric=run.metric, direction=run.direction
    )
    about: dict[str, Any] = {**drawing.layout, "positions": names}
    truths: list[str] = []
    if run.show == "activations":
        if truth or drawing.threshold is not None:
            raise InputError("expected --show exact or eap for --truth and --threshold")
        mask = _mask(subject.circuit, run.patch or ())
        title = f"What is read in {name}"
        reads = (task.model, task.clean, task.alternative, mask)
        figure = activation_sankey(
            *reads, circuit=subject.circuit, n_edges=drawing.edges, title=title, **about
        )
        rows = activation_rows(*reads, circuit=subject.circuit, n_edges=drawing.edges)
        column = "length"
    else:
        by: EdgesBy = "eap" if run.show == "eap" else "exact"
        values = edge_effects_by_position(task, by)
        title = f"Effects of edges in {name}, {by}"
        chosen, against = drawing.chosen, subject.circuit if truth else None
        rows = shown_at_positions(values, task.graph, **chosen)
        if truth and isinstance(subject, Compiled):
            against = position_labels(subject, task)
            labels = [against[task.graph.index(edge), position] for edge, position, _ in rows]
            truths = [Label(label).name.lower() for label in labels]
        figure = circuit_sankey(values, against, graph=task.graph, title=title, **chosen, **about)
        column = "score"
    to.say(f"{title}: {len(rows)} edges at positions of {' '.join(names)}")
    _print_positions(rows, names, column, to, truths)
    return figure


def _print_positions(
    rows: Sequence[tuple[str, int, float]],
    names: Sequence[str],
    column: str,
    to: Output,
    truths: Sequence[str] = (),
) -> None:
    """What is drawn, row by row; with what is true of each, where that is known."""
    import pandas as pd

    shown = [
        {
            "edge": edge,
            "position": position,
            "token": names[position] if names else "",
            column: value,
        }
        for edge, position, value in rows
    ]
    columns = [
        words("edge"),
        Column("position", lambda row: str(row["position"])),
        words("token"),
        Column(column, lambda row: f"{row[column]:.4g}"),
    ]
    if truths:
        columns.append(words("truth"))
        shown = [row | {"truth": truth} for row, truth in zip(shown, truths, strict=True)]
    to.show(Table(columns, shown), data=pd.DataFrame(shown, columns=[c.name for c in columns]))


def _mask(circuit: Circuit, edges: Sequence[str]) -> Any:
    """The primitive's mask [1, edge] of the edges that read the corrupted input."""
    import torch

    from knowncircuits.circuit import Label

    mask = torch.zeros(1, circuit.graph.n_edges)
    for edge in edges:
        if edge == "outside":
            mask[0, torch.from_numpy(circuit.labels == Label.OUT)] = 1
        else:
            mask[0, circuit.graph.index(edge)] = 1
    return mask
