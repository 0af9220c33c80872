"""A run of Weights & Biases, which is imported when one starts, and not before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from knowncircuits.errors import TrackingError

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline", "disabled"]


def start_run(
    project: str,
    mode: Mode | None,
    *,
    name: str,
    config: Mapping[str, Any],
    run_id: str | None = None,
    **settings: Any,
) -> wandb.Run:
    """A run of W&B; `run_id` is that of one to go on with, if there is one.

    Raises TrackingError if W&B is missing, not logged in or not reached.
    """
    try:
        import wandb
    except ImportError as error:
        raise TrackingError("Weights & Biases is not installed: pip install wandb") from error
    try:
        return wandb.init(
            project=project,
            id=run_id,
            resume="allow" if run_id else None,
            mode=mode,
            name=name,
            config=dict(config),
            # The progress bar is not for W&B's log of the console.
            settings=wandb.Settings(console="off"),
            **settings,
        )
    except wandb.errors.Error as error:
        raise TrackingError(
            f"Weights & Biases: {error} (or log offline: --wandb-mode offline)"
        ) from error
