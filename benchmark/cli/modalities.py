"""The command that compares how a model does one task in two modalities."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knowncircuits.cli.groups import FileOptions, grouped
from knowncircuits.cli.layout import Table, frame_table, indexed_table, number_text, numbers, words
from knowncircuits.cli.options import (
    CaseArgument,
    DeviceOption,
    FormatOption,
    check_device,
    check_one_kind,
    pairs_option,
    seed_option,
    to_path,
)
from knowncircuits.cli.printing import Output
from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import ModalityFigure, NodeMetric
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    import pandas as pd

    from knowncircuits.compiler.compiled import Compiled
    from knowncircuits.evaluation.modalities.back_patching import BackPatching
    from knowncircuits.evaluation.modalities.study import ModalityStudy
    from knowncircuits.models.wired.wired import Wired


@grouped
def modalities(
    case: CaseArgument,
    *,
    pairs: Annotated[int, pairs_option("Clean/corrupted prompts of each modality.")] = 50,
    seed: Annotated[int, seed_option("Seed of prompts and random circuits.")] = 0,
    share: Annotated[
        float,
        typer.Option(help="Share of heads, and of neurons, at positions that a circuit holds."),
    ] = 0.27,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of integrated gradients.")] = 5,
    metric: Annotated[NodeMetric, typer.Option(help="Metric of faithfulness.")] = "logit_diff",
    windows: Annotated[
        str, typer.Option(help="Windows of back-patching: odd numbers with commas.")
    ] = ("1,3,5"),
    loops: Annotated[int, typer.Option(min=0, max=100, help="Loops of looped back-patching.")] = 4,
    model: Annotated[
        Path | None,
        typer.Option("--model", parser=to_path, help="Your own wired model: a folder."),
    ] = None,
    hosted: Annotated[
        bool, typer.Option("--hosted", help="Put the model into a larger, busy one; see `score`.")
    ] = False,
    device: DeviceOption = "cpu",
    figure: Annotated[ModalityFigure, typer.Option(help="What to draw.")] = "overlap",
    files: FileOptions,
    form: FormatOption = "table",
) -> None:
    """Compare the circuits of one task in two modalities: overlap, interchange, back-patching.

    CASE is of the suite `modalities`. Circuits are of heads and neurons at positions. Prints
    tables, and writes the figure or its table by their endings: --save overlap.html.
    """
    from knowncircuits.cases.modalities import load_modality_case
    from knowncircuits.cli.wiring import load_wired_of
    from knowncircuits.evaluation.figures.modalities import modality_figure, modality_table
    from knowncircuits.evaluation.modalities.case_prompts import modality_prompts
    from knowncircuits.evaluation.modalities.study import study_modalities
    from knowncircuits.models.wired.recipes import hosted as in_host
    from knowncircuits.models.wired.recipes import model_of

    chosen, known = _odd_numbers(windows), load_modality_case(case)
    check_one_kind(False, model is not None, trained=False, hosted=hosted)
    check_device(device)
    subject: Compiled | Wired
    if model is not None:
        subject = load_wired_of(case, model)
    else:
        subject = in_host(known) if hosted else model_of(known)
    files.check()
    with show_progress("modalities"):
        first, second = modality_prompts(subject.to(device=device), pairs, seed).values()
        study = study_modalities(
            first,
            second,
            share=share,
            steps=steps,
            metric=metric,
            windows=chosen,
            n_loops=loops,
            seed=seed,
        )
    to = Output(form)
    to.show(*_tables(study), data=_frames(study))
    if files.save:
        table = modality_table(study, figure)
        drawn = files.draw(lambda: modality_figure(study, figure, theme=files.theme))
        files.write(table, drawn, to)


def _odd_numbers(text: str) -> list[int]:
    """Raises InputError for others; `back_patch` checks them, too, but the work is done by then."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) % 2 for part in parts):
        raise InputError(f"expected odd windows like 1,3,5, got {text!r}")
    return [int(part) for part in parts]


def _frames(study: ModalityStudy) -> dict[str, pd.DataFrame]:
    frames = {
        "modalities": study.summary,
        "circuits": study.curves,
        "overlap": study.overlap,
        "interchange": study.interchange,
        "back-patching": study.back_patching.to_frame(),
        "loops": _loops(study.back_patching),
        "similarity": study.similarity,
    }
    return {name: frame for name, frame in frames.items() if frame is not None}


def _tables(study: ModalityStudy) -> list[Table]:
    found = study.back_patching
    tables = [_summary_table(study.summary)]
    if study.overlap is not None and study.interchange is not None:
        tables += [_overlap_table(study.overlap), _interchange_table(study.interchange)]
    patched = found.to_frame()
    title = f"accuracy of {found.name} prompts with data from behind the source put behind the "
    tables.append(frame_table(patched, f"{title}target layer; unpatched {found.base:.3g}"))
    if found.looped is not None:
        window, source, target = found.looped
        closed = "" if math.isnan(found.gap_closed) else f"; gap closed: {found.gap_closed:.3f}"
        tables.append(
            frame_table(_loops(found), f"loops {source} -> {target}, window {window}{closed}")
        )
    wide = study.similarity.pivot(index=["prompts", "class"], columns="layer", values="similarity")
    title = "similarity of the residual stream to the nearest unembedding, by layer"
    return [*tables, indexed_table(wide, title, _score_text)]


def _loops(found: BackPatching) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"loop": range(len(found.loops)), "accuracy": found.loops})


def _summary_table(frame: pd.DataFrame) -> Table:
    names = [str(name) for name in frame.columns[1:]]
    whole = {"heads", "neurons"}
    columns = [
        words("prompts"),
        *(numbers(n, form=_whole_text if n in whole else _score_text) for n in names),
    ]
    return Table(columns, frame.to_dict("records"), names[::-1], "circuits of each modality")


def _score_text(value: float | None) -> str:
    """Three digits, and no -0.000 of what is 0 to rounding."""
    return number_text(None if value is None else round(value, 3) + 0.0)


def _whole_text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def _overlap_table(frame: pd.DataFrame) -> Table:
    columns = [
        *(words(name) for name in ("direction", "class", "kind")),
        *(numbers(name) for name in ("mapped", "other", "nodes")),
        *(numbers(name, form=_score_text) for name in ("overlap", "baseline", "normalised")),
    ]
    title = "overlap of the circuits, mapped to the other's positions"
    return Table(columns, frame.to_dict("records"), ("nodes", "other", "mapped"), title)


def _interchange_table(frame: pd.DataFrame) -> Table:
    values = ("faithfulness", "skyline", "base", "normalised")
    columns = [
        *(words(name) for name in ("prompts", "replaced", "by")),
        *(numbers(name, form=_score_text) for name in values),
    ]
    title = "faithfulness with a class of positions out of another circuit"
    return Table(columns, frame.to_dict("records"), ("base", "skyline"), title)
