"""Arguments of neighbouring types: an error that says what to pass, at the public functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from types import UnionType
from typing import Any, ParamSpec, TypeVar, get_args

from knowncircuits.errors import ArgumentError

P = ParamSpec("P")
R = TypeVar("R")
# A type, several, or a sequence of values of one, as [Result].
Kind = type | UnionType | list[type | UnionType]

# What is wanted, then what may be at hand, to how the one is made of the other. By name, since what
# knows of tasks may not be imported by what knows of graphs.
_MODEL = {
    "Case": "case.compile().model",
    "Compiled": "compiled.model",
    "Task": "task.model",
    "Trained": "trained.model",
    "Wired": "wired.model",
}
WAYS: Mapping[str, Mapping[str, str]] = {
    "Agreement": {"Task": "agreement(task)"},
    "Case": {"str": "load_case(name)", "Trained": "trained.case", "Compiled": "compiled.case"},
    "Circuit": {
        "Case": "case.compile().circuit",
        "Compiled": "compiled.circuit",
        "GraphFile": "file.circuit()",
        "Trained": "trained.circuit",
        "Wired": "wired.circuit",
    },
    "Compiled": {
        "Case": "case.compile()",
        "SOp": "compile_program(program, vocabulary)",
        "Trained": "trained.compiled",
        "Wired": "wired.compiled",
        "str": "load_case(name).compile()",
    },
    "Correspondence": {"Trained": "trained.correspondence"},
    "DataFrame": {
        "Case": "causal_effects(case.compile())",
        "Compiled": "causal_effects(compiled)",
        "Trained": "causal_effects(trained)",
    },
    "Figure": {
        "Circuit": "circuit_sankey(circuit)",
        "Compiled": "circuit_sankey(compiled)",
        "DataFrame": "effects_figure(frame)",
        "Scores": "circuit_sankey(scores)",
        "Trained": "circuit_sankey(trained)",
    },
    "Graph": {
        "Circuit": "circuit.graph",
        "Compiled": "compiled.circuit.graph",
        "Scores": "scores.graph",
        "Task": "task.graph",
        "Trained": "trained.circuit.graph",
        "Transformer": "model.graph",
        "Wired": "wired.circuit.graph",
    },
    "GraphFile": {"Scores": "graph_file(scores.graph, scores=scores.values)"},
    "Placed": {"Trained": "trained.placed"},
    "Result": {"Path": "read_results(folder)", "str": "read_results(folder)"},
    "SOp": {"Case": "case.program"},
    "Scores": {
        "GraphFile": "Scores(file.graph, file.scores, method)",
        "DataFrame": "Scores(graph, values, method)",
        "Result": "result.scores",
        "Series": "Scores(graph, values, method)",
        "Task": "discover(method, task)",
        "Tensor": "Scores(graph, values, method)",
        "dict": "Scores(graph, graph.vector(values), method)",
        "list": "Scores(graph, values, method)",
        "ndarray": "Scores(graph, values, method)",
    },
    "Submission": {"Path": "read_submission(folder)", "str": "read_submission(folder)"},
    "Task": {
        "Case": "make_task(load_model(case.name))",
        "Compiled": "make_task(compiled)",
        "Trained": "make_task(trained)",
        "Wired": "make_task(wired)",
        "str": "make_task(load_model(name))",
    },
    "Wired": {
        "Case": "Wired.of(case.compile())",
        "Compiled": "Wired.of(compiled)",
        "Path": "load_wired(folder)",
    },
    "Trained": {
        "Case": "load_model(case.name)",
        "Path": "load_trained(folder)",
        "str": "load_model(name)",
    },
    "Patchable": _MODEL,
    "Transformer": _MODEL,
    "Vocabulary": {"Case": "case.vocabulary()", "list": "Vocabulary(tokens, max_len)"},
    "ndarray": {"Circuit": "circuit.labels == Label.IN", "Scores": "top_n(scores, n)"},
    "str": {"Case": "case.name", "Compiled": "compiled.name", "Trained": "trained.case.name"},
}


def advice(value: object, *wanted: str) -> str:
    """How to make what is wanted, by its types' names, of this value: `; pass ...`, or nothing."""
    names = [base.__name__ for base in type(value).__mro__]
    known = [WAYS.get(want, {}) for want in wanted]
    ways = dict.fromkeys(ways[name] for ways in known for name in names if name in ways)
    return f"; pass {' or '.join(ways)}" if ways else ""


def expect(value: object, kind: Kind, argument: str) -> None:
    """Raise ArgumentError, with what to pass, for a value that is not of a kind."""
    one, wrong = kind, [value]
    if isinstance(kind, list):
        one = kind[0]
        if isinstance(value, Sequence) and not isinstance(value, str):
            wrong = [item for item in value if not isinstance(item, one)]
    elif isinstance(value, kind):
        wrong = []
    if wrong:
        names = [part.__name__ for part in get_args(one) or (one,)]
        wanted = f"{'a sequence of ' * isinstance(kind, list)}{' or '.join(names)}"
        raise ArgumentError(
            f"expected {argument} to be {wanted}, got {type(wrong[0]).__name__}"
            f"{advice(wrong[0], *names)}"
        )


def takes(**kinds: Kind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check these arguments of a function, where they are given; see `expect`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            given: Mapping[str, Any] = {}
            with suppress(TypeError):  # a call that does not fit fails below, in Python's own words
                given = signature.bind_partial(*args, **kwargs).arguments
            for name, kind in kinds.items():
                if name in given:
                    expect(given[name], kind, name)
            return function(*args, **kwargs)

        return checked

    return decorate
