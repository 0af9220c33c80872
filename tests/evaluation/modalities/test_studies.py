"""What is known of the three variants, and what the tools say of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

import knowncircuits as kc
from knowncircuits.errors import InputError, ResultError, TaskError, UnknownNameError
from knowncircuits.evaluation.figures import modality_figure
from knowncircuits.evaluation.modalities import (
    ModalityStudy,
    NodeCircuit,
    Prompts,
    first_share,
    node_faithfulness,
    random_circuit,
    study_modalities,
    unembedding_similarity,
)
from knowncircuits.models.wired import Wired, hosted
from knowncircuits.names import Node
from parts import some_long

Studies = Callable[[str], ModalityStudy]
Subjects = Callable[[str], Wired]


def values(frame: pd.DataFrame, column: str = "normalised", **where: str) -> list[float]:
    for name, value in where.items():
        frame = frame[frame[name] == value]
    assert len(frame)
    return [float(value) for value in frame[column]]


def known_circuit(wired: Wired, prompts: Prompts, modality: str) -> NodeCircuit:
    """By the weights: units that decode the data or the question, the two heads, units of answers.

    A unit matters at the positions whose tokens it reads, if it writes anything.
    """
    model, names = wired.model, wired.compiled.variables
    shape = (3, prompts.classes.n_positions)
    heads, neurons = np.zeros((*shape, 1), bool), np.zeros((*shape, model.config.d_mlp), bool)
    heads[1, 5] = heads[2, 5] = True
    rows, vocabulary = model.W_E[1:], wired.compiled.vocabulary.tokens
    for unit in range(model.hidden[0]):
        read = {vocabulary[i] for i in (rows @ model.W_in[0, :, unit]).nonzero().flatten()}
        writes = model.W_out[0, unit]
        if writes[list(names["wanted"].directions)].any():
            neurons[0, 4, unit] = True
        is_of = any(("<" in str(token)) == (modality == "image") for token in read)
        if writes[list(names["colour"].directions)].any() and is_of:
            neurons[0, 1:4, unit] = True
    for unit in range(model.hidden[2]):
        neurons[2, 5, unit] = model.W_out[2, unit][list(names["answer"].directions)].any()
    return NodeCircuit(heads, neurons)


class TestShared:
    def test_both_are_answered_by_one_circuit(self, studies: Studies, subjects: Subjects) -> None:
        study = studies("shared")
        assert study.summary["accuracy"].tolist() == [1, 1]
        assert study.summary["faithfulness"].tolist() == pytest.approx([1, 1], abs=1e-9)
        assert study.summary["random"].tolist() == pytest.approx([0, 0], abs=1e-9)
        for name, prompts in kc.modality_prompts(subjects("shared")).items():
            found, known = study.circuits[name], known_circuit(subjects("shared"), prompts, name)
            assert np.array_equal(found.heads, known.heads)
            assert np.array_equal(found.neurons, known.neurons)
            assert (found.n_heads, found.n_neurons) == (2, 9 + 3 + 3)

    def test_overlap_is_1_and_parts_can_be_interchanged(self, studies: Studies) -> None:
        study = studies("shared")
        assert study.overlap is not None
        assert study.interchange is not None
        there = study.overlap.dropna(subset="overlap")
        assert (there["overlap"] == 1).all()
        assert (there["normalised"] == 1).all()
        assert len(there) == 12  # no heads at data and query, in either direction
        assert len(study.interchange) == 14
        other = study.interchange[study.interchange["by"].isin(["text", "image"])]
        assert other["normalised"].tolist() == pytest.approx([1] * 6, abs=1e-9)
        assert math.isnan(study.back_patching.gap_closed)  # there is no gap


class TestDisjoint:
    def test_each_has_a_circuit_of_its_own(self, studies: Studies, subjects: Subjects) -> None:
        study = studies("disjoint")
        assert study.summary["accuracy"].tolist() == [1, 1]
        assert study.summary["faithfulness"].tolist() == pytest.approx([1, 1], abs=1e-9)
        for name, prompts in kc.modality_prompts(subjects("disjoint")).items():
            found, known = study.circuits[name], known_circuit(subjects("disjoint"), prompts, name)
            assert np.array_equal(found.heads, known.heads)
            assert np.array_equal(found.neurons, known.neurons)

    def test_data_parts_do_not_overlap(self, studies: Studies) -> None:
        overlap = studies("disjoint").overlap
        assert overlap is not None
        for direction in ("text -> image", "image -> text"):
            where = {"direction": direction, "kind": "neuron"}
            assert values(overlap, "overlap", **where) == [0, 1, 1, 6 / 24]
            assert values(overlap, **{**where, "class": "data"})[0] < 0

    def test_interchange_is_the_base_at_data_and_the_skyline_elsewhere(
        self, studies: Studies
    ) -> None:
        found = studies("disjoint").interchange
        assert found is not None
        for prompts, by in (("text", "image"), ("image", "text")):
            assert values(found, prompts=prompts, by=by) == pytest.approx([0, 1, 1], abs=1e-9)
            data = found[(found["prompts"] == prompts) & (found["replaced"] == "data")]
            assert data["faithfulness"].nunique() == 1  # the very same as of random nodes
            assert 0 < data["base"].iloc[0] < 0.5  # the question alone is right now and then


class TestLate:
    def test_back_patching_closes_the_gap(self, studies: Studies) -> None:
        study = studies("late")
        assert study.summary["accuracy"].tolist() == [1, 0]
        assert list(study.circuits) == ["text"]
        assert study.overlap is study.interchange is None
        found = study.back_patching
        assert (found.base, found.control_base) == (0, 1)
        by = {(w, s, t): a for w, s, t, a in found.to_frame().iloc[:, :4].itertuples(index=False)}
        assert (by[1, 2, 0], by[1, 2, 1], by[1, 1, 0]) == (1, 1, 0)
        assert by[3, 1, 0] == 1  # its window takes 2 to 1 along
        assert found.loops == (0, 1, 1, 1)
        assert found.gap_closed == 1
        assert found.control is not None
        assert (found.control[found.computed] == 1).all()

    def test_what_was_computed_is_said(self, studies: Studies) -> None:
        found = studies("late").back_patching
        assert found.computed.shape == (3, 3, 3)
        assert np.argwhere(found.computed[0]).tolist() == [[1, 0], [2, 0], [2, 1]]
        assert np.array_equal(~np.isnan(found.accuracy), found.computed)
        assert len(found.to_frame()) == found.computed.sum() == 9

    def test_not_repeated_the_data_reach_the_next_layer_alone(self, subjects: Subjects) -> None:
        prompts = kc.modality_prompts(subjects("late"), 10)["image"]
        found = kc.back_patch(prompts, windows=[1], repeat=False, n_loops=0)
        assert found.accuracy[0][found.computed[0]].tolist() == [0, 0, 1]  # 1->0, 2->0, 2->1
        assert found.loops == ()
        assert found.looped is None
        assert math.isnan(found.gap_closed)

    def test_patches_are_understood_late(self, subjects: Subjects) -> None:
        """The stream is a token, a place, a constant and, once decoded, a colour, of length 1."""
        wired = subjects("late")
        colour = list(wired.compiled.variables["colour"].directions)
        directions = torch.eye(wired.model.config.d_model, dtype=torch.float64)[:, colour]
        for name, prompts in kc.modality_prompts(wired, 10).items():
            found = unembedding_similarity(prompts, directions)
            data = values(found, "similarity", **{"class": "data"})
            early = {"text": 1 / 2, "image": 0}[name]
            assert data[:2] == pytest.approx([early, early], abs=1e-9)
            assert data[2] == pytest.approx(1 / 2, abs=1e-3)  # the soft head writes next to nothing

    def test_prompts_that_are_never_right_have_no_circuit(self, subjects: Subjects) -> None:
        image = kc.modality_prompts(subjects("late"), 5)["image"]
        with pytest.raises(TaskError, match="image prompts that are answered rightly, got none"):
            image.right_only()
        with pytest.raises(TaskError, match="expected the logit_diff of image prompts to fall"):
            node_faithfulness(image, [kc.node_circuit(image)])


@pytest.mark.parametrize("variant", some_long(("disjoint", "late", "shared"), "shared"))
def test_a_busy_host_changes_nothing(variant: str) -> None:
    """Two layers and two heads more, which are loud and read by each other, in a drawn basis.

    In that basis the logits of patches that are decoded too late are 0 to rounding, not exactly.
    """
    wired = hosted(kc.load_case(f"modalities_{variant}"))
    prompts = kc.modality_prompts(wired, 20)
    study = study_modalities(*prompts.values(), shares=(0.27,), windows=(1,))
    assert study.summary["accuracy"].tolist() == [1, variant != "late"]
    there = {Node(node).layer for node in wired.circuit.inside_nodes if Node(node).kind == "head"}
    for circuit in study.circuits.values():
        assert (circuit.n_heads, circuit.n_neurons) == (2, 15)
        assert set(np.argwhere(circuit.heads)[:, 0].tolist()) == there
    f = study.summary["faithfulness"].dropna()
    assert f.tolist() == pytest.approx([1] * len(f), abs=1e-9)
    if variant == "late":
        last = max(there)  # where the fetching head is, and behind it the late MLP
        found, back = study.back_patching.accuracy[0], study.back_patching.computed[0]
        late = np.arange(len(back)) >= last
        assert (found[late][back[late]] == 1).all()
        assert (found[~late][back[~late]] == 0).all()
    else:
        assert study.interchange is not None
        data = float(variant == "shared")
        assert values(study.interchange, prompts="text", by="image") == pytest.approx([data, 1, 1])


def test_the_curve_and_its_first_share(studies: Studies) -> None:
    curves = studies("shared").curves
    assert curves is not None
    text = curves[curves["prompts"] == "text"].set_index("share")
    assert text.loc[0, ["heads", "neurons", "faithfulness"]].tolist() == [0, 0, 0]
    # Of 18 heads at positions 0.12 are 2, the whole circuit's.
    assert text.loc[0.11, "heads"] == 1
    assert text.loc[0.11, "faithfulness"] < 0.8
    assert text.loc[0.12, "heads"] == 2
    assert text.loc[0.12, "faithfulness"] == pytest.approx(1, abs=1e-9)
    assert first_share(curves[curves["prompts"] == "text"]) == 0.12
    assert math.isnan(first_share(curves.assign(faithfulness=0.79)))


def test_accuracy_is_a_metric_too(
    subjects: Subjects, studies: Studies, no_shape_checks: None
) -> None:
    prompts = kc.modality_prompts(subjects("shared"), 20)["text"]
    circuit = studies("shared").circuits["text"]
    other = random_circuit(circuit, prompts.classes)
    assert not (other & circuit).n_neurons
    assert not (other & circuit).n_heads
    assert other.n_neurons == circuit.n_neurons
    assert other.n_heads == 1  # all that are left at the generation, of 3
    assert node_faithfulness(prompts, [circuit, other], "accuracy").tolist() == [1, 0]
    with pytest.raises(UnknownNameError, match="metric of nodes 'kl'"):
        node_faithfulness(prompts, [circuit], "kl")  # type: ignore[arg-type]


def test_studies_are_the_same_every_time(studies: Studies, subjects: Subjects) -> None:
    pair = kc.modality_prompts(subjects("disjoint"), 30).values()
    again, first = study_modalities(*pair, shares=(0.5,), windows=(1,)), studies("disjoint")
    assert again.interchange is not None
    assert first.interchange is not None
    pd.testing.assert_frame_equal(again.interchange, first.interchange, check_exact=True)
    prompts = kc.modality_prompts(subjects("disjoint"), 5)["text"]
    with pytest.raises(InputError, match="two modalities, got text twice"):
        study_modalities(prompts, prompts)


def test_figures_show_what_was_found(studies: Studies, no_shape_checks: None) -> None:
    study = studies("disjoint")
    overlap = modality_figure(study, "overlap")
    assert [trace.name for trace in overlap.data] == [
        f"{kind}, {way}"
        for kind in ("heads", "neurons")
        for way in ("text → image", "image → text")
    ]
    assert overlap.data[2].text == ("-0.03", "1.00", "1.00", "0.23")
    assert overlap.data[0].text[:2] == ("–", "–")
    interchange = modality_figure(study, "interchange")
    assert [trace.text for trace in interchange.data] == [("0.00", "1.00", "1.00")] * 2
    curves = modality_figure(study, "circuits", title="Mine")
    assert len(curves.data) == 2
    assert "Mine" in curves.layout.title.text
    assert "text 12%, image 12%" in curves.layout.title.text
    similarity = modality_figure(study, "similarity")
    assert len(similarity.data) == 6
    patched = modality_figure(studies("late"), "back-patching", theme="colourblind")
    assert len(patched.data) == 6
    assert patched.data[0].text.tolist() == [["", "0.00", "1.00"], ["", "", "1.00"], ["", "", ""]]
    assert "gap closed 1" in patched.layout.title.text
    with pytest.raises(ResultError, match="circuits of both modalities to draw"):
        modality_figure(studies("late"), "overlap")
    with pytest.raises(UnknownNameError, match="figure 'pie'"):
        modality_figure(study, "pie")  # type: ignore[arg-type]
