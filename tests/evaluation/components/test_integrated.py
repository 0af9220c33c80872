"""Components' effects and gradients: against hooks, and where their values are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from bridges import FAMILIES, bridged
from torch import Tensor

import knowncircuits as kc
from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import MethodError, ModelError, UnknownNameError
from knowncircuits.evaluation.choices import Ablation, Along, Level
from knowncircuits.evaluation.components.integrated import component_gradients
from knowncircuits.evaluation.components.parts import cuts, parts_of
from knowncircuits.evaluation.components.patched import component_effects
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.methods.nodes import sum_by_source
from knowncircuits.evaluation.task import Task
from knowncircuits.models.interop.bridge import BridgedModel
from knowncircuits.models.interop.hooked import HookedTwin, to_hooked
from knowncircuits.transformer import Transformer
from strategies import gate_task, random_task

LEVELS: tuple[Level, ...] = ("node", "head", "neuron")


def hook_of(component: str) -> tuple[str, int | None]:
    """Where a component's value passes, and its place there."""
    if component in ("embed", "pos"):
        return f"hook_{component}".replace("pos", "pos_embed"), None
    if ".h" in component:
        layer, head = component[1:].split(".h")
        return f"blocks.{layer}.attn.hook_result", int(head)
    layer, _, unit = component[1:].partition(".n")
    return (f"blocks.{layer}.mlp.hook_post" if unit else f"blocks.{layer}.hook_mlp_out"), (
        int(unit) if unit else None
    )


def patched_by_hooks(task: Task, component: str, position: int | None = None) -> Tensor:
    """The metric of each pair with one component's value replaced by that of the ablation."""
    hooked: Any = task.model.bridge if isinstance(task.model, BridgedModel) else task.model
    if isinstance(hooked, Transformer):
        hooked = to_hooked(hooked)
    name, place = hook_of(component)
    seen: dict[str, Tensor] = {}

    def see(value: Tensor, hook: Any) -> None:
        seen["value"] = value.clone()

    def patch(value: Tensor, hook: Any) -> Tensor:
        new = seen["value"]
        if task.ablation == "mean":
            new = new.mean(0, keepdim=True).expand_as(new)
        elif task.ablation == "zero":
            new = torch.zeros_like(new)
        value, positions = value.clone(), slice(None) if position is None else position
        if place is None:
            value[:, positions] = new[:, positions]
        elif value.ndim == 4:  # [batch, pos, head, d_model]
            value[:, positions, place] = new[:, positions, place]
        else:
            value[:, positions, place] = new[:, positions, place]
        return value

    with torch.no_grad():
        hooked.run_with_hooks(task.corrupted, fwd_hooks=[(name, see)])
        logits = hooked.run_with_hooks(task.clean, fwd_hooks=[(name, patch)])
        return task.measure(logits, torch.arange(task.n_pairs))


AND = [(1, -1, 1)]  # relu(a + b - 1)
OR = [(-1, 1, -1)]  # clamp(a + b, max=1) - 1, a ReLU that is off where both flags are on


@pytest.mark.parametrize(
    ("gate", "patch", "slope"), [(AND, [1, 1], [1, 1]), (OR, [0, 0], [0, 0])], ids=["and", "or"]
)
def test_gates(
    gate: list[tuple[float, float, float]], patch: list[float], slope: list[float]
) -> None:
    """The total effect is 1: patching counts the AND twice and the OR not at all; jointly, halves.

    Scores say how far y falls: what is -1 as a change of y is 1.
    """
    task = gate_task(gate)
    assert component_effects(task, "head").values.tolist() == patch
    assert component_gradients(task, "head", along="clean").values.tolist() == slope
    # The ReLU's kink is halfway: even numbers of midpoints lie evenly on its sides.
    for along in ("layer", "inputs"):
        found = component_gradients(task, "head", along=along, steps=10)
        assert found.values == pytest.approx([0.5, 0.5])
    alone = component_gradients(task, "head", steps=10).values
    assert alone == pytest.approx(patch)
    assert component_effects(task, "node").values == pytest.approx([1, 0, *patch, 1])


