"""Faithfulness of finished runs: every result on the pairs that it is from, with truth beside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knowncircuits.cases.own import with_own_cases
from knowncircuits.cases.registry import list_cases
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError, UndefinedError
from knowncircuits.evaluation.faithfulness.growth import faithfulness
from knowncircuits.evaluation.methods.controls import truth as truth_scores
from knowncircuits.evaluation.runs.results import Result, check_one_zoo, is_own
from knowncircuits.evaluation.runs.subjects import load_subject
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.evaluation.task import make_task
from knowncircuits.models.choices import DEFAULT_ZOO
from knowncircuits.transformer import weights_hash
from knowncircuits.work.executor import HERE, Executor, run_jobs
from knowncircuits.work.progress import part

TRUTH = "truth"
OF_TASK = ("n_pairs", "metric", "corruption", "ablation", "model")
KEYS = ("method", "case", "variant", "seed")
Key = tuple[str, str, str, int]


@takes(results=[Result], model=str | Path | None)
def faithfulness_table(
    results: Sequence[Result],
    *,
    model: Path | None = None,
    executor: Executor = HERE,
    device: str = "cpu",
    on_task: Callable[[str], None] = lambda case: None,
    leave_out: bool = False,
    **conventions: Any,
) -> pd.DataFrame:
    """The faithfulness of many results, and of the true circuit's edges as the method `truth`.

    Args:
        results: of runs. Each is measured on the task that it is from, which is made again.
        model: the folder of one's own trained model, for results that are about one.
        executor: who does the work, task by task; by default this process.
        device: where models run.
        on_task: told of the case of each task that is done.
        leave_out: have no rows of tasks on which faithfulness is not defined, in place of an error.
        conventions: as `faithfulness` takes them.

    Returns:
        Columns method (the label), case, variant, seed, and those of `Faithfulness.to_frame`; zoo,
        of shipped models. A row for each size, in the order of the results.

    Raises:
        ResultError: for no results, for results on models of several zoos, for scores of another
            model than there is now, or of one's own without its folder.
        KnownCircuitsError: as `make_task` and `faithfulness` do.
    """
    if not results:
        raise ResultError("expected at least one result, got none")
    check_one_zoo(results)
    groups: dict[tuple[Any, ...], list[Result]] = defaultdict(list)
    for result in results:
        task = (result.settings.get(name) for name in OF_TASK)
        groups[result.case, result.variant, result.seed, *task].append(result)
    found: dict[Key, pd.DataFrame] = {}
    jobs = [(group, model, device, leave_out, conventions) for group in groups.values()]
    for case, frames in run_jobs(with_own_cases(_measure), jobs, executor):
        for key, frame in frames.items():
            if key in found and key[0] != TRUTH:
                raise ResultError(f"expected one result of {' '.join(map(str, key))}, got several")
            found[key] = frame
        on_task(case)
    methods = list(dict.fromkeys([*(result.label for result in results), TRUTH]))
    models = list(dict.fromkeys((r.case, r.variant, r.seed) for r in results))
    order = sorted(found, key=lambda key: (methods.index(key[0]), models.index(key[1:])))
    if not found:
        raise ResultError("expected a task on which faithfulness is defined, got none")
    return pd.concat([found[key] for key in order], ignore_index=True)


def _measure(
    job: tuple[Sequence[Result], Path | None, str, bool, Mapping[str, Any]],
) -> tuple[str, dict[Key, pd.DataFrame]]:
    """The case, and the frames of all results of one task."""
    results, model, device, leave_out, conventions = job
    first = results[0]
    subject = load_subject(first.case, _subject(first, model), first.zoo or DEFAULT_ZOO)
    if weights_hash(subject.model) != first.settings["model"]:
        raise ResultError(
            f"expected scores of the model {first.case} ({first.variant}) that there is, got some "
            f"of another, {str(first.settings['model'])[:12]}"
        )
    settings = first.settings
    task = make_task(
        subject,
        settings["n_pairs"],
        first.seed,
        settings["metric"],
        settings["corruption"],
        ablation=settings["ablation"],
        device=device,
    )
    scores = {result.label: result.scores for result in results}
    if len(scores) < len(results):
        labels = ", ".join(result.label for result in results)
        raise ResultError(f"expected one result of each label of {first.case}, got {labels}")
    known = Scores(task.graph, truth_scores(subject.circuit), TRUTH, "signed")
    scores.setdefault(TRUTH, known)
    frames = {}
    for label, of_method in scores.items():
        key = label, first.case, first.variant, first.seed
        with part(f"{label} on {first.case} {first.variant}"):
            try:
                found = faithfulness(task, of_method, subject.circuit, **conventions)
            except UndefinedError:
                if not leave_out:
                    raise
                return first.case, {}
        frame = found.to_frame().drop(columns=["name", "method"])
        named: dict[str, Any] = dict(zip(KEYS, key, strict=True))
        for place, (name, value) in enumerate(named.items()):
            frame.insert(place, name, value)
        frames[key] = frame.assign(zoo=first.zoo or np.nan)
    return first.case, frames


def _subject(result: Result, model: Path | None) -> str | Path:
    if not result.own:
        return result.variant
    if model is None:
        raise ResultError(f"expected the folder of your own model of {result.case}, got none")
    return model


def by_suite(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A table's structural and other cases, by what they are called: `50 structural cases`.

    Users' own models are a part of their own, `own models of 3 cases`. The first is what headlines
    and figures are about; kinds of which there is no case are left out.
    """
    structural = table["case"].isin(list_cases("structural"))
    own = table["variant"].map(is_own).astype(bool)
    parts = {
        "{} structural cases": table[structural & ~own],
        "{} other cases": table[~structural & ~own],
        "own models of {} cases": table[own],
    }
    return {name.format(part["case"].nunique()): part for name, part in parts.items() if len(part)}


def macro_means(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each method: cpr, cmd and f at each share, means over models and then over cases.

    Args:
        table: of `faithfulness_table`.
    """
    keys = list(KEYS)
    order = table["method"].unique()
    areas = table.drop_duplicates(keys).set_index(keys)[["cpr", "cmd"]]
    wide = areas.join(table.pivot(index=keys, columns="share", values="f"))
    cases = wide.groupby(["method", "case"]).mean()
    return cases.groupby("method").mean().reindex(order)
