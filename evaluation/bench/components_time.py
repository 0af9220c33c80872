"""How fast heads are patched at positions: `act_patch` against one hook at a time."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from knowncircuits.architecture import TransformerConfig
from knowncircuits.evaluation.answers import Answers
from knowncircuits.evaluation.components.act import act_patch
from knowncircuits.evaluation.components.views import nodes_of_views
from knowncircuits.evaluation.task import Task
from knowncircuits.names import Node
from knowncircuits.transformer import Transformer
from knowncircuits.work.progress import reported
from knowncircuits.work.threads import threads

N_LAYERS, N_HEADS, SEQ, D_VOCAB = 12, 12, 15, 1_000


@dataclass(frozen=True)
class Cell:
    """A view of a head at a position."""

    view: str
    node: Node
    position: int


def bench_components(
    widths: tuple[int, ...] = (96,),
    *,
    views: tuple[str, ...] = ("z", "q", "k", "v", "pattern"),
    layers: tuple[int, ...] | None = None,
    n_prompts: int = 8,
    n_hooked: int = 60,
    seed: int = 0,
) -> pd.DataFrame:
    """Time activation patching of all heads and positions, in one call and hook by hook.

    A random model of 12 layers and 12 heads, as GPT-2's but for its vocabulary of 1,000; the last
    of 15 tokens counts. Hooks are those of a TransformerLens bridge, each run a patch of all
    prompts, as `transformer_lens.patching` does it. So many of them are timed, drawn at random,
    half before and half after the call, and stand for all.

    Args:
        widths: of the residual stream; 768 is GPT-2's.
        views: what is patched.
        layers: only heads of these layers; by default all.
        n_prompts: how many pairs of prompts.
        n_hooked: how many patches are done by hooks.
        seed: of weights, prompts and the choice.

    Returns:
        A row for each width: how many patches, seconds of the call, seconds that hooks take for as
        many, how many times faster the call is, and by how much values differ at most. In float32,
        on one thread.
    """
    rows = []
    with threads(1), torch.no_grad():
        for width in widths:
            task = _task(width, n_prompts, seed)
            rows.append({"d_model": width} | _compare(task, views, layers, n_hooked, seed))
    return pd.DataFrame(rows)


def _task(width: int, n_prompts: int, seed: int) -> Task:
    config = TransformerConfig(
        N_LAYERS,
        N_HEADS,
        width,
        width // N_HEADS,
        4 * width,
        SEQ,
        D_VOCAB,
        D_VOCAB,
        activation="gelu_new",
        norm="layer",
    )
    model = Transformer(config).initialise(seed)
    generator = torch.Generator("cpu").manual_seed(seed)
    shape = (2, n_prompts, SEQ)
    clean, corrupted = torch.randint(D_VOCAB, shape, generator=generator, device="cpu")
    counts = torch.zeros_like(clean, dtype=torch.bool)
    counts[:, -1] = True
    right, wrong = torch.randint(D_VOCAB, (2, n_prompts), generator=generator, device="cpu")
    labels = Answers(right, wrong)
    return Task("random", model, clean, corrupted, counts, "logit_diff", labels=labels)


def _compare(
    task: Task, views: tuple[str, ...], layers: tuple[int, ...] | None, n_hooked: int, seed: int
) -> dict[str, float]:
    heads = [
        node
        for node in task.graph.sources
        if node.kind == "head" and (layers is None or node.layer in layers)
    ]
    items = nodes_of_views(task.graph, views, heads)
    cells = [Cell(view, node, p) for view, node in items for p in range(SEQ)]
    order = np.random.default_rng(seed).permutation(len(cells))[: 2 * (n_hooked // 2)]
    chosen = [cells[i] for i in order]
    hooked = _Hooked(task)
    hooked.value(chosen[0])  # warm
    before = [hooked.timed(cell) for cell in reported(chosen[::2])]
    start = perf_counter()
    frame = act_patch(task, views, per_position=True, only=heads)
    seconds = perf_counter() - start
    after = [hooked.timed(cell) for cell in reported(chosen[1::2])]
    values = frame.set_index(["view", "node", "position"])["value"]
    apart = [
        abs(value - values.loc[cell.view, str(cell.node), cell.position])
        for cells_of, timed in ((chosen[::2], before), (chosen[1::2], after))
        for cell, (value, _) in zip(cells_of, timed, strict=True)
    ]
    each = float(np.mean([took for _, took in (*before, *after)]))
    return {
        "patches": len(cells),
        "call_seconds": seconds,
        "hooked_seconds": each * len(cells),
        "ratio": each * len(cells) / seconds,
        "largest_difference": max(apart),
    }


class _Hooked:
    """Patches by one hook at a time."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.bridge = task.to_transformer_lens().eval()
        _, self.other = self.bridge.run_with_cache(task.corrupted)
        self.every = torch.arange(task.n_pairs, device=task.clean.device)

    def timed(self, cell: Cell) -> tuple[float, float]:
        """The value, and the seconds that it took."""
        start = perf_counter()
        value = self.value(cell)
        return value, perf_counter() - start

    def value(self, cell: Cell) -> float:
        """The logit difference with a head patched at a position."""
        name = f"blocks.{cell.node.layer}.attn.hook_{cell.view}"
        other, head, position = self.other[name], cell.node.head, cell.position

        def patch(x: Tensor, hook: HookPoint) -> Tensor:
            if cell.view == "pattern":
                x[:, head, position] = other[:, head, position]
            else:
                x[:, position, head] = other[:, position, head]
            return x

        logits = self.bridge.run_with_hooks(self.task.clean, fwd_hooks=[(name, patch)])
        return float(self.task.value(logits, self.every).double().mean())
