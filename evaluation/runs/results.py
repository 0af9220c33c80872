"""Results of runs: one method on one model and one draw of pairs, each in a file of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.runs.provenance import machine
from knowncircuits.evaluation.runs.result_schema import StoredRun
from knowncircuits.evaluation.scoring.scores import Scores, score_views
from knowncircuits.evaluation.task import Task, token_names
from knowncircuits.exchange import GraphFile, graph_file, read_graph_file
from knowncircuits.files.reading import first_problem
from knowncircuits.models.choices import ZooVersion
from knowncircuits.models.trained import Trained
from knowncircuits.models.wired.wired import Wired
from knowncircuits.models.zoo.variants import VARIANTS
from knowncircuits.shown import Card, Shown, Table

COMPILED, HOSTED = UNTRAINED = ("compiled", "hosted")  # what models that are not trained are called
COSTS = ("seconds", "forward_passes", "backward_passes", "peak_memory")
UNRECORDED = "not recorded"  # what results of earlier versions do not say


def is_own(variant: str) -> bool:
    """Whether a model that is called so is a user's own."""
    return variant not in UNTRAINED and not any(variant in of_zoo for of_zoo in VARIANTS.values())


@dataclass(frozen=True, eq=False, repr=False)
class Result(Shown):
    """One method on one model and one draw of pairs."""

    label: str
    case: str
    variant: str
    seed: int  # of the pairs, and of the method where it takes one
    settings: Mapping[str, Any]  # of the run, with versions and hashes of the code and the weights
    scores: Scores
    circuit: Circuit
    fresh: bool = False  # computed now, not read back
    stale: bool = False  # there was one, of other code

    def _card(self) -> Card:
        zoo = f" of zoo {self.zoo}" if self.zoo else ""
        pairs = f"{self.settings['n_pairs']} pairs of seed {self.seed}"
        about = f"{self.case} {self.variant}{zoo}"
        return Card(self.label, (about, pairs), self._tables)

    def _tables(self) -> list[Table]:
        views = score_views(self.scores, self.circuit)
        rows = [(view, s.auroc, s.average_precision, s.prevalence) for view, s in views.items()]
        columns = ("items", "AUROC", "average precision", "AP at random")
        return [Table("Scores against the truth", columns, rows)]

    @property
    def zoo(self) -> ZooVersion | None:
        """The zoo that the model is of; None for any that is not trained, and users' own."""
        if self.own or self.variant in UNTRAINED:
            return None
        zoo: ZooVersion = self.settings.get("zoo", 1)  # results of earlier versions do not say it
        return zoo

    @property
    def own(self) -> bool:
        """Whether the model is the user's own, a group apart from those that are shipped."""
        return is_own(self.variant)


def result_file(
    scores: Scores,
    subject: Compiled | Trained | Wired,
    task: Task,
    settings: Mapping[str, Any],
    resolution: float = RESOLUTION,
    circuit: Circuit | None = None,
) -> GraphFile:
    """EAP-IG's format, with the settings and the score, at a resolution, beside.

    The circuit is by default the model's, without what edges do together on the task's pairs.
    """
    circuit = circuit or subject.circuit
    views = score_views(scores, circuit, resolution=resolution)
    return graph_file(
        scores.graph,
        circuit=circuit,
        scores=scores.values,
        by_position=scores.by_position,
        d_model=subject.model.config.d_model,
        settings=settings,
        rank_by=scores.rank_by,
        result={
            "views": {view: found.to_dict() for view, found in views.items()},
            **{name: getattr(scores, name) for name in COSTS},
            "metric": task.metric,
            "options": to_jsonable_python(dict(scores.options), fallback=str),
            "threshold": scores.threshold,
            "details": dict(scores.details),
            "machine": machine(),
        },
        **({} if scores.by_position is None else {"positions": token_names(subject, task.clean)}),
    )


def read_result(path: Path) -> Result:
    """A result file of a run; the scores in it count, not the areas.

    Raises ResultError for any other file.
    """
    file = read_graph_file(path)
    fields = {name: file.document.get(name) for name in StoredRun.model_fields}
    try:
        stored = StoredRun.model_validate(fields)
    except ValidationError as error:
        raise ResultError(
            f"{path} is no result of a run ({first_problem(error)}); move it away or choose "
            "another folder"
        ) from error
    said, result = stored.settings, stored.result
    scores = Scores(
        graph=file.graph,
        values=file.scores,
        method=said.method,
        rank_by=stored.rank_by,
        threshold=result.threshold,
        options=result.options,
        **{name: getattr(result, name) for name in COSTS},
        details=result.details,
        by_position=file.by_position,
    )
    settings = file.document["settings"]
    circuit = file.circuit()
    return Result(said.label, said.case, said.variant, said.seed, settings, scores, circuit)


@takes(places=[str | Path])
def read_results(*places: str | Path) -> list[Result]:
    """Result files, and all results under folders in the order of their paths.

    Raises ResultError for a folder that has none, or a .json file that is none.
    """
    return [read_result(path) for place in places for path in _result_files(Path(place))]


def _result_files(place: Path) -> list[Path]:
    found = [place] if place.is_file() else sorted(place.rglob("*.json"))
    if not found:
        raise ResultError(f"expected result files under {place}, got none")
    return found


def check_one_zoo(results: Iterable[Result]) -> None:
    """Raise ResultError for results on models of several zoos: their mean would be of neither."""
    zoos = Counter(result.zoo for result in results if result.zoo is not None)
    if len(zoos) > 1:
        counts = ", ".join(f"{n} of zoo {zoo}" for zoo, n in sorted(zoos.items()))
        raise ResultError(
            f"expected results on models of one zoo, got {counts}; name the results of one alone"
        )


def check_one_code(results: Iterable[Result]) -> None:
    """Raise ResultError for methods of which some results are of another code, or other threads.

    Their mean would be that of no method.
    """
    found: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for result in results:
        code, n = (result.settings.get(key, UNRECORDED) for key in ("code", "threads"))
        found[result.label][str(code)[:12], str(n)] += 1
    for label, codes in found.items():
        if len(codes) > 1:
            counts = "; ".join(f"code {c}, threads {t}: {n}" for (c, t), n in codes.items())
            raise ResultError(
                f"expected results of {label} that are all of one code, got several ({counts}); "
                "run `score` again with the same options, or keep them apart with --label"
            )
