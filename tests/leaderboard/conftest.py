"""A few certified models and submissions of them, which the tests of the leaderboard share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowncircuits.circuit import Label
from knowncircuits.leaderboard.schema import Author, Conventions, Cost, Description
from knowncircuits.leaderboard.submission import Submission
from knowncircuits.leaderboard.truth import Certified, certified_models

CASES = ("fraction_of_x", "frequency", "sum_with_next", "zero_duplicates", "identity")
Make = Callable[..., Submission]


@pytest.fixture
def rehash() -> Callable[[Path], None]:
    """Makes `submission.json` hold the hashes of the tables that are there now."""

    def made(place: Path) -> None:
        path = place / "submission.json"
        document = json.loads(path.read_text())
        for key in document["models"]:
            table = (place / "scores" / f"{key}.csv").read_bytes()
            document["tables"][key] = sha256(table).hexdigest()
        path.write_text(json.dumps(document))

    return made


@pytest.fixture(scope="session")
def models() -> Mapping[str, Certified]:
    """The models of four structural cases, one of which has three, and of a degenerate one."""
    return {key: model for key, model in certified_models(1).items() if model.case in CASES}


@pytest.fixture(scope="session")
def make(models: Mapping[str, Certified]) -> Make:
    """Makes submissions: the truth under noise, of all models or of some."""
    return make_of(models)


@pytest.fixture(scope="session")
def maker() -> Callable[[Mapping[str, Certified]], Make]:
    """Makes `make` for other models."""
    return make_of


def make_of(models: Mapping[str, Certified]) -> Make:
    """A function that makes submissions of these models, or of some of them."""

    def made(
        name: str = "noisy",
        *,
        noise: float = 0.5,
        seed: int = 0,
        seeds: tuple[int, ...] = (0, 1),
        keys: tuple[str, ...] | None = None,
        rank_by: str = "signed",
        **fields: Any,
    ) -> Submission:
        rng = np.random.default_rng(seed)
        scores = {
            key: (models[key].circuit.labels == Label.IN)
            + noise * rng.normal(size=(len(seeds), models[key].circuit.graph.n_edges))
            for key in keys or models
        }
        cost = Cost(seconds=0.5, forward_passes=300, backward_passes=100)
        known: dict[str, Any] = {
            "schema_version": 2,
            "id": name,
            "title": name.title(),
            "version": "1.0",
            "authors": (Author(name="Ada Lovelace"),),
            "command": f"knowncircuits score {name}",
            "rank_by": rank_by,
            "conventions": Conventions(n_pairs=100, seeds=seeds),
            "benchmark": "0.1.0",
            "models": {key: models[key].weights for key in scores},
            "costs": {key: (cost,) * len(seeds) for key in scores},
        }
        return Submission(Description(**{**known, **fields}), scores)

    return made
