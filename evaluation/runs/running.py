"""Runs: methods over models and seeds, a result file for each, which a run that stopped reuses."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zlib import crc32

from knowncircuits.cases.own import with_own_cases
from knowncircuits.circuit import Circuit
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import MethodError, ResultError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.methods.discovery import default_options, discover, load_method
from knowncircuits.evaluation.runs.failures import Failure, error_text, read_failure, write_failure
from knowncircuits.evaluation.runs.provenance import code_hash
from knowncircuits.evaluation.runs.results import UNTRAINED, Result, read_result, result_file
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.evaluation.runs.subjects import Subject, load_own, load_subject, own_name
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.evaluation.task import Task, default_pairs, make_task
from knowncircuits.evaluation.truth.known import known_sets
from knowncircuits.exchange import write_graph_file
from knowncircuits.models.choices import DEFAULT_ZOO, ZooVersion
from knowncircuits.models.trained import Trained
from knowncircuits.models.wired.wired import Wired
from knowncircuits.transformer import weights_hash
from knowncircuits.work.executor import HERE, Executor, KilledError, run_jobs
from knowncircuits.work.progress import part
from knowncircuits.work.threads import threads


@dataclass(frozen=True)
class Job:
    """A method on one model and one draw of pairs."""

    settings: Settings
    case: str
    subject: Subject = "seed0"
    seed: int = 0
    zoo: ZooVersion = DEFAULT_ZOO  # of a shipped model

    @cached_property
    def variant(self) -> str:
        """What the model is called among those of its case; see `own_name`."""
        if isinstance(self.subject, str):
            return self.subject
        return own_name(self.subject, load_own(self.subject))

    def path(self, folder: Path) -> Path:
        """The result file: `folder/LABEL/CASE/VARIANT/SEED.json`."""
        return folder / self.settings.name / self.case / self.variant / f"{self.seed}.json"


@dataclass(frozen=True)
class _Plan:
    """What is done about each job."""

    folder: Path
    code: Mapping[str, str]  # hashes, by method
    resolution: float  # of the areas that are written
    fresh: bool  # whatever is there
    retry: bool  # what failed before


def run(
    settings: Sequence[Settings],
    models: Iterable[tuple[str, Subject]],
    folder: Path,
    *,
    zoo: ZooVersion = DEFAULT_ZOO,
    seeds: Sequence[int] = (0,),
    resolution: float = RESOLUTION,
    executor: Executor = HERE,
    fresh: bool = False,
    retry: bool = False,
    on_result: Callable[[Result], None] = lambda result: None,
    on_failure: Callable[[Failure], None] | None = None,
) -> list[Result]:
    """Run methods over models; what an equal run of the same code has left is read back.

    A result of a method whose code has changed since is stale, and computed anew. Where a method
    raises an error the others go on; the traceback is written to `SEED.failed.txt` beside the
    results, and the method is not tried there again until its code changes.

    Args:
        settings: one for each method.
        models: cases and which of their models.
        folder: of the result files, see `Job.path`.
        zoo: that shipped models are of.
        seeds: of the pairs.
        resolution: of the areas that are written beside the scores; see `score`.
        executor: who does the work; by default this process.
        fresh: run everything anew, in place of what is there.
        retry: try again what failed before.
        on_result: told of each result.
        on_failure: told of each failure; by default the first is raised as MethodError in the end.

    Returns:
        The results in the order of settings, models and seeds, without those that failed.

    Raises:
        MethodError: for a method that cannot be loaded, or does not take its options.
        ResultError: for files there that are from other settings, or cannot be read or written.
        ModelError, UnknownNameError: see `load_subject`.
    """
    chosen = list(models)
    jobs = [Job(s, *model, seed, zoo) for s in settings for model in chosen for seed in seeds]
    places = [(job.settings.name, job.case, job.variant, job.seed) for job in jobs]
    code = {method: code_hash(method) for method in {s.method for s in settings}}
    plan = _Plan(folder, code, resolution, fresh, retry)
    found: dict[tuple[str, str, str, int], Result] = {}
    failures: list[Failure] = []
    order = {model: place for place, model in enumerate(chosen)}
    by_model = sorted(jobs, key=lambda job: order[job.case, job.subject])
    runner = with_own_cases(_Runner(plan))
    for outcome in run_jobs(runner, by_model, executor, when_killed=_killed):
        if isinstance(outcome, Result):
            found[outcome.label, outcome.case, outcome.variant, outcome.seed] = outcome
            on_result(outcome)
        else:
            failures.append(outcome)
            if on_failure:
                on_failure(outcome)
    if failures and on_failure is None:
        raise MethodError(str(failures[0]))
    return [found[place] for place in places if place in found]


class _Runner:
    """Runs one job after the other, and holds its model: the next one is mostly of the same."""

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan
        self._held: tuple[tuple[object, ...], Compiled | Trained | Wired] | None = None

    def __call__(self, job: Job) -> Result | Failure:
        """Run a method on one draw of pairs and write the result, or read back an equal one."""
        _set_aside()
        which = job.case, job.subject, job.zoo, job.settings.device
        if self._held is None or self._held[0] != which:
            self._held = None  # not two at a time
            loaded = load_subject(job.case, job.subject, job.zoo).to(device=job.settings.device)
            self._held = which, loaded
        subject = self._held[1]
        before = weights_hash(subject.model)
        outcome = _run_job(job, self._plan, subject)
        if weights_hash(subject.model) != before:  # a user's method may write into them
            self._held = None
        return outcome


def _run_job(job: Job, plan: _Plan, subject: Compiled | Trained | Wired) -> Result | Failure:
    """See `_Runner`; the subject is the job's model."""
    described = _describe(job, subject, plan.code[job.settings.method])
    path = job.path(plan.folder)
    stale = False
    if path.exists() and not plan.fresh:
        result = read_result(path)
        _check_same(path, described, result.settings)
        if result.settings.get("code") == described["code"]:
            return result
        stale = True
    log = path.with_suffix(".failed.txt")
    if log.exists() and not (plan.fresh or plan.retry):
        there, error = read_failure(log)
        if there == described:
            return _failure(job, error, log)
    task = _make_task(subject, job)
    circuit = known_sets(subject, task, job.settings.corruption)
    try:
        scores = _discover(job, task, circuit)
    except MethodError:  # bad options, for this model as for all
        raise
    except (Exception, SystemExit) as error:
        write_failure(log, described, error)
        path.unlink(missing_ok=True)  # of other code
        return replace(_failure(job, error_text(error), log), fresh=True)
    file = result_file(scores, subject, task, described, plan.resolution, circuit)
    write_graph_file(file, path)
    log.unlink(missing_ok=True)
    return Result(
        job.settings.name,
        job.case,
        job.variant,
        job.seed,
        described,
        scores,
        circuit,
        fresh=True,
        stale=stale,
    )


