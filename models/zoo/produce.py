"""Models made by their plans: trained, certified, and put into a zoo only if that succeeds."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from knowncircuits.cases.own import with_own_cases
from knowncircuits.errors import GraphError, MissedError, ModelError
from knowncircuits.files.writing import check_writable
from knowncircuits.models.certificates.certifying import certify
from knowncircuits.models.certificates.summary import Summary
from knowncircuits.models.choices import Storage, ZooVersion
from knowncircuits.models.trained import Trained, as_trained, save_trained
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.stack import train_stack
from knowncircuits.models.training.trainer import Trainer, train
from knowncircuits.models.zoo.check import CERTIFIED_PAIRS
from knowncircuits.models.zoo.plans import Plan, plan_model
from knowncircuits.models.zoo.shelf import Attempt, Zoo
from knowncircuits.work.executor import HERE, Executor, run_jobs

FAILURES = 10  # of an attempt that are put down


def freeze(trainer: Trainer) -> Trained:
    """The model of a trainer that is done, not certified yet, with how it was trained."""
    training = {"config": asdict(trainer.config), "steps": trainer.n_steps}
    if trainer.start:
        training["start"] = trainer.start  # hash of the weights
    return as_trained(trainer.placed, training)


def with_certificate(
    trained: Trained,
    *,
    n_pairs: int = CERTIFIED_PAIRS,
    seed: int = 0,
    zoo: ZooVersion = 2,
    until_missed: bool = False,
    progress: Callable[[int, int], None] | None = None,
    executor: Executor = HERE,
    shards: Path | None = None,
) -> Trained:
    """The same model with a new certificate, passed or failed, as models of a zoo have it.

    Those of zoo 1 are of the sampler's inputs alone, all others of every stratum; see `certify`.

    Raises MissedError on a stratum, if that was asked for.
    """
    certificate = certify(
        trained.placed,
        n_pairs=n_pairs,
        seed=seed,
        strata=() if zoo == 1 else None,
        until_missed=until_missed,
        progress=progress,
        executor=executor,
        shards=shards,
    )
    return replace(trained, certificate=certificate)


@dataclass(frozen=True)
class Outcome:
    """What came of a plan."""

    case: str
    variant: str
    certified: bool
    steps: int
    seconds: float
    reason: str  # in a line; of a certified model its worst edge
    attempt: Attempt  # for `missing.json`


@dataclass(frozen=True)
class _Job:
    """A plan on its way to another process."""

    plan: Plan
    variant: str
    zoo: Zoo
    n_pairs: int
    device: str

    @property
    def work(self) -> Path:
        """Where its checkpoint is."""
        return self.zoo.folder / ".work" / f"{self.plan.case}.{self.variant}"

    @property
    def checkpoint(self) -> Path:
        """One of other settings, which the trainer would refuse, has another name."""
        settings = json.dumps(self.plan.settings(), sort_keys=True)
        return self.work / f"{sha256(settings.encode()).hexdigest()[:12]}.pt"


def make_models(
    zoo: Zoo,
    models: Iterable[tuple[str, str]],
    *,
    executor: Executor = HERE,
    n_pairs: int = CERTIFIED_PAIRS,
    device: str = "cpu",
    recipes: Path | None = None,
    retry: bool = False,
    storage: Storage = "float32",
    stack: int = 1,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Train and certify models by their recipes, and put them into a zoo.

    A model that is certified gets its folder, renamed into place when it is whole. Any other gets
    an entry in `missing.json` and no folder. Models that are there already are left alone, and so
    are those that the same plan was tried on in vain. What was killed goes on where it last
    validated.

    Args:
        zoo: where they are put.
        models: cases and variants.
        executor: who trains; by default this process.
        n_pairs: of the certificates.
        device: `cpu` or `cuda`.
        recipes: a JSON file; by default that of the shipped zoo of the same version.
        retry: try again what the same plan was tried on in vain.
        storage: the type that weights are rounded to before they are certified, and stored in.
        stack: how many models of one shape are trained in one batch, by this process; see
            `models.training.stack`. Others are trained by the executor, each alone.
        on_outcome: told of each model when it is done.

    Returns:
        What came of those that were not left alone, in the order in which they were done.

    Raises:
        UnknownNameError, ResultError: for names, recipes and folders; before anything is trained.
    """
    jobs, missing = [], zoo.missing()
    for case, variant in models:
        plan = replace(plan_model(case, variant, zoo.version, recipes), storage=storage)
        tried = [_completed(attempt) for attempt in missing.get(case, {}).get(variant, [])]
        if not zoo.holds(case, variant) and (retry or plan.settings() not in tried):
            jobs.append(_Job(plan, variant, zoo, n_pairs, device))
    check_writable(zoo.folder)
    stacks, alone = _by_shape(jobs) if stack > 1 else ([], jobs)
    together = (_make_together(of_shape, stack, executor) for of_shape in stacks)
    one_by_one = run_jobs(with_own_cases(_make), alone, executor)
    outcomes = []
    for outcome in chain(chain.from_iterable(together), one_by_one):
        _put_down(zoo, outcome)
        outcomes.append(outcome)
        on_outcome(outcome)
    work = zoo.folder / ".work"
    if work.exists() and not any(work.iterdir()):
        work.rmdir()
    return outcomes


