"""The objectives: what is drawn and compared, and what training with each of them reaches."""

from __future__ import annotations

import dataclasses

import jaxtyping
import pytest
import torch
from torch import Tensor

from knowncircuits.cases import load_case
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.agreement import Agreement, measure
from knowncircuits.models.certificates.sets import edge_set
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.training.config import SIIT, TrainingConfig
from knowncircuits.models.training.objectives import (
    Behaviour,
    EdgeInterchanges,
    Emphasis,
    NodeInterchanges,
    Step,
)
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.models.training.trainer import Trainer, train

FEW = {"n_inputs": 2000, "n_validation": 200}


def trainer(config: TrainingConfig, name: str = "fraction_of_x") -> Trainer:
    compiled = load_case(name).compile()
    low = low_level_config(compiled)
    placement = Correspondence.shuffled(compiled.circuit, low.graph, 3)
    return Trainer(compiled, placement, low, config)


def test_edges_are_drawn_as_described() -> None:
    drawn = trainer(TrainingConfig(**FEW))
    assert isinstance(drawn.stepper.objective, EdgeInterchanges)
    inside, outside = drawn.stepper.objective.draw(3000, drawn.generator)
    per_pair = inside.sum(1)
    assert 0.3 < (per_pair == 0).float().mean() < 0.55  # a third, and empty subsets
    assert (outside.sum(1) == drawn.stepper.objective.outside.sum()).float().mean() >= 0.5
    assert not outside[:, torch.from_numpy(drawn.placed.correspondence.inside)].any()


def test_edges_that_lag_are_patched_more_often() -> None:
    drawn = trainer(TrainingConfig(**FEW, lagging=0.5))
    assert isinstance(drawn.stepper.objective, EdgeInterchanges)
    n_inside = len(drawn.stepper.objective.inside)
    assert drawn.emphasis == Emphasis()  # nothing is validated yet
    agreement = drawn.ending.validate()
    drawn.ending.judge(agreement, drawn.n_steps)
    lags = 1 - torch.tensor([found.share for found in agreement.inside.values()])
    expected = 0.5 / n_inside + 0.5 * lags / lags.sum()
    chances = drawn.emphasis.inside
    assert chances is not None
    assert torch.allclose(chances, expected)
    edges = [drawn.placed.model.graph.edges[i] for i in drawn.stepper.objective.inside]
    assert edges == list(agreement.inside)  # the same order
    edge, *others = agreement.inside
    nothing_counts = {edge: Agreement(), **{other: agreement.inside[other] for other in others}}
    drawn.ending.judge(dataclasses.replace(agreement, inside=nothing_counts), drawn.n_steps)
    assert drawn.emphasis.inside is not None
    assert drawn.emphasis.inside[0] == pytest.approx(0.5 / n_inside)
    one = Emphasis(torch.eye(n_inside)[2])
    inside, _ = drawn.stepper.objective.draw(3000, drawn.generator, one)
    alone = inside[inside.sum(1) == 1].mean(0)
    assert alone.argmax() == 2
    assert alone[2] > 0.7  # the others are random subsets of one edge


def test_outside_edges_come_in_slowly() -> None:
    drawn = trainer(TrainingConfig(**FEW, quiet=2, ramp=4, steps=8))
    assert isinstance(drawn.stepper.objective, EdgeInterchanges)
    strengths = []
    for _ in range(8):
        strengths.append(drawn.emphasis.outside)
        _, outside = drawn.stepper.objective.draw(8, drawn.generator, drawn.emphasis)
        assert set(outside.unique().tolist()) <= {0.0, strengths[-1]}
        drawn.step()
    assert strengths == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]


def replaced(model: torch.nn.Module, node: str, base: Tensor, source: Tensor) -> Tensor:
    """Logits on base with the whole output of a node as it is on source, by hooks."""
    hooked = to_hooked(model)  # type: ignore[arg-type]
    layer, _, head = node[1:].partition(".h")
    where = f"blocks.{layer}.{'attn.hook_result' if head else 'hook_mlp_out'}"
    _, cache = hooked.run_with_cache(source)

    def hook(value: Tensor, hook: object) -> Tensor:
        if not head:
            return cache[where]
        value = value.clone()
        value[:, :, int(head)] = cache[where][:, :, int(head)]
        return value

    return hooked.run_with_hooks(base, fwd_hooks=[(where, hook)])


