"""`merge` and `delay`, by which the cases of two modalities are wired."""

from __future__ import annotations

import pytest
import torch

import knowncircuits as kc
from knowncircuits.cases.modalities import COLOURS, MODALITIES, load_modality_case
from knowncircuits.errors import ModelError
from knowncircuits.models.wired import (
    Wired,
    delay,
    distance,
    edge_effects,
    merge,
    model_of,
)


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
    late = model_of(load_modality_case("modalities_late"))
    assert isinstance(late, Wired)
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
