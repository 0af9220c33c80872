"""Which models a run is about: those that are shipped, and the user's own."""

from __future__ import annotations

import pytest

from knowncircuits.cases import CASES
from knowncircuits.errors import InputError, ResultError
from knowncircuits.evaluation.runs.subjects import load_subject, own_subject, shipped_subjects
from knowncircuits.models.zoo import shipped

FOLDER = shipped(1).place("histogram", "seed0")


def test_shipped_models_are_found_case_by_case() -> None:
    without = next(name for name in CASES if not shipped(1).holds(name, "seed0"))
    found = shipped_subjects(["histogram", without, "fraction_of_x"], ["seed0"], 1)
    assert found == [("histogram", "seed0"), ("fraction_of_x", "seed0")]


def test_no_model_at_all_is_an_error() -> None:
    with pytest.raises(InputError, match="expected a trained model seed0 of some of 0 cases"):
        shipped_subjects([], ["seed0"], 1)


def test_a_model_of_ones_own_is_of_one_case() -> None:
    for cases in (None, [], ["histogram"], ["histogram", "histogram"]):
        assert own_subject(FOLDER, cases).compiled.name == "histogram"
    with pytest.raises(InputError, match="expected no case but histogram, got reverse"):
        own_subject(FOLDER, ["reverse"])
    with pytest.raises(ResultError, match="expected a model of reverse, got histogram"):
        load_subject("reverse", FOLDER)