def test_a_saturated_relu() -> None:
    """relu(1 - a) with a = 2 in clean runs is off: no gradient there, and an effect of 1."""
    task = gate_task([(-0.5, 1, -1)], flag=2.0)  # of both flags, 1 - (a + b) / 2
    slopes = component_gradients(task, "node", along="clean")
    effects = component_effects(task, "node")
    m0 = effects.components.index("m0")
    assert effects.values[m0] == 1
    units = component_effects(task, "neuron")
    assert units.components == ("m0.n0",)
    assert units.values.tolist() == [1]
    # The embedding feeds both flags; the unit turns on halfway.
    assert slopes.values[:2].tolist() == [0, 0]
    assert effects.values[0] == 1
    integrated = component_gradients(task, "node", steps=10)
    assert integrated.values == pytest.approx(effects.values)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("ablation", ["resample", "mean", "zero"])
def test_effects_are_what_hooks_measure(level: Level, ablation: Ablation) -> None:
    task = random_task("kl", n_pairs=3, ablation=ablation)
    found = component_effects(task, level)
    for i in range(0, len(found.components), 5 if level == "neuron" else 1):
        wanted = patched_by_hooks(task, found.components[i])
        assert found.by_pair[:, i] == pytest.approx(wanted.numpy(), abs=1e-10)
    assert np.abs(found.values).max() > 1e-3
    at = component_effects(task, level, per_position=True, batch_size=7)
    assert at.by_pair.shape == (3, len(found.components), 5)
    last = found.components[-1]
    for position in (1, 4):
        wanted = patched_by_hooks(task, last, position)
        assert at.by_pair[:, -1, position] == pytest.approx(wanted.numpy(), abs=1e-10)


def test_heads_and_mlps_as_by_activation_patching() -> None:
    """Which masks what leaves a head, and tells the logit difference that is left."""
    task = random_task("logit_diff", n_pairs=3)
    found = kc.component_effects(task, "node", per_position=True)
    frame = kc.act_patch(task, ("z", "mlp"), per_position=True)
    clean = frame.attrs["clean"]
    for node, rows in frame.groupby("node"):
        ours = found.values[found.components.index(str(node))]
        assert ours == pytest.approx((clean - rows["value"]).to_numpy(), abs=1e-10)
    assert frame["node"].nunique() == 6


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("per_position", [False, True])
def test_alone_they_come_to_patching(level: Level, per_position: bool) -> None:
    """To 1e-8, as steps grow: on every pair, not only on average."""
    task = small_task()
    wanted = component_effects(task, level, per_position=per_position).by_pair
    options: Any = {"per_position": per_position, "rule": "gauss"}
    errors = [
        np.abs(component_gradients(task, level, steps=n, **options).by_pair - wanted).max()
        for n in (2, 24)
    ]
    assert errors[1] < 1e-8 < errors[0]
    assert np.abs(wanted).max() > 1e-2


def small_task(metric: str = "kl") -> Task:
    """Every component of a random model whose activations have no kink."""
    config = TransformerConfig(2, 2, 6, 2, 4, n_ctx=3, d_vocab=6, d_vocab_out=4)
    model = Transformer(config, dtype=torch.float64).initialise(3).requires_grad_(False)
    clean, corrupted = torch.tensor([[[1, 2, 3], [4, 5, 1]], [[3, 1, 5], [2, 2, 4]]])
    return Task("small", model, clean, corrupted, clean > 0, metric)


