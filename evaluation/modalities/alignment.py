"""How near the residual stream is to what the model can say, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ShapeError
from knowncircuits.evaluation.modalities.positions import CLASSES
from knowncircuits.evaluation.modalities.prompts import BATCH_SIZE, Prompts, rows_at_a_time
from knowncircuits.evaluation.modalities.running import residual_hooks, see

if TYPE_CHECKING:
    import pandas as pd


@takes(prompts=Prompts)
def unembedding_similarity(
    prompts: Prompts,
    directions: Float[Tensor, "d_model direction"] | None = None,
    *,
    batch_size: int = BATCH_SIZE,
) -> pd.DataFrame:
    """The cosine of the residual stream behind each layer and the unembedding nearest to it.

    Nikankin et al. (2025), "Same Task, Different Circuits", see data of images come near to what
    words come to in late layers alone.

    Args:
        prompts: whose clean ones are taken.
        directions: what the stream is compared with; by default the unembedding of every token.
        batch_size: prompts at a time.

    Returns:
        A row for each layer and class of positions: the mean over prompts and positions of the
        greatest cosine. NaN for a class without positions.

    Raises:
        ShapeError: for directions of another model.
    """
    import pandas as pd

    model = prompts.model
    columns = model.W_U if directions is None else directions
    if columns.ndim != 2 or columns.shape[0] != model.cfg.d_model or not columns.shape[1]:
        raise ShapeError(
            f"expected directions of shape [{model.cfg.d_model}, direction], got "
            f"{list(columns.shape)}"
        )
    found: dict[tuple[int, str], list[Tensor]] = {}
    for pairs in rows_at_a_time(prompts.n_pairs, batch_size, prompts.clean.device):
        for layer, stream in enumerate(see(model, prompts.clean[pairs], residual_hooks(model))):
            nearest = _cosines(stream, columns.detach()).amax(-1).double()
            for name in CLASSES:
                here = nearest[:, list(prompts.classes.of(name))]
                found.setdefault((layer, name), []).append(here)
    rows = [
        (prompts.name, layer, name, float(torch.cat(parts).mean()))
        for (layer, name), parts in found.items()
    ]
    return pd.DataFrame(rows, columns=["prompts", "layer", "class", "similarity"])


def _cosines(
    stream: Float[Tensor, "pair pos d_model"], columns: Float[Tensor, "d_model direction"]
) -> Float[Tensor, "pair pos direction"]:
    """0 for what has no length."""
    lengths = stream.norm(dim=-1, keepdim=True) * columns.norm(dim=0)
    cosines: Tensor = stream @ columns / lengths.where(lengths > 0, 1.0)
    return cosines
