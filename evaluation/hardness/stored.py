"""How hard the models of a zoo are, measured for each of them and stored in the zoo's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from knowncircuits.cases.own import with_own_cases
from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.hardness.measuring import Areas, Hardness, areas, hardness
from knowncircuits.evaluation.methods.names import name_scores
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.exchange import read_graph_file
from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import write_text
from knowncircuits.models.trained import CIRCUIT
from knowncircuits.models.zoo.shelf import Zoo
from knowncircuits.work.executor import HERE, Executor, run_jobs
from knowncircuits.work.progress import part
from knowncircuits.work.threads import threads

NAMES = "names"  # the cheap score that needs the zoo, see `name_scores`
DIGITS = 4  # that are stored, of those that count
Model = tuple[str, str]  # a case and a variant


@dataclass(frozen=True)
class Measured:
    """A model's hardness, and what it was measured of."""

    weights: str  # hashes
    circuit: str
    hardness: Hardness


SCHEMA = TypeAdapter(dict[str, Measured])


def hardness_file(zoo: Zoo) -> Path:
    """Where a zoo's measurements are stored."""
    return zoo.folder / "hardness.json"


def read_hardness(zoo: Zoo) -> dict[Model, Measured]:
    """The stored measurements; none where there is no file, ResultError for a broken one."""
    path = hardness_file(zoo)
    if not path.exists():
        return {}
    found = read_as(SCHEMA, path, "the hardness of models")
    return {_model(key): measured for key, measured in found.items()}


def write_hardness(zoo: Zoo, measured: Mapping[Model, Measured]) -> None:
    """Store measurements, a line for each model; raises ResultError if that fails."""
    lines = []
    for model, found in sorted(measured.items()):
        row = {"weights": found.weights, "circuit": found.circuit}
        row |= {"hardness": _rounded(found.hardness.to_dict())}
        lines.append(f"{json.dumps('/'.join(model))}: {json.dumps(row, allow_nan=False)}")
    write_text(hardness_file(zoo), "{\n" + ",\n".join(lines) + "\n}\n")


def told(measured: Measured | None) -> dict[str, float | None]:
    """What lists of models say of one; nothing of one that was not measured."""
    names = ("gap", "living_edges", "spread", "middle", "best_cheap")
    found = measured.hardness if measured else None
    return {name: getattr(found, name, None) for name in names}


def measure_zoo(
    zoo: Zoo,
    models: Sequence[Model],
    *,
    fresh: bool = False,
    executor: Executor = HERE,
    on_measured: Callable[[Model], None] = lambda model: None,
) -> dict[Model, Measured]:
    """The hardness of models of a zoo: stored ones, and new ones of those that have changed.

    Args:
        zoo: where they stand.
        models: all that there are, since `names` is learnt from them.
        fresh: measure all anew.
        executor: who measures; by default this process.
        on_measured: told of each that is done.
    """
    known = {} if fresh else read_hardness(zoo)
    work = [(zoo, model, known.get(model)) for model in models]
    found: dict[Model, Measured] = {}
    circuits: dict[Model, Circuit] = {}
    for model, measured, circuit in run_jobs(with_own_cases(_measure), work, executor):
        found[model], circuits[model] = measured, circuit
        on_measured(model)
    for model, of_names in _names(circuits):
        measured = found[model]
        cheap = {**measured.hardness.cheap, NAMES: of_names}
        found[model] = replace(measured, hardness=replace(measured.hardness, cheap=cheap))
    return found


def _measure(job: tuple[Zoo, Model, Measured | None]) -> tuple[Model, Measured, Circuit]:
    """What is known of a model if that is of the same weights and circuit, or else what is new."""
    zoo, model, known = job
    certificate = zoo.describe(*model)[1]
    hashes = certificate.weights, certificate.circuit
    if known is None or (known.weights, known.circuit) != hashes:
        with part(f"{model[0]} {model[1]}"), threads(1):
            known = Measured(*hashes, hardness(zoo.load(*model)))
    # Faster than from the case, which would be compiled.
    return model, known, read_graph_file(zoo.place(*model) / CIRCUIT).circuit()


def _names(circuits: Mapping[Model, Circuit]) -> Iterator[tuple[Model, dict[str, Areas]]]:
    """What scores of names reach on each model, learnt from the models of all other cases."""
    for model, circuit in circuits.items():
        others = [other for (case, _), other in circuits.items() if case != model[0]]
        scores = Scores(circuit.graph, name_scores(circuit.graph, others), NAMES, "signed")
        yield model, areas(scores, circuit)


def _model(key: str) -> Model:
    case, _, variant = key.partition("/")
    return case, variant


def _rounded(value: Any) -> Any:
    """Numbers to the digits that are stored, within lists and objects too."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
