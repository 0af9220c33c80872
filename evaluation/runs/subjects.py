"""The models that runs are about: compiled ones, shipped ones, and those of the user's own."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from knowncircuits.cases.registry import load_case
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import InputError, ResultError
from knowncircuits.evaluation.runs.results import COMPILED, HOSTED
from knowncircuits.models.choices import DEFAULT_ZOO, ZooChoice, ZooVersion
from knowncircuits.models.trained import Trained, load_trained
from knowncircuits.models.wired.recipes import hosted, model_of
from knowncircuits.models.wired.stored import is_wired, load_wired
from knowncircuits.models.wired.wired import Wired
from knowncircuits.models.zoo.shelf import Zoo, load_model, shipped
from knowncircuits.transformer import weights_hash

# A case's model: `compiled`, `hosted`, a variant of the shipped ones, or the folder of one's own.
Subject = str | Path


def load_subject(
    case: str, subject: Subject, zoo: ZooChoice | None = None
) -> Compiled | Trained | Wired:
    """The model of a case that a run is about; the zoo is that of a variant, see `find_zoo`.

    A compiled model is wired where its case says so; for `hosted` see `models.wired.hosted`.

    Raises:
        UnknownNameError: for an unknown case or variant.
        ModelError: if the zoo has no such model of the case.
        ResultError: for a folder that holds no trained or wired model, or another case's.
    """
    if isinstance(subject, str):
        if subject == COMPILED:
            return model_of(load_case(case))
        if subject == HOSTED:
            return hosted(load_case(case))
        return load_model(case, subject, zoo)
    model = load_own(subject)
    if model.compiled.name != case:
        raise ResultError(f"{subject}: expected a model of {case}, got {model.compiled.name}")
    return model


def load_own(folder: Path) -> Trained | Wired:
    """The trained or wired model in a folder; raises ResultError for any other folder."""
    return load_wired(folder) if is_wired(folder) else load_trained(folder)


def own_name(folder: Path, model: Trained | Wired) -> str:
    """What a model of the user's own is called: `own-FOLDER-HASH`, for each model another name.

    The hash is of its weights, sizes and placement, so that it is a model's and not a folder's.
    """
    if isinstance(model, Wired):
        placement: dict[str, Any] = dict(model.images)
    else:
        placement = dict(model.correspondence.nodes)
    parts = weights_hash(model.model), model.model.config.document(), placement
    digest = sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    name = re.sub(r"[^\w.+-]+", "-", folder.resolve().name)[:40]
    return f"own-{name}-{digest[:8]}"


def shipped_subjects(
    cases: Sequence[str], variants: Sequence[str], zoo: ZooVersion = DEFAULT_ZOO
) -> list[tuple[str, str]]:
    """Those models of cases that a zoo has, case by case.

    Raises InputError where there is none at all.
    """
    holds = shipped(zoo).holds
    there = [(case, kind) for case in cases for kind in variants if holds(case, kind)]
    if not there:
        raise InputError(
            f"expected a trained model {' or '.join(variants)} of some of {len(cases)} cases in "
            f"zoo {zoo}, got none"
        )
    return there


def zoo_subjects(zoo: Zoo, cases: Sequence[str], variants: Sequence[str]) -> list[tuple[str, Path]]:
    """The models of cases in a user's own zoo, each as a folder of one's own.

    Raises InputError where there is none at all.
    """
    found = [(case, kind) for case in cases for kind in variants if zoo.holds(case, kind)]
    if not found:
        raise InputError(
            f"expected a trained model {' or '.join(variants)} of a case that is known in "
            f"{zoo.name}, got none"
        )
    return [(case, zoo.place(case, kind)) for case, kind in found]


def own_subject(folder: Path, cases: Sequence[str] | None = None) -> Trained | Wired:
    """A model of the user's own; its case is the only one that may be named.

    Raises:
        InputError: where others are.
        ResultError: for a folder that holds no trained or wired model.
    """
    model = load_own(folder)
    name = model.compiled.name
    if cases and set(cases) != {name}:
        raise InputError(f"expected no case but {name}, got {', '.join(cases)}")
    return model
