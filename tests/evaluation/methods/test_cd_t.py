"""`cd-t` by hand, against a plain slow decomposition, and where it is exact patching."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods import discover
from knowncircuits.evaluation.methods.cd_t import along_ways, decompose, of_edges
from knowncircuits.evaluation.methods.decomposition import Parts
from knowncircuits.evaluation.task import Task
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.transformer import Transformer
from strategies import gate_task, linear_task, random_task


@pytest.mark.parametrize(
    ("units", "flag"),
    [
        # Both flags are 1 and half of the bias is each one's: 1 - .5 of relu(a + b - 1) is lost.
        ([(1, -1, 1)], 0.5),
        # -relu(1 - a - b) is off with what is left, -1 + .5, as it is with all. Of the MLP's own 0
        # 1 is relevant and -1 is not: opposite signs, of which the sum is left, nothing.
        ([(-1, 1, -1)], 0.0),
        # 1 of relu(a + b), and .5 of relu(a + b - 1), which is taken off.
        ([(1, 0, 1), (1, -1, -1)], 0.5),
    ],
)
def test_gates_of_relus(units: list[tuple[float, float, float]], flag: float) -> None:
    """The largest effect is that of the MLP itself; flags have the lower score of two ends."""
    task = gate_task(units)
    found = dict(zip(task.graph.edges, discover("cd-t", task).values, strict=True))
    assert [found[f"a0.h{head}->m0"] for head in (0, 1)] == pytest.approx([flag] * 2)
    assert found["a0.h0->logits"] == pytest.approx(flag)  # whichever way it goes there
    for edge in ("m0->logits", "embed->m0"):  # all of an AND's bias goes with what is all relevant
        assert found[edge] == pytest.approx(1 if flag else 0)


def test_parts() -> None:
    parts = Parts(torch.tensor([3.0, -1, 0, 2]), torch.tensor([1.0, 2, 0, -2]))
    biased = parts.biased(torch.full((4,), 8.0))
    assert biased.relevant.tolist() == pytest.approx([9, -1 + 8 / 3, 0, 6])
    assert biased.total.tolist() == pytest.approx([12, 9, 8, 8])
    signed = parts.of_one_sign()
    assert signed.relevant.tolist() == [3, 0, 0, 0]
    assert signed.irrelevant.tolist() == [1, 1, 0, 0]
    assert parts.share().item() == pytest.approx(1.5 / (1.5 + 1.25))


def with_biases(task: Task) -> tuple[Task, Transformer]:
    model = task.model
    assert isinstance(model, Transformer)
    generator = torch.Generator().manual_seed(3)
    for name, weights in model.named_parameters():
        if name.startswith(("b_", "ln_")):
            weights += 0.3 * torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
    return replace(task), model


def plainly(model: Transformer, clean: Tensor, other: Tensor, source: str, at: int) -> list[Tensor]:
    """The parts of the logits and of what every node writes, of one source at one position.

    A plain account of one input with LayerNorm and GELU, number by number where it is not a matrix.
    """
    c, graph = model.config, model.graph
    n_pos = clean.shape[1]
    rel = irrel = torch.zeros(n_pos, c.d_model, dtype=clean.dtype)
    told: list[Tensor] = []

    def own(name: str, r: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
        sizes = r.abs().mean(-1), i.abs().mean(-1)
        told.append((sizes[0] / (sizes[0] + sizes[1])).nan_to_num(0))
        if name != source:
            return r, i
        whole, r, i = r + i, r.clone(), i.clone()
        i[at] = other[graph.sources.index(name), at]
        r[at] = whole[at] - i[at]
        return r, i

    def bias(r: Tensor, i: Tensor, b: Tensor, wr: Tensor, wi: Tensor) -> tuple[Tensor, Tensor]:
        share = b * wr.abs() / (wr.abs() + wi.abs() + 1e-8)
        return r + share, i + b - share

    def norm(r: Tensor, i: Tensor, place: int) -> tuple[Tensor, Tensor]:
        scale = ((r + i).var(-1, unbiased=False, keepdim=True) + c.norm_eps).sqrt()
        a, b = ((x - x.mean(-1, keepdim=True)) / scale * model.ln_w[place] for x in (r, i))
        return bias(a, b, model.ln_b[place], r, i)

    def matrix(r: Tensor, i: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return bias(r @ W, i @ W, b, r @ W, i @ W)

    def signs(r: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
        r, i = r.clone(), i.clone()
        for place in np.ndindex(*r.shape):
            if r[place] * i[place] < 0:
                whole = (r[place] + i[place]).item()
                first = r[place].abs() >= i[place].abs()
                r[place], i[place] = (whole, 0.0) if first else (0.0, whole)
        return r, i

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        written = []
        for t in range(n_pos):
            weights = [math.exp(q[t] @ k[s] / math.sqrt(c.d_head)) for s in range(t + 1)]
            written.append(sum(w * v[s] for s, w in enumerate(weights)) / sum(weights))
        return torch.stack(written)

    for name in graph.inputs:
        r, i = own(name, torch.zeros_like(rel), clean[graph.sources.index(name)])
        rel, irrel = rel + r, irrel + i
    for layer in range(c.n_layers):
        read = norm(rel, irrel, layer)
        sums = [torch.zeros_like(rel), torch.zeros_like(rel)]
        for head in range(c.n_heads):
            weights = zip(model.W_QKV[layer, :, head], model.b_QKV[layer, :, head], strict=True)
            three = [matrix(*read, W, b) for W, b in weights]
            r = attend(*(x[0] for x in three)) @ model.W_O[layer, head]
            whole = attend(*(x[0] + x[1] for x in three)) @ model.W_O[layer, head]
            parts = own(f"a{layer}.h{head}", r, whole - r)
            sums = [x + y for x, y in zip(sums, parts, strict=True)]
        r, i = bias(*sums, model.b_O[layer], *sums)
        rel, irrel = rel + r, irrel + i
        read = norm(rel, irrel, c.n_layers + layer)
        hidden = signs(*matrix(*read, model.W_in[layer], model.b_in[layer]))
        without = functional.gelu(hidden[1])
        active = functional.gelu(hidden[0] + hidden[1]) - without, without
        r, i = own(f"m{layer}", *signs(*matrix(*active, model.W_out[layer], model.b_out[layer])))
        rel, irrel = signs(rel + r, irrel + i)
    read = norm(rel, irrel, -1)
    return [*matrix(*read, model.W_U, model.b_U), torch.stack(told)]


def test_against_a_plain_decomposition() -> None:
    task, model = with_biases(random_task("logit_diff", n_pairs=2, norm="layer", ablation="mean"))
    pairs = torch.arange(2)
    with torch.no_grad():
        effects, shares = decompose(task, model, pairs)
        shape = 2, len(task.graph.sources), 5
        effects, shares = effects.reshape(shape), shares.reshape(*shape, *shape[1:])
        for pair, source, at in ((0, "embed", 1), (1, "a0.h1", 4), (0, "m0", 3), (1, "m1", 2)):
            outputs = task.clean_run.outputs[pair], task.alternative[pair]
            r, i, told = plainly(model, *outputs, source, at)
            assert torch.allclose(r + i, task.clean_run.logits[pair])
            place = task.graph.sources.index(source)
            assert torch.allclose(told, shares[pair, place, at], atol=1e-9)
            fallen = task.measure(i[None], pairs[pair : pair + 1])
            assert torch.allclose(fallen, effects[pair, place, at], atol=1e-9)


@pytest.mark.parametrize(
    "choices",
    [
        {"norm": "rms", "gated": True, "positions": "rotary"},
        {"causal": False, "activation": "relu"},
    ],
)
def test_parts_add_up_to_the_run(choices: dict[str, object]) -> None:
    """Where nothing is relevant what is irrelevant is the run: no source writes the alternative."""
    task, model = with_biases(random_task(n_pairs=2, **choices))
    same = replace(task, model=model)
    same.__dict__["alternative"] = task.clean_run.outputs  # the cached property's place
    effects, shares = decompose(same, model, torch.arange(2))
    assert effects.abs().max() < 1e-12
    assert shares.abs().max() < 1e-9


def test_on_a_linear_model_without_mlps_it_is_exact_patching() -> None:
    """Even attention: all edges out of a node, patched at one position.

    With MLPs it is not, linear or not: parts of opposite signs are put together behind each.
    """
    whole = linear_task("logit_diff")
    assert isinstance(whole.model, Transformer)
    model = Transformer(replace(whole.model.config, d_mlp=0), dtype=torch.float64).initialise(1)
    model.requires_grad_(False)
    model.W_QKV[:, :2] = 0
    task = replace(whole, model=model)
    n, n_pos = len(task.graph.sources), 4
    effects, _ = decompose(task, model, torch.arange(3))
    mask = torch.zeros(n, n_pos, task.graph.n_edges, n_pos, dtype=torch.float64)
    for source, at in np.ndindex(n, n_pos):
        mask[source, at, task.graph.source_of_edge == source, at] = 1
    mask = mask.flatten(0, 1)
    for pair in torch.arange(3):
        tokens, rows = task.clean[pair].expand(len(mask), -1), pair.expand(len(mask))
        run = model.run(tokens, task.alternative[rows], mask)
        found = effects.reshape(3, -1)[pair]
        assert torch.allclose(found, task.measure(run.logits, rows), atol=1e-9)


def test_ways_and_edges() -> None:
    """The search by threshold, done: nodes that are relevant to the answer, then to such nodes."""
    rng = np.random.default_rng(0)
    graph = random_task().graph
    n, n_pos = len(graph.sources), 3
    scores, shares = rng.random((n, n_pos)) ** 3, rng.random((n, n_pos, n, n_pos))
    found = along_ways(scores, shares)
    for threshold in rng.random(20):
        kept = scores >= threshold
        for source, at in np.ndindex(n, n_pos):
            for _ in range(n):
                later = kept[source + 1 :] & (shares[source, at, source + 1 :] >= threshold)
                kept[source, at] |= later.any()
        for _ in range(n):  # nodes that are kept late
            for source, at in np.ndindex(n, n_pos):
                later = kept[source + 1 :] & (shares[source, at, source + 1 :] >= threshold)
                kept[source, at] |= later.any()
        assert np.array_equal(kept, found >= threshold)
    for causal in (False, True):
        table = of_edges(graph, found, causal=causal)
        for edge, pos in (("m0->a1.h0<q>", 1), ("m0->a1.h0<k>", 1), ("embed->m1", 0)):
            source, target = (
                graph.sources.index(x)
                for x in (edge.split("->")[0], edge[4:9] if "a1" in edge else "m1")
            )
            ends = found[target, pos]
            if "<k>" in edge:
                ends = found[target, pos if causal else 0 :].max()
            assert table[graph.index(edge), pos] == min(found[source, pos], ends)
        assert np.array_equal(table[graph.index("m1->logits")], found[-1])


def test_shape_and_refusal() -> None:
    task = random_task(n_pairs=3)
    found = discover("cd-t", task, batch_size=2)
    assert np.allclose(found.values, found.by_position.max(1))
    assert np.allclose(found.values, discover("cd-t", task).values, atol=1e-12)
    assert found.forward_passes == 3 * (2 + 8 * 5)
    assert (discover("cd-t", task, recursive=False).values <= found.values).all()
    assert isinstance(task.model, Transformer)
    hooked = replace(task, model=to_hooked(task.model))
    with pytest.raises(MethodError, match="whose weights are known, got a HookedTwin"):
        discover("cd-t", hooked)
