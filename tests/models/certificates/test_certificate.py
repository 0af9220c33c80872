"""Certificates find what is planted: leaks, dead edges and detours, each by its name."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from knowncircuits import rasp
from knowncircuits.cases import load_case
from knowncircuits.cases.sampling import in_split
from knowncircuits.compiler import Compiled, compile_program
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import GraphError, ModelError, ResultError
from knowncircuits.models.certificates import certifying
from knowncircuits.models.certificates.agreement import Agreement, measure, worst
from knowncircuits.models.certificates.certificate import Certificate, read_certificate
from knowncircuits.models.certificates.pairs import certificate_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.quick import QuickAgreement, quick_agreement
from knowncircuits.models.certificates.recheck import recheck
from knowncircuits.models.certificates.sets import edge_set
from knowncircuits.models.certificates.thresholds import FEWEST_CHANGES
from knowncircuits.names import Node
from knowncircuits.rasp.vocabulary import Vocabulary
from knowncircuits.transformer import Transformer, weights_hash
from parts import some_long
from strategies import random_model

N_PAIRS = 150
SMALL = ("fraction_of_x", "histogram", "increment")  # cases


def certify(placed: Placed, **options: Any) -> Certificate:
    """Without strata, unless they are asked for: those have tests of their own beside this file."""
    return certifying.certify(placed, **{"strata": (), **options})


@cache
def compiled_case(name: str) -> Compiled:
    return load_case(name).compile()


@cache
def small() -> Compiled:
    """x + 1 on inputs of two tokens: 9 inputs, 72 pairs."""
    return compile_program(rasp.Map(lambda x: x + 1, rasp.tokens), Vocabulary((0, 1, 2), 2))


def transplant(compiled: Compiled, n_layers: int, n_heads: int, seed: int | None = None) -> Placed:
    """The compiled weights in a larger model, their nodes in other places."""
    config = replace(compiled.model.config, n_layers=n_layers, n_heads=n_heads)
    circuit = compiled.circuit
    correspondence = (
        Correspondence.same_names(circuit, config.graph)
        if seed is None
        else Correspondence.shuffled(circuit, config.graph, seed)
    )
    low, high = Transformer(config), compiled.model
    with torch.no_grad():
        for name in ("W_E", "W_pos", "W_U", "b_U"):
            getattr(low, name).copy_(getattr(high, name))
        for node, place in ((Node(n), Node(p)) for n, p in correspondence.nodes.items()):
            if node.kind == "mlp":
                for name in ("W_in", "b_in", "W_out", "b_out"):
                    getattr(low, name)[place.layer] = getattr(high, name)[node.layer]
            elif node.kind == "head":
                (i, h), (j, k) = ((n.layer, n.head) for n in (node, place))
                low.W_QKV[j, :, k], low.b_QKV[j, :, k] = high.W_QKV[i, :, h], high.b_QKV[i, :, h]
                low.W_O[j, k] = high.W_O[i, h]
    return Placed(low, compiled, correspondence)


def increments(weight: float = 2.0) -> Placed:
    """x + 1, where the output also reads it from the embedding: a detour past the MLP."""
    compiled = small()
    placed = transplant(compiled, 2, 2)
    tokens = compiled.variables["tokens"]
    with torch.no_grad():
        for value, direction in tokens.direction_of.items():
            assert isinstance(value, int)
            column = compiled.output.values.index(value + 1)
            placed.model.W_U[direction, column] += weight
    return placed


def named(certificate: Certificate | QuickAgreement) -> set[str]:
    return {failure.partition(":")[0] for failure in certificate.failures}


def effective(certificate: Certificate) -> set[str]:
    """The outside edges that change any answer."""
    outside = {edge for edge, label in certificate.labels.items() if label == "out"}
    return {edge for edge in outside if certificate.edges[edge].low_changed}


@pytest.mark.parametrize("name", some_long([*SMALL, "sort_unique_numbers"], "sort_unique_numbers"))
def test_a_compiled_model_is_certified_against_itself(name: str) -> None:
    compiled = compiled_case(name)
    correspondence = Correspondence.same_names(compiled.circuit, compiled.model.graph)
    placed = Placed(compiled.model, compiled, correspondence)
    # Beside an inside edge sorting has ties between answers, which rounding decides.
    strata = () if name == "sort_unique_numbers" else None
    found = certify(placed, n_pairs=N_PAIRS, strata=strata)
    assert found.passed
    assert not found.failures
    everything = (found.accuracy, *found.edges.values(), *found.nodes.values())
    everything += tuple(found.sets.values())
    assert all(a.agreeing == a.positions > 0 for a in everything)
    assert all(a.low_changed == a.high_changed == a.followed for a in everything)
    for edge, agreement in found.edges.items():
        assert (agreement.high_changed > 0) == (compiled.circuit.label(edge) == 1)
    assert found.largest_outside_effect[1] == 0 < found.smallest_inside_effect[1]


@pytest.mark.parametrize("name", ["fraction_of_x", "histogram"])
@pytest.mark.parametrize("seed", range(2))
def test_so_is_one_whose_nodes_are_elsewhere(name: str, seed: int) -> None:
    compiled = compiled_case(name)
    n_layers = compiled.model.config.n_layers + 1
    placed = transplant(compiled, n_layers, 3, seed)
    assert certify(placed, n_pairs=60, ablations=("resample",)).passed
    wrong = Correspondence.shuffled(compiled.circuit, placed.model.graph, seed + 10)
    assert wrong.nodes != placed.correspondence.nodes
    failures = named(
        certify(replace(placed, correspondence=wrong), n_pairs=60, ablations=("resample",))
    )
    assert any(failure.startswith("inside edge") for failure in failures)
    assert "accuracy" not in failures


def test_an_outside_edge_with_an_effect_is_named() -> None:
    placed = increments()
    found = certify(placed)
    assert found.accuracy.share == 1
    assert not found.passed
    random = {"random outside edges", "random mixed edges"}
    # The detour outweighs the MLP, which the output then no longer follows.
    inside = {"inside edge m0->logits", "random inside edges", "inside edge embed->m0"}
    outside = {"outside edge embed->logits", "all outside edges at once"}
    assert named(found) == outside | random | inside
    assert found.largest_outside_effect == ("embed->logits", pytest.approx(2 / 3, abs=0.1))
    assert found.nodes["embed"].share == 1


def test_only_the_edge_with_a_small_weight_has_an_effect() -> None:
    compiled = compiled_case("fraction_of_x")
    placed = transplant(compiled, 2, 4)
    (is_x,) = compiled.variables["is_x"].directions
    with torch.no_grad():
        placed.model.W_U[is_x] += 0.06
    found = certify(placed, n_pairs=N_PAIRS)
    assert "outside edge m0->logits" in named(found)
    assert "all outside edges at once" in named(found)
    assert effective(found) == {"m0->logits"}
    assert found.largest_outside_effect == ("m0->logits", found.edges["m0->logits"].low_effect)


def test_leaks_that_cancel_are_named_though_the_joint_patch_is_perfect() -> None:
    compiled = compiled_case("fraction_of_x")
    placed = transplant(compiled, 2, 4)
    (is_x,) = compiled.variables["is_x"].directions
    x = compiled.variables["tokens"].direction_of["x"]
    with torch.no_grad():
        placed.model.W_U[is_x] += 0.1
        placed.model.W_U[x] -= 0.1
    found = certify(placed, n_pairs=N_PAIRS)
    assert found.accuracy.share == found.sets["outside"].share == 1
    assert {"outside edge m0->logits", "outside edge embed->logits"} <= named(found)
    assert effective(found) == {"m0->logits", "embed->logits"}


def test_an_inside_edge_that_is_not_read_is_named() -> None:
    placed = increments(1.0)
    with torch.no_grad():
        placed.model.W_in.zero_()
    found = certify(placed)
    assert found.accuracy.share == 1
    assert {"inside edge embed->m0", "inside edge m0->logits"} <= named(found)
    assert found.edges["embed->m0"].low_effect == 0 < found.edges["embed->m0"].high_effect
    assert found.edges["embed->m0"].followed == 0
    assert found.smallest_inside_effect[1] == 0


def test_an_inside_edge_has_to_be_used_even_where_all_answers_agree() -> None:
    """Where the compiled model says None nothing counts, so an edge that decides it can be idle."""
    compiled = compiled_case("drop_repeated_neighbour")
    correspondence = Correspondence.same_names(compiled.circuit, compiled.model.graph)
    placed = Placed(compiled.model, compiled, correspondence)
    good = certify(placed, n_pairs=N_PAIRS, strata=())
    edge = "embed->a0.h0<v>"
    used = good.edges[edge]
    assert good.passed
    assert 0 < used.low_changed < used.high_changed  # which counts None giving way to an answer

    def with_changes(low: int, high: int) -> Certificate:
        changed = replace(used, low_changed=low, high_changed=high)
        return replace(good, edges={**good.edges, edge: changed})

    idle = with_changes(0, used.high_changed)
    assert named(idle) == {f"inside edge {edge}"}
    assert "expected to change answers, got none changed" in idle.failures[0]
    assert with_changes(0, FEWEST_CHANGES - 1).passed  # too few to tell


def test_edges_left_out_are_named() -> None:
    compiled = small()
    placed = transplant(compiled, 1, 1)
    found = certify(placed, edges=["embed->m0"])
    assert list(found.edges) == ["embed->m0"]
    assert not found.passed
    assert "m0->logits" in found.failures[0]
    with pytest.raises(GraphError, match="unknown edge"):
        certify(placed, edges=["m0->embed"])


def test_pairs_are_all_there_are_or_test_inputs() -> None:
    pairs = certificate_pairs(small(), 72, 0)
    assert pairs.inputs == "all pairs"
    both = torch.cat([pairs.base, pairs.source], 1)
    assert both.unique(dim=0).shape == (72, 6)
    assert (pairs.base != pairs.source).any(1).all()
    some = certificate_pairs(small(), 71, 0)
    assert some.inputs == "a sample of all pairs"
    assert torch.cat([some.base, some.source], 1).unique(dim=0).shape == (71, 6)

    case = load_case("histogram")
    drawn = certificate_pairs(compiled_case("histogram"), 500, 0)
    assert drawn.inputs == "test inputs"
    for ids in (drawn.base, drawn.source):
        assert in_split(ids[:, 1:].numpy() - 1, len(case.vocab), "test").all()
    with pytest.raises(ModelError, match="expected at least one pair"):
        certificate_pairs(small(), 0, 0)


@pytest.mark.parametrize("sets", ["many", "one in each pair", "one edge", "a node"])
@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_a_loop(sets: str, seed: int) -> None:
    """Each set of edges in each pair on its own, in the words of the definition."""
    compiled = compiled_case("histogram")
    config = replace(compiled.model.config, n_layers=2, n_heads=2, activation="gelu")
    model = random_model(config, dtype=torch.float32)
    correspondence = Correspondence.same_names(compiled.circuit, model.graph)
    placed = Placed(model, compiled, correspondence)
    pairs = certificate_pairs(compiled, 20, 0)
    rng = np.random.default_rng(seed)
    n, edge = model.graph.n_edges, int(rng.choice(np.flatnonzero(correspondence.inside)))
    rows = {
        "many": rng.random((20, n)) < 0.3,
        "one in each pair": np.eye(n, dtype=bool)[rng.integers(n, size=20)],
        "one edge": edge_set(model.graph, [edge]),
        "a node": edge_set(
            model.graph,
            model.graph.edges_from(model.graph.sources[model.graph.source_of_edge[edge]]),
        ),
    }[sets]
    found = measure(
        placed,
        pairs.base,
        pairs.source,
        {"sets": rows},
        batch_size=7,
    )["sets"]
    agreeing = positions = 0
    rows = np.broadcast_to(rows, (20, n))
    for base, source, edges in zip(pairs.base[:, None], pairs.source[:, None], rows, strict=True):
        image = np.zeros((1, compiled.circuit.graph.n_edges), dtype=np.float32)
        for i in np.flatnonzero(edges):
            if correspondence.image[i] >= 0:
                image[0, correspondence.image[i]] = 1
        other = compiled.model.run(source).outputs
        high = compiled.model.run(base, other, torch.from_numpy(image)).logits
        mask = torch.from_numpy(edges[None].astype(np.float32))
        low = model.run(base, model.run(source).outputs, mask).logits
        defined = compiled.defined(high)
        positions += int(defined.sum())
        agreeing += int((defined & (low.argmax(-1) == high.argmax(-1))).sum())
    assert (found.positions, found.agreeing) == (positions, agreeing)
    assert 0 < agreeing < positions


@pytest.mark.parametrize("name", ["fraction_of_x", "histogram"])
def test_mean_and_zero_ablation_are_reported(name: str) -> None:
    compiled = compiled_case(name)
    placed = transplant(compiled, 2, 2)
    found = certify(placed, n_pairs=N_PAIRS)
    assert list(found.ablations) == ["mean", "zero"]
    for group in found.ablations.values():
        assert set(group) == {"outside", *placed.circuit.edges()}
        assert group["outside"].share == 1
        assert all(a.agreeing == a.positions for a in group.values())
    with pytest.raises(ModelError, match="expected resample"):
        certify(placed, ablations=("mean",))


def test_numbers_are_equal_within_the_tolerance() -> None:
    compiled = compiled_case("fraction_of_x")
    placed = transplant(compiled, 2, 1)
    with torch.no_grad():
        placed.model.b_U += 0.04
    assert certify(placed, n_pairs=N_PAIRS).passed
    strict = certify(placed, n_pairs=N_PAIRS, atol=0.03)
    assert strict.accuracy.agreeing == 0
    assert "accuracy" in named(strict)


def test_equal_seeds_give_equal_certificates_whatever_the_batch() -> None:
    compiled = compiled_case("fraction_of_x")
    model = random_model(replace(compiled.model.config, n_heads=2), dtype=torch.float32)
    correspondence = Correspondence.same_names(compiled.circuit, model.graph)
    placed = Placed(model, compiled, correspondence)
    first, second, other = (
        certify(placed, n_pairs=N_PAIRS, seed=seed, batch_size=size)
        for seed, size in ((3, 1024), (3, 77), (4, 1024))
    )
    assert replace(first, ablations={}) == replace(second, ablations={})
    assert first.sets != other.sets


def test_a_certificate_is_of_the_weights() -> None:
    placed = increments()
    before = certify(placed)
    assert before.weights == weights_hash(placed.model) != before.compiled_weights
    assert before.versions["torch"] == torch.__version__
    with torch.no_grad():
        placed.model.W_E[0, 0] += 1e-3
    assert certify(placed).weights != before.weights
    with pytest.raises(ModelError, match="weights"):
        recheck(placed, before)


def test_certificates_are_written_and_read(tmp_path: Path) -> None:
    placed = increments()
    found = certify(placed)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["passed"] is False
    assert document["edges"]["embed->logits"]["share"] < 1
    found.write(tmp_path / "certificate.json")
    assert read_certificate(tmp_path / "certificate.json") == found
    for name in ("labels", "edges", "weights"):
        (tmp_path / "broken.json").write_text(json.dumps({**document, name: None}))
        with pytest.raises(ResultError, match="broken.json: expected a certificate"):
            read_certificate(tmp_path / "broken.json")
    with pytest.raises(ResultError, match="expected a certificate"):
        read_certificate(tmp_path / "missing.json")


@pytest.mark.parametrize("name", some_long(SMALL, "fraction_of_x", "increment"))
def test_hooks_find_the_same(name: str) -> None:
    compiled = compiled_case(name)
    config = replace(compiled.model.config, n_layers=2, n_heads=2, d_head=4, activation="gelu")
    model = random_model(config, dtype=torch.float32)
    correspondence = Correspondence.shuffled(compiled.circuit, model.graph, 0)
    placed = Placed(model, compiled, correspondence)
    strata = ("sampler", "balanced", "length:3")
    found = certify(placed, n_pairs=50, ablations=("resample",), strata=strata)
    n_determined = int(correspondence.circuit.determined.sum())
    assert len(recheck(placed, found, n_edges=14)) == min(14, n_determined)
    checked = recheck(placed, found, n_edges=4, n_pairs=20)
    assert sorted(found.labels[edge] for edge in checked) == ["in", "in", "out", "out"]


def test_a_wrong_certificate_is_found_out() -> None:
    placed = increments()
    found = certify(placed)
    claimed = replace(found.edges["embed->logits"], agreeing=found.accuracy.positions)
    forged = replace(found, edges={**found.edges, "embed->logits": claimed})
    with pytest.raises(ModelError, match="embed->logits: expected"):
        recheck(placed, forged, n_edges=1000)


def quick(placed: Placed) -> QuickAgreement:
    pairs = certificate_pairs(placed.compiled, 256, 1)
    generator = torch.Generator().manual_seed(0)
    return quick_agreement(placed, pairs.base, pairs.source, generator)


def test_the_quick_form_finds_the_same_failures() -> None:
    compiled = compiled_case("fraction_of_x")
    placed = transplant(compiled, 2, 4)
    found = quick(placed)
    assert found.passed
    assert found.worst_inside[1] == 1
    assert set(found.inside) == set(placed.circuit.edges())
    leaky = quick(increments())
    assert named(leaky) >= {"single outside edges", "all outside edges at once"}
    assert leaky.worst_inside[1] < 1
    assert quick(increments()) == leaky


def test_what_does_not_belong_together_is_refused() -> None:
    compiled, other = compiled_case("fraction_of_x"), compiled_case("histogram")
    low, correspondence = (placed := transplant(compiled, 2, 4)).model, placed.correspondence
    attempts: list[tuple[str, Callable[[], object]]] = [
        ("model's graph", lambda: replace(placed, model=transplant(compiled, 2, 2).model)),
        ("compiled circuit", lambda: Placed(low, other, correspondence)),
        ("context", lambda: replace(placed, model=shrunk(low, n_ctx=3))),
        ("tokens", lambda: replace(placed, model=shrunk(low, d_vocab=3))),
        ("outputs", lambda: replace(placed, model=shrunk(low, d_vocab_out=3))),
    ]
    for message, attempt in attempts:
        with pytest.raises(ModelError, match=f"expected .*{message}.*, got "):
            attempt()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_pairs": 0}, "at least one pair"),
        ({"seed": -1}, "a seed of at least 0 and a batch of at least 1, got -1 and 512"),
        ({"batch_size": 0}, "a batch of at least 1, got 0 and 0"),
        ({"atol": -1.0}, "tolerance of at least 0, got -1.0"),
        ({"atol": float("nan")}, "tolerance of at least 0, got nan"),
        ({"edges": "m0->logits"}, "several edges, got the text 'm0->logits'"),
    ],
)
def test_what_cannot_be_measured_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=f"expected .*{message}"):
        certify(increments(), **wrong)


def test_no_edges_are_none() -> None:
    found = certify(increments(), edges=())
    assert not found.edges
    assert found.failures[0].startswith("not measured: ")


def test_what_cannot_be_told_to_agree_is_worst() -> None:
    half, nothing = Agreement(positions=2, agreeing=1), Agreement()
    for group in ({"half": half, "nothing": nothing}, {"nothing": nothing, "half": half}):
        assert worst(group) == ("nothing", pytest.approx(float("nan"), nan_ok=True))
    assert worst({}) == ("", 1.0)


def shrunk(model: Transformer, **sizes: int) -> Transformer:
    return Transformer(replace(model.config, **sizes))


def test_progress_is_told_to_the_end() -> None:
    placed = increments()
    told: list[tuple[int, int]] = []
    certify(
        placed,
        batch_size=50,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(n, 216) for n in (50, 72, 122, 144, 194, 216)]


@pytest.mark.parametrize("agreeing", [0, 1, 60, 100])
def test_the_lower_bound_is_exact(agreeing: int) -> None:
    found = Agreement(positions=100, agreeing=agreeing, pairs=100, agreeing_pairs=agreeing)
    expected = binomtest(agreeing, 100, alternative="greater").proportion_ci(0.95).low
    assert found.lower_bound == pytest.approx(expected)
    assert found.share == agreeing / 100


def test_where_nothing_counts_nothing_is_certified() -> None:
    nothing = Agreement()
    assert np.isnan(nothing.share)
    assert nothing.to_dict()["share"] is None
    assert QuickAgreement(nothing, {}, {}).failures
    assert edge_set(small().model.graph, []).sum() == 0
