"""Movers of `ioi`: what each head attends to, writes, and is worth under interchanges and alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import knowncircuits as kc
from knowncircuits.cases.ioi import (
    CORRUPTIONS,
    END,
    IOI,
    beside_the_mover,
    indirect_objects,
    mentions,
    subjects,
)
from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import ModelError
from knowncircuits.evaluation.figures.drawing import circuit_text
from knowncircuits.exchange import read_graph_file, write_graph_file
from knowncircuits.models.wired import (
    TRANSFORMATIONS,
    Wired,
    back_up,
    distance,
    host,
    load_wired,
    model_of,
    oppose,
    rotate,
    save_wired,
    split,
)
from knowncircuits.roles import BACKUP_MOVER, NAME_MOVER, NEGATIVE_MOVER

EXACT = 1e-12
DUPLICATE, INHIBITION, MOVER, BACKUP, NEGATIVE = "a1.h0", "a2.h0", "a3.h0", "a4.h0", "a4.h1"
CODES = IOI.draw(40, seed=0)
Differences = Float[Tensor, " prompt"]


@pytest.fixture(scope="module")
def plain() -> Wired:
    return Wired.of(IOI.compile())


@pytest.fixture(scope="module")
def both() -> Wired:
    """With a backup of strength 0.5 and a negative mover of 0.4."""
    wired = model_of(kc.load_case("ioi_backup"))
    assert isinstance(wired, Wired)
    return wired


def with_strengths(plain: Wired, b: float, n: float) -> Wired:
    """The same of other strengths, unchecked, which takes a while."""
    wired = plain
    for name, parameters in beside_the_mover(backup=b, negative=n):
        wired = TRANSFORMATIONS[name].apply(wired, parameters, checked=False)
    return wired


def difference(wired: Wired, logits: Float[Tensor, "prompt pos value"]) -> Differences:
    """The logit of the indirect object less that of the subject, at the end."""
    values = wired.compiled.output.values
    right, wrong = (
        [values.index(IOI.vocab[code]) for code in names(CODES)]
        for names in (indirect_objects, subjects)
    )
    rows = torch.arange(len(CODES))
    return logits[rows, -1, right] - logits[rows, -1, wrong]


def patched(
    wired: Wired, nodes: Sequence[str], other: np.ndarray | None, to: str = ""
) -> Differences:
    """What nodes write, or what `logits` reads of them, taken from other prompts, or nothing."""
    ids = wired.compiled.to_ids(CODES)
    run, graph = wired.model.run(ids), wired.model.graph
    alternative = torch.zeros_like(run.outputs)
    if other is not None:
        alternative = wired.model.run(wired.compiled.to_ids(other)).outputs
    mask = torch.zeros(len(CODES), graph.n_edges, dtype=torch.float64)
    for node in nodes:
        edges = graph.edges_from(node).tolist()
        mask[:, [i for i in edges if not to or graph.edge(i).target == to]] = 1
    return difference(wired, wired.model.run(ids, alternative, mask).logits)


def corrupted(corruption: str) -> np.ndarray:
    return CORRUPTIONS[corruption](np.random.default_rng(1), CODES, len(IOI.vocab))


def attention(wired: Wired, head: str) -> Float[Tensor, "prompt query key"]:
    """Computed from the weights, apart from the model."""
    model, node = wired.model, kc.names.Node(head)
    outputs = model.run(wired.compiled.to_ids(CODES)).outputs
    before = [kc.names.Node(s).depth < node.depth for s in model.graph.sources]
    stream = outputs[:, before].sum(1)
    W, b = model.W_QKV[node.layer, :, node.head], model.b_QKV[node.layer, :, node.head]
    q, k = (stream @ W[i] + b[i] for i in (0, 1))
    scores = q @ k.mT / model.config.d_head**0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


def approx(found: Differences, expected: float) -> bool:
    return bool((found - expected).abs().max() < EXACT)


def test_the_logit_difference_is_one(plain: Wired) -> None:
    assert approx(patched(plain, [], None), 1.0)


@pytest.mark.parametrize(
    ("corruption", "expected"),
    [
        ("abc", {DUPLICATE: 0, INHIBITION: 0, MOVER: 0}),
        ("s2-io", {DUPLICATE: 1, INHIBITION: -1, MOVER: -1}),
        ("swap", {DUPLICATE: 1, INHIBITION: 1, MOVER: 1}),
    ],
)
def test_heads_that_read_a_corrupted_prompt(
    plain: Wired, corruption: str, expected: dict[str, int]
) -> None:
    other = corrupted(corruption)
    for head, value in expected.items():
        assert approx(patched(plain, [head], other), value), head
    assert approx(patched(plain, expected.keys(), None), 0.0)


def test_what_heads_attend_to(both: Wired) -> None:
    """From END the S-inhibition head to S2, movers to IO; a backup whose head speaks to BOS."""
    rows, end = np.arange(len(CODES)), END + 1  # after BOS
    names = mentions(CODES)
    first, second = names[:, 0], names[:, 1]
    io = np.where(CODES[rows, first] == indirect_objects(CODES), first, second)
    s1 = first + second - io
    for head, query, key in (
        (DUPLICATE, names[:, 2] + 1, s1 + 1),
        (INHIBITION, end, names[:, 2] + 1),
        (MOVER, end, io + 1),
        (NEGATIVE, end, io + 1),
        (BACKUP, end, 0 * io),
    ):
        found = attention(both, head)[rows, query, key]
        assert (found - 1).abs().max() < EXACT, head


def test_a_backup_and_a_negative_mover(both: Wired) -> None:
    assert approx(patched(both, [], None), 0.6)
    assert approx(patched(both, [MOVER], None), 0.1)
    assert approx(patched(both, [MOVER, BACKUP], None), -0.4)
    assert approx(patched(both, [MOVER, BACKUP, NEGATIVE], None), 0.0)
    assert approx(patched(both, [BACKUP], None), 0.6)
    assert approx(patched(both, [NEGATIVE], None), 1.0)
    other = corrupted("abc")  # on which the mover writes nothing
    assert approx(patched(both, [MOVER], other), 0.1)
    assert approx(patched(both, [INHIBITION], other), 0.0)
    other = corrupted("s2-io")  # on which it writes the subject
    assert approx(patched(both, [INHIBITION], other), -0.6)
    assert approx(patched(both, [MOVER], other), -1.4)


@pytest.mark.parametrize(("b", "n"), [(0.5, 0.4), (1.0, 0.25), (0.3, 1.5)])
def test_any_strengths(plain: Wired, b: float, n: float) -> None:
    """The backup's part of the answer is 0, and b where the mover is ablated."""
    wired = with_strengths(plain, b, n)
    assert approx(patched(wired, [], None), 1 - n)
    assert approx(patched(wired, [MOVER], None), b - n)
    direct = patched(wired, [], None) - patched(wired, [BACKUP], None, "logits")
    ablated = patched(wired, [MOVER], None) - patched(wired, [MOVER, BACKUP], None)
    assert approx(direct, 0.0)
    assert approx(ablated, b)


