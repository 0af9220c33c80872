"""Which language models the primitive splits exactly: tiny random ones, edge by edge, by hooks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from knowncircuits.errors import ModelError, UnknownNameError
from knowncircuits.models.interop.architectures import (
    ARCHITECTURES,
    D_VOCAB,
    N_CTX,
    Architecture,
)
from knowncircuits.models.interop.bridge import BridgedModel
from knowncircuits.models.interop.lens_library import (
    TransformerBridge,
    build_bridge_from_module,
)
from knowncircuits.models.interop.plain_hooks import PlainHooks
from knowncircuits.work.progress import reported

SEEDS = (0, 1, 2, 3, 4)


def bench_architectures(
    names: Sequence[str] | None = None, seeds: Sequence[int] = SEEDS
) -> pd.DataFrame:
    """Try the primitive on tiny random models of each architecture.

    Args:
        names: of ARCHITECTURES; by default all.
        seeds: of the weights, and of the inputs.

    Returns:
        A row for each: models that have it, its features, how many edges its graph has, the largest
        difference in any logit, in float32, between the primitive with one edge patched and the
        Hugging Face model under PyTorch's own hooks, of all edges and seeds; or why it is refused.

    Raises UnknownNameError for another architecture.
    """
    rows = []
    for name in reported(list(ARCHITECTURES) if names is None else names):
        if name not in ARCHITECTURES:
            raise UnknownNameError("architecture", name, ARCHITECTURES)
        kind = ARCHITECTURES[name]
        row = {"architecture": name, "models": kind.models, "features": kind.features}
        try:
            found = [differences(kind, seed) for seed in seeds]
        except ModelError as error:
            rows.append(row | {"edges": 0, "difference": np.nan, "refused": str(error)})
        else:
            largest = max(float(by_edge.max()) for by_edge, _ in found)
            rows.append(row | {"edges": len(found[0][0]), "difference": largest, "refused": ""})
    return pd.DataFrame(rows)


def differences(kind: Architecture, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """For each edge the largest difference between the primitive and hooks, and its effect.

    Both of logits, of a run in which that edge alone reads another input; the effect is the largest
    difference from the run as it is. Raises ModelError where the primitive refuses the model.
    """
    bridged = BridgedModel(bridge_of(kind.build(seed)))
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(D_VOCAB, (2, N_CTX - 2), generator=generator)
    clean = tokens[:1]
    assert kind.places is not None  # else it is refused
    hooks = PlainHooks(kind.build(seed), kind.places, bridged.graph)
    logits, outputs = hooks.run(tokens)
    edges = np.arange(bridged.graph.n_edges)
    wanted = hooks.patched(clean[0], outputs[1] - outputs[0], edges)
    with torch.no_grad():
        alternative = bridged.run(tokens[1:]).outputs
        mask = torch.eye(len(edges))
        got = bridged.run(clean.expand(len(edges), -1), alternative, mask).logits
    largest = (got - wanted).abs().flatten(1).amax(1)
    effects = (wanted - logits[0]).abs().flatten(1).amax(1)
    return largest.numpy(), effects.numpy()


def bridge_of(model: nn.Module) -> TransformerBridge:
    """A TransformerLens bridge of a Hugging Face model, which it changes."""
    config = model.config
    dtype = next(model.parameters()).dtype
    return build_bridge_from_module(model, type(model).__name__, hf_config=config, dtype=dtype)
