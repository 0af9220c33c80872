"""Result files whose fields have other types are refused, whichever field it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.runs.results import read_result
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings

PLACES = [
    ("rank_by", "size"),
    ("settings", []),
    ("settings.label", "../up"),
    ("settings.seed", True),
    ("settings.seed", "0"),
    ("settings.method", None),
    ("settings.n_pairs", 1.5),
    ("settings.options", [1]),
    ("settings.metric", 3),
    ("result", "none"),
    ("result.threshold", "high"),
    ("result.threshold", float("nan")),
    ("result.seconds", -1),
    ("result.forward_passes", 10**30),
    ("result.details", None),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    run([Settings("random", n_pairs=2)], [("fraction_of_x", "seed0")], folder, zoo=1)
    return folder / "random" / "fraction_of_x" / "seed0" / "0.json"


@pytest.mark.parametrize(("place", "value"), PLACES)
def test_other_types_are_refused(written: Path, tmp_path: Path, place: str, value: object) -> None:
    document: dict[str, Any] = json.loads(written.read_text())
    *parents, last = place.split(".")
    part = document
    for parent in parents:
        part = part[parent]
    part[last] = value
    path = tmp_path / "0.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match=rf"no result of a run \({place}"):
        read_result(path)
    assert read_result(written).label == "random"
