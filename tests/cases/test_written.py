"""Programs as data: what each step means, that files read back, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowncircuits.cases import own
from knowncircuits.cases.drawing import Shape, draw_program, shapes_within
from knowncircuits.cases.generated import SHIPPED, generated_cases
from knowncircuits.cases.registry import import_case, import_cases, list_cases, load_case
from knowncircuits.cases.written import Written, read_cases, read_written, write_written
from knowncircuits.errors import InputError, ResultError, UnknownNameError
from knowncircuits.rasp.program import flatten
from knowncircuits.rasp.text import steps_text

SAME = ("select", "==", "tokens", "tokens")
EARLIER = ("and", ("select", "<", "indices", "indices"), ("not", ("select", "<", "tokens", 1)))
EVERY_KIND = Written(
    tokens=3,
    max_len=4,
    causal=False,
    sampler="uniform",
    steps=(
        ("width", SAME),
        ("sum", ("or", EARLIER, SAME), "tokens"),
        ("mean", EARLIER, "tokens"),
        ("map", ">=", 1.5, "v3"),
        ("move", ("select", "==", "indices", "tokens"), "v1"),
        ("pair", "-", "v1", "v2"),
        ("triple", "if", "v4", "v5", "v6"),
    ),
)


@pytest.fixture
def no_own_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_added", {})
    monkeypatch.setattr(own, "_sources", {})


def test_each_kind_of_step_by_hand() -> None:
    # On 2 1 2 0: twos occur twice; earlier positions that are no 0.
    case = EVERY_KIND.case()
    columns = {step.name: step.sop([2, 1, 2, 0]) for step in flatten(case.program).in_order}
    assert columns["v1"] == [2, 1, 2, 1]
    assert columns["v2"] == [4, 3, 5, 5]  # of 2 2, of 2 1, of 2 1 2 and of 2 1 2 0
    assert columns["v3"] == [0, 2, 1.5, 5 / 3]
    assert columns["v4"] == [False, True, True, True]
    assert columns["v5"] == [2, 1, 2, 2]  # at positions 2, 1, 2 and 0
    assert columns["v6"] == [-2, -2, -3, -4]
    assert case.interpret([[2, 1, 2, 0]]) == [[-2, 1, 2, 2]]
    assert (EVERY_KIND.size, EVERY_KIND.depth, EVERY_KIND.fan_in) == (7, 3, 3)


def meaning(written: Written, xs: list[int]) -> list[Any]:
    """A program's output by plain Python, position by position."""
    n = len(xs)
    known: dict[str, list[Any]] = {"tokens": xs, "indices": list(range(n))}
    compare = {
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }
    functions: dict[str, Any] = {
        **compare,
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "%": lambda a, b: a % b,
        "max": lambda *a: sorted(a)[-1],
        "min": lambda *a: sorted(a)[0],
        "and": lambda a, b: a != 0 and b != 0,
        "or": lambda a, b: a != 0 or b != 0,
        "sum": lambda *a: sum(a),
        "most": lambda *a: sum(x != 0 for x in a) > 1,
        "if": lambda a, b, c: b if a != 0 else c,
    }

    def holds(term: Any, q: int, k: int) -> bool:
        if written.causal and k > q:
            return False
        if term[0] == "not":
            return not holds(term[1], q, k)
        if term[0] in ("and", "or"):
            both = [holds(part, q, k) for part in term[1:]]
            return all(both) if term[0] == "and" else any(both)
        key = known[term[2]][k]
        query = known[term[3]][q] if isinstance(term[3], str) else term[3]
        return None not in (key, query) and compare[term[1]](key, query)

    def value(step: Any, q: int) -> Any:
        if step[0] in ("map", "pair", "triple"):
            given = step[2:] if step[0] != "map" else (step[3], step[2])
            read = [known[x][q] if isinstance(x, str) else x for x in given]
            return None if None in read else functions[step[1]](*read)
        there = [k for k in range(n) if holds(step[1], q, k)]
        if step[0] == "width":
            return len(there)
        found = [known[step[2]][k] for k in there]
        if step[0] == "sum":
            return sum(found)
        if step[0] == "move":
            return found[0] if found else None
        return sum(found) / len(found) if found else 0

    for i, step in enumerate(written.steps):
        known[f"v{i + 1}"] = [value(step, q) for q in range(n)]
    return known[f"v{written.size}"]


def test_shipped_programs_mean_what_plain_python_makes_of_their_data() -> None:
    for written in read_written(SHIPPED):
        case = load_case(written.name)
        for length in (1, case.max_len):
            codes = case.draw(10, 5, length)  # tokens are their own places in the alphabet
            found = case.outputs(codes).decode()
            for xs, outputs in zip(codes.tolist(), found, strict=True):
                for output, expected in zip(outputs, meaning(written, xs), strict=True):
                    assert output == (expected if expected is None else pytest.approx(expected))


