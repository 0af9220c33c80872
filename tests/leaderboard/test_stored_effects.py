"""Stored curves are what is measured, and are those of the models that are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.effects import causal_effects
from knowncircuits.leaderboard.stored_effects import (
    N_INPUTS,
    STORED,
    curves_of,
    measure_curves,
    read_curves,
    shown_models,
    write_curves,
)
from knowncircuits.leaderboard.truth import Certified, certified_models
from knowncircuits.models.choices import ZooVersion
from knowncircuits.models.zoo import VARIANTS, load_model

KEY = "fraction_of_x/seed0"


@pytest.mark.parametrize("zoo", VARIANTS)
def test_stored_curves_are_current(zoo: ZooVersion) -> None:
    """`knowncircuits maintain effects` measures those that are not."""
    stored, shown = read_curves(STORED[zoo]), shown_models(certified_models(zoo))
    assert zoo == 2 or shown
    for model in shown:
        assert stored[model.key].weights == model.weights, model.key


def test_a_stored_curve_is_what_is_measured(models: Mapping[str, Certified]) -> None:
    measured = measure_curves(models[KEY])
    assert measured == read_curves(STORED[1])[KEY]
    frame = causal_effects(
        load_model("fraction_of_x", zoo=1), n_inputs=N_INPUTS, scales=[1], nodes=["m0"]
    )
    assert measured.at(1.0)["m0"] == ("in", pytest.approx(frame["effect"].iloc[0], abs=1e-4))
    assert len(measured.frame("a")) == len(measured.nodes) * len(measured.scales)


def test_curves_are_written_read_and_measured_where_there_are_none(
    models: Mapping[str, Certified], tmp_path: Path
) -> None:
    stored, heard = tmp_path / "effects.json", []
    assert read_curves(stored) == {}
    found = curves_of([models[KEY]], stored, on_measure=heard.append)
    write_curves(found, stored)
    assert read_curves(stored) == found
    assert curves_of([models[KEY]], stored, on_measure=heard.append) == found
    assert heard == [KEY]
    stored.write_text(stored.read_text().replace(models[KEY].weights, "0" * 64))
    assert curves_of([models[KEY]], stored, on_measure=heard.append) == found
    assert heard == [KEY, KEY]
    stored.write_text("[]")
    with pytest.raises(ResultError, match="expected curves of effects by model"):
        read_curves(stored)


def test_one_model_of_each_case_is_shown(models: Mapping[str, Certified]) -> None:
    shown = shown_models(models)
    assert [model.case for model in shown] == list(dict.fromkeys(m.case for m in models.values()))
    assert KEY in [model.key for model in shown]
