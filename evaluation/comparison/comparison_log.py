"""Finished runs logged to Weights & Biases: a run for each method, with curves and cases."""

from __future__ import annotations

from typing import Any

import pandas as pd

from knowncircuits.evaluation.comparison.compare import Comparison
from knowncircuits.evaluation.comparison.mean_curves import mean_curves
from knowncircuits.evaluation.comparison.summary import Summary
from knowncircuits.work.tracking import Mode, start_run, wandb_version

# The settings of a result that are not the whole run's.
OF_RESULT = ("case", "variant", "seed", "model")
# Columns of `mean_curves` and what its two axes are.
PLOTS = {
    "roc": ("recall", "false positive rate", "true positive rate"),
    "precision-recall": ("precision", "recall", "precision"),
}


def log_comparison(comparison: Comparison, project: str, *, mode: Mode | None = None) -> None:
    """Log each method as a run of its own, so that W&B's tables compare them.

    A run holds the settings; as summary, by suite, every number of `summarise`; the scores of all
    models, draws and views as a table; the mean ROC and precision-recall curves as plots.

    Args:
        comparison: of `compare_results`.
        project: W&B's.
        mode: `online`, `offline` (sent later by `wandb sync`) or `disabled`; by default what
            WANDB_MODE says, or `online`.

    Raises TrackingError if W&B is missing, not logged in or not reached.
    """
    for method in comparison.scores["method"].unique():
        _log_method(comparison, method, project, mode)


def _log_method(comparison: Comparison, method: str, project: str, mode: Mode | None) -> None:
    results = [result for result in comparison.results if result.label == method]
    config = {k: v for k, v in results[0].settings.items() if k not in OF_RESULT}
    config |= {
        "seeds": sorted({result.seed for result in results}),
        "models": {f"{r.case}/{r.variant}": r.settings["model"] for r in results},
        "resolution": comparison.resolution,
        "wandb": wandb_version(),
    }
    with start_run(project, mode, name=method, config=config, job_type="score") as run:
        import wandb

        scores = comparison.scores[comparison.scores["method"] == method]
        run.log({"scores": wandb.Table(**_plain(scores.drop(columns="method")))})
        for summary in comparison.summaries:
            run.summary.update(_numbers(summary, method))
        summary = comparison.summaries[0]
        covered = filter(summary.covers, results)
        curves = mean_curves(covered, resolution=comparison.resolution)
        for name, (column, x, y) in PLOTS.items():
            table = wandb.Table(**_plain(curves[["at", column]].set_axis([x, y], axis=1)))
            title = f"{name}, {summary.suite} cases"
            run.log({name: wandb.plot.line(table, x, y, title=title)})


def _numbers(summary: Summary, method: str) -> dict[str, Any]:
    """A method's row of a summary, by suite and name; what is not defined is left out."""
    rows = summary.table[summary.table["method"] == method].drop(columns="method")
    return {
        f"{summary.suite}/{name}": value
        for row in rows.to_dict("records")
        for name, value in row.items()
        if value == value
    } | {f"{summary.suite}/cases": summary.n_cases}


def _plain(frame: pd.DataFrame) -> dict[str, Any]:
    """A frame as W&B's tables take it; None for what is not defined."""
    rows = frame.astype(object).where(frame.notna(), None)
    return {"columns": list(rows.columns), "data": rows.to_numpy().tolist()}
