"""How fast causal effects are: batched, folded and from the node on, against a hook per node."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product
from time import process_time

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.evaluation.effects.causal import SCALES, causal_effects
from knowncircuits.evaluation.effects.subjects import ROUNDING, SAME_NUMBER
from knowncircuits.models.interop.hooked import HookedTwin, to_hooked
from knowncircuits.models.interop.hooks import source_hooks, split_heads
from knowncircuits.models.interop.lens_library import HookPoint
from knowncircuits.models.trained import Trained
from knowncircuits.models.zoo.shelf import load_model
from knowncircuits.work.threads import threads

ATOL = 0.05
BATCH = 1024  # pairs at a time


def bench_effects(
    case: str = "fraction_of_x", n_inputs: int = 100, n_plain: int = 25, seed: int = 0
) -> pd.DataFrame:
    """Time the effects of all nodes at twelve scales, and the plain way on some of the inputs.

    Args:
        case: whose trained model, of zoo 1, is measured; its outputs are to be numbers.
        n_inputs: how many are drawn; all their ordered pairs are patched.
        n_plain: on the first so many, hooks patch one node at one scale after the other.
        seed: of the inputs.

    Returns:
        One row: the case, nodes, scales, pairs and seconds; pairs and seconds of the plain way, and
        what these make for all pairs; how many times faster; and the largest difference of two
        effects on the pairs that both ways measured, which should be 0. Seconds are of processor
        time, on one thread.
    """
    trained = load_model(case, zoo=1)
    ids = trained.compiled.draw(n_inputs, seed)
    with threads(1), torch.no_grad():
        causal_effects(trained, inputs=ids[:n_plain], scales=[1])  # warm
        start = process_time()
        causal_effects(trained, inputs=ids)
        seconds = process_time() - start
        fast = causal_effects(trained, inputs=ids[:n_plain])
        start = process_time()
        plain = _plain_effects(trained, ids[:n_plain], SCALES)
        plain_seconds = process_time() - start
    pairs, plain_pairs = (n * (n - 1) for n in (n_inputs, n_plain))
    difference = torch.from_numpy(fast["effect"].to_numpy(copy=True)) - plain.flatten()
    row = {
        "case": case,
        "nodes": len(trained.model.graph.sources),
        "scales": len(SCALES),
        "pairs": pairs,
        "seconds": seconds,
        "plain_pairs": plain_pairs,
        "plain_seconds": plain_seconds,
        "plain_seconds_for_all": plain_seconds * pairs / plain_pairs,
        "ratio": plain_seconds * pairs / plain_pairs / seconds,
        "largest_difference": difference.abs().max().item(),
    }
    return pd.DataFrame([row])


def _plain_effects(
    trained: Trained, ids: Int[Tensor, "input pos"], scales: Sequence[float]
) -> Float[Tensor, "node scale"]:
    """Every node and scale on its own: a run on the sources, and one on the bases with a hook."""
    hooked, labels = to_hooked(trained.model), trained.compiled.model(ids)[:, 1:, 0]
    pairs = torch.tensor(list(permutations(range(len(ids)), 2)), device="cpu")
    effects = []
    for hook, nodes in source_hooks(trained.model.graph).items():
        for head, scale in product(range(len(nodes)), scales):
            changed = differing = 0
            for base, source in (batch.T for batch in torch.split(pairs, BATCH)):
                patched = _patched(hooked, ids[base], ids[source], hook, head, scale)[:, 1:, 0]
                differs = (labels[base] - labels[source]).abs() > SAME_NUMBER
                far = (patched - labels[base]).abs() > ATOL + ROUNDING
                changed += int((differs & far).sum())
                differing += int(differs.sum())
            effects.append(changed / differing)
    return torch.tensor(effects, dtype=torch.float64, device="cpu").reshape(-1, len(scales))


def _patched(
    hooked: HookedTwin,
    base: Int[Tensor, "pair pos"],
    source: Int[Tensor, "pair pos"],
    hook_name: str,
    head: int,
    scale: float,
) -> Float[Tensor, "pair pos d_vocab_out"]:
    """The logits on base when a node writes so many times what it writes on the source."""
    seen: list[Tensor] = []

    def record(value: Tensor, hook: HookPoint) -> None:
        seen.append(value)

    def patch(value: Tensor, hook: HookPoint) -> Tensor:
        value = value.clone()
        split_heads(value)[head].copy_(split_heads(seen[0])[head] * scale)
        return value

    hooked.run_with_hooks(source, fwd_hooks=[(hook_name, record)])
    logits: Tensor = hooked.run_with_hooks(base, fwd_hooks=[(hook_name, patch)])
    return logits
