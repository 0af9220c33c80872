"""Real architectures behind a bridge: the primitive against hooks, edge by edge, or a refusal."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from quick_methods import OURS_ONLY, QUICK

import knowncircuits as kc
from knowncircuits.backward import BackwardRules
from knowncircuits.errors import ModelError, UnknownNameError
from knowncircuits.evaluation.bench.architectures import (
    bench_architectures,
    bridge_of,
    differences,
)
from knowncircuits.evaluation.methods import METHODS
from knowncircuits.evaluation.task import Task
from knowncircuits.models.interop.architectures import ARCHITECTURES
from knowncircuits.models.interop.bridge import BridgedModel
from knowncircuits.models.interop.hooks import run_patched
from knowncircuits.patching import MaskedPatches
from parts import some_long

SPLIT = [name for name, kind in ARCHITECTURES.items() if kind.places]
IS_NO_SUM = r"expected blocks\.0\.ln2\.hook_in to be the sum of .*: there is a norm, a scale or"
REFUSED = {
    "OPT 350m": "expected embed to write as much as the residual stream is wide, 16, got 8",
    "BLOOM, normed residual": IS_NO_SUM,
    "Granite": IS_NO_SUM,
}
# Grouped keys, parallel blocks, and norms behind: what the others have is among these.
FEATURES = ("Llama", "GPT-NeoX", "Gemma 2")


@pytest.fixture(scope="session")
def bridges() -> dict[str, BridgedModel]:
    return {
        name: BridgedModel(bridge_of(ARCHITECTURES[name].build(0))) for name in (*FEATURES, "GPT-J")
    }


@cache
def measured(name: str) -> tuple[np.ndarray, np.ndarray]:
    return differences(ARCHITECTURES[name], 0)


def kinds_of_edges(bridged: BridgedModel) -> np.ndarray:
    """Of every edge the kind of its source and what it leads to."""
    graph = bridged.graph
    ends = (graph.edge(i) for i in range(graph.n_edges))
    return np.array([f"{e.source.kind}->{e.target.kind}{e.destination.letter}" for e in ends])


class TestAgainstHooks:
    @pytest.mark.parametrize("name", SPLIT)
    def test_every_edge(self, name: str) -> None:
        largest, _ = measured(name)
        assert largest.max() < 1e-5

    @pytest.mark.long
    @pytest.mark.parametrize("seed", [1, 2, 3, 4])
    @pytest.mark.parametrize("name", SPLIT)
    def test_other_weights(self, name: str, seed: int) -> None:
        largest, _ = differences(ARCHITECTURES[name], seed)
        assert largest.max() < 1e-5

    @pytest.mark.parametrize("name", FEATURES)
    def test_every_kind_of_edge_does_something(
        self, name: str, bridges: dict[str, BridgedModel]
    ) -> None:
        """Else that the two are equal would say nothing."""
        kinds = kinds_of_edges(bridges[name])
        _, effects = measured(name)
        parallel = bridges[name].graph.parallel
        assert len(set(kinds)) == 15
        assert parallel == ("a0.h0->m0" not in bridges[name].graph.edges)
        for kind in set(kinds):
            assert effects[kinds == kind].max() > 1e-3, kind

    @pytest.mark.parametrize("name", ["Llama", "GPT-NeoX"])
    def test_transformer_lens_s_own_hooks(
        self, name: str, bridges: dict[str, BridgedModel]
    ) -> None:
        """Of families whose stream it forks; with masks by position, and gradients."""
        bridged = bridges[name]
        tokens, other = torch.arange(24).reshape(2, 2, 6) % 11
        alternative = bridged.run(other).outputs.detach()
        mask = torch.rand(2, bridged.graph.n_edges, 6, generator=torch.Generator().manual_seed(0))
        runs, gradients = [], []
        for run in (bridged.run, lambda *x: run_patched(bridged.bridge, *x, graph=bridged.graph)):
            leaf = mask.clone().requires_grad_()
            runs.append(run(tokens, alternative, leaf))
            gradients.append(torch.autograd.grad(runs[-1].logits.square().sum(), leaf)[0])
            for flag in ("use_split_qkv_input", "use_attn_result", "use_hook_mlp_in"):
                getattr(bridged.bridge, f"set_{flag}")(run == bridged.run)
        torch.testing.assert_close(runs[0].logits, runs[1].logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(runs[0].outputs, runs[1].outputs, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
        assert gradients[0].abs().max() > 0.1

    def test_the_table(self) -> None:
        table = bench_architectures(["Llama", "Granite"], [0]).set_index("architecture")
        assert table.edges.tolist() == [82, 0]
        assert 0 < table.difference["Llama"] < 1e-5
        assert table.refused["Granite"].startswith("expected blocks.0.ln2.hook_in to be the sum")
        with pytest.raises(
            UnknownNameError, match="unknown architecture 'Lama'; did you mean Llama"
        ):
            bench_architectures(["Lama"])


def test_each_is_split_or_refused() -> None:
    assert {*SPLIT, *REFUSED} == {*ARCHITECTURES}


class TestDtypes:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
    @pytest.mark.parametrize("name", FEATURES)
    def test_what_is_split_in_float32_is_split_in_all(self, name: str, dtype: torch.dtype) -> None:
        bridged = BridgedModel(bridge_of(ARCHITECTURES[name].build(0, dtype)))
        tokens = torch.arange(12).reshape(2, 6) % 11
        run = bridged.run(tokens)
        mask = torch.ones(1, bridged.graph.n_edges)
        patched = bridged.run(tokens, run.outputs.flip(0), mask).logits
        assert run.logits.dtype == patched.dtype == dtype
        scale = run.logits.abs().max()
        error = (patched - run.logits.flip(0)).abs().max() / scale  # all of the other input
        assert error < 16 * torch.finfo(dtype).eps + 1e-6

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
    @pytest.mark.parametrize("name", REFUSED)
    def test_refusals_name_why(self, name: str, dtype: torch.dtype) -> None:
        bridge = bridge_of(ARCHITECTURES[name].build(0, dtype))
        with pytest.raises(ModelError, match=REFUSED[name]):
            BridgedModel(bridge)


@pytest.fixture(scope="session")
def tasks(bridges: dict[str, BridgedModel]) -> dict[str, Task]:
    clean, corrupted = torch.arange(12).reshape(2, 1, 6) % 11
    pairs = clean, corrupted, torch.ones_like(clean).bool()
    return {name: Task(name, model, *pairs) for name, model in bridges.items()}


class TestMethods:
    @pytest.mark.parametrize("methods", some_long(["of ends", "all"], "all"))
    @pytest.mark.parametrize("name", FEATURES)
    def test_methods(self, name: str, methods: str, tasks: dict[str, Task]) -> None:
        """In the first place those that ask for the ends of edges."""
        few = QUICK | {"acdc": {"thresholds": [1e-6]}}
        every = sorted(METHODS.keys() - OURS_ONLY)
        for method in every if methods == "all" else ("ifr", "atp-star", "sp", "hisp", "nap"):
            scores = kc.discover(method, tasks[name], **few.get(method, {}))
            assert scores.values.any(), method

    def test_first_order_effects_are_those_of_small_patches(self, tasks: dict[str, Task]) -> None:
        """Of shared keys, parallel MLPs and heads before a norm, by differences."""
        for name in FEATURES:
            task = tasks[name]
            graph, model, step = task.graph, task.model, 1e-2

            def total(mask: torch.Tensor) -> torch.Tensor:
                rows = task.clean.expand(len(mask), -1)  # noqa: B023
                run = model.run(rows, task.alternative, mask)  # noqa: B023
                return run.logits.square().sum((1, 2))

            leaf = torch.zeros(1, graph.n_edges, requires_grad=True)
            gradient = torch.autograd.grad(total(leaf), leaf)[0][0]
            with torch.no_grad():
                ahead, behind = (
                    total(torch.eye(graph.n_edges) * step),
                    total(torch.eye(graph.n_edges) * -step),
                )
            slopes = (ahead - behind) / (2 * step)
            assert torch.allclose(gradient, slopes, atol=2e-2, rtol=2e-2), name

    def test_a_shared_key_changes_all_heads_of_its_group(self, tasks: dict[str, Task]) -> None:
        task = tasks["Llama"]
        graph = task.graph
        edge = graph.index("embed->a0.h2-3<k>")
        patches = MaskedPatches(task.model, task.clean, task.clean_run, task.alternative)
        heads = [graph.sources.index(head) for head in ("a0.h2", "a0.h3")]
        rows = torch.zeros(2, dtype=torch.long)
        changes = torch.zeros(2, *task.clean_run.outputs.shape[2:])
        for places, change in patches.changes(rows + edge, rows, torch.tensor(heads)):
            changes[places] = change
        mask = torch.zeros(1, graph.n_edges)
        mask[0, edge] = 1
        run = task.model.run(task.clean, task.alternative, mask)
        moved = run.outputs[0] - task.clean_run.outputs[0]
        torch.testing.assert_close(changes, moved[heads])
        assert changes.abs().amax((1, 2)).min() > 1e-3
        assert not moved[graph.sources.index("a0.h1")].any()

    def test_component_views_of_a_shared_key(self, tasks: dict[str, Task]) -> None:
        frame = kc.act_patch(tasks["Llama"], direction="denoise").set_index(["view", "node"])
        keys = frame["value"]["k"]
        assert keys["a0.h0"] == pytest.approx(keys["a0.h1"])
        assert keys["a0.h0"] != pytest.approx(keys["a0.h2"])


class TestRules:
    @pytest.mark.parametrize("name", FEATURES)
    def test_values_do_not_move(self, name: str, bridges: dict[str, BridgedModel]) -> None:
        tokens = torch.arange(12).reshape(2, 6) % 11
        model = bridges[name]
        rules = BackwardRules(
            frozen_norms=True, temperature=2, linear_activations=True, keys=0.5, gates=0.5
        )
        assert torch.equal(model.run(tokens, rules=rules).logits, model.run(tokens).logits)

    def test_frozen_norms_make_what_is_written_add_up(
        self, bridges: dict[str, BridgedModel]
    ) -> None:
        """With the last norm's scale a constant, what comes out of it is linear in what goes in."""
        model = bridges["Gemma 2"]
        tokens, seen = torch.arange(6)[None], {}
        nothing = torch.zeros_like(model.run(tokens).outputs)
        mask = torch.zeros(1, model.graph.n_edges, requires_grad=True)
        model.bridge.add_hook("ln_final.hook_out", lambda x, hook: seen.update(x=x))
        try:
            model.run(tokens, nothing, mask, BackwardRules(frozen_norms=True))
        finally:
            model.bridge.reset_hooks()
        (gradient,) = torch.autograd.grad(seen["x"].sum(), mask)
        into = ["->logits" in edge for edge in model.graph.edges]
        torch.testing.assert_close(-gradient[0, into].sum(), seen["x"].sum())

    def test_patterns_that_hooks_only_see(self, bridges: dict[str, BridgedModel]) -> None:
        tokens = torch.arange(6)[None]
        with pytest.raises(ModelError, match=r"rules about patterns need, got blocks\.0\.attn"):
            bridges["GPT-J"].run(tokens, rules=BackwardRules(frozen_patterns=True))
