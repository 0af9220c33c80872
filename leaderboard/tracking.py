"""A board logged to Weights & Biases: a table, a summary for each method, and the files."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from knowncircuits.errors import TrackingError
from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.slices import HEADLINE
from knowncircuits.leaderboard.tables import board_csv, records
from knowncircuits.models.tracking import Mode


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
    try:
        import wandb
    except ImportError as error:
        raise TrackingError("Weights & Biases is not installed: pip install wandb") from error
    try:
        run = wandb.init(
            project=project,
            mode=mode,
            job_type="leaderboard",
            name=f"leaderboard {slice_key} {view}",
            config={
                "slice": slice_key,
                "view": view,
                "models": {key: model.weights for key, model in board.models.items()},
                "version": version("knowncircuits"),
            },
            settings=wandb.Settings(console="off"),
        )
    except wandb.errors.Error as error:
        raise TrackingError(
            f"Weights & Biases: {error} (or log offline: --wandb-mode offline)"
        ) from error
    with run:
        plain = standings.astype(object).where(standings.notna(), None)
        rows: list[Iterable[Any]] = [list(row) for row in plain.itertuples(index=False)]
        run.log({"leaderboard": wandb.Table(columns=list(standings.columns), data=rows)})
        for row in records(plain):
            values = {name: row[name] for name in ("rank_low", "rank_high", "auroc")}
            values["average_precision"] = row["average_precision"]
            run.summary[row["method"]] = values
        artifact = wandb.Artifact("leaderboard", type="leaderboard")
        for name, table in (("board.csv", standings), ("scores.csv", board.results)):
            with artifact.new_file(name, mode="w", encoding="utf-8") as file:
                file.write(board_csv(table))
        run.log_artifact(artifact)
