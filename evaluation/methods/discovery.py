"""Run a discovery method, ours or the user's, on a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from pydantic_core import to_jsonable_python

from knowncircuits.checks.arguments import takes
from knowncircuits.checks.values import fit_all
from knowncircuits.circuit import Circuit
from knowncircuits.errors import MethodError, UnknownNameError
from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.evaluation.methods.cost import measure_cost
from knowncircuits.evaluation.methods.method import Attribution, Control, Method
from knowncircuits.evaluation.methods.registry import METHODS
from knowncircuits.evaluation.methods.returned import edge_scores, table_of
from knowncircuits.evaluation.scoring.scores import Scores, over_positions
from knowncircuits.evaluation.task import Task
from knowncircuits.files.importing import imported, load_named
from knowncircuits.inference import recorded_gradients

GROUP = "knowncircuits.methods"  # of entry points, through which other packages add methods


def methods() -> list[str]:
    """The names of all methods and controls: ours, and those that installed packages add."""
    return sorted({*METHODS, *CONTROLS, *entry_points(group=GROUP).names})


def describe_methods() -> list[tuple[str, Method | Control, str]]:
    """Every name of `methods()`, in a readable order, with its kind: method, control or added."""
    ours = [(name, method, "method") for name, method in METHODS.items()]
    blind = [(name, control, "control") for name, control in CONTROLS.items()]
    added = [name for name in methods() if name not in METHODS and name not in CONTROLS]
    return [*ours, *blind, *((name, load_method(name), "added") for name in added)]


def expand_methods(names: Iterable[str]) -> list[str]:
    """The methods named, each once; `all` stands for all of ours, controls too."""
    ours = [*METHODS, *CONTROLS]
    return list(dict.fromkeys(n for name in names for n in (ours if name == "all" else [name])))


def load_method(name: str) -> Method | Control:
    """The method or control of a name.

    Args:
        name: one of `methods()`, or `module:function` or `file.py:function`, imported.

    Raises:
        UnknownNameError: with the close names, if there is none.
        MethodError: for one that cannot be imported, or is no function.
    """
    if name in METHODS:
        return METHODS[name]
    if name in CONTROLS:
        return CONTROLS[name]
    if ":" in name:
        found = imported(lambda: load_named(name), f"method {name}", MethodError)
    elif added := entry_points(group=GROUP, name=name):
        found = imported(next(iter(added)).load, f"method {name}", MethodError)
    else:
        raise UnknownNameError("method", name, methods())
    return _as_method(found, name)


@takes(task=Task, circuit=Circuit | None)
def discover(
    method: str | Callable[..., Any] | Method | Control,
    task: Task,
    *,
    circuit: Circuit | None = None,
    **options: Any,
) -> Scores:
    """Score every edge of a task's model.

    Methods run with gradients recorded, whatever the caller has switched off.

    Args:
        method: a name out of `methods()`, `module:function`, or a function of a task (and options)
            that returns a vector in the order of `task.graph.edges`, a dict from edges or from
            nodes to numbers, or EAP-IG's JSON; or scores of each pair, [pair, edge], of which the
            mean counts; or of each position, [edge, pos], of which the sum counts, that of sizes
            where these rank. See `knowncircuits.evaluation.methods.returned`.
            Its scores rank by their absolute values, unless it is given as
            `Method(function, rank_by="signed")`.
        task: what the method may see.
        circuit: the truth, which only the controls `truth` and `inverted-truth` are shown.
        options: the method's own; unknown ones are refused.

    Raises:
        UnknownNameError: for an unknown method.
        MethodError: for a method that cannot be loaded, options that it does not take, or a control
            without the circuit, or the weights, that it needs.
        GraphError: for scores that are not finite or do not fit the graph.
        ResultError: for a result that is none of the above.
    """
    if isinstance(method, str):
        name, chosen = method, load_method(method)
    else:
        chosen = _as_method(method, "the method")
        name = getattr(chosen.run, "__name__", "method")
    options = bind_options(chosen, name, options)
    with measure_cost(task.clean.device) as cost, recorded_gradients():
        result = chosen.run(_subject(chosen, name, task, circuit), **options)
    if not isinstance(result, Attribution):
        result = _attribution(result, task, name, chosen)
    return result.scores(task.graph, name, chosen, options, cost)


def default_options(method: Method | Control) -> dict[str, Any]:
    """The options that a method takes by name, with their defaults."""
    parameters = list(inspect.signature(method.run).parameters.values())[1:]
    empty = inspect.Parameter.empty
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return {p.name: None if p.default is empty else p.default for p in named}


def bind_options(method: Method | Control, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a run: those given, as the method annotates them, and the others' defaults.

    Raises MethodError for options that the method does not take, or lacks, and for values that do
    not fit its annotations; see `knowncircuits.checks.values.fit`.
    """
    parameters = list(inspect.signature(method.run).parameters.values())[1:]
    known = default_options(method)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        unknown = sorted(set(options) - set(known))
        if unknown:
            takes = ", ".join(known) or "none"
            raise MethodError(f"{name} takes no option {', '.join(unknown)}; its options: {takes}")
    lacking = [p.name for p in parameters if p.name in known and p.default is p.empty]
    lacking = [option for option in lacking if option not in options]
    if lacking:
        raise MethodError(f"{name} needs a value for its option {', '.join(lacking)}")
    return {**known, **fit_all(options, method.run, MethodError)}


def fit_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options given to a method of this name as it takes them, and as JSON can have them.

    So 1e3 and 1000 are the same run. Raises as `load_method` and `bind_options`.
    """
    bound = bind_options(load_method(name), name, options)
    given = {option: bound[option] for option in options}
    plain: dict[str, Any] = to_jsonable_python(given, fallback=str)
    return plain


def _attribution(result: object, task: Task, name: str, method: Method | Control) -> Attribution:
    """Scores of edges, of whatever was returned; of those of pairs or positions, too."""
    passes = 0 if isinstance(method, Control) else None
    n_edges, rank_by = task.graph.n_edges, method.rank_by
    by_pair = table_of(result, task.n_pairs, n_edges)
    by_position = None if by_pair is not None else table_of(result, n_edges, task.clean.shape[1])
    if by_pair is not None:
        result = by_pair.mean(0)
    elif by_position is not None:
        result = over_positions(by_position, rank_by)
    values = edge_scores(result, task.graph, name, rank_by)
    return Attribution(values, passes, passes, by_pair=by_pair, by_position=by_position)


def _as_method(found: Any, name: str) -> Method | Control:
    if isinstance(found, (Method, Control)):
        return found
    if not callable(found):
        raise MethodError(f"expected {name} to be a function of a task, got {found!r}")
    return Method(found)


def _subject(method: Method | Control, name: str, task: Task, circuit: Circuit | None) -> Any:
    """What is shown: the task to a method; that, the graph or the truth to a control."""
    shown = "task" if isinstance(method, Method) else method.sees
    if shown == "task":
        return task
    if shown == "graph":
        return task.graph
    if circuit is None or circuit.graph != task.graph:
        raise MethodError(f"expected the circuit of the task's model for the control {name}")
    return circuit
