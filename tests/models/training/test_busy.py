"""Work for outside nodes: what side circuits are, compute and follow, and what trains them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.cases import load_case
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.training.busy import Busy
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.objectives import EdgeInterchanges, Emphasis, Step
from knowncircuits.models.training.side_circuits import draw_side_circuits
from knowncircuits.models.training.side_signals import SideSignals
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.models.training.trainer import Trainer
from knowncircuits.transformer import Transformer

FEW = {"n_inputs": 2000, "n_validation": 200}


def placed_case(name: str = "trend", layers: int = 3) -> Placed:
    compiled = load_case(name).compile(dtype=torch.float32)
    low = low_level_config(compiled, n_layers=layers, n_heads=3, d_model=16)
    placement = Correspondence.shuffled(compiled.circuit, low.graph, 1)
    return Placed(Transformer(low).initialise(0), compiled, placement)


def some_inputs(placed: Placed, n: int, seed: int) -> torch.Tensor:
    compiled = placed.compiled
    return compiled.to_ids(load_case(compiled.name).draw(n, seed))


@given(st.integers(1, 4), st.integers(1, 4), st.floats(0, 1), st.integers(0, 99))
def test_side_circuits_are_drawn_outside_and_read_what_is_before_them(
    layers: int, heads: int, share: float, seed: int
) -> None:
    graph, inside = Graph(layers, heads), ["embed", "pos", "a0.h0", f"m{layers - 1}", "logits"]
    sides = draw_side_circuits(graph, inside, share, np.random.default_rng(seed))
    n_outside = layers * (heads + 1) - 2
    assert len(sides) == round(share * n_outside)
    known = [*inside, *(side.node for side in sides)]
    for side in sides:
        assert side.node not in inside
        assert all(source.depth < side.node.depth and source in known for source in side.sources)
        assert all(edge in graph.edge_index for edge in side.edges)
        assert len(side.edges) == (3 if side.node.kind == "head" else 2)
    read = {source for side in sides for source in side.sources}
    last = max((side.node.depth for side in sides), default=-1)
    layer = [side.node for side in sides if side.node.depth < last]
    # The next node reads two or more of those that nobody reads yet.
    assert len([node for node in layer if node not in read]) <= max(0, heads - 1)


def test_signals_are_made_of_what_their_nodes_read() -> None:
    placed = placed_case()
    signals = SideSignals(placed, 1.0, 0, some_inputs(placed, 500, 0))
    tokens = some_inputs(placed, 50, 1)
    found = signals(tokens, placed.compiled.model.run(tokens).outputs)
    assert len(signals.sides) == 3 * 4 - 2
    places = {node: i for i, node in enumerate(placed.correspondence.low.sources)}
    for side in signals.sides:
        read = [found[:, :, places[source]].double().numpy() for source in side.sources]
        if side.join is None:
            q, k, v = read
            scores = 2 * q[:, :, None] * k[:, None, :]
            if placed.model.config.causal:
                scores += np.triu(np.full((q.shape[1],) * 2, -np.inf), 1)
            weights = np.exp(scores)
            made = (weights / weights.sum(-1, keepdims=True) @ v[:, :, None])[..., 0]
        else:
            a, b = (np.tanh(1.5 * x) for x in read)
            made = {"product": a * b, "and": a + b + a * b, "or": a + b - a * b}[side.join]
        own = found[:, :, places[side.node]].numpy()
        if own.std() > 0.1:  # not one that reads two constants
            assert np.corrcoef(own.ravel(), made.ravel())[0, 1] == pytest.approx(1, abs=1e-5)


def test_signals_follow_interchanges() -> None:
    placed = placed_case()
    graph, run = placed.correspondence.low, placed.compiled.model.run
    signals = SideSignals(placed, 1.0, 0, some_inputs(placed, 500, 0))
    base, source = some_inputs(placed, 40, 1), some_inputs(placed, 40, 2)
    clean, other = (signals(ids, run(ids).outputs) for ids in (base, source))
    high = run(base).outputs

    def patched(*edges: str) -> torch.Tensor:
        mask = torch.zeros(len(base), graph.n_edges)
        mask[:, [graph.index(edge) for edge in edges]] = 1
        return signals(base, high, other, mask)

    assert torch.equal(patched(), clean)
    places = {node: i for i, node in enumerate(graph.sources)}
    everything = patched(*graph.edges)
    for side in signals.sides:
        place = places[side.node]
        assert torch.allclose(everything[:, :, place], other[:, :, place], atol=1e-5)
    changed = set()
    for side in signals.sides:
        behind = {side.node}
        for later in signals.sides:
            if behind & {*later.sources}:
                behind.add(later.node)
        found = patched(*side.edges)
        moved = (found != clean).flatten(0, 1).any(0)
        assert {graph.sources[i] for i in moved.nonzero().flatten()} <= behind
        changed |= {node for node in behind if moved[places[node]]}
    assert len(changed) > len(signals.sides) / 2


def test_the_loss_is_zero_for_nodes_that_do_their_work() -> None:
    placed = placed_case()
    busy = Busy(placed, 1.0, 0, some_inputs(placed, 500, 0))
    ids = some_inputs(placed, 100, 1)
    with torch.no_grad():
        clean = placed.model.run(ids).outputs
        signals = busy.signals(ids, placed.compiled.model.run(ids).outputs)
        idle = busy.loss(clean, signals, clean)
        written = torch.zeros_like(clean)
        generator = torch.Generator().manual_seed(0)
        for i in range(clean.shape[1]):
            direction = torch.randn(clean.shape[-1], generator=generator)
            # As loud as each other; a circuit's nodes stand out less than what all read.
            written[:, i] = signals[:, :, i, None] * direction / direction.norm()
        spread = busy.loss(written, signals, 100 * written)
        assert idle > 5
        assert spread < idle / 2
        unlike = busy.loss(clean, signals, written) - busy.loss(written, signals, written)
    assert unlike > 3  # of ten nodes that write what they are not to


def test_training_gives_outside_nodes_work_once_the_circuit_is_there() -> None:
    compiled = load_case("trend").compile()
    low = low_level_config(compiled, n_layers=3, n_heads=3, d_model=24)
    placement = Correspondence.shuffled(compiled.circuit, low.graph, 1)
    config = TrainingConfig(
        objective="guided", busy=1.0, alone=30, rise=1, steps=200, warmup=10, **FEW
    )
    trainer = Trainer(compiled, placement, low, config)
    losses = [trainer.step().terms for _ in range(150)]
    assert losses[30]["busy"] == 0 < losses[31]["busy"]
    assert losses[149]["busy"] < losses[31]["busy"] / 1.5


def test_outside_nodes_that_are_hushed_do_not_matter() -> None:
    placed = placed_case()
    objective = EdgeInterchanges(placed)
    pairs = [some_inputs(placed, 16, seed) for seed in (0, 1)]

    def losses(volume: float) -> dict[str, float]:
        emphasis = Emphasis(volume=volume)
        step = Step(pairs[0], pairs[1], torch.Generator().manual_seed(0), emphasis)
        (found,) = objective.losses(step)
        return {name: loss.item() for name, loss in found.items()}

    silent, loud = losses(0.0), losses(1.0)
    with torch.no_grad():
        for layer in range(placed.model.config.n_layers):
            for head in range(placed.model.config.n_heads):
                if f"a{layer}.h{head}" not in placed.correspondence.nodes.values():
                    placed.model.W_O[layer, head] *= 3
    assert losses(0.0) == pytest.approx(silent, rel=1e-5)
    assert losses(1.0) != pytest.approx(loud, rel=1e-5)


def test_a_share_too_small_for_any_node_is_refused() -> None:
    placed = placed_case()
    with pytest.raises(ModelError, match="got 2 inside and 0 outside that are to have work"):
        SideSignals(placed, 0.01, 0, some_inputs(placed, 50, 0))


def test_only_interchanges_of_edges_train_busy_nodes() -> None:
    with pytest.raises(ModelError, match="expected busy nodes of objective edges or guided"):
        TrainingConfig(objective="nodes", busy=1.0)


def test_steps_on_strata_see_shorter_inputs() -> None:
    compiled = load_case("fraction_of_x").compile()
    low = low_level_config(compiled)
    placement = Correspondence.same_names(compiled.circuit, low.graph)
    trainer = Trainer(compiled, placement, low, TrainingConfig(strata=True, **FEW))
    drawn = [trainer.inputs.draw_pairs(trainer.generator) for _ in range(60)]
    assert {base.shape[1] for base, _ in drawn} == {2, 3, 4, 5}  # with BOS
    assert all(base.shape == source.shape and len(base) == 64 for base, source in drawn)
