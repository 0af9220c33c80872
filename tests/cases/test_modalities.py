"""The suite of two modalities: one question, and where each variant decodes the data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.cases import check_case
from knowncircuits.cases.modalities import (
    COLOURS,
    MODALITIES,
    data_prompts,
    load_modality_case,
    modality_cases,
    right_colours,
)
from knowncircuits.errors import ModelError, UnknownNameError
from knowncircuits.models.wired import (
    TRANSFORMATIONS,
    Wired,
    delay,
    distance,
    edge_effects,
    merge,
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


@pytest.fixture(scope="module")
def compiled() -> kc.Compiled:
    return load_modality_case("modalities_disjoint").compile()


def test_merged_units_do_the_same_under_interchanges(compiled: kc.Compiled) -> None:
    merged = merge(compiled, "m0")
    assert (compiled.model.hidden[0], merged.model.hidden[0]) == (20, 17)
    assert distance(merged) == 0
    # A unit for each colour that is on for its word and its patch alone.
    vocabulary = compiled.vocabulary.tokens
    reads = merged.model.W_E[1:] @ merged.model.W_in[0, :, :3]
    for colour, unit in zip(COLOURS, reads.T, strict=True):
        assert [vocabulary[i] for i in unit.nonzero().flatten()] == [colour, f"<{colour}>"]
    with pytest.raises(ModelError, match="units of m0 that write the same, got none"):
        merge(merged, "m0")
    with pytest.raises(ModelError, match="expected an MLP"):
        merge(compiled, "a1.h0")


def test_merging_is_refused_where_two_units_are_on_at_a_time() -> None:
    """Ramps of a number: of those that begin below it every one is on, and each has its part."""
    doubled = Wired.of(kc.load_case("histogram").compile())
    with torch.no_grad():
        doubled.model.W_out[0, 1] = doubled.model.W_out[0, 3]
    with pytest.raises(ModelError, match="expected answers to stay|expected labels to stay"):
        merge(doubled, "m0")


def test_delayed_units_write_what_the_early_ones_would() -> None:
    late = unchecked("modalities_late")
    words = late.compiled.encode([[*COLOURS, "1st", ":"]])
    patches = late.compiled.encode([[*MODALITIES["image"], "1st", ":"]])
    early, behind = late.model.run(words).outputs, late.model.run(patches).outputs
    sources = late.model.graph.sources
    colour = [late.compiled.variables["colour"].direction_of[name] for name in COLOURS]
    m0, m2 = sources.index("m0"), sources.index("m2")
    assert torch.equal(early[0, m0, 1:4][:, colour], torch.eye(3, dtype=torch.float64))
    assert torch.equal(behind[0, m2, 1:4][:, colour], torch.eye(3, dtype=torch.float64))
    assert not behind[0, m0, 1:4][:, colour].any()
    assert not early[0, m2, 1:4][:, colour].any()
    effects = edge_effects(late)
    assert {edge for edge, effect in effects.items() if effect > 1e-9} == set(late.circuit.edges())


def test_what_delay_refuses(compiled: kc.Compiled) -> None:
    text = load_modality_case("modalities_late").compile()
    with pytest.raises(ModelError, match="an MLP and a later one, got m2 and m0"):
        delay(text, "m2", "m0", {"<red>": "red"})
    with pytest.raises(ModelError, match="tokens of the model, got pink"):
        delay(text, "m0", "m2", {"pink": "red"})
    with pytest.raises(ModelError, match="got m1, before a2.h0<v>"):
        delay(text, "m0", "m1", {"<red>": "red"})
