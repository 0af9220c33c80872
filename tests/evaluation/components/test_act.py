"""Activation patching against TransformerLens's own, and against runs under masks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens import patching

import knowncircuits as kc
from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import MethodError, TaskError, UnknownNameError
from knowncircuits.evaluation import Answers, Task
from knowncircuits.evaluation.components.views import VIEWS
from strategies import random_model, random_task

THEIRS = {"z": "out", "q": "q", "k": "k", "v": "v", "pattern": "pattern"}


def labelled(task: Task, seed: int = 0) -> Task:
    """The task with answers of its own, of which pairs have one or two."""
    generator = torch.Generator().manual_seed(seed)
    n, d_out = task.n_pairs, task.clean_run.logits.shape[-1]
    answers = torch.stack([torch.randperm(d_out, generator=generator)[:3] for _ in range(n)])
    right = answers[:, :2].clone()
    right[::2, 1] = -1
    return replace(task, metric="logit_diff", labels=Answers(right, answers[:, 2]))


@pytest.fixture(scope="module")
def gpt2_shaped() -> Task:
    """A random model of GPT-2's kind, in float32; the last position counts."""
    config = TransformerConfig(
        2, 3, 24, 8, 48, n_ctx=5, d_vocab=20, d_vocab_out=20, activation="gelu_new", norm="layer"
    )
    model = random_model(config, dtype=torch.float32).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    clean, corrupted = torch.randint(20, (2, 4, 5), generator=generator)
    corrupted[:, :2] = clean[:, :2]  # a common beginning, which no run needs to be told of
    counts = torch.zeros(4, 5, dtype=torch.bool)
    counts[:, -1] = True
    return labelled(Task("random", model, clean, corrupted, counts, "logit_diff"))


@pytest.mark.parametrize("per_position", [False, True])
@pytest.mark.parametrize("direction", ["noise", "denoise"])
def test_as_transformer_lens_patches(gpt2_shaped: Task, direction: str, per_position: bool) -> None:
    task, every = gpt2_shaped, torch.arange(4)
    tokens = (task.clean, task.corrupted)
    base, other = tokens if direction == "noise" else tokens[::-1]
    bridge = task.to_transformer_lens().eval()
    _, cache = bridge.run_with_cache(other)

    def metric(logits: Tensor) -> Tensor:
        return task.value(logits, every).mean()

    frame = kc.act_patch(task, per_position=per_position, direction=direction)
    for view, theirs in THEIRS.items():
        name = f"get_act_patch_attn_head_{theirs}_{'by_pos' if per_position else 'all_pos'}"
        wanted = getattr(patching, name)(bridge, base, cache, metric)
        if per_position and view != "pattern":
            wanted = wanted.transpose(1, 2)  # from [layer, pos, head]
        got = frame.loc[frame["view"] == view, "value"]
        assert np.abs(got.to_numpy() - wanted.flatten().numpy()).max() < 1e-5
        assert got.std() > 0.01


CHOICES = (
    {"causal": True, "norm": "layer", "activation": "gelu"},
    {"causal": False, "norm": "rms", "gated": True, "positions": "rotary"},
)


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize("direction", ["noise", "denoise"])
@pytest.mark.parametrize("per_position", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_suffixes_give_what_masks_give(
    choices: dict[str, object], direction: str, per_position: bool, late: bool
) -> None:
    """Our own model computes what is behind a patch; its hooked twin does whole runs."""
    task = labelled(random_task(n_pairs=3, **choices))
    counts = task.counts.clone()
    counts[:, : 3 * late] = False
    task = replace(task, counts=counts)
    ours, twins = (
        kc.act_patch(
            replace(task, model=model), VIEWS, per_position=per_position, direction=direction
        )
        for model in (task.model, task.to_hooked())
    )
    assert (ours["node"] == twins["node"]).all()
    assert np.abs(ours["value"] - twins["value"]).max() < 1e-12
    assert (ours.groupby("view")["value"].std() > 1e-3).all()


@pytest.mark.parametrize("metric", ["kl", "l2", "logit_diff", "prob_diff", "label_loss"])
@pytest.mark.parametrize("ablation", ["resample", "mean", "zero"])
def test_values_are_the_metrics(metric: str, ablation: str) -> None:
    """Of a view of outputs and one of inputs, with the edges masked by hand."""
    task = random_task(metric, ablation=ablation)  # type: ignore[arg-type]
    frame = kc.act_patch(task, ["z", "k"], only=["a1.h1"]).set_index("view")
    every = torch.arange(task.n_pairs)
    edges = {
        "z": ["a1.h1->m1", "a1.h1->logits"],
        "k": [e for e in task.graph.edges if e.endswith("->a1.h1<k>")],
    }
    clean, corrupted = (
        task.measure(run.logits, every).mean().item()
        for run in (task.clean_run, task.corrupted_run)
    )
    for view, names in edges.items():
        mask = torch.zeros(1, task.graph.n_edges, dtype=torch.float64)
        mask[0, [task.graph.index(name) for name in names]] = 1
        run = task.model.run(task.clean, task.alternative, mask)
        distance = task.measure(run.logits, every).mean().item()
        row = frame.loc[view]
        assert frame.attrs["clean"] - row["value"] == pytest.approx(distance - clean, abs=1e-9)
        assert row["lost"] == pytest.approx(distance / corrupted)
        assert row["recovered"] == pytest.approx(1 - distance / corrupted)


def test_a_pair_of_equal_values_has_no_shares() -> None:
    """At the first position, which is the same in both runs, nothing can be lost."""
    task = random_task("logit_diff")
    one, counts = torch.ones(6, dtype=torch.long), torch.zeros_like(task.counts)
    counts[:, 0] = True
    corrupted = torch.cat([task.clean[:, :1], task.corrupted[:, 1:]], 1)
    task = replace(task, corrupted=corrupted, counts=counts, labels=Answers(one, 0 * one))
    frame = kc.act_patch(task, ["z"])
    assert frame["difference"].abs().max() == 0
    assert frame[["lost", "recovered"]].isna().to_numpy().all()


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments() -> None:
    task = random_task()
    with pytest.raises(UnknownNameError, match="unknown view 'x'"):
        kc.act_patch(task, ["x", "z"])
    with pytest.raises(UnknownNameError, match=r"unknown head or MLP 'a9\.h0'"):
        kc.act_patch(task, only=["a9.h0"])
    with pytest.raises(UnknownNameError, match="unknown direction 'both'"):
        kc.act_patch(task, direction="both")
    with pytest.raises(TaskError, match=r"expected views such as .*, got 'z'"):
        kc.act_patch(task, "z")
    with pytest.raises(TaskError, match="expected heads or MLPs with mlp, got none"):
        kc.act_patch(task, ["mlp"], only=["a0.h0"])
    with pytest.raises(TaskError, match="expected the ablation resample to denoise, got zero"):
        kc.act_patch(random_task(ablation="zero"), direction="denoise")
    with pytest.raises(UnknownNameError, match="unknown head or MLP '3'"):
        kc.act_patch(task, only=[3])  # type: ignore[list-item]
    with pytest.raises(MethodError, match="batch_size of at least 1, got 0"):
        kc.component_effects(task, batch_size=0)