def test_what_heads_copy(both: Wired) -> None:
    """From a name, as the first MLP writes it, through a head's OV to the names' logits."""
    model, values = both.model, both.compiled.output.values
    ids = both.compiled.to_ids(CODES)
    name = model.run(ids).outputs[:, model.graph.sources.index("m0")]
    rows = torch.arange(len(CODES))
    s2 = torch.from_numpy(mentions(CODES)[:, 2]) + 1
    own = torch.tensor([values.index(IOI.vocab[code]) for code in subjects(CODES)])
    found = {}
    for head in (DUPLICATE, INHIBITION, MOVER, BACKUP, NEGATIVE):
        node = kc.names.Node(head)
        W_V, W_O = model.W_QKV[node.layer, 2, node.head], model.W_O[node.layer, node.head]
        logits = name[rows, s2] @ W_V @ W_O @ model.W_U
        assert logits.abs().sum() == pytest.approx(float(logits[rows, own].abs().sum()))
        found[head] = float(logits[rows, own].mean())
    expected = {DUPLICATE: 0, INHIBITION: 0, MOVER: 1, BACKUP: 0.5, NEGATIVE: -0.4}
    assert found == pytest.approx(expected)


def test_labels_and_roles(both: Wired) -> None:
    circuit = both.circuit
    assert circuit.roles == {
        DUPLICATE: "duplicate token",
        INHIBITION: "S-inhibition",
        MOVER: NAME_MOVER,
        NEGATIVE: NEGATIVE_MOVER,
        BACKUP: BACKUP_MOVER,
    }
    beside = {
        f"{source}->{head}<{letter}>"
        for head in (NEGATIVE, BACKUP)
        for source, letter in ((INHIBITION, "q"), ("m0", "k"), ("m0", "v"))
    }
    new = {*beside, f"{MOVER}->{BACKUP}<q>", f"{BACKUP}->logits", f"{NEGATIVE}->logits"}
    assert set(circuit.edges()) == {*both.compiled.circuit.edges(), *new}
    assert "a4.h0  backup mover" in circuit_text(circuit).splitlines()