def test_shipped_programs_have_their_shapes_by_the_steps_of_the_language() -> None:
    shapes = shapes_within(range(2, 7), range(2, 5), range(1, 4))
    for i, (name, case) in enumerate(generated_cases().items()):
        depths: dict[str, int] = {}
        widest = 0
        for step in flatten(case.program).in_order:
            # Constants and the joint variables of selectors are the compiler's, not steps.
            reads = {
                leaf
                for read in step.reads
                for leaf in (read.inputs if read.name.startswith("joint") else [read])
                if not leaf.name.startswith("full")
            }
            depths[step.name] = step.name.startswith("v") + max(
                (depths[read.name] for read in reads), default=0
            )
            widest = max(widest, len(reads) if step.name.startswith("v") else 0)
        size = sum(step.startswith("v") for step in depths)
        assert Shape(size, max(depths.values()), widest) == shapes[i % len(shapes)], name


def test_a_file_reads_back_to_the_same_programs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_program(rng, Shape(4, 3, 2)) for _ in range(40)]
    programs = [program for program in drawn if program is not None]
    write_written(programs, tmp_path / "programs.json")
    assert len(programs) > 5
    assert read_written(tmp_path / "programs.json") == programs
    for case, program in zip(
        read_cases(tmp_path / "programs.json").values(), programs, strict=True
    ):
        assert case.name == program.name
        assert steps_text(case.program) == steps_text(program.program())
    write_written(read_written(SHIPPED), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == SHIPPED.read_bytes()


def test_the_suite_is_apart() -> None:
    names = list_cases("generated")
    assert len(names) >= 60
    assert names == list(generated_cases())
    assert not set(names) & set(list_cases())
    assert load_case(names[0]).name == names[0]


@pytest.mark.usefixtures("no_own_cases")
def test_a_program_of_a_file_is_a_case_by_its_name(tmp_path: Path) -> None:
    path, other = tmp_path / "mine.json", replace(EVERY_KIND, max_len=5)
    write_written([EVERY_KIND, other], path)
    assert import_case(f"{path}:{other.name}") is load_case(other.name)
    assert list_cases("own") == [other.name]
    assert [case.name for case in import_cases(path)] == [EVERY_KIND.name, other.name]
    shipped = list_cases("generated")[0]
    assert import_case(f"{SHIPPED}:{shipped}") is import_cases(SHIPPED)[0] is load_case(shipped)
    assert shipped not in list_cases("own")
    with pytest.raises(UnknownNameError, match="program of .*mine.json"):
        import_case(f"{path}:generated_1")


def broken(**changes: Any) -> dict[str, Any]:
    return {"tokens": 3, "max_len": 4, "causal": False, "sampler": "uniform", **changes}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (broken(steps=[["walk", "tokens"]]), r'expected a step, got \["walk", "tokens"\]'),
        (broken(steps=[["map", "exec", 1, "tokens"]]), 'function of one among .*; got "exec"'),
        (broken(steps=[["map", "==", "x", "tokens"]]), "expected a step, got"),
        (broken(steps=[["pair", "max", "tokens"]]), "expected a step, got"),
        (broken(steps=[["pair", "max", "tokens", "v1"]]), 'variable among .*; got "v1"'),
        (broken(steps=[["triple", "if", "tokens", "tokens", 3]]), "variable among .*; got 3"),
        (broken(steps=[["width", ["select", "~", "tokens", 1]]]), 'comparison among .*; got "~"'),
        (broken(steps=[["width", "tokens"]]), 'expected a selector, got "tokens"'),
        (broken(steps=[]), r"expected 1 to 64 tokens, positions and steps, got \(3, 4, 0\)"),
        (broken(steps=[["width", list(SAME)]], sampler="x"), 'sampler among uniform, .*; got "x"'),
        (broken(steps=[["width", list(SAME)]], tokens=65), "expected 1 to 64 tokens"),
        (broken(steps=[["width", list(SAME)]]), "expected the program of name, got that of gener"),
        (broken(steps=[["width", list(SAME)]], max_len="4"), "expected programs by name, got"),
        ("a text", "expected programs by name, got"),
    ],
)
def test_what_is_no_program_is_refused(program: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "programs.json"
    path.write_text(json.dumps({"name": program}))
    with pytest.raises(ResultError, match=message):
        read_written(path)


def test_shapes_that_no_program_has() -> None:
    with pytest.raises(InputError, match="up to 3 steps, which the last one can need at depth 2"):
        Shape(4, 2, 2)
    with pytest.raises(InputError, match="depth <= size <= 12"):
        Shape(2, 3, 1)
    with pytest.raises(InputError, match="that a program can have, got none among sizes"):
        shapes_within(range(5, 6), range(2, 3), range(1, 3))
    assert all(a != b for a, b in pairwise(shapes_within(range(1, 5), range(1, 5), range(1, 3))))