@pytest.mark.parametrize("level", LEVELS)
def test_a_layer_jointly_comes_to_patching_the_layer(level: Level) -> None:
    task = small_task("label_loss")
    parts = parts_of(task, level)
    names, members = cuts(parts)
    found = component_gradients(task, level, along="layer", steps=24, rule="gauss")
    sums = dict.fromkeys(names, 0.0)
    for place, value in zip(parts.sources.tolist(), found.values, strict=True):
        sums[names[int(members[:, place].nonzero())]] += value
    for name, own in zip(names, members, strict=True):
        mask = own[torch.from_numpy(task.graph.source_of_edge)][None].double()
        with torch.no_grad():
            logits = task.model.run(task.clean, task.alternative, mask).logits
        effect = task.measure(logits, torch.arange(task.n_pairs)).mean().item()
        assert sums[name] == pytest.approx(effect, abs=1e-8), name
        assert abs(effect) > 1e-4
    at = component_gradients(task, level, along="layer", per_position=True, batch_size=3)
    whole = component_gradients(task, level, along="layer")
    assert at.values.sum(1) == pytest.approx(whole.values)


def test_one_neuron_is_a_part_of_its_mlp() -> None:
    """All neurons of a layer are on the way that the MLP is on alone."""
    task = random_task("l2", n_pairs=3)
    units = component_gradients(task, "neuron", along="layer")
    node = component_gradients(task, "node", along="alone")
    for layer in (0, 1):
        of_layer = [i for i, name in enumerate(units.components) if name.startswith(f"m{layer}.")]
        mlp = node.components.index(f"m{layer}")
        assert units.by_pair[:, of_layer].sum(1) == pytest.approx(node.by_pair[:, mlp])


def test_nodes_are_sums_of_edges() -> None:
    """The edges' methods, which go another way about it, give the same."""
    task = random_task("logit_diff", n_pairs=4)
    for method, along, options in (
        ("eap", "clean", {}),
        ("eap-ig-inputs", "inputs", {"steps": 3}),
        ("eap-ig-activations", "alone", {"steps": 3}),
    ):
        edges = discover(method, task, **options)
        ways: Any = {"along": along, **({"rule": "riemann"} | options if options else {})}
        found = component_gradients(task, "node", **ways)
        wanted = sum_by_source(task.graph, edges.values)
        assert dict(zip(found.components, found.values, strict=True)) == pytest.approx(wanted)
    edges = discover("eap", task, gradients_at="corrupted")
    found = component_gradients(task, "node", along="corrupted")
    assert found.values == pytest.approx(list(sum_by_source(task.graph, edges.values).values()))


@pytest.mark.parametrize("along", ["clean", "corrupted", "inputs"])
def test_neurons_on_the_way_of_the_inputs(along: Along) -> None:
    """Gradients at `mlp.hook_post`, by autograd through hooks."""
    task = small_task("label_loss")
    assert isinstance(task.model, Transformer)
    hooked = to_hooked(task.model).requires_grad_(True)
    shares = {"clean": [0.0], "corrupted": [1.0], "inputs": [0.25, 0.75]}[along]
    wanted = torch.zeros(2, 2, 3, 4, dtype=torch.float64)
    moves = hooked.hidden_units(task.corrupted) - hooked.hidden_units(task.clean)
    for share in shares:
        embedded = task.clean_run.outputs[:, 0] + share * task.differences[:, 0]
        seen: dict[str, Tensor] = {}

        def keep(value: Tensor, hook: Any, into: dict[str, Tensor] = seen) -> None:
            value.retain_grad()
            into[hook.name] = value

        hooks: list[Any] = [("hook_embed", lambda value, hook, new=embedded: new)]
        hooks += [(f"blocks.{layer}.mlp.hook_post", keep) for layer in (0, 1)]
        logits = hooked.run_with_hooks(task.clean, fwd_hooks=hooks)
        task.measure(logits, torch.arange(2)).sum().backward()
        gradients = [seen[f"blocks.{layer}.mlp.hook_post"].grad for layer in (0, 1)]
        wanted += torch.stack([g for g in gradients if g is not None], 1) / len(shares)
    found = component_gradients(task, "neuron", along=along, per_position=True, steps=2)
    expected = (wanted * moves.detach()).transpose(2, 3).flatten(1, 2)
    assert found.by_pair == pytest.approx(expected.detach().numpy(), abs=1e-10)
    assert np.abs(found.by_pair).max() > 1e-3


