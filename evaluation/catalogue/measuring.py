"""Measures how hard a case is: the size of its circuit, and what of it interchanges can detect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import networkx as nx
import torch

from knowncircuits.cases.case import Case
from knowncircuits.cases.difficulty import Difficulty, stored_difficulties
from knowncircuits.cases.registry import load_case
from knowncircuits.circuit import Circuit, Label
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.evaluation.methods.controls import BLIND
from knowncircuits.evaluation.scoring.scores import Scores, score
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.files.shards import run_shards
from knowncircuits.names import Edge
from knowncircuits.rasp.program import flatten
from knowncircuits.work.executor import HERE, Executor
from knowncircuits.work.progress import part
from knowncircuits.work.threads import threads

# In float64 an edge without effect moves the output by 0; the least true effect is 3e-5.
TOLERANCE = 1e-9
# A true edge that the first pairs do not detect is tried on so many in all,
MOST_PAIRS = 5_000
# or, where there are no more inputs than this, on every pair of them.
FEW_INPUTS = 256


class Reach(IntEnum):
    """How far the interchange of one edge makes itself felt."""

    NOWHERE = 0  # what is read there never differs
    SOURCE = 1  # it differs, but what the destination writes does not
    DESTINATION = 2  # what the destination writes differs, but the output does not
    OUTPUT = 3  # the output differs, but only where it does not count
    METRIC = 4  # the metric differs


def difficulty_of(case: Case) -> Difficulty:
    """The stored difficulty of a case; a user's own case is measured."""
    return stored_difficulties().get(case.name) or measure_difficulty(case)


def measure_difficulties(
    names: Sequence[str],
    folder: Path | None = None,
    executor: Executor = HERE,
    on_measured: Callable[[str], None] = lambda name: None,
) -> list[Difficulty]:
    """Measure cases, each in a shard of its own.

    Args:
        names: of cases.
        folder: of shards, see `run_shards`; those that are there are not measured again.
        executor: who measures; by default this process.
        on_measured: told of each that is done.

    Raises TaskError if no pairs can be drawn.
    """
    found = {}
    for name, row in run_shards(_measure, names, folder, lambda n: {"difficulty": n}, executor):
        found[name] = Difficulty(**row)
        on_measured(name)
    return [found[name] for name in names]


def _measure(name: str) -> dict[str, Any]:
    with part(name), threads(1):
        return asdict(measure_difficulty(load_case(name)))


def measure_difficulty(case: Case, n_pairs: int = 200, seed: int = 0) -> Difficulty:
    """Compile a case and try every edge that its program reads on pairs of inputs.

    Args:
        case: the case.
        n_pairs: how many pairs every edge is tried on. True edges that none of them detects are
            tried on more: on all pairs of a case with few inputs, else on up to MOST_PAIRS.
        seed: of the pairs.

    Raises TaskError if no pairs can be drawn.
    """
    compiled = case.compile(dtype=torch.float64)
    circuit = compiled.circuit
    true = circuit.edges()
    reached = dict.fromkeys((*true, *circuit.carrying_edges), Reach.NOWHERE)
    hits, tried, pairs = dict.fromkeys(true, 0), dict.fromkeys(true, 0), 0
    edges = list(reached)
    for task in _tasks(compiled, case, n_pairs, seed):
        pairs += task.n_pairs
        for edge in edges:
            reach, n_hits = interchange(compiled, task, edge)
            reached[edge] = max(reached[edge], reach)
            if edge in hits:
                hits[edge] += n_hits
                tried[edge] += task.n_pairs
        edges = [edge for edge in true if reached[edge] < Reach.METRIC]
        if not edges:
            break
    found = [edge for edge in true if reached[edge] == Reach.METRIC]
    return Difficulty(
        case=case.name,
        layers=circuit.graph.n_layers,
        heads=circuit.graph.n_heads,
        variables=len(flatten(case.program).steps),
        depth=longest_path(circuit),
        nodes=len(circuit.graph.nodes),
        edges=circuit.graph.n_edges,
        head_edges=len(circuit.project("head")),
        undetermined_edges=len(circuit.edges(Label.UNDETERMINED)),
        true_edges=len(true),
        true_head_edges=_count_true(circuit.project("head")),
        true_nodes=_count_true(circuit.project("node")),
        detected_edges=len(found),
        rarest=round(min(hits[edge] / tried[edge] for edge in true), 4) if true else 0.0,
        pairs=pairs,
        auroc=control_aurocs(circuit),
        degenerate=is_degenerate(circuit),
        undetected={
            edge: explain(compiled, edge, reach)
            for edge, reach in reached.items()
            if reach < Reach.METRIC
        },
    )


