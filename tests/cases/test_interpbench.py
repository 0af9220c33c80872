"""The registry against InterpBench: its tasks' outputs and circuits, recorded from tracr."""

import functools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from knowncircuits.cases import CASES, list_cases, load_case
from knowncircuits.compiler import Compiled
from knowncircuits.rasp import Value, interpret

RECORDS: dict[str, dict[str, Any]] = {
    record["name"]: record
    for record in json.loads(
        (Path(__file__).parents[1] / "data" / "interpbench" / "cases.json").read_text()
    )
}
# What carries no information between inputs; the records list its reads apart.
CONSTANTS = {"one", "tokens:BOS"}

every_case = pytest.mark.parametrize("name", RECORDS)


@functools.cache
def compiled(name: str) -> Compiled:
    return load_case(name).compile()


def inputs_and_outputs(name: str) -> tuple[list[list[Value]], list[list[Value]]]:
    examples = RECORDS[name]["examples"]
    return [x for x, _ in examples], [y for _, y in examples]


def same(got: Value, wanted: Value) -> bool:
    """Equal as in Python, numbers to 1e-6."""
    if isinstance(got, str) or isinstance(wanted, str) or None in (got, wanted):
        return got == wanted
    assert isinstance(got, (bool, int, float))
    assert isinstance(wanted, (bool, int, float))
    return abs(got - wanted) < 1e-6


def all_same(got: Sequence[Sequence[Value]], wanted: Sequence[Sequence[Value]]) -> bool:
    return all(
        same(a, b) for xs, ys in zip(got, wanted, strict=True) for a, b in zip(xs, ys, strict=True)
    )


def recorded_reads(name: str) -> dict[str, Counter[str]]:
    """For every input of a component the nodes that wrote what it reads, with multiplicity."""
    components = RECORDS[name]["components"]
    writer = {"tokens": "embed", "indices": "pos"}
    for component in components:
        for variable in component["writes"]:
            # An MLP clears a selector width's raw output, so the head comes first, and stays.
            writer.setdefault(variable, component["node"])
            if variable.endswith("_attn_output") and component["node"].startswith("a"):
                writer[variable] = component["node"]
    slots = {"reads": "", "reads_q": "<q>", "reads_k": "<k>", "reads_v": "<v>"}
    return {
        component["node"] + suffix: Counter(
            writer[variable] for variable in component[slot] if variable not in CONSTANTS
        )
        for component in components
        for slot, suffix in slots.items()
        if slot in component
    }


def compiled_reads(name: str) -> dict[str, Counter[str]]:
    found = {}
    for component in compiled(name).components:
        for slot, reads in component.reads.items():
            variables = {read.variable.name: read.variable for read in reads}
            found[slot] = Counter(v.node for v in variables.values() if v.name not in CONSTANTS)
    return found


def compiled_edges(name: str) -> set[str]:
    carries = compiled(name).circuit.carries
    return {edge for edge, variables in carries.items() if set(variables) - CONSTANTS}


def test_the_suite_is_interpbench() -> None:
    assert sorted(list_cases("interpbench")) == sorted(RECORDS)


@every_case
def test_metadata(name: str) -> None:
    case, record = load_case(name), RECORDS[name]
    assert case.name == name
    assert case.interpbench_id == record["id"]
    assert case.vocab == tuple(record["vocab"])
    assert case.max_len == record["max_seq_len"] - 1
    assert case.causal == record["causal"]


@every_case
def test_programs_say_what_interpbench_says(name: str) -> None:
    inputs, wanted = inputs_and_outputs(name)
    assert all_same(load_case(name).interpret(inputs), wanted)


@every_case
def test_compiled_models_say_what_interpbench_says(name: str) -> None:
    inputs, wanted = inputs_and_outputs(name)
    model = compiled(name)
    run = model.model.run(model.encode(inputs))
    assert model.unmixed(run.outputs).all()
    assert all_same(model.decode(run.logits), wanted)
    assert all_same([model(inputs[0])], wanted[:1])


@every_case
def test_output_values_are_among_interpbench_s(name: str) -> None:
    """Fewer where tracr takes x - x for several values."""
    output, values = compiled(name).output, RECORDS[name].get("output_values")
    assert output.numerical == (RECORDS[name]["output"] == "numerical")
    if values is not None:
        assert all(any(same(value, known) for known in values) for value in output.values)


@every_case
def test_circuits_are_interpbench_s(name: str) -> None:
    assert compiled_edges(name) == set(RECORDS[name]["edges"])
    assert compiled_reads(name) == recorded_reads(name)


def test_interleaving_with_the_reverse_of_any_length() -> None:
    """The recorded examples have one, odd length; at even ones InterpBench reads n - i instead."""
    case = load_case("interleave_with_reverse")
    assert case.interpret([[1, 0, 0, 0]]) == [[1, 0, 0, 0]]
    for n in range(1, case.max_len + 1):
        inputs = case.sample(20, seed=n, length=n)
        wanted = [
            [x if i % 2 == 0 else xs[n - i if n % 2 == 0 else n - i - 1] for i, x in enumerate(xs)]
            for xs in inputs
        ]
        assert case.interpret(inputs) == wanted


@pytest.mark.parametrize("name", [name for name in RECORDS if CASES[name].causal])
def test_causal_programs_do_not_need_the_mask(name: str) -> None:
    """InterpBench also runs them without: their values are the same."""
    case = CASES[name]
    inputs, _ = inputs_and_outputs(name)
    assert interpret(case.program, inputs, causal=False) == case.interpret(inputs)
