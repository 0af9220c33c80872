"""Runs: methods over models and seeds, one result file for each, resumable after a kill."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zlib import crc32

from knowncircuits.cases import load_case
from knowncircuits.circuit import Circuit
from knowncircuits.compiler import Compiled
from knowncircuits.errors import InputError, ResultError
from knowncircuits.evaluation.discover import default_options, discover, load_method
from knowncircuits.evaluation.scoring.scores import Scores, score_views
from knowncircuits.evaluation.task import Ablation, Task, make_task
from knowncircuits.exchange import GraphFile, graph_file, read_graph_file, write_graph_file
from knowncircuits.models.trained import Trained, load_trained
from knowncircuits.models.zoo import load_model
from knowncircuits.processes import run_jobs
from knowncircuits.transformer import weights_hash

COMPILED, OWN = "compiled", "own"
# A case's model: `compiled`, a variant of the shipped ones, or the folder of a trained one.
Subject = str | Path
COSTS = ("seconds", "forward_passes", "backward_passes", "peak_memory")


@dataclass(frozen=True)
class Settings:
    """What a run does to every model: with equal settings and seeds the scores are identical."""

    method: str
    n_pairs: int = 100
    metric: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    corruption: str = "resample"
    ablation: Ablation = "resample"
    label: str = ""  # what results are called, where not by the method

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.+-]*", self.name):
            raise InputError(
                f"expected a label of letters, digits and . + - _ only, got {self.name!r}"
            )

    @property
    def name(self) -> str:
        """The label, or the method's name, in which `module:function` loses its colon."""
        return self.label or self.method.replace(":", ".")


@dataclass(frozen=True)
class Job:
    """A method on one model, with a task for each seed."""

    settings: Settings
    case: str
    subject: Subject = "seed0"
    seeds: tuple[int, ...] = (0,)

    @property
    def variant(self) -> str:
        """What the model is called among those of its case."""
        return self.subject if isinstance(self.subject, str) else OWN

    def path(self, folder: Path, seed: int) -> Path:
        """The result file of a seed: `folder/LABEL/CASE/VARIANT/SEED.json`."""
        return folder / self.settings.name / self.case / self.variant / f"{seed}.json"


@dataclass(frozen=True, eq=False)
class Result:
    """One method on one model and one draw of pairs."""

    label: str
    case: str
    variant: str
    seed: int  # of the pairs, and of the method where it takes one
    settings: Mapping[str, Any]  # of the run, with versions and the hash of the model's weights
    scores: Scores
    circuit: Circuit
    fresh: bool = False  # computed now, not read back


