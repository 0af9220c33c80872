"""Planted leaks: each acts where its kind says and nowhere else, is caught there, and named."""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.cases.pools import ATOL
from knowncircuits.evaluation.bench.leak_kinds import Ground, Leak
from knowncircuits.evaluation.bench.leaks import bench_leaks, count_leaks
from knowncircuits.evaluation.bench.planting import plant_answer, plant_copy, plant_edge
from knowncircuits.evaluation.bench.planting_conditions import plant_on_shorter
from knowncircuits.evaluation.bench.true_effects import LEAST, TrueEffects, tune
from knowncircuits.evaluation.bench.widening import widen
from knowncircuits.models.certificates.measured import excess_of
from knowncircuits.models.certificates.pairs import CertificatePairs, stratum_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.stratum import measure_stratum
from knowncircuits.transformer import Transformer


def placed(case: str = "fraction_of_x") -> Placed:
    return kc.load_model(case, zoo=1).placed


def pairs_of(model: Placed, stratum: str = "sampler", n: int = 100) -> CertificatePairs:
    return stratum_pairs(model.compiled, stratum, n, 0)


def normed(norm: str) -> Placed:
    """A model with norms whose residual stream has a mean, of random weights."""
    model = placed()
    config = replace(model.model.config, norm=norm)
    weights = Transformer(config).initialise(0)
    with torch.no_grad():
        for name, weight in weights.named_parameters():
            if name.startswith(("b_", "ln_")):
                weight += 0.1 * torch.randn(
                    weight.shape, generator=torch.Generator().manual_seed(1)
                )
    return replace(model, model=weights)


def gated() -> tuple[Ground, Leak]:
    model = placed("open_minus_close_fraction")
    sampled, balanced = pairs_of(model), pairs_of(model, "balanced")
    ground = Ground(model, "balanced", balanced, sampled, 1, np.random.default_rng(0))
    return ground, next(leak for leak in ground.leaks() if leak.kind == "gate")


@pytest.mark.parametrize(
    ("case", "n_pairs", "kinds"),
    [
        ("fraction_of_x", 100, {"edge", "copy"}),
        pytest.param(
            "sum_of_last_two",
            150,
            {"edge", "rare answer", "copy", "gate"},
            marks=pytest.mark.long,
        ),
    ],
)
def test_leaks_are_caught_and_named(case: str, n_pairs: int, kinds: set[str]) -> None:
    """All but gates are named: where one is open, margins are thin, and other edges count too."""
    found = bench_leaks({case: placed(case)}, strata=["balanced"], n_pairs=n_pairs)
    assert kinds <= {*found.kind}
    assert {"out", "undetermined"} == {*found.label}
    assert (found.effect >= LEAST).all()
    assert found.caught.all(), found[~found.caught]
    assert found.named[found.kind != "gate"].all(), found[~found.named]
    counts = count_leaks(found)
    assert counts.planted.sum() == counts.caught.sum() == len(found)


def test_an_edge_is_named_where_others_all_but_cancel_it() -> None:
    """What it alone changes, all edges at once only move."""
    model = placed()
    pairs = pairs_of(model, "length:3", 500)
    leaky = plant_edge(model, "embed->a1.h0<k>", 0.146875, 1741478571)
    found = measure_stratum(
        leaky, pairs, np.random.default_rng(0), n_company=10, by_answer=False, atol=ATOL
    )
    assert found.own["the rest"].changed == 0 < found.own["the rest"].moved
    assert excess_of(found.own["embed->a1.h0<k>"])
    assert max(found.blame["the rest"].items(), key=itemgetter(1))[0] == "embed->a1.h0<k>"


