"""What is read linearly, against products with activations, and paths walked one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.methods.linear_reads import (
    Paths,
    along_paths,
    shares,
    variances_read,
    weights_read,
)
from knowncircuits.graph import Graph
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.names import Edge
from knowncircuits.transformer import Transformer
from strategies import configs, random_model, random_task, random_tokens


def reader(model: Transformer, edge: Edge) -> Tensor:
    """The matrix that an edge's destination reads through."""
    node = edge.target
    if node.kind == "logits":
        W_U = model.W_U
        return W_U - W_U.mean(1, keepdim=True) if W_U.shape[1] > 1 else W_U
    if node.kind == "mlp":
        W_in = model.W_in[node.layer]
        return torch.cat([W_in, model.W_gate[node.layer]], 1) if model.config.gated else W_in
    W = model.W_QKV[node.layer, "qkv".index(edge.destination.letter), node.head]
    return W @ model.W_O[node.layer, node.head] if edge.destination.letter == "v" else W


def norm_of(model: Transformer, edge: Edge) -> int:
    """The place of the norm before an edge's destination."""
    node = edge.target
    if node.kind == "logits":
        return -1
    return model.config.n_layers * (node.kind == "mlp") + node.layer


@given(configs())
@settings(max_examples=30)
def test_variances_are_those_of_what_is_read(config: TransformerConfig) -> None:
    """The norm's scale is the one at which all sources together give what the norm gives."""
    model = random_model(config)
    tokens = random_tokens(model, 5, config.n_ctx)
    with torch.no_grad():
        outputs = model.run(tokens).outputs
        found = variances_read(model, tokens)
        for i in range(0, model.graph.n_edges, 3):
            edge = model.graph.edge(i)
            source = outputs[:, model.graph.sources.index(edge.source)]
            if config.norm != "none":
                place = norm_of(model, edge)
                n = next(
                    b.n_sources for b in model.graph.blocks if edge.destination in b.destinations
                )
                layer = edge.target.layer if edge.target.kind != "logits" else config.n_layers
                biases = model.b_O[: layer + (edge.target.kind == "mlp")].sum(0)
                stream = outputs[:, :n].sum(1) + biases
                if config.norm == "layer":
                    source, stream = (x - x.mean(-1, keepdim=True) for x in (source, stream))
                scale = (stream.square().mean(-1, keepdim=True) + config.norm_eps).sqrt()
                bias = model.ln_b[place] if config.norm == "layer" else 0
                whole = stream / scale * model.ln_w[place] + bias
                torch.testing.assert_close(whole, model.norm(stream, place))
                source = source / scale * model.ln_w[place]
            read = (source @ reader(model, edge))[:, 1:]
            expected = read.var(0, correction=0).sum(-1).mean().item() if read.numel() else 0.0
            assert found[i] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(configs())
@settings(max_examples=10)
def test_products_of_weights_one_by_one(config: TransformerConfig) -> None:
    model = random_model(config).requires_grad_(False)
    found = weights_read(model)
    for i, name in enumerate(model.graph.edges):
        edge, node = Edge(name), Edge(name).source
        if node.kind == "head":
            W_V, W_O = model.W_QKV[node.layer, 2, node.head], model.W_O[node.layer, node.head]
            written = W_V @ W_O
        elif node.kind == "mlp":
            scales = model.W_in[node.layer].norm(dim=0)
            if config.gated:
                scales = scales * model.W_gate[node.layer].norm(dim=0)
            written = torch.diag(scales) @ model.W_out[node.layer]
        else:
            written = model.W_E if node == "embed" else model.W_pos
            written = written - written.mean(0)
        if config.norm == "layer":
            written = written - written.mean(1, keepdim=True)
        if config.norm != "none":
            written = written * model.ln_w[norm_of(model, edge)]
        norm = torch.linalg.matrix_norm(written @ reader(model, edge)).item()
        assert found[i] == pytest.approx(norm**2, abs=1e-12)


@pytest.mark.parametrize("paths", get_args(Paths))
def test_paths_are_those_that_are_walked(paths: Paths) -> None:
    graph = Graph(2, 2)
    share = shares(graph, np.random.default_rng(0).uniform(size=graph.n_edges))
    totals = np.bincount(graph.destination_of_edge, share)
    assert totals == pytest.approx(1)
    found = along_paths(graph, share, paths)
    whole = nx.MultiDiGraph()
    for i, edge in enumerate(map(Edge, graph.edges)):
        whole.add_edge(*edge.ends, key=i)
    for i in range(0, graph.n_edges, 7):
        target = graph.edge(i).target
        onward = nx.all_simple_edge_paths(whole, target, "logits") if target != "logits" else [[]]
        products = [share[i] * np.prod([share[k] for _, _, k in path]) for path in onward]
        expected = max(products) if paths == "best" else sum(products)
        assert found[i] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["read-share", "weights"])
def test_models_that_hide_their_weights_are_refused(name: str) -> None:
    task = random_task()
    scores = discover(name, task)
    assert (scores.forward_passes, scores.backward_passes) == (0, 0)
    assert scores.rank_by == "signed"
    other = replace(task, model=to_hooked(task.model))
    with pytest.raises(MethodError, match=f"expected a Transformer, whose weights {name} looks at"):
        discover(name, other)
