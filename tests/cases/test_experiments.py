"""The hard suite: levels are cases, pairs have a direction, gates are what they say."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.cases import CASES, Pairs, check_case, draw_pairs
from knowncircuits.cases.choices import Direction
from knowncircuits.cases.experiments import EXPERIMENTS, hard_cases
from knowncircuits.cases.experiments.gates import FAN_INS, LETTERS
from knowncircuits.cases.sampling import in_split
from knowncircuits.circuit import Label
from knowncircuits.compiler import Compiled
from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.evaluation import make_task
from knowncircuits.evaluation.truth import set_truth
from knowncircuits.models.wired import Wired, model_of
from knowncircuits.rasp import Value

GATES: dict[str, Callable[[int, int], bool]] = {  # of how many are on, of how many
    "gate_or": lambda on, of: on > 0,
    "gate_and": lambda on, of: on == of,
    "gate_xor": lambda on, of: on % 2 == 1,
    "gate_majority": lambda on, of: on > of / 2,
}


def test_levels_are_cases_of_a_suite_of_their_own() -> None:
    names = kc.list_cases("hard")
    assert names == list(hard_cases())
    assert not set(names) & set(kc.list_cases())
    assert kc.list_cases("hard", family="gate_or") == [f"gate_or_{n}" for n in FAN_INS]
    for name, experiment in EXPERIMENTS.items():
        assert experiment.name == name
        for level, case in experiment.cases.items():
            assert (case.name, case.family) == (f"{name}_{level}", name)
            assert kc.load_case(case.name) is case
    with pytest.raises(UnknownNameError, match="gate_or_5"):
        kc.load_case("gate_or_6")
    with pytest.raises(UnknownNameError, match="family"):
        kc.list_cases(family="gate_or")


@pytest.mark.parametrize("name", list(hard_cases()))
def test_data_of_hard_cases_can_be_trusted(name: str) -> None:
    assert not check_case(hard_cases()[name], n=300).problems


@pytest.mark.parametrize("n_flags", FAN_INS)
@pytest.mark.parametrize("name", GATES)
def test_gates_are_what_they_say(name: str, n_flags: int) -> None:
    case = kc.load_case(f"{name}_{n_flags}")
    flags = list(itertools.product((False, True), repeat=n_flags))
    inputs = [
        [letter.upper() if on else "y" for letter, on in zip(LETTERS, row, strict=False)]
        + ["x"] * (case.max_len - n_flags)
        for row in flags
    ]
    wanted = [[GATES[name](sum(row), n_flags)] * case.max_len for row in flags]
    assert case.interpret(inputs) == wanted
    compiled = case.compile()
    assert compiled.decode(compiled.model(compiled.encode(inputs))) == wanted
    into = [e for e in compiled.circuit.edges() if e.destination == "m1"]
    assert len(into) == n_flags  # each flag has an edge of its own


@pytest.mark.parametrize("n_copies", EXPERIMENTS["copies"].levels)
def test_copies_have_edges_of_their_own(n_copies: int) -> None:
    case = kc.load_case(f"copies_{n_copies}")
    assert case.interpret([list("xyxyxA"), list("xyxyxX")]) == [[True] * 6, [False] * 6]
    edges = case.compile().circuit.edges()
    assert sum(edge.destination == "m1" for edge in edges) == n_copies
    assert len(edges) == 2 * n_copies + 2


@pytest.mark.parametrize("n_known", EXPERIMENTS["backup"].levels)
def test_a_backup_answers_where_the_first_head_does_not(n_known: int) -> None:
    """For the letters that it knows: silent as long as the first head is there."""
    compiled = kc.load_case(f"backup_{n_known}").compile()
    clean = compiled.encode([[*list("xyxyx"), letter] for letter in "abcd"])
    other = compiled.model.run(compiled.encode([list("xyxyxy")] * 4)).outputs

    def answers(*edges: str) -> list[bool]:
        mask = torch.zeros(4, compiled.circuit.graph.n_edges, dtype=torch.float64)
        mask[:, [compiled.circuit.graph.index(edge) for edge in edges]] = 1
        logits = compiled.model.run(clean, other, mask).logits
        return [row[-1] is True for row in compiled.decode(logits)]

    keys, backup = "m0->a1.h0<k>", ("m1->a2.h0<v>", "m0->a2.h0<k>")
    assert set(backup) < set(map(str, compiled.circuit.edges()))
    known = [place < n_known for place in range(4)]
    assert answers() == answers(*backup) == [True] * 4
    assert answers(keys) == known
    assert answers(keys, backup[1]) == answers("a1.h0->m2") == [False] * 4


@pytest.mark.parametrize("n_steps", EXPERIMENTS["deep"].levels)
def test_a_chain_follows_jumps(n_steps: int) -> None:
    case = kc.load_case(f"deep_{n_steps}")
    codes = case.draw(20, 0)
    places = np.broadcast_to(np.arange(6), codes.shape)
    for _ in range(n_steps):
        places = np.take_along_axis(codes, places, 1)
    compiled = case.compile()
    inputs = codes.tolist()
    assert compiled.decode(compiled.model(compiled.encode(inputs))) == places.tolist()
    assert len(compiled.circuit.edges()) == 2 * n_steps


@pytest.mark.parametrize("percent", EXPERIMENTS["saturate"].levels)
def test_a_softer_chain_is_the_same_but_for_its_attention(percent: int) -> None:
    case, chain = kc.load_case(f"saturate_{percent}"), kc.load_case("deep_4").compile()
    softer = model_of(case)
    assert isinstance(softer, Wired) == (percent < 100)
    inputs = case.draw(50, 0).tolist()
    ids = chain.encode(inputs)
    answers = chain.decode(softer.model(ids))
    assert answers == case.interpret(inputs) == chain.decode(chain.model(ids))
    assert np.array_equal(softer.circuit.labels, chain.circuit.labels)
    queries, others = (model.W_QKV[:, 0] for model in (softer.model, chain.model))
    assert torch.allclose(queries, others * percent / 100)


@pytest.mark.parametrize("percent", EXPERIMENTS["faint"].levels)
def test_terms_of_a_sum_have_ever_smaller_weights(percent: int) -> None:
    case = kc.load_case(f"faint_{percent}")
    codes = case.draw(20, 0)
    wanted = codes[:, :4] @ (percent / 100) ** np.arange(4)
    compiled = case.compile()
    got = compiled.decode(compiled.model(compiled.encode(codes.tolist())))
    assert np.allclose(np.array(got, dtype=float), wanted[:, None])


@pytest.mark.parametrize("n_sides", EXPERIMENTS["distract"].levels)
def test_side_programs_are_read_and_change_no_answer(n_sides: int) -> None:
    case = kc.load_case(f"distract_{n_sides}")
    assert case.interpret([list("xbcdeA"), list("xbcdex")]) == [[True] * 6, [False] * 6]
    model = model_of(case)
    inside = ["embed->m0", "m0->a1.h0<k>", "a1.h0->m1", "m1->logits"]
    assert sorted(map(str, model.circuit.edges())) == sorted(inside)
    for side in range(1, n_sides + 1):
        for edge in (f"m0->a1.h{side}<k>", f"a1.h{side}->m1"):
            assert model.circuit.label(edge) == Label.OUT
            assert isinstance(model, Wired)
            assert model.compiled.circuit.carries[edge]  # it is read


@pytest.mark.parametrize("n_programs", EXPERIMENTS["shared"].levels)
def test_a_digit_asks_one_of_several_questions(n_programs: int) -> None:
    case = kc.load_case(f"shared_{n_programs}")
    model = model_of(case)
    assert isinstance(model, Wired)
    letters = "bcde"[:n_programs]
    asked = [[str(i), "a", letter, *"xyxy"] for i in range(1, 5) for letter in letters]
    wanted = [
        [letters[i - 1 : i] == tokens[2]] * 7 for i in range(1, 5) for tokens in asked[:n_programs]
    ]
    ids = model.compiled.encode(asked)
    assert case.interpret(asked) == model.compiled.decode(model.model(ids)) == wanted
    assert {row[0] for row in case.sample(50, 0)} == {"1"}  # the case asks the first alone
    assert len(model.circuit.edges()) == 6
    compiled = model.compiled.circuit
    assert len(compiled.edges()) == 6 + 2 * n_programs  # the head that reads the digit, and flags
    assert model.circuit.label("m0->a1.h0<v>") == Label.UNDETERMINED


@pytest.mark.parametrize("norm", EXPERIMENTS["norm"].levels)
def test_a_chain_in_a_loud_host_has_norms(norm: str) -> None:
    case = kc.load_case(f"norm_{norm}")
    model = model_of(case)
    assert isinstance(model, Wired)
    assert model.model.config.norm == norm
    inputs = case.sample(50, 0)
    ids = model.compiled.encode(inputs)
    assert model.compiled.decode(model.model(ids)) == case.interpret(inputs)
    without = model_of(kc.load_case("norm_none")).circuit
    assert np.array_equal(model.circuit.labels, without.labels)


@pytest.mark.parametrize("n_edges", [100, 1_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_chain_in_a_host_of_many_edges(n_edges: int) -> None:
    model = model_of(kc.load_case(f"large_{n_edges}"))
    assert 0.9 * n_edges < model.model.graph.n_edges < 1.1 * n_edges
    assert len(model.circuit.edges()) == 8
    found = kc.score(kc.discover("eap", make_task(model, 20)), model.circuit)
    assert found.average_precision == 1


@pytest.mark.parametrize("n_positions", EXPERIMENTS["position"].levels)
def test_another_head_answers_from_a_position_on(n_positions: int) -> None:
    compiled = kc.load_case(f"position_{n_positions}").compile()
    inputs = [[*"xyxyxyxyxyxyxyx", letter] for letter in "aB"]
    first = [True] * n_positions + [False] * (16 - n_positions)
    wanted = [first, [not there for there in first]]
    assert compiled.decode(compiled.model(compiled.encode(inputs))) == wanted


def test_a_level_says_how_many_pairs_there_are() -> None:
    for n_pairs in EXPERIMENTS["few"].levels:
        case = kc.load_case(f"few_{n_pairs}")
        assert case.interpret([list("aBcxxx"), list("abxxxx")]) == [[True] * 6, [False] * 6]
        compiled = case.compile()
        assert make_task(compiled).n_pairs == n_pairs
        assert make_task(compiled, 3).n_pairs == 3
    assert make_task(kc.load_case("deep_2").compile()).n_pairs == 100


def patched_answers(
    model: Compiled | Wired, clean: list[Value], other: list[Value], *edges: str
) -> list[Value]:
    """What a model says at every position while edges read the other input."""
    compiled = model if isinstance(model, Compiled) else model.compiled
    graph = model.circuit.graph
    alternative = model.model.run(compiled.encode([other])).outputs
    mask = torch.zeros(1, graph.n_edges, dtype=torch.float64)
    mask[:, [graph.index(edge) for edge in edges]] = 1
    logits = model.model.run(compiled.encode([clean]), alternative, mask).logits
    return compiled.decode(logits)[0]


@pytest.mark.parametrize("percent", EXPERIMENTS["cancel"].levels)
def test_an_antagonist_hides_what_leads_to_it_and_to_its_mover(percent: int) -> None:
    case = kc.load_case(f"cancel_{percent}")
    codes = case.draw(100, 0)
    left = (codes[:, 0] + 2) % 6 * (100 - percent)
    wanted = (2 * (100 * codes[:, 1] + left) + 100) // 200  # rounded, a half up
    compiled = case.compile()
    answers = compiled.decode(compiled.model(compiled.encode(codes.tolist())))
    assert answers == [[answer] * 6 for answer in wanted.tolist()]

    task = make_task(compiled, 8)
    found = set_truth(compiled, task.clean, task.corrupted, "resample")
    in_front = {"embed->a0.h1<v>", "a0.h1->m0", "m0->a1.h0<v>", "a1.h0->m1"}
    assert in_front < set(map(str, compiled.circuit.edges()))
    assert set(found.company) == (in_front if percent == 99 else set())
    assert found.idle == ()


@pytest.mark.parametrize("direction", ["on-off", "off-on"])
@pytest.mark.parametrize("percent", EXPERIMENTS["sign"].levels)
def test_gradients_of_either_sign_add_up_to_their_balance(
    percent: int, direction: Direction
) -> None:
    """Of a sum: twice a digit's change times the sum's, 3 in every pair. Patches: its square."""
    compiled = kc.load_case(f"sign_{percent}").compile()
    pairs = draw_pairs(kc.load_case(f"sign_{percent}"), 20, 1, direction)
    moves = pairs.clean - pairs.corrupted
    moves = moves if direction == "on-off" else -moves
    assert (moves[:, :3].sum(1) == 3).all()
    assert ((moves[:, 1:3] == -1).mean(0) == percent / 100).all()
    assert ((moves[:, 1:3] == 1).mean(0) == 1 - percent / 100).all()
    assert not moves[:, 3:].any()
    sums = compiled.model(compiled.encode(pairs.clean.tolist()))
    assert np.allclose(sums[:, 1:, 0], pairs.clean[:, :3].sum(1, keepdims=True))

    task = make_task(compiled, 20, 1, direction=direction)
    first, second = "a1.h1->m1", ("a1.h2->m1", "a1.h0->m2")
    along = 1 - 2 * percent / 100  # mean move of each of the others
    graph = compiled.circuit.graph
    eap, exact = (
        dict(zip(graph.edges, kc.discover(method, task).values, strict=True))
        for method in ("eap", "exact")
    )
    assert eap[first] == pytest.approx(2 * 3 * (3 - 2 * along))
    assert exact[first] == pytest.approx((moves[:, 0] ** 2).mean())
    for edge in second:
        assert eap[edge] == pytest.approx(2 * 3 * along)
        assert exact[edge] == pytest.approx(1)


@pytest.mark.parametrize("percent", EXPERIMENTS["sink"].levels)
def test_a_head_at_rest_reads_nothing(percent: int) -> None:
    case = kc.load_case(f"sink_{percent}")
    model, value = case.compile(), "embed->a2.h0<v>"
    inputs = case.sample(400, 0)
    wanted = [row[row.index("#") + 1] if "#" in row else "none" for row in inputs]
    assert case.interpret(inputs) == [[answer] * 6 for answer in wanted]
    assert abs(np.mean([answer != "none" for answer in wanted]) - percent / 100) < 0.07
    there, elsewhere, nowhere = list("a#bcda"), list("aab#dc"), list("bbcadd")
    assert patched_answers(model, there, elsewhere) == ["b"] * 6
    assert patched_answers(model, there, nowhere, value) == ["c"] * 6
    assert patched_answers(model, there, nowhere, "a1.h0->a2.h0<k>") == ["none"] * 6
    assert patched_answers(model, nowhere, there, value) == ["none"] * 6
    assert patched_answers(model, nowhere, there, "embed->m0") == ["c"] * 6
    assert patched_answers(model, nowhere, there, "embed->m0", value) == ["b"] * 6


@pytest.mark.parametrize("percent", EXPERIMENTS["rare"].levels)
def test_an_exception_is_as_rare_as_its_level_says(percent: int) -> None:
    case = kc.load_case(f"rare_{percent}")
    inputs = case.sample(1000, 0)
    exceptions = [row[-1] == "!" for row in inputs]
    assert abs(np.mean(exceptions) - percent / 100) < 0.04
    assert any(exceptions)
    wanted = [
        (row[0] + 1) % 4 if there else row[1] for row, there in zip(inputs, exceptions, strict=True)
    ]
    compiled = case.compile()
    answers = compiled.decode(compiled.model(compiled.encode(inputs)))
    assert answers == case.interpret(inputs) == [[answer] * 4 for answer in wanted]
    for edge in ("a0.h2->m0", "m0->a1.h0<v>", "a1.h0->m1"):
        assert patched_answers(compiled, [0, 2, 1, 1], [2, 0, 0, 0], edge) == [2] * 4
        assert patched_answers(compiled, [0, 2, 1, "!"], [2, 0, 0, 0], edge) == [3] * 4


@pytest.mark.parametrize("n_heads", EXPERIMENTS["fan_in"].levels)
def test_parts_are_equal_and_too_weak_alone(n_heads: int) -> None:
    case = kc.load_case(f"fan_in_{n_heads}")
    model = model_of(case)
    assert isinstance(model, Wired)
    heads = [f"a1.h{i}" for i in range(n_heads)]
    assert set(map(str, model.circuit.edges())) == {
        *("embed->m0", "m1->logits"),
        *(f"m0->{head}<v>" for head in heads),
        *(f"{head}->m1" for head in heads),
    }
    out = model.model.W_O[1, :n_heads]
    assert torch.allclose(out, out[:1].expand_as(out))
    inputs = case.sample(50, 0)
    ids = model.compiled.encode(inputs)
    counts = [[row.count("x")] * 4 for row in inputs]
    assert model.compiled.decode(model.model(ids)) == counts == case.interpret(inputs)
    clean, other = list("xxxx"), list("yzyz")
    for n_patched in range(n_heads + 1):
        edges = [f"{head}->m1" for head in heads[:n_patched]]
        if n_patched * 4 % n_heads == n_heads / 2:
            continue  # half-way between two counts
        said = patched_answers(model, clean, other, *edges)
        assert said == [round(4 - 4 * n_patched / n_heads)] * 4


def has_all(pairs: np.ndarray, n_flags: int) -> np.ndarray:
    """By letters, whether each input has every flag; and none."""
    there = (pairs[:, :, None] % len(LETTERS) == np.arange(n_flags)).any(1)
    return np.stack([there.all(1), ~there.any(1)])


@pytest.mark.parametrize("split", [None, "train", "test"])
@pytest.mark.parametrize("n_flags", FAN_INS)
def test_directed_pairs_have_a_property_and_lack_it(n_flags: int, split: str | None) -> None:
    case = kc.load_case(f"gate_majority_{n_flags}")
    on_off = draw_pairs(case, 50, 3, "on-off", split=split)
    assert has_all(on_off.clean, n_flags)[0].all()
    assert has_all(on_off.corrupted, n_flags)[1].all()
    assert (on_off.n_replaced == n_flags).all()  # all other tokens are the same
    for codes in (on_off.clean, on_off.corrupted):
        assert in_split(codes, len(case.vocab), split).all()
    off_on = draw_pairs(case, 50, 3, "off-on", split=split)
    assert np.array_equal(off_on.clean, on_off.corrupted)
    assert np.array_equal(off_on.corrupted, on_off.clean)
    assert not np.array_equal(draw_pairs(case, 50, 4, "on-off", split=split).clean, on_off.clean)


def test_a_task_has_a_direction() -> None:
    compiled = kc.load_case("gate_or_2").compile()
    pairs: Pairs = draw_pairs(kc.load_case("gate_or_2"), 20, 5, "on-off", split="test")
    for task in (
        make_task(compiled, 20, 5, direction="on-off", split="test"),
        make_task(compiled, 20, 5, corruption="on-off", split="test"),
    ):
        assert np.array_equal(task.clean[:, 1:] - 1, pairs.clean)
        assert np.array_equal(task.corrupted[:, 1:] - 1, pairs.corrupted)
    with pytest.raises(TaskError, match="a direction or a corruption"):
        make_task(compiled, 5, corruption="minimal", direction="on-off")
    with pytest.raises(UnknownNameError, match="on-off"):
        make_task(compiled, 5, corruption="onoff")
    for name in ("fraction_of_x", "histogram"):
        assert CASES[name].contrast is None
        with pytest.raises(TaskError, match=f"names a property for off-on pairs.*'{name}'"):
            make_task(kc.load_case(name).compile(), 5, direction="off-on")
