"""Certified models an hour: from random programs, drawn, compiled and trained, to certificates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import pandas as pd

from knowncircuits.cases.drawing import shapes_within
from knowncircuits.cases.generated import generated_cases
from knowncircuits.cases.registry import CASES, add_case
from knowncircuits.evaluation.catalogue.generating import generate
from knowncircuits.files.reading import read_json
from knowncircuits.models.zoo.check import CERTIFIED_PAIRS
from knowncircuits.models.zoo.plans import EVERY
from knowncircuits.models.zoo.produce import Outcome, make_models
from knowncircuits.models.zoo.shelf import Zoo, shipped
from knowncircuits.work.threads import threads

SHAPES = shapes_within(range(2, 7), range(2, 5), range(1, 4))  # those of `knowncircuits generate`
RECIPE = f"{EVERY}generated"


def bench_models(
    n_programs: int = 4,
    variants: Sequence[str] = ("seed0",),
    *,
    seed: int = 0,
    n_pairs: int = CERTIFIED_PAIRS,
    stack: int = 1,
    device: str = "cpu",
    settings: Mapping[str, Any] | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> pd.DataFrame:
    """Draw programs that are not shipped, and make models of them as those of zoo 1 are made.

    One thread of this process does all of it. The models are thrown away.

    Args:
        n_programs: how many.
        variants: which models of each.
        seed: of the programs.
        n_pairs: of the certificates.
        stack: how many models of one shape are trained in one batch; see `make_models`.
        device: `cpu` or `cuda`.
        settings: what departs from the recipe of generated programs.
        on_outcome: told of each model when it is done.

    Returns:
        A row: models that were tried and those that were certified, their steps, seconds of the
        clock and of the processor with the drawing of programs, and certified models an hour of
        each.

    Raises ModelError or ResultError for settings that there are not.
    """
    start = perf_counter(), process_time()
    with threads(1), TemporaryDirectory() as folder:
        there = {**CASES, **generated_cases()}
        programs = generate(n_programs, SHAPES, seed, there=there.values())
        for program in programs:
            add_case(program.case())
        recipes = Path(folder) / "recipes.json"
        usual = read_json(shipped(1).recipes)[RECIPE]
        recipes.write_text(json.dumps({RECIPE: {**usual, **(settings or {})}}), encoding="utf-8")
        outcomes = make_models(
            Zoo(Path(folder) / "zoo", 1),
            [(program.name, variant) for program in programs for variant in variants],
            n_pairs=n_pairs,
            stack=stack,
            device=device,
            recipes=recipes,
            on_outcome=on_outcome,
        )
    clock, processor = perf_counter() - start[0], process_time() - start[1]
    certified = sum(outcome.certified for outcome in outcomes)
    row = {
        "models": len(outcomes),
        "certified": certified,
        "steps": sum(outcome.steps for outcome in outcomes),
        "clock s": clock,
        "processor s": processor,
        "an hour of clock": 3600 * certified / clock,
        "an hour of processor": 3600 * certified / processor,
    }
    return pd.DataFrame([row])
