"""Models made by their recipes: trained, certified, and put into a zoo only if that succeeds."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from knowncircuits.cases.registry import load_case
from knowncircuits.checks.values import annotations_of, fit, fit_all
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import GraphError, ModelError, ResultError
from knowncircuits.files.reading import read_json
from knowncircuits.files.writing import check_writable
from knowncircuits.models.certificates.certifying import certify
from knowncircuits.models.certificates.summary import Summary
from knowncircuits.models.choices import DEFAULT_ZOO, ObjectiveName, ZooVersion
from knowncircuits.models.trained import Trained, as_trained, save_trained
from knowncircuits.models.training.config import SIIT, TrainingConfig
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.models.training.trainer import Trainer, train
from knowncircuits.models.zoo.check import CERTIFIED_PAIRS
from knowncircuits.models.zoo.shelf import Attempt, Zoo, shipped
from knowncircuits.models.zoo.variants import VARIANTS, check_variant
from knowncircuits.work.processes import run_jobs
from knowncircuits.work.progress import part

# A recipe's sizes, with the names that `low_level_config` has for them. The seed is the variant's.
SIZES = {
    "layers": "n_layers",
    "heads": "n_heads",
    "d_model": "d_model",
    "d_head": "d_head",
    "activation": "activation",
    "norm": "norm",
    "gated": "gated",
    "positions": "positions",
    "none": "none",
}
SETTINGS = {field.name for field in fields(TrainingConfig)}
EVERY = "*"  # in a file of recipes, beside the cases

SHUFFLES = 20  # random placements that are tried for one that moves something
FAILURES = 10  # of an attempt that are put down


@dataclass(frozen=True)
class Plan:
    """All that a model follows from: equal plans give equal weights on one machine."""

    case: str
    config: TrainingConfig = field(default_factory=TrainingConfig)
    sizes: Mapping[str, Any] = field(default_factory=dict)  # as `low_level_config` takes them
    shuffle: int | None = None  # seed of a random placement, instead of the same names
    start: str | None = None  # a shipped model whose weights it starts from; see `find_start`
    zoo: ZooVersion = DEFAULT_ZOO  # of which `start` names a model

    def trainer(self, device: str = "cpu") -> Trainer:
        """A trainer before its first step.

        A model that starts from another is shuffled as that one is: its nodes are where they are
        there, and only those that it has beside them are drawn.

        Raises GraphError where the sizes leave no room for the circuit, ModelError where they are
        not those of the model to start from, and UnknownNameError where that is not shipped.
        """
        start = load_start(self.start, self.zoo) if self.start else None
        compiled = load_case(self.case).compile()
        low = low_level_config(compiled, **self.sizes)
        placement = Correspondence.same_names(compiled.circuit, low.graph)
        if self.shuffle is not None:
            there = dict(start.correspondence.nodes) if start else {}
            placement = _shuffled(placement, self.shuffle, there)
        with part(f"preparing to train {self.case}"):
            return Trainer(compiled, placement, low, self.config, device, start)

    def trained_by(self, objective: ObjectiveName) -> Plan:
        """By another objective: `nodes` with InterpBench's published settings, `SIIT`."""
        if objective == "nodes":
            return replace(self, config=SIIT)
        return self.changed({"objective": objective})

    def changed(self, settings: Mapping[str, Any]) -> Plan:
        """With other settings: `TrainingConfig`'s, those of `SIZES`, or `start`.

        Raises ModelError for settings that there are not, or values that they do not take.
        """
        settings = dict(settings)
        start = settings.pop("start", self.start)
        if unknown := set(settings) - set(SIZES) - SETTINGS:
            raise ModelError(
                f"expected settings among {', '.join(sorted({*SETTINGS, *SIZES, 'start'}))}; "
                f"got {', '.join(sorted(unknown))}"
            )
        if not isinstance(start, str | None):
            raise ModelError(f"expected the name of a model to start from, got {start!r}")
        known = annotations_of(low_level_config)
        sizes = {
            SIZES[name]: fit(value, known[SIZES[name]], name, ModelError)
            for name, value in settings.items()
            if name in SIZES
        }
        config = {name: value for name, value in settings.items() if name not in SIZES}
        return replace(
            self,
            config=replace(self.config, **fit_all(config, TrainingConfig, ModelError)),
            sizes={**self.sizes, **sizes},
            start=start,
        )

    def settings(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        settings: dict[str, Any] = {"config": asdict(self.config), "sizes": dict(self.sizes)}
        settings |= {"shuffle": self.shuffle, "start": self.start}
        plain: dict[str, Any] = json.loads(json.dumps(settings))
        return plain


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
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """The same model with a new certificate, passed or failed, as models of a zoo have it.

    Those of zoo 1 are of the sampler's inputs alone, all others of every stratum; see `certify`.
    """
    certificate = certify(
        trained.placed,
        n_pairs=n_pairs,
        seed=seed,
        strata=() if zoo == 1 else None,
        progress=progress,
    )
    return replace(trained, certificate=certificate)


def plan_model(
    case: str,
    variant: str = "seed0",
    zoo: ZooVersion = DEFAULT_ZOO,
    recipes: Path | None = None,
) -> Plan:
    """A model's plan by its recipe: what departs from the defaults.

    A variant without a recipe has that of `seed0`, and a case without any the defaults. What stands
    under EVERY departs from them in all of the file's recipes that do not say otherwise.

    Args:
        case: its name.
        variant: one of the zoo's.
        zoo: the release that it is of, which says how its variants are placed.
        recipes: a JSON file; by default the zoo's own.

    Raises:
        UnknownNameError: for an unknown case or variant.
        ResultError: for recipes that cannot be read, or settings that there are not.
    """
    load_case(case)
    recipes = recipes or shipped(zoo).recipes
    check_variant(variant, zoo)
    chosen = VARIANTS[zoo][variant]
    try:
        document = read_json(recipes)
        of_case = document.get(case, {})
        recipe = document.get(EVERY, {}) | of_case.get(variant, of_case.get("seed0", {}))
        if "seed" in recipe:
            raise ValueError("expected no seed, which is the variant's")
        plan = Plan(case, shuffle=chosen.shuffle(case), zoo=zoo).changed(recipe)
        if plan.start:
            find_start(plan.start, zoo)
    except (ResultError, ValueError, TypeError, AttributeError, ModelError) as error:
        raise ResultError(f"{recipes}: no recipe for {variant} of {case}: {error}") from error
    return plan.changed({"seed": chosen.seed})


def find_start(start: str, zoo: ZooVersion) -> tuple[Zoo, str, str]:
    """The shipped model that a recipe of a zoo starts from: its zoo, case and variant.

    `CASE` or `CASE/VARIANT` is of the same zoo, `zoo1/CASE` or `zoo1/CASE/VARIANT` of another;
    the variant is seed0 where it is not said.

    Raises ModelError where there is none.
    """
    named = {f"zoo{version}": version for version in VARIANTS}
    first, *rest = start.split("/")
    names = rest if first in named else [first, *rest]
    of = shipped(named.get(first, zoo))
    case, variant = (*names, "seed0")[:2] if names else ("", "")
    if len(names) > 2 or not of.holds(case, variant):
        raise ModelError(f"expected a shipped model to start from, got {start}")
    return of, case, variant


def load_start(start: str, zoo: ZooVersion) -> Trained:
    """The model itself; see `find_start`."""
    of, case, variant = find_start(start, zoo)
    return of.load(case, variant)


def _shuffled(same: Correspondence, seed: int, fixed: Mapping[str, str]) -> Correspondence:
    """A random placement that is not the usual one, which one in twenty is; by the next seed then.

    Where several seeds in a row move nothing, there is no other place.
    """
    for chosen in range(seed, seed + SHUFFLES):
        found = Correspondence.shuffled(same.high, same.low, chosen, fixed)
        if found.nodes != same.nodes:
            break
    return found


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


def make_models(
    zoo: Zoo,
    models: Iterable[tuple[str, str]],
    *,
    processes: int = 1,
    n_pairs: int = CERTIFIED_PAIRS,
    device: str = "cpu",
    recipes: Path | None = None,
    retry: bool = False,
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
        processes: how many are trained at a time, each by one thread.
        n_pairs: of the certificates.
        device: `cpu` or `cuda`.
        recipes: a JSON file; by default that of the shipped zoo of the same version.
        retry: try again what the same plan was tried on in vain.
        on_outcome: told of each model when it is done.

    Returns:
        What came of those that were not left alone, in the order in which they were done.

    Raises:
        UnknownNameError, ResultError: for names, recipes and folders; before anything is trained.
    """
    jobs, missing = [], zoo.missing()
    for case, variant in models:
        plan = plan_model(case, variant, zoo.version, recipes)
        tried = [_completed(attempt) for attempt in missing.get(case, {}).get(variant, [])]
        if not zoo.holds(case, variant) and (retry or plan.settings() not in tried):
            jobs.append(_Job(plan, variant, zoo, n_pairs, device))
    check_writable(zoo.folder)
    outcomes = []
    for outcome in run_jobs(_make, jobs, processes):
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
        # A checkpoint of other settings has another name; the trainer would refuse it.
        digest = sha256(json.dumps(plan.settings(), sort_keys=True).encode()).hexdigest()[:12]
        checkpoint = job.work / f"{digest}.pt"
        trained = _train(trainer, job, checkpoint)
    except (ModelError, GraphError) as error:  # training diverged; no room for the placement
        reason = str(error)
    certificate = trained.certificate if trained else None
    failures = certificate.failures if certificate else ()
    certified = trained is not None and not failures
    steps = trainer.n_steps if trainer else 0
    if certified and trained is not None:
        save_trained(trained, job.zoo.place(plan.case, job.variant))
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


def _train(trainer: Trainer, job: _Job, checkpoint: Path) -> Trained:
    """Train until the model is certified; where that fails after an early end, training goes on."""
    while True:
        train(trainer, checkpoint=checkpoint)
        trained = with_certificate(
            freeze(trainer), n_pairs=job.n_pairs, seed=job.plan.config.seed, zoo=job.zoo.version
        )
        passed = trained.certificate is not None and trained.certificate.passed
        if passed or not trainer.go_on():
            return trained
        trainer.save(checkpoint)


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
