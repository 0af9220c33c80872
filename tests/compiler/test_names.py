"""What a variable is called changes nothing but its name."""

from __future__ import annotations

import copy

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from knowncircuits import rasp
from knowncircuits.cases import load_case
from knowncircuits.compiler import Compiled, compile_program
from knowncircuits.errors import CompileError
from knowncircuits.rasp.vocabulary import Vocabulary
from knowncircuits.transformer import weights_hash
from parts import examples
from programs import RandomProgram, programs

SMALL = Vocabulary((1, 2, 3), 4)
PARTS = ("inner", "fst", "snd", "keys", "queries", "selector", "sop", "positions")
NASTY = st.sampled_from(
    [
        *("tokens", "indices", "one", "bos", "pad", "tokens:BOS", "tokens:PAD", "logits", "embed"),
        *("tokens_2", "one_2", "one_attention", "x", "x_2", "x_2_2", "x_attention"),
        *("x_attention_2", "x_attention_attention", "map", "map_2", "aggregate_sum_attention"),
        *("selector_width", "selector_width_attention", "m0", "", " ", "a->b", "\n"),
    ]
)


def renamed(
    expr: rasp.Expression, names: st.DataObject, done: dict[int, rasp.Expression]
) -> rasp.Expression:
    """The same program with another name for every expression, sharing what is shared."""
    if id(expr) not in done:
        new = copy.copy(expr).named(names.draw(NASTY))
        for part in PARTS:
            if part in vars(expr):
                setattr(new, part, renamed(getattr(expr, part), names, done))
        if isinstance(new, rasp.NarySequenceMap):
            new.sops = tuple(renamed(sop, names, done) for sop in new.sops)
        done[id(expr)] = new
    return done[id(expr)]


def compiled_or_none(program: RandomProgram, output: rasp.SOp) -> Compiled | None:
    try:
        return compile_program(output, program.vocabulary, causal=program.causal)
    except CompileError:
        return None


@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programs(), st.data())
def test_names_change_nothing(program: RandomProgram, names: st.DataObject) -> None:
    other_output = renamed(program.output, names, {})
    assert isinstance(other_output, rasp.SOp)
    before = compiled_or_none(program, program.output)
    after = compiled_or_none(program, other_output)
    assert (before is None) == (after is None)
    assume(before and after)
    assert weights_hash(before.model) == weights_hash(after.model)
    assert list(before.circuit.labels) == list(after.circuit.labels)
    assert len(after.variables) == len(before.variables)
    new_name = dict(zip(before.variables, after.variables, strict=True))
    carries = {
        edge: tuple(new_name[name] for name in names)
        for edge, names in before.circuit.carries.items()
    }
    assert after.circuit.carries == carries


def test_a_variable_of_the_input_s_name() -> None:
    compiled = compile_program(rasp.make_reverse(rasp.tokens).named("tokens"), SMALL)
    assert compiled([1, 2, 3, 3]) == [3, 3, 2, 1]
    assert compiled.output.name == "tokens_2"
    assert compiled.variables["tokens"].values == SMALL.tokens
    indices = compile_program((rasp.indices + rasp.tokens).named("indices"), SMALL)
    assert indices([3, 2, 1]) == [3, 3, 3]
    assert compile_program(rasp.tokens.named("indices"), SMALL).output.name == "tokens"


def test_a_variable_of_the_name_of_another_s_attention() -> None:
    plain = compile_program(rasp.make_hist() + 1, SMALL).circuit
    named = compile_program(rasp.make_hist().named("x") + 1, SMALL)
    taken = rasp.Map(lambda n: n + 1, rasp.make_hist().named("x"), simplify=False)
    clash = compile_program(taken.named("x_attention"), SMALL)
    assert list(clash.circuit.labels) == list(named.circuit.labels) == list(plain.labels)
    assert clash.circuit.carries["a0.h0->m0"] == ("x_attention_2",)
    assert clash.output.name == "x_attention"


def test_two_variables_of_one_name() -> None:
    first, second = (rasp.tokens + 1).named("x"), (rasp.indices * 2).named("x")
    compiled = compile_program(rasp.SequenceMap(lambda x, y: x + y, first, second), SMALL)
    assert compiled.circuit.carries["m0->m1"] == ("x", "x_2")
    assert compiled([1, 1]) == [2, 4]


def test_names_of_a_case_stay() -> None:
    assert set(load_case("histogram").compile().variables) == {
        *("one", "tokens:BOS", "tokens", "indices", "hist", "hist_attention")
    }
