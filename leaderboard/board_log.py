"""A board logged to Weights & Biases: a table, a summary for each method, and the files."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.exports import board_csv, records
from knowncircuits.leaderboard.slices import HEADLINE
from knowncircuits.leaderboard.submission import zoo_name
from knowncircuits.work.tracking import Mode, start_run, wandb_version

SUMMARY = ("rank_low", "rank_high", "auroc", "average_precision")


def log_board(
    board: Board,
    project: str,
    *,
    slice_key: str = HEADLINE,
    view: str = "edge",
    mode: Mode | None = None,
) -> None:
    """Log the standings as a table, AUROC and AP of each method as summary, and all scores.

    Args:
        board: whose standings are logged.
        project: W&B's.
        slice_key: over what is averaged.
        view: which items.
        mode: `online`, `offline` (sent later by `wandb sync`) or `disabled`; by default what
            WANDB_MODE says, or `online`.

    Raises:
        TrackingError: if W&B is missing, not logged in or not reached.
        UnknownNameError: for another slice or view.
    """
    standings = board.standings(slice_key, view)
    config = {
        "zoo": board.zoo,
        "slice": slice_key,
        "view": view,
        "models": {key: model.weights for key, model in board.models.items()},
        "versions": {"knowncircuits": version("knowncircuits"), "wandb": wandb_version()},
    }
    name = f"leaderboard {zoo_name(board.zoo)} {slice_key} {view}"
    with start_run(project, mode, name=name, config=config, job_type="leaderboard") as run:
        import wandb

        plain = standings.astype(object).where(standings.notna(), None)
        rows: list[Iterable[Any]] = [list(row) for row in plain.itertuples(index=False)]
        run.log({"leaderboard": wandb.Table(columns=list(standings.columns), data=rows)})
        run.summary.update(
            {f"{row['method']}/{value}": row[value] for row in records(plain) for value in SUMMARY}
        )
        artifact = wandb.Artifact("leaderboard", type="leaderboard")
        for file_name, table in (("board.csv", standings), ("scores.csv", board.results)):
            with artifact.new_file(file_name, mode="w", encoding="utf-8") as file:
                file.write(board_csv(table))
        run.log_artifact(artifact)