def test_a_backup_is_seen_only_where_the_mover_may_be_silent(both: Wired) -> None:
    """Among prompts no edge of it has an effect; with ABC all do, most of them in company."""
    graph, ids = both.model.graph, both.compiled.to_ids(CODES)
    edges = [i for i in range(graph.n_edges) if BACKUP in graph.edge(i).ends]
    edges = [i for i in edges if both.circuit.labels[i] == Label.IN]
    for other, seen in ((CODES[::-1].copy(), False), (corrupted("abc"), True)):
        alternative = both.model.run(both.compiled.to_ids(other)).outputs
        for edge in edges:
            moved = 0.0
            for company in ([], [graph.index(f"{MOVER}->{BACKUP}<q>")]):
                mask = torch.zeros(len(CODES), graph.n_edges, dtype=torch.float64)
                mask[:, company] = 1
                without = both.model.run(ids, alternative, mask).logits
                mask[:, edge] = 1 - mask[:, edge]
                moved += float(
                    (both.model.run(ids, alternative, mask).logits - without).abs().max()
                )
            assert (moved > EXACT) == seen, graph.edges[edge]


def test_roles_go_along(both: Wired, tmp_path: Path) -> None:
    """Into hosts, copies, other bases, and files."""
    moved = rotate(host(both, layers=6, heads=3, seed=1), seed=2)
    assert sorted(moved.circuit.roles.values()) == sorted(both.circuit.roles.values())
    assert approx(patched(moved, [], None), 0.6)
    place = {role: node for node, role in moved.circuit.roles.items()}
    assert approx(patched(moved, [place[NAME_MOVER]], None), 0.1)
    save_wired(moved, tmp_path / "moved")
    assert load_wired(tmp_path / "moved").circuit == moved.circuit
    copied = split(Wired.of(both.compiled), MOVER, [MOVER, "a3.h1"])
    assert [copied.circuit.roles[node] for node in (MOVER, "a3.h1")] == [NAME_MOVER] * 2
    for circuit in (both.circuit, both.circuit.merge_inputs()):
        write_graph_file(circuit, tmp_path / "circuit.json")
        again = read_graph_file(tmp_path / "circuit.json").circuit()
        assert again == circuit
        assert again != Circuit(circuit.graph, circuit.labels, circuit.carries)


def test_a_negative_mover_is_exact_under_interchanges(plain: Wired) -> None:
    """Of half the strength: the rest of the logits, as the compiled model's under images."""
    place = {"head": MOVER, "place": "a3.h1", "strength": 0.5}
    wired = oppose.apply(plain, place, checked=False)
    with torch.no_grad():
        wired.model.W_U.mul_(2)
    assert distance(wired) < EXACT


def test_what_was_checked_is_in_the_recipe(both: Wired) -> None:
    negative, backup = both.recipe
    assert (negative.transformation, backup.transformation) == ("oppose", "back_up")
    assert negative.found["smallest_effect"] == pytest.approx(0.4)
    assert backup.found["largest_move"] < EXACT


def test_places_that_will_not_do(plain: Wired, both: Wired) -> None:
    with pytest.raises(ModelError, match="a later layer than a3.h0 to back it up, got a3.h1"):
        back_up(plain, MOVER, "a3.h1", 0.5)
    with pytest.raises(ModelError, match="before all that reads it, got a4.h2"):
        oppose(both, MOVER, "a4.h2", 0.5)
    place = {"head": MOVER, "place": "a3.h1", "strength": 0.4}
    before = oppose.apply(plain, place, checked=False)
    with pytest.raises(ModelError, match="directions that only a3.h0 writes"):
        back_up(before, MOVER, "a4.h0", 0.5)
    numbers = kc.load_case("fraction_of_x").compile()
    with pytest.raises(ModelError, match="a head that writes one of several values, got a1.h0"):
        back_up(numbers, "a1.h0", "a2.h0", 0.5)