@cache
def _set_aside() -> None:
    """Once in a process: what is imported by now stays, and is garbage at no measurement of cost.

    Looking through it each time took longer than a fast method.
    """
    gc.collect()
    gc.freeze()


def _describe(job: Job, subject: Compiled | Trained | Wired, code: str) -> dict[str, Any]:
    """All that a result follows from."""
    shipped = isinstance(job.subject, str) and job.subject not in UNTRAINED
    settings = asdict(job.settings)
    device = settings.pop("device")
    return {
        **settings,
        "n_pairs": job.settings.n_pairs or default_pairs(subject),
        "label": job.settings.name,
        "version": version("knowncircuits"),
        "code": code,
        "case": job.case,
        "variant": job.variant,
        "seed": job.seed,
        "model": weights_hash(subject.model),
        **({"zoo": job.zoo} if shipped else {}),
        **({"device": device} if device != "cpu" else {}),  # where it is not said it is the CPU
    }


def _make_task(subject: Compiled | Trained | Wired, job: Job) -> Task:
    given = job.settings
    return make_task(
        subject,
        given.n_pairs,
        job.seed,
        given.metric,
        given.corruption,
        ablation=given.ablation,
    )


def _discover(job: Job, task: Task, circuit: Circuit) -> Scores:
    settings = job.settings
    options = dict(settings.options)
    if "seed" in default_options(load_method(settings.method)):
        options.setdefault("seed", method_seed(job))
    with threads(settings.threads), part(f"{settings.name} on {job.case} {job.variant}"):
        return discover(settings.method, task, circuit=circuit, **options)


def _failure(job: Job, error: str, log: Path | None = None) -> Failure:
    return Failure(job.settings.name, job.case, job.variant, job.seed, error, log)


def _killed(job: Job, error: KilledError) -> Result | Failure:
    """Tried again by the next run: it may have been for want of memory, or by hand."""
    return replace(_failure(job, str(error)), fresh=True)


def method_seed(job: Job) -> int:
    """The seed of a method with chance of its own: one for each model and draw of pairs.

    With one for all, what chance does would be the same everywhere and not average out.
    """
    return crc32(f"{job.case}/{job.variant}/{job.seed}".encode())


def _check_same(path: Path, described: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """Raise ResultError for a result of other settings; an option's default may be said or not."""
    defaults = default_options(load_method(described["method"]))
    defaults.pop("seed", None)  # where none is given each run has its own
    there = {"zoo": 1, "device": "cpu", **there}  # which earlier versions did not say
    described = {"device": "cpu", **described}
    described, there = (
        {**settings, "options": {**defaults, **settings["options"]}}
        for settings in (described, there)
    )
    known = [key for key in described if key in there and key != "code"]
    changes = "; ".join(
        f"{key}: expected {described[key]!r}, got {there[key]!r}"
        for key in known
        if there[key] != described[key]
    )
    if changes:
        raise ResultError(
            f"{path} is from another run ({changes}); choose another folder "
            "with -o or another --label, or run everything anew with --fresh"
        )
