"""What `score` runs, on what and how often: groups of its options."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knowncircuits.cases.choices import Direction
from knowncircuits.cli.groups import CaseOptions, VariantOptions
from knowncircuits.cli.options import (
    MAX_PAIRS,
    CompiledOption,
    DeviceOption,
    ModelOption,
    SeedsOption,
    check_device,
    check_one_kind,
    parse_options,
    seed_option,
    setting_option,
)
from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import Ablation, MetricName
from knowncircuits.evaluation.runs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowncircuits.evaluation.runs.subjects import Subject
    from knowncircuits.models.choices import ZooVersion
    from knowncircuits.models.zoo.shelf import Zoo


@dataclass(frozen=True)
class ModelsOptions(VariantOptions):
    """Which models of the cases: trained, compiled or hosted ones, or the user's own."""

    compiled: CompiledOption = False
    hosted: Annotated[
        bool,
        typer.Option(
            "--hosted",
            help="Put the compiled model into a larger one whose other nodes are busy; the default "
            "for the hard suite.",
        ),
    ] = False
    model: ModelOption = None

    def __post_init__(self) -> None:
        check_one_kind(
            self.compiled,
            self.model is not None,
            trained=bool(self.variant or self.zoo),
            hosted=self.hosted,
        )

    def untrained(self, cases: CaseOptions) -> str | None:
        """The kind of models that are asked for, where these are not trained."""
        from knowncircuits.evaluation.runs.results import COMPILED, HOSTED

        if self.compiled:
            return COMPILED
        named = self.model or self.variant or self.zoo
        return HOSTED if self.hosted or (cases.suite == "hard" and not named) else None

    def words(self, cases: CaseOptions) -> str:
        """What is run on, for a title."""
        if kind := self.untrained(cases):
            return f"{kind} models"
        return str(self.model or f"trained models of {self.shelf.name}")

    @property
    def release(self) -> ZooVersion:
        """The release of shipped models; one's own zoo is of none."""
        return self.shelf.version

    def subjects(self, cases: CaseOptions) -> Sequence[tuple[str, Subject]]:
        """What is run on; says on standard error what is missing, or not certified."""
        names = cases.names()
        if self.model:
            return [_own(self.model, cases.case)]
        if kind := self.untrained(cases):
            return [(name, kind) for name in names]
        zoo, kinds = self.shelf, self.chosen("seed0")
        if zoo.own:
            return _of_own_zoo(zoo, names if cases.named else None, kinds)
        return _shipped(names, kinds, zoo.version, bool(cases.case))


@dataclass(frozen=True)
class SettingsOptions:
    """What is done to every model; see `Settings`."""

    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            metavar="N[,N...]",
            help="Clean/corrupted pairs for each model; by default 100, or what a level of the "
            "experiment `few` says. Several numbers, as 1,4,16: run each, into its own folder.",
        ),
    ] = None
    metric: Annotated[
        MetricName | None,
        typer.Option(help="Metric; by default KL for categorical outputs, L2 for numbers."),
    ] = None
    corruption: Annotated[
        str,
        typer.Option(
            help="Corrupted inputs: resample, minimal, variable:NAME of the program, or one of the "
            "case's own, such as abc of ioi."
        ),
    ] = Settings.corruption
    direction: Annotated[
        Direction | None,
        typer.Option(
            help="Direction of the pairs. on-off: clean inputs have the case's property, corrupted "
            "ones lack it; off-on: the reverse."
        ),
    ] = None
    ablation: Annotated[Ablation, typer.Option(help="What patched edges read instead.")] = (
        Settings.ablation
    )
    option: Annotated[list[str] | None, setting_option("Set an option of the method")] = None
    label: Annotated[str, typer.Option(help="Name of the results; by default the method's.")] = (
        Settings.label
    )
    threads: Annotated[
        int,
        typer.Option(
            min=1, help="Threads of torch in each process; scores may depend on their number."
        ),
    ] = Settings.threads
    device: DeviceOption = Settings.device

    def of(self, methods: Sequence[str]) -> list[Settings]:
        """Those of each number of pairs and each method.

        All methods are loaded: an error comes before anything runs.
        """
        from knowncircuits.evaluation.methods.discovery import fit_options
        from knowncircuits.evaluation.task import directed

        check_device(self.device)
        if self.label and len(methods) > 1:
            raise InputError(f"expected --label with one method, got {len(methods)}")
        given = parse_options(self.option)
        corruption = directed(self.corruption, self.direction)
        return [
            Settings(
                method,
                n_pairs=n_pairs,
                metric=self.metric,
                options=fit_options(method, given),
                corruption=corruption,
                ablation=self.ablation,
                label=self.label,
                threads=self.threads,
                device=self.device,
            )
            for n_pairs in _pair_counts(self.pairs)
            for method in methods
        ]


@dataclass(frozen=True)
class SeedOptions:
    """The draws of pairs, each of its own seed."""

    seeds: SeedsOption = 1
    seed: Annotated[int, seed_option("First seed of pairs and methods.")] = 0

    def draws(self) -> range:
        """All seeds."""
        return range(self.seed, self.seed + self.seeds)


def _pair_counts(text: str | None) -> list[int] | list[None]:
    """Whole numbers with commas between them, each once; raises InputError for any others."""
    if text is None:
        return [None]
    try:
        counts = list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        counts = []
    if not counts or not all(1 <= count <= MAX_PAIRS for count in counts):
        raise InputError(
            f"expected --pairs from 1 to {MAX_PAIRS}, like 100 or 1,4,16, got {text!r}"
        )
    return counts


def _shipped(
    cases: Sequence[str], variants: Sequence[str], zoo: ZooVersion, named: bool
) -> Sequence[tuple[str, Subject]]:
    """Those models of cases that there are; cases that have none are named.

    Where the cases were asked for by name, one without a model is an error.
    """
    from knowncircuits.evaluation.runs.subjects import shipped_subjects
    from knowncircuits.models.zoo.shelf import load_model

    if named and len(variants) == 1:
        for case in cases:  # an error that says what there is instead, before anything runs
            load_model(case, variants[0], zoo)
    there = shipped_subjects(cases, variants, zoo)
    if missing := [case for case in cases if case not in dict(there)]:
        what = f"no trained model {' or '.join(variants)} in zoo {zoo}"
        print(f"{what}: {', '.join(missing)}", file=sys.stderr)
    return there


def _of_own_zoo(
    zoo: Zoo, cases: Sequence[str] | None, variants: Sequence[str]
) -> Sequence[tuple[str, Subject]]:
    """The models of cases in a zoo of one's own, by default of all; those not known are named."""
    from knowncircuits.cases.registry import load_case
    from knowncircuits.errors import UnknownNameError
    from knowncircuits.evaluation.runs.subjects import zoo_subjects

    known = []
    for case in zoo.cases if cases is None else cases:
        try:
            known.append(load_case(case).name)
        except UnknownNameError:
            print(f"left out: {case}, which is not known; -c FILE.py:CASE says", file=sys.stderr)
    return zoo_subjects(zoo, known, variants)


def _own(folder: Path, cases: Sequence[str] | None) -> tuple[str, Subject]:
    """A model of one's own, with a word of warning where it is trained and not certified."""
    from knowncircuits.evaluation.runs.subjects import own_subject
    from knowncircuits.models.trained import Trained

    model = own_subject(folder, cases)
    if isinstance(model, Trained) and not (model.certificate and model.certificate.passed):
        print(f"not certified: {folder}; truth is what it was trained for", file=sys.stderr)
    return model.compiled.name, folder
