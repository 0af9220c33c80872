"""Runs logged to W&B for real, offline, and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.evaluation.comparison.compare import compare_results
from knowncircuits.evaluation.runs.results import read_results
from offline_wandb import runs

pytestmark = pytest.mark.usefixtures("wandb_home")
SCORE = ["score", "eap", "depth", "-c", "fraction_of_x", "-c", "identity", "--zoo", "1"]
SCORE += ["--pairs", "10"]


def test_each_method_is_a_run_with_its_numbers_cases_and_curves(tmp_path: Path) -> None:
    results = tmp_path / "results"
    tracked = ["--wandb", "circuits", "--wandb-mode", "offline", "-o", str(results)]
    done = CliRunner().invoke(app, [*SCORE, *tracked])
    assert done.exit_code == 0, done.output
    found = compare_results(read_results(results))
    structural = found.summaries[0].table.set_index("method")
    logged = {run.config["method"]: run for run in runs(tmp_path)}
    assert set(logged) == {"eap", "depth"}
    for method, run in logged.items():
        assert run.exit_code == 0
        assert run.config["n_pairs"] == 10
        assert set(run.config["models"]) == {"fraction_of_x/seed0", "identity/seed0"}
        assert run.summary["structural/auroc"] == structural.loc[method, "auroc"]
        assert run.summary["structural/cases"] == run.summary["degenerate/cases"] == 1
        table = run.tables["scores"]
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
        expected = found.scores[found.scores["method"] == method]
        assert [row["auroc"] for row in rows] == expected["auroc"].tolist()
        assert [(row["case"], row["view"]) for row in rows] == list(
            expected[["case", "view"]].itertuples(index=False, name=None)
        )
        (roc,) = (t for name, t in run.tables.items() if name.startswith("roc"))
        assert roc["columns"] == ["false positive rate", "true positive rate"]
        assert len(roc["data"]) == 201


def test_a_mode_needs_a_project() -> None:
    done = CliRunner().invoke(app, [*SCORE, "--wandb-mode", "offline"])
    assert "expected --wandb PROJECT with --wandb-mode" in str(done.exception)
