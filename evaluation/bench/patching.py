"""How fast edges are patched: one batched call of the primitive against one hooked run per mask."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from knowncircuits.architecture import TransformerConfig
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.interop.hooks import run_patched
from knowncircuits.models.training.objectives import draw_uniform
from knowncircuits.transformer import Transformer
from knowncircuits.work.progress import reported
from knowncircuits.work.threads import threads

SIZES = {  # those of trained models
    "small": TransformerConfig(
        n_layers=2, n_heads=4, d_model=12, d_head=3, d_mlp=48, n_ctx=5, d_vocab=6, d_vocab_out=3
    ),
    "large": TransformerConfig(
        n_layers=4, n_heads=4, d_model=24, d_head=6, d_mlp=96, n_ctx=10, d_vocab=6, d_vocab_out=3
    ),
}


def bench_patching(n_masks: int = 256, seed: int = 0, repeats: int = 5) -> pd.DataFrame:
    """Time the same edge patches of one input done in one call, and by hooks one after the other.

    Args:
        n_masks: how many different patches.
        seed: of the weights, the tokens and the masks.
        repeats: how often each is timed, in turn; the median counts.

    Returns:
        A row for each of two model sizes and two kinds of masks, one edge each and random halves:
        median seconds of the call and of the hooked runs, how many times faster the call is, the
        largest difference in logits and the largest logit. In float32, on one thread.
    """
    rows = []
    with threads(1), torch.no_grad():
        for size, config in SIZES.items():
            model = Transformer(config).initialise(seed)
            generator = torch.Generator("cpu").manual_seed(seed)
            shape = (2, 1, config.n_ctx)
            tokens, others = torch.randint(config.d_vocab, shape, generator=generator, device="cpu")
            alternative = model.run(others).outputs
            n_edges = model.graph.n_edges
            all_masks = {
                "one edge": functional.one_hot(
                    torch.arange(n_masks, device="cpu") % n_edges, n_edges
                ).float(),
                "half": draw_uniform(n_masks, n_edges, generator=generator).round(),
            }
            for kind, masks in all_masks.items():
                row = {"size": size, "edges": n_edges, "masks": kind}
                rows.append(row | _compare(model, tokens, alternative, masks, repeats))
    return pd.DataFrame(rows)


def _compare(
    model: Transformer, tokens: Tensor, alternative: Tensor, masks: Tensor, repeats: int
) -> dict[str, float]:
    hooked = to_hooked(model)
    batch = tokens.expand(len(masks), -1)

    def in_one_call() -> Tensor:
        return model.run(batch, alternative, masks).logits

    def one_by_one() -> Tensor:
        return torch.cat(
            [run_patched(hooked, tokens, alternative, m).logits for m in masks[:, None]]
        )

    logits = in_one_call()
    difference = (logits - one_by_one()).abs().max().item()  # both are warm by now
    # Several short calls stand against one long series, so that neither finds the caches cold.
    seconds = [(_time(in_one_call, 10), _time(one_by_one)) for _ in reported(range(repeats))]
    batched, hooks = (median(column) for column in zip(*seconds, strict=True))
    return {
        "batched_seconds": batched,
        "hooked_seconds": hooks,
        "ratio": hooks / batched,
        "largest_difference": difference,
        "largest_logit": logits.abs().max().item(),
    }


def _time(function: Callable[[], object], n: int = 1) -> float:
    start = perf_counter()
    for _ in range(n):
        function()
    return (perf_counter() - start) / n