def _completed(attempt: Attempt) -> dict[str, Any] | None:
    """An attempt's settings; one of an earlier version lacks what stood at its default then."""
    settings: dict[str, Any] | None = attempt.get("settings")
    if settings is None:
        return None
    defaults = json.loads(json.dumps(asdict(TrainingConfig())))
    return {"start": None, **settings, "config": defaults | settings["config"]}


def _make(job: _Job) -> Outcome:
    """Train and certify one model, and put it into the zoo if it passes."""
    start = time.perf_counter()
    plan, trainer, trained, reason = job.plan, None, None, ""
    try:
        trainer = plan.trainer(job.device)
        trained = train_until_certified(
            trainer,
            n_pairs=job.n_pairs,
            zoo=job.zoo.version,
            storage=plan.storage,
            checkpoint=job.checkpoint,
        )
    except (ModelError, GraphError) as error:  # training diverged; no room for the placement
        reason = str(error)
    return _finish(job, trainer, trained, reason, start)


def _by_shape(jobs: Sequence[_Job]) -> tuple[list[list[_Job]], list[_Job]]:
    """Jobs whose models can be in one stack, and those that are alone."""
    by_shape: dict[Hashable, list[_Job]] = {}
    for job in jobs:
        shape = None
        with suppress(ModelError):  # which is the outcome of the job
            shape = job.plan.shape()
        by_shape.setdefault(shape, []).append(job)
    alone = by_shape.pop(None, [])
    alone += [job for of_shape in by_shape.values() if len(of_shape) == 1 for job in of_shape]
    return [of_shape for of_shape in by_shape.values() if len(of_shape) > 1], alone


def _make_together(jobs: Sequence[_Job], size: int, executor: Executor) -> Iterator[Outcome]:
    """Train models of one shape in a stack, and certify each when it is done."""
    made: dict[Trainer, tuple[_Job, float]] = {}
    refused: list[Outcome] = []

    def trainers() -> Iterator[Trainer]:
        for job in jobs:
            start = time.perf_counter()
            try:
                trainer = job.plan.trainer(job.device)
            except (ModelError, GraphError) as error:
                refused.append(_finish(job, None, None, str(error), start))
                continue
            if job.checkpoint.exists():
                trainer.load(job.checkpoint)
            made[trainer] = job, start
            yield trainer

    def save(trainer: Trainer) -> None:
        trainer.save(made[trainer][0].checkpoint)

    for trainer, error in train_stack(trainers(), size, on_validation=save):
        job, start = made[trainer]
        trained = None
        if error is None:
            try:
                trained = certified_or_going_on(
                    trainer,
                    n_pairs=job.n_pairs,
                    zoo=job.zoo.version,
                    storage=job.plan.storage,
                    executor=executor,
                )
            except ModelError as refusal:  # of weights that cannot be stored so
                error = refusal
        if trained or error:
            del made[trainer]
            yield _finish(job, trainer, trained, str(error or ""), start)
        else:
            save(trainer)
    yield from refused