def interchange(compiled: Compiled, task: Task, edge: Edge) -> tuple[Reach, int]:
    """Let one edge read the corrupted input: how far that reaches, and for how many pairs.

    Pairs on which none of the variables that are read there differs are not run.
    """
    carried = [compiled.variables[name] for name in compiled.circuit.carries[edge]]
    directions = [i for variable in carried for i in variable.directions]
    place = task.graph.sources.index(edge.source)
    clean, other = task.clean_run.outputs, task.corrupted_run.outputs
    differs = _moved(clean[:, place][..., directions], other[:, place][..., directions])
    if not differs.any():
        return Reach.NOWHERE, 0
    pairs = differs.nonzero().flatten()
    mask = clean.new_zeros(1, task.graph.n_edges)
    mask[0, task.graph.index(edge)] = 1.0
    with torch.no_grad():
        run = task.model.run(task.clean[pairs], other[pairs], mask)
    hits = int((task.measure(run.logits, pairs) > TOLERANCE).sum())
    if hits:
        return Reach.METRIC, hits
    if _moved(run.logits, task.clean_run.logits[pairs]).any():
        return Reach.OUTPUT, 0
    if edge.target.kind != "logits":
        place = task.graph.sources.index(edge.target)
        if _moved(run.outputs[:, place], clean[pairs, place]).any():
            return Reach.DESTINATION, 0
    return Reach.SOURCE, 0


def explain(compiled: Compiled, edge: Edge, reach: Reach) -> str:
    """Why no pair has detected an edge."""
    carried = compiled.circuit.carries[edge]
    if reach == Reach.NOWHERE:
        return f"the same in every pair: {', '.join(carried)}"
    if reach == Reach.SOURCE:
        varying = [name for name in carried if compiled.variables[name].varies]
        return f"{edge.target} gives the same whatever it reads of {', '.join(varying)}"
    if reach == Reach.DESTINATION:
        return f"what {edge.target} writes differs, but the output never does"
    return "the output differs only where it does not count, as the program's is None"


def longest_path(circuit: Circuit) -> int:
    """How many true edges lie one behind the other."""
    return int(nx.dag_longest_path_length(nx.DiGraph(edge.ends for edge in circuit.edges())))


def is_degenerate(circuit: Circuit) -> bool:
    """Whether nothing but MLPs lies between `embed` and `logits`, or next to nothing at all."""
    edges = circuit.edges()
    return len(edges) < 3 or not any(edge.target.kind == "head" for edge in edges)


def control_aurocs(circuit: Circuit) -> dict[str, float | None]:
    """AUROC over determined edges of each control."""
    found = {}
    for name, control in BLIND.items():
        scores = Scores(circuit.graph, control(circuit.graph), name, "signed")
        auroc = score(scores, circuit).auroc
        found[name] = None if auroc is None else round(auroc, 4)
    return found


def _tasks(compiled: Compiled, case: Case, n_pairs: int, seed: int) -> Iterator[Task]:
    """Sampled pairs; then, until nobody asks for more, all pairs or more sampled ones."""
    first = make_task(compiled, n_pairs, seed)
    yield first
    if case.n_inputs() > FEW_INPUTS:
        for i in range(1, MOST_PAIRS // n_pairs):
            yield make_task(compiled, n_pairs, seed + i)
        return
    ids = compiled.to_ids(case.enumerate())
    with torch.no_grad():
        counts = compiled.defined(compiled.model.run(ids).logits)
    for shift in range(1, len(ids)):
        yield replace(first, clean=ids, corrupted=ids.roll(shift, 0), counts=counts)


def _moved(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Which examples of a batch differ anywhere."""
    return (one - other).abs().flatten(1).amax(1) > TOLERANCE


def _count_true(labels: dict[str, Label]) -> int:
    return sum(label == Label.IN for label in labels.values())
