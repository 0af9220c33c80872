"""Transformations do to labels what they say: shown by running edges, alone and in random sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from knowncircuits.cases import load_case
from knowncircuits.circuit import Label
from knowncircuits.errors import ArgumentError, KnownCircuitsError, ModelError, UnknownNameError
from knowncircuits.evaluation.methods import discover
from knowncircuits.evaluation.scoring import score
from knowncircuits.evaluation.task import make_task
from knowncircuits.models.wired import (
    Wired,
    confine,
    directions,
    distance,
    edge_effects,
    host,
    move,
    normalise,
    rotate,
    scale,
    sharpen,
    split,
    squeeze,
    wire,
)
from knowncircuits.models.wired.bases import Bases, rotated
from knowncircuits.models.wired.enumeration import Interchanges
from knowncircuits.models.wired.hosts import spread_of
from knowncircuits.models.wired.sharpness import steps
from knowncircuits.names import Node
from parts import some_long

NAMES = ("histogram", "fraction_of_x", "equals_token_two_back")
HEADS = {"histogram": "a0.h0", "fraction_of_x": "a1.h0", "equals_token_two_back": "a0.h0"}
EXACT = 1e-9


@cache
def plain(name: str) -> Wired:
    return Wired.of(load_case(name).compile())


def logits(wired: Wired) -> torch.Tensor:
    return wired.model(wired.compiled.draw(100, seed=7))


def check_labels(wired: Wired) -> None:
    """Every edge that is in has an effect; all others have none, in any of many random sets."""
    effects = edge_effects(wired)
    for edge, effect in effects.items():
        assert (effect > EXACT) == (wired.circuit.label(edge) == Label.IN), (edge, effect)
    rest = wired.circuit.labels != Label.IN
    rng = np.random.default_rng(0)
    sets = rng.random((200, len(rest))) < rng.random((200, 1))
    pairs = Interchanges(wired.model, wired.compiled, 200, seed=3)
    moved = (pairs.under(sets) - pairs.under(sets & ~rest))[:, 1:].abs().max()
    assert moved < EXACT


@pytest.mark.parametrize("name", some_long(NAMES, NAMES[2]))
def test_a_compiled_model_as_it_is(name: str) -> None:
    wired = plain(name)
    assert wired.circuit == wired.compiled.circuit
    assert distance(wired) == 0
    check_labels(wired)


@pytest.mark.parametrize(
    "change",
    [
        lambda w, head: scale(w, head, 1.0),
        lambda w, head: scale(w, next(e for e in w.images if e.endswith("->logits")), 1.0),
        lambda w, head: sharpen(w, head, 1.0),
        lambda w, head: split(w, head, [head]),
        lambda w, head: split(
            w, head, [f"{head[:2]}.h3", head], [0.0625, 0.9375]
        ),  # exact in binary
        lambda w, head: move(w, "m0", "m0"),
    ],
)
@pytest.mark.parametrize("name", some_long(NAMES, NAMES[2]))
def test_a_trivial_transformation_is_bit_equal(
    name: str, change: Callable[[Wired, str], Wired]
) -> None:
    wired = plain(name)
    head = HEADS[name]
    after = change(wired, head)
    if after.model.config == wired.model.config:
        assert torch.equal(logits(after), logits(wired))
    assert (logits(after) - logits(wired)).abs().max() < EXACT


@pytest.mark.parametrize("name", some_long(NAMES, NAMES[2]))
def test_the_identity_is_bit_equal(name: str) -> None:
    model = plain(name).model
    same = rotated(model, Bases.identity(model))
    for one, other in zip(same.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", some_long(NAMES, NAMES[2]))
def test_rotated_models_are_dense_and_the_same(name: str) -> None:
    before = plain(name)
    after = rotate(before, seed=1)
    assert (after.model.W_E == 0).sum() == 0
    assert (before.model.W_E == 0).sum() > before.model.W_E.numel() / 2
    assert after.circuit == before.circuit
    assert (logits(after) - logits(before)).abs().max() < EXACT
    assert distance(after) < EXACT
    check_labels(after)
    assert not torch.equal(rotate(before, seed=2).model.W_E, after.model.W_E)


def by_entries(wired: Wired) -> np.ndarray:
    """A score that takes the basis for given: of `logits`, how large entries meet in W_U."""
    model = wired.model
    weights = [model.W_E, *model.W_out, *model.W_O.flatten(0, 1)]
    return np.array([float((w.abs() @ model.W_U.abs()).max()) for w in weights])


def test_what_the_basis_gives_away_is_gone_and_what_weights_give_away_is_not() -> None:
    """Products of matrices are of no basis; in a host the circuit carries others' things too."""
    before = plain("fraction_of_x")
    after = rotate(before, seed=1)
    assert (by_entries(before) > 0).sum() == 1
    assert (by_entries(after) > 0.1).sum() == 3  # all that write
    aps = []
    for wired in (before, after, rotate(host(before, 4, 4, seed=1, loudness=3.0), seed=1)):
        scores = discover("weights", make_task(wired, n_pairs=5))
        aps.append(score(scores, wired.circuit).average_precision)
    assert aps[:2] == [1.0, 1.0]
    assert aps[2] < 0.4  # of three edges the one into logits is found


