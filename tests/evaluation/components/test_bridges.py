"""All of it on TransformerLens bridges of Hugging Face models, made from configurations."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens import patching
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

import knowncircuits as kc
from knowncircuits.evaluation import Answers, Task
from knowncircuits.models.interop import BridgedModel

SIZES = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 12,
    "intermediate_size": 16,
    "max_position_embeddings": 6,
    "vocab_size": 9,
}


def build(kind: str) -> Any:
    if kind == "GPT-2":
        return GPT2LMHeadModel(
            GPT2Config(n_layer=2, n_head=2, n_embd=12, n_positions=6, vocab_size=9)
        )
    if kind == "Qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**SIZES, num_key_value_heads=2))
    return GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES, use_parallel_residual=False))


@pytest.fixture(scope="module", params=["GPT-2", "Qwen2", "GPT-NeoX"])
def task(request: pytest.FixtureRequest) -> Task:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(request.param)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    model = model.double().eval()
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
