"""The suite of two modalities: one question, and where each variant decodes the data."""

from __future__ import annotations

import numpy as np
import pytest

import knowncircuits as kc
from knowncircuits.cases import check_case
from knowncircuits.cases.modalities import (
    data_prompts,
    load_modality_case,
    modality_cases,
    right_colours,
)
from knowncircuits.errors import UnknownNameError
from knowncircuits.models.wired import (
    TRANSFORMATIONS,
    Wired,
)


def test_the_suite_is_apart() -> None:
    names = kc.list_cases("modalities")
    assert names == [f"modalities_{variant}" for variant in ("shared", "disjoint", "late")]
    assert not set(names) & {*kc.list_cases(), *kc.list_cases("hard")}
    assert all(kc.load_case(name) is load_modality_case(name) for name in names)
    with pytest.raises(UnknownNameError, match="case of two modalities 'sort'"):
        load_modality_case("sort")
    with pytest.raises(UnknownNameError, match="modality 'sound'"):
        data_prompts("sound", np.random.default_rng(0), 1)


def unchecked(name: str) -> Wired:
    """The model of a variant, as its case wires it; the checks are made elsewhere."""
    case = load_modality_case(name)
    wired = Wired.of(case.compile())
    for transformation, parameters in case.wiring:
        wired = TRANSFORMATIONS[transformation].apply(wired, parameters, checked=False)
    return wired


@pytest.mark.parametrize("name", list(modality_cases()))
def test_data_can_be_trusted(name: str) -> None:
    assert not check_case(load_modality_case(name), n=100).problems


@pytest.mark.parametrize("name", list(modality_cases()))
def test_programs_and_models_on_every_prompt(name: str) -> None:
    case = load_modality_case(name)
    assert case.meant is not None
    assert case.meant.listed is not None
    (codes,) = case.meant.listed.values()
    assert len(codes) == 2 * 3**3 * 3
    prompts = [[case.vocab[i] for i in row] for row in codes.tolist()]
    said = [outputs[-1] for outputs in case.interpret(prompts)]
    for prompt, right, answer in zip(prompts, right_colours(codes), said, strict=True):
        asked = str(prompt[("1st", "2nd", "3rd").index(str(prompt[3]))]).strip("<>")
        unread = name == "modalities_late" and "<" in str(prompt[0])
        assert right == asked
        assert answer == (None if unread else right)
    wired = unchecked(name)
    answers = wired.compiled.decode(wired.model(wired.compiled.to_ids(codes)))
    assert [row[-1] for row in answers] == said
