"""A run of Weights & Biases, which is imported when one starts, and not before."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from knowncircuits.errors import TrackingError
from knowncircuits.extras import install_line

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline", "disabled"]


def check_installed() -> None:
    """Raise TrackingError if W&B is missing."""
    if find_spec("wandb") is None:
        raise TrackingError(f"Weights & Biases is not installed: {install_line('wandb')}")


def wandb_version() -> str:
    """Its version, which logs record; raises TrackingError if it is missing."""
    check_installed()
    return version("wandb")


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
    check_installed()
    import wandb

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
