"""Benchmarks run, and say what they compared; how fast, no test asks."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ResultError, UnknownNameError
from knowncircuits.evaluation.bench.attribution_run import run_subject, write_subject
from knowncircuits.evaluation.bench.attribution_time import bench_attribution
from knowncircuits.evaluation.bench.components_time import bench_components
from knowncircuits.evaluation.bench.effects_time import bench_effects
from knowncircuits.evaluation.bench.interval_coverage import (
    BOARDS,
    INTERVALS,
    POPULATIONS,
    SIZES,
    bench_intervals,
    bench_ranks,
)
from knowncircuits.evaluation.bench.memory import bench_memory
from knowncircuits.evaluation.bench.methods_time import bench_methods
from knowncircuits.evaluation.bench.models_time import bench_models
from knowncircuits.evaluation.bench.patching import bench_patching
from knowncircuits.evaluation.bench.scoring_time import GRAPHS, bench_scoring
from knowncircuits.evaluation.bench.stacks_time import bench_stacks
from knowncircuits.evaluation.bench.training_time import bench_training
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.task import Task
from knowncircuits.graph import Graph
from knowncircuits.transformer import Transformer


@pytest.mark.long
def test_training_is_compared_over_its_parts() -> None:
    told: list[str] = []
    settings = ["busy", "RMSNorm, gated, rotary"]
    table = bench_training(
        ["fraction_of_x"], settings=settings, steps=2, n_pairs=20, on_row=told.append
    )
    assert list(table["settings"]) == settings
    assert len(told) == len(table)
    assert (table["steps"] == 2).all()
    assert not table["certified"].any()  # nothing is learnt in two steps
    assert (table["of certificate"] < table["seconds"]).all()


@pytest.mark.long
def test_models_are_made_of_new_programs() -> None:
    settings = {"steps": 2, "n_inputs": 200, "n_validation": 20}
    table = bench_models(2, ["seed0", "seed1"], n_pairs=20, stack=2, settings=settings)
    (row,) = table.to_dict("records")
    assert (row["models"], row["certified"], row["steps"]) == (4, 0, 8)
    assert row["clock s"] > 0


@pytest.mark.long
def test_stacks_are_timed_beside_a_model_alone() -> None:
    table = bench_stacks([2], steps=1, device="cpu")
    assert list(table["stack"]) == [0, 2]
    assert table["ratio"][1] == pytest.approx(
        2 * table["seconds"][0] / table["seconds"][1], rel=1e-6
    )


def test_settings_that_there_are_not() -> None:
    with pytest.raises(UnknownNameError, match="settings 'Adma'.*Adam"):
        bench_training(settings=["Adma"])


def test_patching_gives_what_hooks_give() -> None:
    table = bench_patching(n_masks=4, repeats=1)
    assert (table["largest_difference"] < 1e-4 * table["largest_logit"]).all()
    ratio = (table["hooked_seconds"] / table["batched_seconds"]).tolist()
    assert table["ratio"].tolist() == pytest.approx(ratio)


def test_effects_are_what_hooks_find() -> None:
    (row,) = bench_effects(n_inputs=6, n_plain=5).to_dict("records")
    assert (row["nodes"], row["scales"], row["pairs"], row["plain_pairs"]) == (12, 12, 30, 20)
    assert row["largest_difference"] == 0
    assert row["plain_seconds_for_all"] == pytest.approx(row["plain_seconds"] * 30 / 20)
    assert row["ratio"] == pytest.approx(row["plain_seconds_for_all"] / row["seconds"])


def test_heads_are_patched_as_hooks_patch_them() -> None:
    table = bench_components(widths=(24,), layers=(10,), n_prompts=2, n_hooked=6)
    (row,) = table.to_dict("records")
    assert row["patches"] == 5 * 12 * 15
    assert row["largest_difference"] < 1e-5
    assert row["ratio"] == pytest.approx(row["hooked_seconds"] / row["call_seconds"])


def test_what_methods_cost() -> None:
    table = bench_methods(n_pairs=3, names=["eap", "eap-ig-inputs"])
    assert table["model"].tolist() == ["fraction_of_x"] * 2 + ["4 layers"] * 2
    assert table["forward_passes"].tolist() == [6, 36] * 2
    assert table["backward_passes"].tolist() == [3, 15] * 2
    assert (table["seconds"] > 0).all()


@pytest.mark.long
def test_attribution_is_timed_in_processes() -> None:
    config = TransformerConfig(2, 2, 8, 4, 16, 5, 50, 50, activation="gelu_new", norm="layer")
    (row,) = bench_attribution(config, methods=("eap",), n_pairs=3, repeats=1).to_dict("records")
    assert row["edges"] == config.graph.n_edges
    assert row["mb"] > 50  # torch alone
    with pytest.raises(ResultError, match="to run, got .*No module"):
        bench_attribution(config, n_pairs=3, repeats=1, peer=Path(sys.executable))


@pytest.mark.long
def test_memory_is_that_of_processes() -> None:
    """On one pair and on three of a model that is too small to be seen."""
    config = TransformerConfig(2, 2, 8, 4, 16, 5, 50, 50, norm="layer")
    (row,) = bench_memory(["exact"], config=config, room=1).to_dict("records")
    assert row["n_pairs"] == 1
    assert 0 <= row["mb"] < 500


def test_an_attribution_of_a_process(tmp_path: Path) -> None:
    """What is written is what is run: the scores are those of the model in this process."""
    config = TransformerConfig(2, 2, 8, 4, 16, 5, 50, 50, activation="gelu_new", norm="layer")
    write_subject(tmp_path, config, 3, seed=1)
    taken = run_subject(tmp_path, "eap-ig-inputs")
    assert taken["cpu_seconds"] > 0
    tokens = load_file(tmp_path / "tokens.safetensors")
    counts = torch.arange(5).expand(3, 5) == 4
    task = Task("", Transformer(config).initialise(1), tokens["clean"], tokens["corrupted"], counts)
    scores = discover("eap-ig-inputs", task, steps=5).values
    np.testing.assert_array_equal(np.load(tmp_path / "eap-ig-inputs.npy"), scores)


def test_intervals_are_simulated_beside_others() -> None:
    """Ours cover at every size; a bootstrap and t do not where 96% of cases are at 1."""
    name = next(iter(POPULATIONS))
    table = bench_intervals({name: POPULATIONS[name]}, samples=200).set_index("cases")
    assert table.index.tolist() == list(SIZES)
    assert (table["Gaffke covers"] > 93).all()
    for interval in INTERVALS.keys() - {"Gaffke", "Bernstein", "betting"}:
        assert (table.loc[:50, f"{interval} covers"] < 90).all()
        assert table.loc[2, f"{interval} covers"] < 20
    for honest in ("Bernstein", "betting"):  # and ours are the narrowest that do
        assert (table[f"{honest} covers"] > 93).all()
        assert (table[f"{honest} width"] > table["Gaffke width"]).all()


def test_ranks_are_simulated_beside_a_bootstraps() -> None:
    table = bench_ranks(samples=6).set_index(["ten methods", "cases"])
    assert len(table) == len(BOARDS) * 4
    assert table.loc[("equal, beta(8, 2)", 50), "ours"] > 60
    assert table.loc[("equal, beta(8, 2)", 50), "bootstrap"] < 50
    assert table.loc[("five of mean 0.95, five of 0.8", 129), "told apart"] > 95


def test_large_graphs_are_scored_as_scikit_learn_does() -> None:
    graph = Graph(3, 4)
    (row,) = bench_scoring({"small": graph}).to_dict("records")
    assert (row["graph"], row["edges"]) == ("small", graph.n_edges)
    assert row["largest_difference"] < 1e-12
    assert row["all_views_seconds"] > row["seconds"] > 0
    assert max(g.n_edges for g in GRAPHS.values()) == pytest.approx(10**6, rel=0.02)