@pytest.mark.parametrize("name", some_long(NAMES, NAMES[2]))
def test_scale(name: str) -> None:
    wired = rotate(plain(name), seed=1)
    for where in ("m0->logits", "a1.h0->logits", "embed->m0"):
        if where in wired.images and wired.circuit.label(where) == Label.IN:
            after = scale(wired, where, 0.5)
            assert after.circuit == wired.circuit
            check_labels(after)
            back = scale(after, where, 2.0)
            assert (logits(back) - logits(wired)).abs().max() < EXACT


def test_scale_multiplies_what_is_read_and_nothing_else() -> None:
    """Twice what logits read of the head is twice the answer, which is all the head's."""
    wired = plain("fraction_of_x")
    for where in ("a1.h0->logits", "a1.h0"):
        assert torch.allclose(logits(scale(wired, where, 2.0)), 2 * logits(wired))
    halved = scale(rotate(wired, seed=2), "embed->m0", 0.5)
    assert torch.allclose(logits(halved)[:, 1:], 0.5 * logits(wired)[:, 1:])


def test_scale_is_refused_where_labels_would_be_wrong() -> None:
    wired = plain("histogram")
    with pytest.raises(ModelError, match=r"expected labels to stay, got no effect of a0\.h0->m0"):
        scale(wired, "a0.h0->m0", 1e-4)


def test_split_shares_a_heads_work() -> None:
    wired = plain("fraction_of_x")
    after = split(rotate(wired, seed=1), "a1.h0", ["a1.h2", "a2.h0"], [1.75, -0.75])
    assert after.circuit.edges() == (
        "embed->m0",
        "m0->a1.h2<v>",
        "m0->a2.h0<v>",
        "a1.h2->logits",
        "a2.h0->logits",
    )
    assert after.circuit.label("a1.h0->logits") == Label.UNDETERMINED  # it writes nothing
    assert distance(after) < EXACT
    check_labels(after)
    assert edge_effects(after)["a2.h0->logits"] == pytest.approx(0.75)


def test_split_is_refused_where_a_copy_never_matters() -> None:
    """Steps are flat near values, and so small a share of the vote moves none."""
    with pytest.raises(ModelError, match="no effect of"):
        split(plain("histogram"), "a0.h0", ["a0.h0", "a0.h1"], [1 - 1e-12, 1e-12])


def test_move_takes_some_units_or_all() -> None:
    wired = rotate(plain("histogram"), seed=1)
    moved = move(wired, "m0", "m1")
    assert moved.circuit.edges() == tuple(
        edge.replace("m0", "m1") for edge in wired.circuit.edges()
    )
    assert moved.circuit.label("m0->logits") == Label.UNDETERMINED
    assert distance(moved) < EXACT
    check_labels(moved)
    some = move(wired, "m0", "m2", units=list(range(0, wired.model.hidden[0], 2)))
    assert {"m0->logits", "m2->logits", "a0.h0->m0", "a0.h0->m2"} < set(some.circuit.edges())
    assert sum(some.model.hidden) == sum(wired.model.hidden)
    assert distance(some) < EXACT
    check_labels(some)


def test_a_unit_that_reads_constants_alone_makes_no_edge_in() -> None:
    wired = move(plain("histogram"), "m0", "m1", units=[0])  # the first writes the lowest value
    assert wired.circuit.label("embed->m1") == Label.UNDETERMINED
    assert wired.circuit.label("m1->logits") == Label.UNDETERMINED
    assert distance(wired) < EXACT
    check_labels(wired)


def test_steps_are_exact_from_half_their_slope_on() -> None:
    wired = rotate(plain("histogram"), seed=4)
    for factor in (0.5, 3.0):
        after = sharpen(wired, "m0", factor)
        assert (logits(after) - logits(wired)).abs().max() < EXACT
        check_labels(after)
    soft = sharpen(wired, "m0", 0.3)
    assert (logits(soft) - logits(wired)).abs().max() > 0.1
    assert len(steps(wired.model, Node("m0"))) == wired.model.hidden[0] // 2


def test_softened_attention_leaks() -> None:
    wired = plain("fraction_of_x")
    moved = [
        float((logits(sharpen(wired, "a1.h0", factor)) - logits(wired)).abs().max())
        for factor in (2.0, 0.1, 0.05)
    ]
    assert moved[0] < EXACT < moved[1] < moved[2]
    check_labels(sharpen(wired, "a1.h0", 0.05))