def _finish(
    job: _Job, trainer: Trainer | None, trained: Trained | None, reason: str, start: float
) -> Outcome:
    """Put a model that is certified into the zoo; what came of the job, begun at `start`."""
    plan = job.plan
    certificate = trained.certificate if trained else None
    failures = certificate.failures if certificate else ()
    certified = trained is not None and not failures
    steps = trainer.n_steps if trainer else 0
    if certified and trained is not None:
        save_trained(trained, job.zoo.place(plan.case, job.variant), storage=plan.storage)
    if certificate:
        (edge, share), pairs = Summary.of(certificate).worst_inside, certificate.n_pairs
        reason = f"{len(failures)} thresholds missed: {failures[0]}" if failures else ""
        reason = reason or f"worst inside edge {edge} {share:.3%}, {pairs} pairs"
    shutil.rmtree(job.work, ignore_errors=True)
    attempt = {
        "reason": reason,
        "steps": steps,
        "n_failures": len(failures) if certificate else None,
        "failures": list(failures[:FAILURES]),
        "numbers": asdict(Summary.of(certificate)) if certificate else None,
        "settings": plan.settings(),
    }
    seconds = time.perf_counter() - start
    return Outcome(plan.case, job.variant, certified, steps, seconds, reason, attempt)


def train_until_certified(
    trainer: Trainer,
    *,
    n_pairs: int,
    zoo: ZooVersion,
    storage: Storage = "float32",
    checkpoint: Path | None = None,
) -> Trained:
    """Train until the model is certified; where that fails after an early end, training goes on.

    Args:
        trainer: with the model and the settings.
        n_pairs: of the certificate.
        zoo: the release as whose models it is certified; see `with_certificate`.
        storage: the type that its weights are rounded to first.
        checkpoint: a file to go on from, if it is there, and to write at each validation.

    Returns:
        The model with its certificate, which has failed where all steps did not suffice.
    """
    while True:
        train(trainer, checkpoint=checkpoint)
        trained = certified_or_going_on(trainer, n_pairs=n_pairs, zoo=zoo, storage=storage)
        if trained is not None:
            return trained
        if checkpoint is not None:
            trainer.save(checkpoint)


def certified_or_going_on(
    trainer: Trainer,
    *,
    n_pairs: int,
    zoo: ZooVersion,
    storage: Storage = "float32",
    executor: Executor = HERE,
) -> Trained | None:
    """The model of a trainer that is done, with its certificate, passed or of the last step.

    It is of the weights as they are stored. None where it fails after an early end: then the
    trainer goes on.
    """
    missed = None
    try:
        trained = with_certificate(
            freeze(trainer).rounded(storage),
            n_pairs=n_pairs,
            seed=trainer.config.seed,
            zoo=zoo,
            until_missed=trainer.steps_left,
            executor=executor,
        ).to(device="cpu")
    except MissedError as error:
        missed = error.stratum
    else:
        if not trainer.steps_left or (trained.certificate and trained.certificate.passed):
            return trained
    trainer.go_on(missed)
    return None


def _put_down(zoo: Zoo, outcome: Outcome) -> None:
    """Keep `missing.json` true: the attempts by the number of failures, none of what is there."""
    missing = zoo.missing()
    of_case = missing.setdefault(outcome.case, {})
    attempts = of_case.pop(outcome.variant, [])
    if not outcome.certified:
        others = [a for a in attempts if _completed(a) != outcome.attempt["settings"]]
        of_case[outcome.variant] = sorted([*others, outcome.attempt], key=_failures)
    zoo.write_missing(missing)


def _failures(attempt: Attempt) -> float:
    """How many thresholds an attempt missed; all, if it came to no certificate."""
    number: int | None = attempt.get("n_failures")
    return float("inf") if number is None else number
