"""The command that scores the edges of a language model on prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from knowncircuits.cli.layout import Table, number_text, numbers, words
from knowncircuits.cli.options import FormatOption, output_option, parse_options, setting_option
from knowncircuits.cli.options import to_path as path
from knowncircuits.cli.printing import Output
from knowncircuits.evaluation.choices import Ablation, MetricName
from knowncircuits.work.showing import show_progress

Dtype = Literal["float32", "bfloat16", "float16", "float64"]


def text(
    method: Annotated[
        list[str],
        typer.Argument(metavar="METHOD...", help="Discovery methods; see `methods`."),
    ],
    *,
    model: Annotated[
        Path,
        typer.Option(parser=path, help="A folder with a Hugging Face model and its tokenizer."),
    ],
    prompts: Annotated[
        Path,
        typer.Option(
            parser=path,
            help="A CSV file: clean, corrupted, and for metrics of labels answer and wrong.",
        ),
    ],
    circuit: Annotated[
        Path | None,
        typer.Option(parser=path, help="A circuit to score against, as EAP-IG's JSON."),
    ] = None,
    metric: Annotated[
        MetricName | None, typer.Option(help="Default: logit_diff with answers, otherwise kl.")
    ] = None,
    ablation: Annotated[Ablation, typer.Option(help="What patched edges read.")] = "resample",
    dtype: Annotated[
        Dtype, typer.Option(help="Dtype of the model; metrics are in float32.")
    ] = "float32",
    option: Annotated[list[str] | None, setting_option("For the methods")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the highest edges.")] = 10,
    output: Annotated[Path, output_option("Folder of the scores.")] = Path("scores"),
    form: FormatOption = "table",
) -> None:
    """Score the edges of a language model on prompts, and write the scores as EAP-IG's JSON.

    Writes OUTPUT/METHOD.json. Nothing is fetched. No truth is known of such models; against a
    circuit that someone found, scores have areas.
    """
    import pandas as pd
    import torch

    from knowncircuits.evaluation.methods.discovery import discover, fit_options
    from knowncircuits.evaluation.scoring.scores import score
    from knowncircuits.evaluation.text import text_task
    from knowncircuits.exchange import graph_file, read_graph_file, write_graph_file
    from knowncircuits.files.writing import check_writable
    from knowncircuits.models.interop.language_model import load_language_model

    given = parse_options(option)
    chosen = {name: fit_options(name, given) for name in method}
    known = None if circuit is None else read_graph_file(circuit).circuit()
    check_writable(output)
    loaded = load_language_model(model, getattr(torch, dtype))
    task = text_task(
        loaded.model, prompts, loaded.tokenizer, metric=metric, ablation=ablation, name=model.name
    )
    rows, highest = [], []
    with show_progress("text"):
        for name, options in chosen.items():
            scores = discover(name, task, **options)
            file = graph_file(task.graph, scores=scores.values)
            write_graph_file(file, output / f"{name.replace(':', '.')}.json")
            row = {"method": name, "seconds": scores.seconds}
            if known is not None:
                found = score(scores, known)
                row |= {"auroc": found.auroc, "average_precision": found.average_precision}
            rows.append(row)
            highest += [
                {"method": name, "edge": edge, "score": value} for edge, value in scores.top(top)
            ]
    areas = {"AUROC": "auroc", "AP": "average_precision"} if known is not None else {}
    columns = [words("method"), numbers("seconds", form=number_text)]
    columns += [numbers(short, key, number_text) for short, key in areas.items()]
    title = f"{model.name}: {task.graph.summary()}; {task.n_pairs} pairs, {task.metric}"
    edges = Table([words("method"), words("edge"), numbers("score")], highest, (), "Highest edges")
    data = pd.DataFrame(highest).merge(pd.DataFrame(rows), on="method")
    Output(form).show(Table(columns, rows, (), title), edges, data=data)
