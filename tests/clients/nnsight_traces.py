"""nnsight on a hooked twin: what it sees, and every node and edge that it patches, beside `run`."""

from __future__ import annotations

import torch
from nnsight import NNsight
from torch import Tensor

import knowncircuits as kc
from knowncircuits.models.interop.hooks import destination_hooks, source_hooks, split_heads

CASE, N_PAIRS = "histogram", 8

trained = kc.load_model(CASE).to(dtype=torch.float64)
task = kc.make_task(trained, n_pairs=N_PAIRS)
model, graph = trained.model, trained.model.graph
clean, corrupted = task.clean_run.outputs, task.corrupted_run.outputs
traced = NNsight(kc.to_hooked(trained))


def patched(hook: str, head: int, change: Tensor) -> Tensor:
    """The logits where a hook's value, or that of one head there, is changed by so much."""
    with traced.trace(task.clean):
        value = traced.get(hook)
        if value.output.ndim == 4:
            value.output[:, :, head] += change
        else:
            value.output += change
        logits: Tensor = traced.output.save()
    return logits


def by_primitive(edges: list[int]) -> Tensor:
    """The logits where these edges read the corrupted value."""
    mask = torch.zeros(1, graph.n_edges, dtype=clean.dtype)
    mask[:, edges] = 1
    return model.run(task.clean, corrupted, mask).logits


def distance(got: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest value."""
    return float((got - expected).abs().max() / expected.abs().max())


distances, n_nodes, n_edges = [], 0, 0
with torch.no_grad():
    for hook, nodes in source_hooks(graph).items():
        with traced.trace(task.clean):
            value = traced.get(hook).output.save()
        for head, (node, seen) in enumerate(zip(nodes, split_heads(value), strict=True)):
            source = graph.sources.index(node)
            distances.append(distance(seen, clean[:, source]))
            got = patched(hook, head, corrupted[:, source] - clean[:, source])
            distances.append(distance(got, by_primitive([*map(int, graph.edges_from(node))])))
            n_nodes += 1
    for hook, of_head in destination_hooks(graph).items():
        for head, edges in enumerate(of_head.tolist()):
            for source, edge in enumerate(edges):
                got = patched(hook, head, corrupted[:, source] - clean[:, source])
                distances.append(distance(got, by_primitive([edge])))
                n_edges += 1
assert max(distances) < 1e-9, max(distances)
print(
    f"{CASE}: what {n_nodes} nodes write, and logits with each of them and each of {n_edges} edges "
    f"patched, equal to {max(distances):.0e} of the largest"
)