def test_a_leak_is_along_one_edge() -> None:
    model = placed()
    base, source = model.compiled.draw(40, 0).chunk(2)
    leaky = plant_edge(model, "a0.h3->logits", 1.0, 0).model
    edges = leaky.graph.edges
    masks = torch.eye(leaky.graph.n_edges)[:, None]
    with torch.no_grad():
        effects = [
            torch.stack([model.run(base, other, mask).logits - model(base) for mask in masks])
            for model, other in ((m, m.run(source).outputs) for m in (model.model, leaky))
        ]
    moved = (effects[1] - effects[0]).abs().flatten(1).amax(1) > 1e-4
    # Logits are a sum: other edges do what they did, but for those that change what leaks.
    into_source = {f"embed->a0.h3<{letter}>" for letter in "qkv"}
    assert {edges[i] for i in moved.nonzero().flatten()} == {"a0.h3->logits", *into_source}


@pytest.mark.parametrize("norm", ["none", "rms", "layer"])
def test_more_room_changes_nothing(norm: str) -> None:
    model = normed(norm)
    base, source = model.compiled.draw(40, 0).chunk(2)
    mask = torch.zeros(1, model.model.graph.n_edges)
    mask[0, ::3] = 1
    wide = widen(model, dims=3, heads=1, units=2).model
    wide_mask = torch.zeros(1, wide.graph.n_edges)
    wide_mask[0, [wide.graph.index(model.model.graph.edges[i]) for i in mask[0].nonzero()]] = 1
    with torch.no_grad():
        logits, more = (
            m.run(base, m.run(source).outputs, some).logits
            for m, some in ((model.model, mask), (wide, wide_mask))
        )
    torch.testing.assert_close(more, logits, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_norms_do_not_feel_a_leak(norm: str) -> None:
    model, edge = normed(norm), "a0.h3->a1.h0<q>"
    ids = model.compiled.draw(40, 0)
    leaky = plant_edge(model, edge, 20.0, 0).model
    with torch.no_grad():
        wide = widen(model).model.run(ids).outputs
        change = (leaky.run(ids).outputs - wide)[..., :-1].abs().amax((0, 2, 3))
    writes = {leaky.graph.sources[i]: float(change[i]) for i in range(len(change))}
    assert writes.pop("a1.h0") > 1e-2
    writes.pop("m1")  # which reads that head
    assert max(writes.values()) < 3e-4


def test_a_leak_from_one_answer_acts_nowhere_else() -> None:
    model = placed("increment_odd_positions")
    pairs = pairs_of(model)
    answer = 3
    leaky = plant_answer(model, "a1.h2->logits", answer, pairs, 30.0, 0)
    with torch.no_grad():
        given = model.model(pairs.base)[:, 1:].argmax(-1)
    changed = TrueEffects(leaky, pairs).changed(["a1.h2->logits"])
    assert changed.any()
    assert (given[changed] == answer).all()


def test_a_leak_on_shorter_inputs_is_silent_on_the_longest() -> None:
    model = placed("insert_zeros")
    for stratum, acts in (("length:3", True), ("length:8", True), ("sampler", False)):
        pairs = pairs_of(model, stratum)
        leaky = plant_on_shorter(model, "embed", pairs, 60.0, 0)
        effects = TrueEffects(leaky, pairs, hooked=False)
        assert bool(effects.changed(["embed->a1.h4<q>"]).any()) == acts


def test_a_gate_opens_beside_inside_edges_alone() -> None:
    ground, leak = gated()
    effects = TrueEffects(leak.plant(100.0), ground.pairs, hooked=False)
    (edge,) = leak.patched
    assert not effects.changed([edge]).any()
    assert max(effects.effect([edge], [[e]]) for e in ground.placed.circuit.edges()) > 0.05


def test_a_copy_keeps_what_the_model_says() -> None:
    model = placed()
    ids = model.compiled.draw(100, 0)
    with torch.no_grad():
        logits = model.model(ids)
        shared = plant_copy(model, "a1.h0", "a1.h1", 0.3).model(ids)
    assert np.allclose(shared[:, 1:], logits[:, 1:], atol=0.05)


def test_the_weakest_strength_of_an_effect_is_found() -> None:
    assert 0 <= tune(lambda strength: float(strength > 7) / 100) - 7 < 0.2
    assert tune(lambda strength: 0.0) == 0
