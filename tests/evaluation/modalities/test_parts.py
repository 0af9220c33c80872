"""Each tool beside a second way to compute it: enumeration, plain hooks, the primitive."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

import knowncircuits as kc
from knowncircuits.errors import (
    ArgumentError,
    GraphError,
    InputError,
    ModelError,
    ShapeError,
    TaskError,
    UnknownNameError,
)
from knowncircuits.evaluation.answers import Answers
from knowncircuits.evaluation.components import component_gradients
from knowncircuits.evaluation.modalities import (
    NodeCircuit,
    NodeScores,
    PositionMapping,
    Prompts,
    expected_overlap,
    map_positions,
    node_faithfulness,
    node_scores,
    random_circuit,
    study_modalities,
    unembedding_similarity,
)
from knowncircuits.evaluation.modalities.running import circuit_answers, no_nodes
from knowncircuits.models.wired import Wired

Natural = Callable[[str], tuple[Prompts, Prompts]]
NAMES = ("gpt2", "gpt_neox", "qwen2")


def drawn(shapes: tuple[tuple[int, ...], ...], seed: int, density: float = 0.5) -> NodeCircuit:
    rng = np.random.default_rng(seed)
    heads, neurons = (rng.random(shape) < density for shape in shapes)
    return NodeCircuit(heads, neurons)


class TestPositions:
    def test_classes(self) -> None:
        classes = kc.position_classes(8, range(2, 5))
        assert (classes.data, classes.query, classes.generation) == ((2, 3, 4), (5, 6), (7,))
        assert classes.prefix == (0, 1)
        assert kc.position_classes(3, [0]).query == (1,)
        with pytest.raises(UnknownNameError, match="class of positions 'answer'"):
            classes.of("answer")

    @pytest.mark.parametrize("data", [[], [2, 1], [1, 1], [-1], [3]])
    def test_data_that_are_nowhere(self, data: list[int]) -> None:
        with pytest.raises(InputError, match="positions of data in order, from 0 to 2"):
            kc.position_classes(4, data)

    def test_data_are_mapped_all_to_all_and_the_rest_in_order(self) -> None:
        mapping = map_positions(kc.position_classes(5, [1]), kc.position_classes(7, [1, 2, 3]))
        assert mapping.pairs == ((0, 0), (1, 1), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6))
        assert mapping.reversed().reversed() == mapping
        assert mapping.matrix.sum() == 7
        assert mapping.matrix[1].tolist() == [0, 1, 1, 1, 0, 0, 0]
        with pytest.raises(InputError, match="queries of one length"):
            map_positions(kc.position_classes(5, [1]), kc.position_classes(5, [1, 2]))
        with pytest.raises(InputError, match="positions below 2 and 3, got"):
            PositionMapping(((0, 3),), 2, 3)


class TestCircuits:
    def test_the_highest_of_each_kind(self) -> None:
        scores = NodeScores(
            np.array([[[1.0, 2.0], [0.0, 3.0]]]), np.array([[[0.5, 1e-9, 0.4], [0.0, 0.0, 0.3]]])
        )
        assert scores.circuit(0).to_frame().empty
        half = scores.circuit(0.5)
        assert half.to_frame().to_dict("split")["data"] == [
            *(["head", 0, 0, 1], ["head", 0, 1, 1]),
            *(["neuron", 0, 0, 0], ["neuron", 0, 0, 2], ["neuron", 0, 1, 2]),
        ]
        whole = scores.circuit(1)  # but for what has no attribution, or rounding's
        assert (whole.n_heads, whole.n_neurons) == (3, 3)
        assert scores.circuit(1, resolution=0).n_neurons == 4
        for share in (-0.1, 1.1, math.nan):
            with pytest.raises(GraphError, match="a share from 0 to 1"):
                scores.circuit(share)

    def test_parts_and_maps(self, no_shape_checks: None) -> None:
        circuit = drawn(((2, 3, 2), (2, 3, 5)), 0)
        parts = [circuit.at([position]) for position in range(3)]
        assert sum(part.n_neurons for part in parts) == circuit.n_neurons
        both = parts[0] | parts[1] | parts[2]
        assert np.array_equal(both.heads, circuit.heads)
        mapping = PositionMapping(((0, 1), (0, 2), (1, 0), (2, 0)), 3, 3)
        moved = circuit.mapped(mapping)
        for layer, unit in itertools.product(range(2), range(5)):
            a, b, c = circuit.neurons[layer, :, unit]
            assert moved.neurons[layer, :, unit].tolist() == [b or c, a, a]
        with pytest.raises(GraphError, match="a mapping of 3 positions, got one of 4"):
            circuit.mapped(PositionMapping((), 4, 3))
        with pytest.raises(GraphError, match="the same layers and positions"):
            NodeCircuit(np.zeros((1, 2, 1), bool), np.zeros((1, 3, 1), bool))

    def test_random_circuits(self) -> None:
        classes = kc.position_classes(5, [1, 2])
        circuit = drawn(((2, 5, 4), (2, 5, 9)), 1, density=0.3)
        for outside in (True, False):
            other = random_circuit(circuit, classes, 3, outside=outside)
            for name in ("data", "query", "generation"):
                mine, theirs = (of.at(classes.of(name)) for of in (circuit, other))
                assert mine.n_neurons == theirs.n_neurons
                left = 2 * 4 * len(classes.of(name)) - mine.n_heads * outside
                assert theirs.n_heads == min(mine.n_heads, left)
            assert bool((other & circuit).n_neurons) != outside
            assert not other.at([0]).n_neurons
            same = random_circuit(circuit, classes, 3, outside=outside)
            assert np.array_equal(other.neurons, same.neurons)


class TestOverlap:
    @pytest.mark.parametrize(("n", "a", "b"), [(6, 3, 2), (7, 4, 6), (5, 5, 5), (6, 0, 3)])
    def test_the_baseline_is_the_mean_over_all_sets(self, n: int, a: int, b: int) -> None:
        first = set(range(a))
        sets = [set(chosen) for chosen in itertools.combinations(range(n), b)]
        exact = mean(Fraction(len(first & s), len(first | s)) for s in sets)
        assert expected_overlap(n, a, b) == pytest.approx(float(exact), abs=1e-12)

    def test_the_baseline_of_large_sets(self) -> None:
        n, a, b = 400, 150, 90
        exact = sum(
            Fraction(math.comb(a, x) * math.comb(n - a, b - x), math.comb(n, b) * (a + b - x)) * x
            for x in range(max(0, a + b - n), b + 1)
        )
        assert expected_overlap(n, a, b) == pytest.approx(float(exact), rel=1e-10)
        # 27% of the neurons of a model of 7B at 120 positions, about p / (2 - p)
        assert expected_overlap(63_000_000, 17_010_000, 17_010_000) == pytest.approx(
            0.27 / 1.73, rel=1e-6
        )
        assert math.isnan(expected_overlap(5, 0, 0))
        with pytest.raises(InputError, match="sets of 0 to 5 things, got 6 and 1"):
            expected_overlap(5, 6, 1)

    def test_directions_differ_where_the_mapping_is_many_to_many(self) -> None:
        """One word stands for two patches: its neuron is mapped to both, and of one comes back."""
        text, image = kc.position_classes(3, [0]), kc.position_classes(4, [0, 1])
        first = NodeCircuit(np.zeros((1, 3, 1), bool), np.zeros((1, 3, 2), bool))
        second = NodeCircuit(np.zeros((1, 4, 1), bool), np.zeros((1, 4, 2), bool))
        first.neurons[0, 0] = True, False
        second.neurons[0, 1] = True, False
        frame = kc.circuit_overlap(first, second, (text, image), names=("text", "image"))
        data = frame[(frame["class"] == "data") & (frame["kind"] == "neuron")]
        assert data["direction"].tolist() == ["text -> image", "image -> text"]
        assert data["overlap"].tolist() == [1 / 2, 1]
        assert data["mapped"].tolist() == [2, 1]
        assert data["nodes"].tolist() == [4, 2]
        # Of 4 places one is drawn, 2 are taken: half the time it hits. Of 2, one of 1.
        assert data["baseline"].tolist() == pytest.approx([1 / 4, 1 / 2])
        assert data["normalised"].tolist() == pytest.approx([1 / 3, 1])
        assert len(frame) == 2 * 4 * 2
        with pytest.raises(InputError, match="positions, got"):
            kc.circuit_overlap(first, second, (text, text))


def plain_run(
    prompts: Prompts, pair: int, replaced: dict[str, Callable[[Tensor], Tensor]]
) -> Tensor:
    """One prompt with a function at each of some hooks; what it says at the end."""

    def hook_fn(value: Tensor, hook: Any, change: Callable[[Tensor], Tensor]) -> Tensor:
        return change(value.clone())

    hooks = [(name, partial(hook_fn, change=change)) for name, change in replaced.items()]
    with torch.no_grad():
        return prompts.model.run_with_hooks(prompts.clean[[pair]], fwd_hooks=hooks)[0, -1]


def kept_of(prompts: Prompts, tokens: Tensor, names: list[str]) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: Any, name: str) -> None:
        kept[name] = value.detach().clone()

    with torch.no_grad():
        hooks = [(name, partial(keep, name=name)) for name in names]
        prompts.model.run_with_hooks(tokens, fwd_hooks=hooks)
    return kept


class TestFaithfulness:
    @pytest.mark.parametrize("name", NAMES)
    def test_node_by_node_through_plain_hooks(self, name: str, natural: Natural) -> None:
        prompts = natural(name)[1]
        shapes = ((2, 7, 4), (2, 7, 64 if name == "gpt2" else 24))
        circuits = [drawn(shapes, seed) for seed in range(3)]
        answers = circuit_answers(prompts, circuits, batch_size=4)
        names = [
            f"blocks.{layer}.{at}" for layer in (0, 1) for at in ("attn.hook_z", "mlp.hook_post")
        ]
        for i, pair in itertools.product(range(3), (0, 1)):
            other = kept_of(prompts, prompts.corrupted[[pair]], names)

            def change(value: Tensor, at: str, circuit: NodeCircuit = circuits[i]) -> Tensor:
                inside = circuit.heads if "hook_z" in at else circuit.neurons
                for position, unit in np.argwhere(~inside[int(at[7])]).tolist():
                    value[:, position, unit] = other[at][:, position, unit]  # noqa: B023
                return value

            expected = plain_run(prompts, pair, {at: partial(change, at=at) for at in names})
            assert torch.allclose(answers[i, pair], expected, atol=1e-10)
        nothing, whole = drawn(shapes, 0, 0.0), drawn(shapes, 0, 1.0)
        found = node_faithfulness(prompts, [nothing, whole, *circuits])
        assert found[:2].tolist() == pytest.approx([0, 1])
        measured = [
            float(prompts.logit_diff(of, torch.arange(prompts.n_pairs)).mean()) for of in answers
        ]
        ends = circuit_answers(prompts, [nothing, whole])
        low, high = (
            float(prompts.logit_diff(of, torch.arange(prompts.n_pairs)).mean()) for of in ends
        )
        assert found[2:] == pytest.approx([(m - low) / (high - low) for m in measured])

    def test_whole_nodes_through_the_primitive(self, subjects: Callable[[str], Wired]) -> None:
        """Heads and MLPs at positions are masks over their edges, per position."""
        wired = subjects("disjoint")
        prompts, model = kc.modality_prompts(wired, 8)["image"], wired.model
        rng = np.random.default_rng(0)
        heads, mlps = rng.random((2, 3, 6)) < 0.6
        width = model.config.d_mlp
        circuit = NodeCircuit(heads[..., None], mlps[..., None].repeat(width, -1))
        mask = torch.zeros(1, model.graph.n_edges, 6, dtype=torch.float64)
        for layer, position in np.argwhere(~heads).tolist():
            mask[0, model.graph.edges_from(f"a{layer}.h0"), position] = 1
        for layer, position in np.argwhere(~mlps).tolist():
            mask[0, model.graph.edges_from(f"m{layer}"), position] = 1
        with torch.no_grad():
            alternative = model.run(prompts.corrupted).outputs
            expected = model.run(prompts.clean, alternative, mask).logits[:, -1]
        assert torch.allclose(circuit_answers(prompts, [circuit])[0], expected, atol=1e-12)

    def test_circuits_of_other_sizes(self, natural: Natural) -> None:
        text, _ = natural("gpt2")
        with pytest.raises(GraphError, match=r"circuits of heads \(2, 5, 4\)"):
            node_faithfulness(text, [drawn(((2, 7, 4), (2, 7, 64)), 0)])


class TestAttribution:
    @pytest.mark.parametrize("name", NAMES)
    def test_against_a_plain_loop(self, name: str, natural: Natural) -> None:
        prompts, steps = natural(name)[0], 3
        names = [
            f"blocks.{layer}.{at}" for at in ("attn.hook_z", "mlp.hook_post") for layer in (0, 1)
        ]
        sums = [0.0] * len(names)
        for pair in range(prompts.n_pairs):
            clean, other = (
                kept_of(prompts, tokens[[pair]], ["hook_embed", *names])
                for tokens in (prompts.clean, prompts.corrupted)
            )
            gradients = {at: torch.zeros_like(clean[at]) for at in names}
            for step in (1, 2, 3):
                share, seen = step / steps, {}
                start = other["hook_embed"] + share * (clean["hook_embed"] - other["hook_embed"])

                def embed(value: Tensor, hook: Any, start: Tensor = start) -> Tensor:
                    return start.clone().requires_grad_()

                def see(value: Tensor, hook: Any, at: str, seen: Any = seen) -> Tensor:
                    seen[at] = value
                    return value

                hooks = [("hook_embed", embed), *((at, partial(see, at=at)) for at in names)]
                said = prompts.model.run_with_hooks(prompts.clean[[pair]], fwd_hooks=hooks)[0, -1]
                lead = said[prompts.right[pair]] - said[prompts.wrong[pair]]
                found = torch.autograd.grad(lead, [seen[at] for at in names])
                for at, gradient in zip(names, found, strict=True):
                    gradients[at] += gradient / steps
            for i, at in enumerate(names):
                sums[i] += (gradients[at] * (other[at] - clean[at])).abs()[0] / prompts.n_pairs
        scores = node_scores(prompts, steps=steps, batch_size=2)
        heads = torch.stack([of.sum(-1) for of in sums[:2]])
        assert scores.heads == pytest.approx(heads.numpy(), rel=1e-9, abs=1e-12)
        assert scores.neurons == pytest.approx(torch.stack(sums[2:]).numpy(), rel=1e-9, abs=1e-12)

    def test_one_step_is_the_gradient_at_the_clean_run(
        self, subjects: Callable[[str], Wired]
    ) -> None:
        """Of neurons, against gradients through the primitive, which see no hook."""
        wired = subjects("shared")
        prompts = kc.modality_prompts(wired, 10)["text"]
        counts = torch.zeros_like(prompts.clean, dtype=torch.bool)
        counts[:, -1] = True
        task = kc.Task("text", wired.model, prompts.clean, prompts.corrupted, counts, "logit_diff")
        found = component_gradients(task, "neuron", along="clean", per_position=True)
        expected = np.abs(found.by_pair).mean(0).reshape(3, -1, 6).transpose(0, 2, 1)
        scores = node_scores(prompts, steps=1)
        assert scores.neurons.max() > 0.1
        assert scores.neurons[..., : expected.shape[-1]] == pytest.approx(expected, abs=1e-12)

    def test_models_without_mlps_have_heads_alone(self) -> None:
        config = kc.TransformerConfig(
            n_layers=2, n_heads=2, d_model=8, d_head=4, d_mlp=0, n_ctx=5, d_vocab=6, d_vocab_out=6
        )
        model = kc.Transformer(config).initialise(0)
        tokens = torch.randint(6, (2, 6, 5), generator=torch.Generator().manual_seed(0))
        counts = torch.ones_like(tokens[0], dtype=torch.bool)
        task = kc.Task("heads", model, *tokens, counts, "logit_diff")
        prompts = Prompts.of_task(task, kc.position_classes(5, [1, 2]))
        circuit = kc.node_circuit(prompts, 1)
        assert circuit.heads.any()
        assert circuit.neurons.shape == (2, 5, 0)
        # What has no score is what nothing reads: the last layer before the answer.
        assert node_faithfulness(prompts, [circuit])[0] == pytest.approx(1)

    def test_no_steps(self, natural: Natural) -> None:
        with pytest.raises(InputError, match="at least one step, got 0"):
            kc.node_circuit(natural("gpt2")[0], steps=0)


class TestBackPatching:
    @pytest.mark.parametrize("name", NAMES)
    def test_against_plain_hooks(self, name: str, natural: Natural) -> None:
        text, prompts = natural(name)
        names = [f"blocks.{layer}.hook_resid_post" for layer in (0, 1)]
        found = kc.back_patch(prompts, text, windows=[1, 3], batch_size=3)
        assert found.computed.sum() == 2
        right = []
        for pair in range(prompts.n_pairs):
            streams = kept_of(prompts, prompts.clean[[pair]], names)

            def back(value: Tensor, streams: dict[str, Tensor] = streams) -> Tensor:
                value[:, 1:4] = streams[names[1]][:, 1:4]
                return value

            said = plain_run(prompts, pair, {names[0]: back})
            right.append(int(said.argmax()) == int(prompts.right[pair]))
        assert found.accuracy[0, 1, 0] == pytest.approx(np.mean(right))
        assert found.base == 1  # the model's own answers are the labels
        assert found.loops[:2] == (1, found.accuracy[found.windows.index(found.best[0]), 1, 0])

    def test_loops_read_from_the_run_before(self, natural: Natural) -> None:
        _, prompts = natural("gpt2")
        names = [f"blocks.{layer}.hook_resid_post" for layer in (0, 1)]
        found = kc.back_patch(prompts, windows=[1], loop=(1, 1, 0), n_loops=4)
        expected = np.zeros(4)
        for pair in range(prompts.n_pairs):
            streams: dict[str, Tensor] = {}
            for loop in range(4):
                before = dict(streams)

                def back(value: Tensor, before: dict[str, Tensor] = before) -> Tensor:
                    if before:
                        value[:, 1:4] = before["late"][:, 1:4]
                    return value

                def keep(value: Tensor, streams: dict[str, Tensor] = streams) -> Tensor:
                    streams["late"] = value.clone()
                    return value

                said = plain_run(prompts, pair, {names[0]: back, names[1]: keep})
                expected[loop] += int(said.argmax()) == int(prompts.right[pair])
        assert found.loops == pytest.approx(expected / prompts.n_pairs)

    def test_only_some_layers(self, natural: Natural) -> None:
        _, prompts = natural("gpt2")
        found = kc.back_patch(prompts, windows=[1], sources=[0], n_loops=0)
        assert not found.computed.any()
        assert np.isnan(found.accuracy).all()
        assert found.to_frame().empty

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"windows": [2]}, "odd windows from 1 on, got"),
            ({"windows": []}, "odd windows from 1 on, got"),
            ({"sources": [2]}, "layers from 0 to 1, got 2"),
            ({"loop": (1, 0, 1)}, "from a later layer to an earlier one"),
        ],
    )
    def test_wrong_options(self, options: dict[str, Any], message: str, natural: Natural) -> None:
        with pytest.raises(InputError, match=message):
            kc.back_patch(natural("gpt2")[1], **options)


class TestSimilarity:
    def test_against_cosines_by_hand(self, natural: Natural) -> None:
        _, prompts = natural("gpt2")
        found = unembedding_similarity(prompts).set_index(["layer", "class"])["similarity"]
        kept = kept_of(prompts, prompts.clean, ["blocks.1.hook_resid_post"])
        stream = kept["blocks.1.hook_resid_post"][:, 1:4, None]
        cosines = torch.cosine_similarity(stream, prompts.model.W_U.detach().T[None, None], -1)
        assert found[1, "data"] == pytest.approx(float(cosines.amax(-1).mean()))
        with pytest.raises(ShapeError, match=r"directions of shape \[16, direction\]"):
            unembedding_similarity(prompts, torch.eye(3))


@pytest.mark.parametrize("name", NAMES)
def test_everything_runs_on_models_of_hugging_face(name: str, natural: Natural) -> None:
    text, image = natural(name)
    study = study_modalities(text, image, shares=(0, 0.5, 1), windows=(1,))
    assert study.curves is not None
    assert study.interchange is not None
    assert study.curves["faithfulness"].tolist() == pytest.approx(
        [0, study.curves["faithfulness"][1], 1, 0, study.curves["faithfulness"][4], 1]
    )
    assert len(study.interchange) == 14
    assert np.isfinite(study.interchange["faithfulness"]).all()
    assert study.summary["accuracy"].tolist() == [1, 1]


class TestPrompts:
    def test_of_a_task(self, bridges: Callable[[str], TransformerBridge], natural: Natural) -> None:
        text, _ = natural("gpt2")
        counts = torch.ones_like(text.clean, dtype=torch.bool)
        model = kc.BridgedModel(bridges("gpt2"))
        task = kc.Task("text", model, text.clean, text.corrupted, counts)
        made = Prompts.of_task(task, text.classes)
        assert made.model is text.model
        assert made.name == "text"
        assert torch.equal(made.right, text.right)
        assert torch.equal(made.wrong, text.wrong)
        again = Prompts.of_task(task, text.classes, "words")
        assert again.name == "words"
        labels = Answers(text.wrong, text.right)
        told = replace(task, metric="logit_diff", labels=labels)
        swapped = Prompts.of_task(told, text.classes)
        assert torch.equal(swapped.right, text.wrong)
        assert swapped.accuracy < 1
        two = Answers(torch.stack([text.right, text.right], 1), text.wrong)
        with pytest.raises(TaskError, match="one right and one wrong answer of each pair"):
            Prompts.of_task(replace(told, labels=two), text.classes)
        with pytest.raises(ArgumentError, match="expected task to be Task"):
            Prompts.of_task(text, text.classes)  # type: ignore[arg-type]

    def test_wrong_prompts(self, natural: Natural, no_shape_checks: None) -> None:
        text, image = natural("gpt2")
        pairs = (text.clean, text.corrupted)
        with pytest.raises(TaskError, match="a wrong answer for each prompt"):
            Prompts("a", text.model, *pairs, text.right, text.right, text.classes)
        with pytest.raises(TaskError, match="expected clean prompts of shape"):
            Prompts("a", text.model, *pairs, text.right, text.wrong, image.classes)
        with pytest.raises(ArgumentError, match="expected model to be"):
            Prompts("a", None, *pairs, text.right, text.wrong, text.classes)  # type: ignore[arg-type]
        with pytest.raises(TaskError, match="expected clean to be ids from 0 to 10, got 1011"):
            replace(text, clean=torch.full_like(text.clean, 1011))
        with pytest.raises(TaskError, match="expected wrong to be ids from 0 to 10, got -1"):
            replace(text, wrong=torch.full_like(text.wrong, -1))
        with pytest.raises(
            TaskError, match=r"ids in 1 dimensions, got torch.int64 of shape \[11, 1\]"
        ):
            replace(text, right=text.right[:, None], wrong=text.wrong[:, None])
        with pytest.raises(TaskError, match="expected right to be ids .* got torch.float32"):
            replace(text, right=text.right.float())
        model = kc.BridgedModel(text.model)  # type: ignore[arg-type]
        task = kc.Task("text", model, *pairs, torch.ones_like(text.clean, dtype=torch.bool))
        with pytest.raises(TaskError, match="expected classes of . positions, got 40"):
            Prompts.of_task(task, kc.position_classes(40, [1]))

    def test_no_rows_at_a_time(self, natural: Natural, no_shape_checks: None) -> None:
        text, _ = natural("gpt2")
        nothing = no_nodes(text)
        for call in (
            lambda: node_scores(text, batch_size=0),
            lambda: node_faithfulness(text, [nothing], batch_size=-1),
            lambda: unembedding_similarity(text, batch_size=0),
            lambda: kc.back_patch(text, batch_size=0),
        ):
            with pytest.raises(InputError, match="batch_size of at least 1, got"):
                call()
        with pytest.raises(InputError, match="resolution from 0 to below 1, got nan"):
            kc.node_circuit(text, resolution=float("nan"))
        with pytest.raises(InputError, match="circuits of two modalities, got 1"):
            kc.interchange_faithfulness(text, text, (nothing,))  # type: ignore[arg-type]
        with pytest.raises(InputError, match="names of two prompts, got 1 and 2"):
            kc.circuit_overlap(nothing, nothing, (text.classes,))  # type: ignore[arg-type]

    def test_nothing_to_put_back(self, natural: Natural) -> None:
        """As in a model of one layer: no layer is behind another."""
        text, image = natural("gpt2")
        wrong = replace(image, right=image.wrong, wrong=image.right)
        found = kc.back_patch(wrong, text, sources=[0])
        assert text.accuracy > wrong.accuracy
        assert np.isnan(found.gap_closed)
        assert found.loops == ()
        with pytest.raises(InputError, match="a source behind a target, got none"):
            _ = found.best

    def test_answers_among_some(self, natural: Natural, no_shape_checks: None) -> None:
        text, _ = natural("gpt2")
        wrong = replace(text, right=text.wrong, wrong=text.right)
        among = torch.cat([wrong.right, torch.tensor([0])]).unique()
        with torch.no_grad():
            said = text.model(text.clean)[:, -1][:, among].argmax(-1)
        some = replace(wrong, among=among)
        assert some.answers.tolist() == (among[said] == wrong.right).tolist()
        assert replace(wrong, among=torch.arange(11)).accuracy == wrong.accuracy
        other = torch.tensor([i for i in range(11) if i not in text.right])[:1]
        with pytest.raises(TaskError, match=rf"right answers among \[{int(other)}\], got"):
            replace(text, among=other)

    def test_of_a_case(self, subjects: Callable[[str], Wired]) -> None:
        found = kc.modality_prompts(subjects("shared"), 20, seed=1)
        assert list(found) == ["text", "image"]
        for prompts in found.values():
            assert prompts.n_pairs == 20
            assert (prompts.right != prompts.wrong).all()
        again = kc.modality_prompts(subjects("shared"), 20, seed=1)
        assert torch.equal(found["image"].corrupted, again["image"].corrupted)
        with pytest.raises(UnknownNameError, match="case of two modalities 'histogram'"):
            kc.modality_prompts(kc.load_case("histogram").compile())
        with pytest.raises(TaskError, match="at least one prompt, got 0"):
            kc.modality_prompts(subjects("shared"), 0)

    def test_a_model_without_hooks(self) -> None:
        from knowncircuits.evaluation.modalities.prompts import hooked_model

        with pytest.raises(ModelError, match="a Transformer or a bridge, got a int"):
            hooked_model(1)
