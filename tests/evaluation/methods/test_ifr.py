"""Information flow routes: shares by hand, by the hooked module, and routes by all ways."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor

from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.methods.ifr import along_routes
from knowncircuits.graph import Graph
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.transformer import Transformer
from strategies import random_task


def test_shares_by_hand() -> None:
    """`embed` writes (2, 0) and `pos` (1, -1): of |y| = 4, |y - embed| = 2 and |y - pos| = 2."""
    task = random_task(n_pairs=2)
    assert isinstance(task.model, Transformer)
    task.model.W_E[:] = 0
    task.model.W_E[:, 0] = 2
    task.model.W_pos[:] = torch.tensor([1.0, -1, 0, 0, 0, 0, 0, 0])
    found = discover("ifr", task)
    edges = [task.graph.index(f"{source}->a0.h1<q>") for source in ("embed", "pos")]
    assert found.values[edges].tolist() == [0.5, 0.5]
    task.model.W_pos[:] = torch.tensor([-0.5, 0, 0, 0, 0, 0, 0, 0])  # leads away from y
    found = discover("ifr", replace(task))  # whose runs are new
    assert found.values[edges].tolist() == [1, 0]
    assert (found.forward_passes, found.backward_passes) == (2, 0)


def test_shares_of_what_is_hooked() -> None:
    task = random_task(n_pairs=3)
    assert isinstance(task.model, Transformer)
    task.model.b_O[:] = 0  # else part of what is read
    hooked = to_hooked(task.model)
    _, cache = hooked.run_with_cache(task.clean)

    def one(z: Tensor, y: Tensor) -> float:
        return max(0.0, (y.abs().sum() - (z - y).abs().sum()).item())

    written = {"embed": cache["hook_embed"], "pos": cache["hook_pos_embed"]}
    for layer in (0, 1):
        for head in (0, 1):
            result = cache[f"blocks.{layer}.attn.hook_result"][:, :, head]
            written[f"a{layer}.h{head}"] = result
        written[f"m{layer}"] = cache[f"blocks.{layer}.hook_mlp_out"]
    found = dict(zip(task.graph.edges, discover("ifr", task, batch_size=2).values, strict=True))
    for destination, read, n_sources in (
        ("a1.h0<k>", cache["blocks.1.hook_k_input"][:, :, 0], 5),
        ("m0", cache["blocks.0.hook_mlp_in"], 4),
        ("logits", cache["blocks.1.hook_resid_post"], 8),
    ):
        sources = list(written)[:n_sources]
        wanted = dict.fromkeys(sources, 0.0)
        for pair in range(3):
            for pos in range(5):
                near = {s: one(written[s][pair, pos], read[pair, pos]) for s in sources}
                for s in sources:
                    wanted[s] += near[s] / (sum(near.values()) or 1.0) / 15
        for s in sources:
            assert found[f"{s}->{destination}"] == pytest.approx(wanted[s], abs=1e-12)


def test_nothing_of_the_corrupted_run_or_the_metric_counts() -> None:
    first, second = random_task("kl"), random_task("label_loss", ablation="zero")
    assert np.array_equal(discover("ifr", first).values, discover("ifr", second).values)


@pytest.mark.parametrize("graph", [Graph(2, 1), Graph(2, 2, mlp=False, inputs=("embed",))])
def test_routes_are_the_best_of_all_ways(graph: Graph) -> None:
    shares = np.random.default_rng(0).random(graph.n_edges)
    ways = nx.MultiDiGraph()
    for edge, share in zip(graph.edges, shares, strict=True):
        source, _, destination = edge.partition("->")
        ways.add_edge(source, destination.partition("<")[0], key=edge, share=share)
    found = along_routes(graph, shares)
    for edge, share, width in zip(graph.edges, shares, found, strict=True):
        target = edge.partition("->")[2].partition("<")[0]
        best = share if target == "logits" else 0.0
        for way in nx.all_simple_edge_paths(ways, target, "logits") if target != "logits" else ():
            best = max(best, min(share, *(ways.edges[step]["share"] for step in way)))
        assert width == best
    assert (found < shares).any()


def test_routes_of_a_task() -> None:
    task = random_task()
    shares = discover("ifr", task).values
    found = discover("ifr", task, extract="routes").values
    assert np.array_equal(found, along_routes(task.graph, shares))