def test_node_losses_are_those_of_hooks() -> None:
    """Each is the squared error between whole outputs of one node, in both models or in one."""
    drawn = trainer(dataclasses.replace(SIIT, **FEW))
    assert isinstance(drawn.stepper.objective, NodeInterchanges)
    (base, source), high = drawn.inputs.validation, drawn.placed.compiled.model
    nodes = {h: l for h, l in drawn.placed.correspondence.nodes.items() if h[0] in "am"}
    assert nodes == {"m0": "m0", "a1.h0": nodes["a1.h0"]}
    others = [
        n for n in drawn.placed.model.graph.sources if n[0] in "am" and n not in nodes.values()
    ]

    def loss(got: Tensor, wanted: Tensor) -> float:
        counts = drawn.placed.compiled.defined(wanted)
        return (got - wanted)[counts].square().mean().item()

    model = drawn.placed.model
    inside = {
        loss(replaced(model, l, base, source), replaced(high, h, base, source))
        for h, l in nodes.items()
    }
    outside = {loss(replaced(model, node, base, source), high(base)) for node in others}
    seen: dict[str, set[float]] = {"patched": set(), "strict": set(), "behaviour": set()}
    for _ in range(60):  # so that every node is drawn
        steps = list(drawn.stepper.objective.losses(Step(base, source, drawn.generator)))
        assert [list(step) for step in steps] == [["patched"], ["strict"], ["behaviour"]]
        for step in steps:
            for name, value in step.items():
                seen[name].add(value.item())
    assert sorted(seen["patched"]) == pytest.approx(sorted(inside), rel=1e-4)
    assert sorted(seen["strict"]) == pytest.approx(sorted(outside), rel=1e-4)
    assert list(seen["behaviour"]) == pytest.approx([loss(model(base), high(base))], rel=1e-4)


def test_weights_act_once() -> None:
    """Four times the weight is four times the gradient, not sixteen times."""
    alone = dataclasses.replace(SIIT, **FEW, patched_weight=1e-9, behaviour_weight=1e-9)
    norms = [
        trainer(dataclasses.replace(alone, strict_weight=weight)).step().gradient_norm
        for weight in (0.1, 0.4)
    ]
    assert norms[1] / norms[0] == pytest.approx(
        4, rel=0.2
    )  # the first of three updates moves it a bit


@pytest.mark.long
def test_nodes_agree_where_nodes_are_trained_and_edges_do_not() -> None:
    """Why there are edges: with every node agreeing, edges and all outside at once are far off."""
    quick = dataclasses.replace(
        SIIT, **FEW, batch_size=64, learning_rate=5e-3, schedule="cosine", steps=500
    )
    done = trainer(quick)
    first = done.step()
    agreement = train(done)
    last = [done.step() for _ in range(10)]
    assert set(first.terms) == {"behaviour", "patched", "strict"}
    for term, loss in first.terms.items():
        assert max(losses.terms[term] for losses in last) < loss / 20
    graph = done.placed.model.graph
    nodes = measure(
        done.placed,
        *done.inputs.validation,
        {node: edge_set(graph, graph.edges_from(node)) for node in graph.sources},
    )
    assert all(
        nodes[node].share > 0.99
        for node in done.placed.correspondence.nodes.values()
        if node in nodes
    )
    assert min(found.share for found in nodes.values()) > 0.9
    assert agreement.accuracy.share > 0.99
    assert agreement.worst_inside[1] < 0.6
    assert agreement.sets["outside"].share < 0.6


def test_objectives_differ() -> None:
    config = TrainingConfig(**FEW, batch_size=8)
    first, second = trainer(config), trainer(dataclasses.replace(config, objective="nodes"))
    assert torch.equal(first.placed.model.W_E, second.placed.model.W_E)
    assert list(first.step().terms) == ["behaviour", "patched"]
    assert second.step().terms["strict"] > 0.0
    assert not torch.equal(first.placed.model.W_E, second.placed.model.W_E)


@pytest.mark.long
def test_natural_models_learn_the_answers_and_another_circuit() -> None:
    """Training ends where accuracy says so; what lies outside the circuit is not looked at."""
    config = TrainingConfig(**FEW, objective="behaviour", steps=1500)
    done = trainer(config)
    assert isinstance(done.stepper.objective, Behaviour)
    (base, source), high = done.inputs.validation, done.placed.compiled.model
    step = Step(base, source, done.generator)
    ((term, loss),) = next(done.stepper.objective.losses(step)).items()
    both = torch.cat((base, source))
    errors = (done.placed.model(both) - high(both))[
        done.placed.compiled.defined(high(both))
    ].square()
    assert (term, loss.item()) == ("behaviour", pytest.approx(errors.mean().item(), rel=1e-5))
    first = done.step()
    assert list(first.terms) == ["behaviour"]
    agreement = train(done)
    assert done.n_steps < config.steps
    assert agreement.accuracy.share >= 0.999
    assert agreement.worst_inside == ("", 1.0)  # not measured
    graph = done.placed.model.graph
    outside = ~done.placed.correspondence.inside & (done.placed.correspondence.circuit.determined)
    sets = {"outside": outside[None], "nothing": edge_set(graph, [])}
    found = measure(done.placed, base, source, sets)
    assert found["outside"].share < 0.7 < 0.999 <= found["nothing"].share


@pytest.mark.parametrize("name", ["objective", "schedule"])
def test_unknown_choices(name: str) -> None:
    jaxtyping.config.update("jaxtyping_disable", True)  # types are only checked in the tests
    try:
        with pytest.raises(ModelError, match=f"expected {name} .* or .*, got 'other'"):
            TrainingConfig(**{name: "other"})  # type: ignore[arg-type]
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
