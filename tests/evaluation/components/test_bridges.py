"""All of it on TransformerLens bridges of Hugging Face models, made from configurations."""

import numpy as np
import pytest
import torch
from bridges import FAMILIES, natural
from torch import Tensor
from transformer_lens import patching
from transformer_lens.model_bridge.sources import build_bridge_from_module

import knowncircuits as kc
from knowncircuits.evaluation import Answers, Task
from knowncircuits.models.interop import BridgedModel


@pytest.fixture(scope="module", params=FAMILIES)
def task(request: pytest.FixtureRequest) -> Task:
    model = natural(request.param)
    architecture = type(model).__name__
    bridged = BridgedModel(build_bridge_from_module(model, architecture, hf_config=model.config))
    clean, corrupted = torch.randint(9, (2, 3, 5), generator=torch.Generator().manual_seed(0))
    counts = torch.zeros_like(clean).bool()
    counts[:, -1] = True
    labels = Answers(torch.tensor([1, 2, 3]), torch.tensor([[4, 5], [6, -1], [7, 8]]))
    return Task(request.param, bridged, clean, corrupted, counts, "logit_diff", labels=labels)


def test_patching_is_transformer_lens_s(task: Task) -> None:
    assert isinstance(task.model, BridgedModel)
    bridge, every = task.model.bridge, torch.arange(3)
    _, cache = bridge.run_with_cache(task.clean)

    def metric(logits: Tensor) -> Tensor:
        return task.value(logits, every).mean()

    frame = kc.act_patch(task, direction="denoise").set_index("view")["value"]
    for view in ("z", "q", "k", "v", "pattern"):
        name = f"get_act_patch_attn_head_{view if view != 'z' else 'out'}_all_pos"
        wanted = getattr(patching, name)(bridge, task.corrupted, cache, metric)
        assert np.abs(frame[view].to_numpy() - wanted.flatten().numpy()).max() < 1e-5
        assert frame[view].std() > 1e-3


def test_paths_and_direct_effects(task: Task) -> None:
    """What nodes write, and biases, is all that there is."""
    direct = kc.direct_logits(task)
    assert direct["attribution"].sum() + direct.attrs["bias"] == pytest.approx(direct.attrs["lead"])
    sent = kc.path_patch(task, ["a1.h0"], ["logits"], freeze_mlps=True)
    through = kc.path_patch(task, ["a1.h0"], ["logits"])
    assert sent["value"][0] != pytest.approx(through["value"][0])  # by way of the last MLP
    gone = kc.backup(task, ["a0.h0"])
    assert np.allclose(gone["before"], direct["attribution"])
    assert gone["change"].abs().max() > 1e-3


def test_heads_attend_and_copy(task: Task) -> None:
    looked = kc.attention(task)
    assert torch.allclose(looked.patterns.sum(-1), torch.ones(3, 4, 5, dtype=torch.float64))
    assert not looked.patterns.triu(1).any()
    scores = kc.copy_scores(task, top=3)
    assert (scores["n"] == 15).all()
    assert ((scores["positive"] + scores["negative"]) <= 1).all()
    written = kc.attention_output(task, 4, {"first": 0})
    assert len(written) == 4 * 3
    assert written["output"].abs().max() > 1e-3