@pytest.mark.parametrize("name", some_long(NAMES, NAMES[2]))
def test_squeeze_is_exact_down_to_as_many_dimensions_as_directions(name: str) -> None:
    wired = rotate(plain(name), seed=1)
    n = directions(wired.model)
    assert n == directions(plain(name).model) < wired.model.config.d_model
    after = squeeze(wired, n, seed=1)
    assert (logits(after) - logits(wired)).abs().max() < EXACT
    assert after.recipe[-1].found["ratio"] == 1
    assert directions(after.model) == n
    check_labels(after)
    with pytest.raises(ModelError, match=rf"answers to stay, got \d+ others .* for {n} directions"):
        squeeze(wired, n // 2)


@pytest.mark.parametrize("name", some_long(NAMES, NAMES[2]))
@pytest.mark.parametrize("passengers", [False, True])
def test_a_host_is_busy_and_changes_nothing(name: str, passengers: bool) -> None:
    wired = plain(name)
    layers = wired.model.config.n_layers + 2
    after = host(wired, layers, heads=3, seed=5, passengers=passengers, loudness=2.0)
    assert len(after.circuit.edges()) == len(wired.circuit.edges())
    assert distance(after) < EXACT
    check_labels(after)
    outputs = after.model.run(after.compiled.draw(64, 0)).outputs
    spreads = dict(zip(after.model.graph.sources, map(spread_of, outputs.unbind(1)), strict=True))
    nodes = [node for node in spreads if node.kind in ("head", "mlp")]
    inside = [spreads[node] for node in nodes if node in after.circuit.inside_nodes]
    outside = [spreads[node] for node in nodes if node not in after.circuit.inside_nodes]
    assert min(outside) > 0.5 * np.median(inside)
    places = {host(wired, layers, heads=3, seed=seed).circuit.edges() for seed in range(5)}
    assert len(places) > 1
    same = host(wired, layers, heads=3, shuffle=False)
    assert same.circuit.edges() == wired.circuit.edges()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda w: rotate(w, seed=-1), ArgumentError, r"expected parameters of rotate \(seed\)"),
        (lambda w: rotate(w, angle=1), ArgumentError, "expected other parameters of rotate"),
        (lambda w: wire(w, [("rotate", {"angle": 1})]), ArgumentError, "got angle"),
        (lambda w: wire(w, [("bend", {})]), UnknownNameError, "unknown transformation 'bend'"),
        (lambda w: scale(w, "m0", 0.0), ModelError, "expected a factor other than 0"),
        (lambda w: scale(w, "m0", float("nan")), ArgumentError, "got factor"),
        (lambda w: scale(w, "embed->logits", 2.0), ModelError, "got 'embed->logits'"),
        (lambda w: scale(w, "m9", 2.0), ModelError, "got 'm9'"),
        (lambda w: split(w, "a0.h0", []), ModelError, "expected 0 shares"),
        (lambda w: split(w, "a0.h0", ["a0.h1"], [0.5]), ModelError, r"got \[0\.5\]"),
        (lambda w: split(w, "a0.h0", ["m0"]), ModelError, "expected different free heads, got m0"),
        (lambda w: split(w, "a0.h0", ["a1.h0"]), ModelError, "before all that reads it, got a1.h0"),
        (lambda w: split(w, "m0", ["a0.h1"]), ModelError, "expected a head of the circuit"),
        (lambda w: move(w, "a0.h0", "m1"), ModelError, "expected a model's MLP"),
        (lambda w: move(w, "m0", "m1", units=[99]), ModelError, r"hidden units of m0, got \[99\]"),
        (lambda w: sharpen(w, "a0.h0", 0.0), ArgumentError, "got factor"),
        (lambda w: sharpen(w, "embed", 2.0), ModelError, "expected a head or an MLP"),
        (lambda w: squeeze(w, 1000), ModelError, "expected a d_model of at most 25, got 1000"),
        (lambda w: host(w, 0, 1), ArgumentError, "got layers"),
        (lambda w: host(w, 1, 10**6), ModelError, "expected n_heads of at most"),
    ],
)
def test_bad_parameters(
    make: Callable[[Any], Wired], error: type[KnownCircuitsError], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(plain("histogram"))


def test_other_nodes_must_come_in_order() -> None:
    with pytest.raises(ModelError, match=r"expected an MLP before a1\.h0, .* got m1"):
        move(plain("fraction_of_x"), "m0", "m1")
    with pytest.raises(ModelError, match="expected an MLP with steps of a number, got m0"):
        sharpen(plain("fraction_of_x"), "m0", 2.0)
    with pytest.raises(ModelError, match="expected at least 2 layers and 1 heads, got 1 and 1"):
        host(plain("fraction_of_x"), 1, 1)


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_norms_are_taken_of_the_whole_stream(norm: str) -> None:
    soft = sharpen(Wired.of(load_case("deep_2").compile()), "a0.h0", 0.1)
    before = sharpen(soft, "a1.h0", 0.1)
    wired = normalise(before, norm, constant=1.0)
    model, ids = wired.model, wired.compiled.draw(50, seed=7)
    assert model.config.norm == norm
    assert model.run(ids).outputs.mean(-1).abs().max() < EXACT  # LayerNorm takes nothing off
    answers = wired.compiled.decode(model(ids))
    assert answers == before.compiled.decode(before.model(ids))
    assert np.array_equal(wired.circuit.labels, before.circuit.labels)
    # What an edge outside carries moves logits now: it counts for the size of the stream.
    outside = wired.model.graph.index("a0.h0->logits")
    assert wired.circuit.labels[outside] == Label.OUT
    moves = [
        Interchanges(w.model, w.compiled, 50, 0).alone(np.array([outside])) for w in (before, wired)
    ]
    assert moves[0] < EXACT < 100 * EXACT < moves[1]
    calm = normalise(before, norm, constant=30.0)
    assert (logits(calm) - logits(before))[:, 1:].abs().max() < 1e-3


def test_a_norm_comes_last_and_is_refused_where_answers_change() -> None:
    wired = normalise(Wired.of(load_case("deep_2").compile()), "rms")
    with pytest.raises(ModelError, match="expected normalise as the last step, got rotate after"):
        rotate(wired)
    with pytest.raises(ModelError, match="expected normalise as the last step, got normalise"):
        normalise(wired, "rms")
    loud = host(plain("histogram"), layers=2, heads=2, loudness=30.0)
    with pytest.raises(ModelError, match="expected answers to stay"):
        normalise(loud, "layer", constant=0.0)


def picking(n_flags: int) -> Wired:
    """A model that reads flags and says what the first one does."""
    return Wired.of(load_case(f"distract_{n_flags}").compile())


def test_confine_says_what_is_out_and_changes_nothing_else() -> None:
    before = picking(2)
    with pytest.raises(AssertionError):
        check_labels(before)  # heads that no answer depends on
    after = confine(before, unread=["has_b", "has_c"])
    check_labels(after)
    assert distance(after) == 0
    assert after.model is before.model
    changed = after.circuit.labels != before.circuit.labels
    names = [f"m0->a1.h{i}<{x}>" for i in (1, 2) for x in "k"] + ["a1.h1->m1", "a1.h2->m1"]
    assert set(np.array(after.circuit.graph.edges)[changed]) == set(names)
    assert all(after.circuit.label(name) == Label.OUT for name in names)
    hosted = confine(host(before, layers=3, heads=4, seed=1), unread=["has_b", "has_c"])
    check_labels(hosted)
    assert len(hosted.circuit.edges()) == len(after.circuit.edges())
    with pytest.raises(ModelError, match="expected confine as the last step, got host after it"):
        host(after, layers=3, heads=4, seed=1)


def test_confine_leaves_what_is_constant_undetermined() -> None:
    before = Wired.of(load_case("shared_2").compile())
    after = confine(before, unread=["has_c"], constant=["asked"])
    head = before.compiled.variables["asked"].node
    for edge in after.circuit.graph.edges:
        if edge.startswith(f"{head}->") or edge in (f"m0->{head}<v>",):
            assert after.circuit.label(edge) == Label.UNDETERMINED, edge
    check_labels(after)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"unread": ["has_a"]}, "random sets of edges move by"),
        ({"constant": ["has_a"]}, "random sets of edges move by"),
        ({}, "got no effect of m0->a1.h1<k>, m0->a1.h2<k>"),
        ({"unread": ["has_b"]}, "got no effect of m0->a1.h2<k>"),
        ({"unread": ["has_z"]}, "expected variables of distract_2 .*has_a.*, got 'has_z'"),
    ],
)
def test_confine_is_refused_where_labels_would_be_wrong(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        confine(picking(2), **parameters)


def test_overlapping_directions_cannot_be_scaled_apart() -> None:
    wired = plain("equals_token_two_back")
    narrow = squeeze(wired, directions(wired.model) - 1)
    with pytest.raises(ModelError, match="expected directions that only embed writes along"):
        scale(narrow, "embed->m0", 0.5)


@pytest.mark.usefixtures("no_shape_checks")
def test_what_is_no_model_is_told_what_to_pass() -> None:
    with pytest.raises(ArgumentError, match="expected wired to be Wired or Compiled, got Case"):
        rotate(load_case("histogram"))  # type: ignore[arg-type]