@pytest.mark.parametrize("kind", FAMILIES)
def test_bridges(kind: str) -> None:
    """Of models that nothing is known of: against hooks, and the identities hold."""
    task = bridged(kind)
    assert isinstance(task.model, BridgedModel)
    task.model.bridge.set_use_attn_result(True)  # a hook of TransformerLens's own
    for level in LEVELS:
        effects = component_effects(task, level)
        for i in (0, len(effects.components) - 1):
            wanted = patched_by_hooks(task, effects.components[i])
            assert effects.by_pair[:, i] == pytest.approx(wanted.numpy(), abs=1e-8)
        alone = component_gradients(task, level, steps=16, rule="gauss")
        assert alone.values == pytest.approx(effects.values, abs=1e-5)
        for along in ("layer", "inputs", "clean"):
            found = component_gradients(task, level, along=along, per_position=True, steps=2)
            assert np.abs(found.values).max() > 1e-3
    edges = discover("eap", task)
    clean = component_gradients(task, "node", along="clean")
    wanted_sums = list(sum_by_source(task.graph, edges.values).values())
    assert clean.values == pytest.approx(wanted_sums, abs=1e-10)


@pytest.mark.parametrize("gated", [False, True])
def test_units_are_what_hooks_see(gated: bool) -> None:
    task = random_task(gated=gated, norm="rms", positions="rotary")
    assert isinstance(task.model, Transformer)
    twin = to_hooked(task.model)
    found = task.model.hidden_units(task.clean)
    assert torch.allclose(found, twin.hidden_units(task.clean), atol=1e-12)
    assert torch.equal(task.model.unit_weights, twin.unit_weights)
    assert found.shape == (6, 2, 5, 12)


def test_compiled_units_that_no_run_computes_are_zero() -> None:
    """Their layers use different numbers of units."""
    task = kc.make_task(kc.load_case("fraction_of_x").compile(), n_pairs=4)
    model = task.model
    assert isinstance(model, Transformer)
    assert model.hidden[0] != model.hidden[1]
    effects = component_effects(task, "neuron").values.reshape(2, -1)
    for layer, used in enumerate(model.hidden):
        assert effects[layer, :used].any() == bool(used)
        assert not effects[layer, used:].any()


def test_frames() -> None:
    task = small_task()
    frame = component_effects(task, "head", per_position=True).frame()
    assert list(frame.columns) == ["component", "position", "score"]
    assert len(frame) == 4 * 3
    assert frame.query("component == 'a1.h0'")["position"].tolist() == [0, 1, 2]
    assert list(component_effects(task, "head").frame().columns) == ["component", "score"]


@pytest.mark.usefixtures("no_shape_checks")
def test_errors() -> None:
    task = small_task("kl")
    with pytest.raises(UnknownNameError, match="level 'heads'; did you mean head"):
        component_effects(task, "heads")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="way 'layers'; did you mean layer"):
        component_gradients(task, along="layers")  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="expected gradients_at='corrupted' with kl"):
        component_gradients(task, along="clean")
    with pytest.raises(MethodError, match="at least one step, got 0"):
        component_gradients(task, steps=0)
    with pytest.raises(MethodError, match="batch_size of at least 1, got 0"):
        component_gradients(task, batch_size=0)
    no_mlps = Transformer(TransformerConfig(1, 1, 4, 2, 0, 3, 6, 4)).initialise(0)
    bare = Task("bare", no_mlps, task.clean, task.corrupted, task.counts)
    with pytest.raises(ModelError, match="expected a model with MLPs, got one without"):
        component_effects(bare, "neuron")
    assert isinstance(to_hooked(no_mlps), HookedTwin)
    with pytest.raises(ModelError, match="expected a model with MLPs, got one without"):
        to_hooked(no_mlps).hidden_units(task.clean)