def run(
    settings: Sequence[Settings],
    models: Iterable[tuple[str, Subject]],
    folder: Path,
    *,
    seeds: Sequence[int] = (0,),
    processes: int = 1,
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run methods over models; what an equal run has left is read back.

    Args:
        settings: one for each method.
        models: cases and which of their models.
        folder: of the result files, see `Job.path`.
        seeds: of the pairs.
        processes: how many models are worked on at a time, each by one thread.
        on_result: told of each result.

    Returns:
        The results in the order of settings, models and seeds.

    Raises:
        ResultError: for files there that are from other settings, or cannot be read or written.
        ModelError, UnknownNameError: see `load_subject`.
    """
    chosen = list(models)
    jobs = [(Job(s, *model, tuple(seeds)), folder) for s in settings for model in chosen]
    found: dict[tuple[str, str, str, int], Result] = {}
    for results in run_jobs(_run_job, jobs, processes):
        for result in results:
            found[result.label, result.case, result.variant, result.seed] = result
            on_result(result)
    return [found[j.settings.name, j.case, j.variant, s] for j, _ in jobs for s in j.seeds]


def _run_job(job_and_folder: tuple[Job, Path]) -> list[Result]:
    job, folder = job_and_folder
    _set_aside()
    subject = load_subject(job.case, job.subject)
    return [_run_seed(job, subject, seed, job.path(folder, seed)) for seed in job.seeds]


@cache
def _set_aside() -> None:
    """Once in a process: what is imported by now stays, and is garbage at no measurement of cost.

    Looking through it each time took longer than a fast method.
    """
    gc.collect()
    gc.freeze()


def load_subject(case: str, subject: Subject) -> Compiled | Trained:
    """The model of a case that a run is about.

    Raises:
        UnknownNameError: for an unknown case or variant.
        ModelError: if no such model of the case is shipped.
        ResultError: for a folder that holds no trained model, or another case's.
    """
    if isinstance(subject, str):
        return load_case(case).compile() if subject == COMPILED else load_model(case, subject)
    trained = load_trained(subject)
    if trained.compiled.name != case:
        raise ResultError(f"{subject}: expected a model of {case}, got {trained.compiled.name}")
    return trained


def _run_seed(job: Job, subject: Compiled | Trained, seed: int, path: Path) -> Result:
    """Run a method on one draw of pairs and write the result, or read back an equal one."""
    settings = job.settings
    described = {
        **asdict(settings),
        "label": settings.name,
        "version": version("knowncircuits"),
        "case": job.case,
        "variant": job.variant,
        "seed": seed,
        "model": weights_hash(subject.model),
    }
    if path.exists():
        result = read_result(path)
        _check_same(path, described, result.settings)
        return result
    task = make_task(
        subject,
        settings.n_pairs,
        seed,
        settings.metric,
        settings.corruption,
        ablation=settings.ablation,
    )
    options = dict(settings.options)
    if "seed" in default_options(load_method(settings.method)):
        options.setdefault("seed", method_seed(job, seed))
    scores = discover(settings.method, task, circuit=subject.circuit, **options)
    write_graph_file(_result_file(scores, subject, task, described), path)
    return Result(
        settings.name, job.case, job.variant, seed, described, scores, subject.circuit, fresh=True
    )


def method_seed(job: Job, seed: int) -> int:
    """The seed of a method with chance of its own: one for each model and draw of pairs.

    With one for all, what chance does would be the same everywhere and not average out.
    """
    return crc32(f"{job.case}/{job.variant}/{seed}".encode())


def _result_file(
    scores: Scores, subject: Compiled | Trained, task: Task, settings: Mapping[str, Any]
) -> GraphFile:
    """EAP-IG's format, with the settings and the score beside."""
    return graph_file(
        scores.graph,
        circuit=subject.circuit,
        scores=scores.values,
        d_model=subject.model.config.d_model,
        settings=settings,
        rank_by=scores.rank_by,
        result={
            "views": {
                view: s.to_dict() for view, s in score_views(scores, subject.circuit).items()
            },
            **{name: getattr(scores, name) for name in COSTS},
            "metric": task.metric,
            "options": dict(scores.options),
            "threshold": scores.threshold,
            "details": dict(scores.details),
        },
    )


def read_result(path: Path) -> Result:
    """A result file of a run; the scores in it count, not the areas.

    Raises ResultError for any other file.
    """
    file = read_graph_file(path)
    try:
        settings, stored = file.document["settings"], file.document["result"]
        scores = Scores(
            graph=file.graph,
            values=file.scores,
            method=settings["method"],
            rank_by=file.document["rank_by"],
            threshold=stored["threshold"],
            options=stored["options"],
            **{name: stored[name] for name in COSTS},
            details=stored["details"],
        )
        return Result(
            settings["label"],
            settings["case"],
            settings["variant"],
            settings["seed"],
            settings,
            scores,
            file.circuit(),
        )
    except (KeyError, TypeError) as error:
        raise ResultError(
            f"{path} is no result of a run; move it away or choose another folder"
        ) from error


def read_results(*folders: Path) -> list[Result]:
    """All results under folders, in the order of their paths.

    Raises ResultError for a folder that has none, or a .json file that is none.
    """
    paths = [path for folder in folders for path in sorted(folder.rglob("*.json"))]
    if not paths:
        raise ResultError(f"expected result files under {', '.join(map(str, folders))}, got none")
    return [read_result(path) for path in paths]


def _check_same(path: Path, described: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    differing = [key for key in described if there.get(key) != described[key]]
    if differing:
        changes = "; ".join(
            f"{key}: expected {described[key]!r}, got {there.get(key)!r}" for key in differing
        )
        raise ResultError(f"{path} is from another run ({changes}); choose another folder with -o")
