"""What `attribution_run` does, by EAP-IG's library, in an environment that has it.

`python attribution_peer.py FOLDER METHOD` needs EAP-IG (https://github.com/hannamw/EAP-IG), which
runs on TransformerLens 2, and safetensors. It imports nothing of ours, which needs another one.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

METHODS = {"eap": "EAP", "eap-ig-inputs": "EAP-IG-inputs"}
STEPS = 5
LENS = import_module("transformer_lens")
# Their names of our weights, which are stacked by layers, and by q, k and v.
OF_LAYERS = {
    "W_O": "attn.W_O",
    "b_O": "attn.b_O",
    "W_in": "mlp.W_in",
    "b_in": "mlp.b_in",
    "W_out": "mlp.W_out",
    "b_out": "mlp.b_out",
}
OF_ENDS = {"W_E": "embed.W_E", "W_pos": "pos_embed.W_pos", "W_U": "unembed.W_U"}
OF_ENDS |= {"b_U": "unembed.b_U"}


def load_model(folder: Path) -> Any:
    """The model as their library wants it: what each head reads and writes can be hooked."""
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    sizes = ("n_layers", "n_heads", "d_model", "d_head", "d_mlp", "n_ctx", "d_vocab", "d_vocab_out")
    config = LENS.HookedTransformerConfig(
        **{name: told[name] for name in sizes},
        act_fn=told["activation"],
        normalization_type="LN",
        device="cpu",
        init_weights=False,
        use_attn_result=True,
        use_split_qkv_input=True,
        use_hook_mlp_in=True,
    )
    model = LENS.HookedTransformer(config)
    theirs = dict(model.named_parameters())
    with safe_open(folder / "weights.safetensors", "pt") as file, torch.no_grad():
        for name, other in OF_ENDS.items():
            theirs[other].copy_(file.get_tensor(name))
        for name, other in OF_LAYERS.items():
            for layer, weight in enumerate(file.get_tensor(name)):
                theirs[f"blocks.{layer}.{other}"].copy_(weight)
        for kind in "Wb":
            for layer, weights in enumerate(file.get_tensor(f"{kind}_QKV")):
                for letter, weight in zip("QKV", weights, strict=True):
                    theirs[f"blocks.{layer}.attn.{kind}_{letter}"].copy_(weight)
        places = [f"blocks.{n}.{ln}" for ln in ("ln1", "ln2") for n in range(config.n_layers)]
        for kind in "wb":
            gains = file.get_tensor(f"ln_{kind}")
            for place, gain in zip([*places, "ln_final"], gains, strict=True):
                theirs[f"{place}.{kind}"].copy_(gain)
    return model


def mean_kl(logits: Any, clean: Any, lengths: Any, label: Any) -> Any:
    """The divergence from the clean run's distribution at the last position; sum of pairs."""
    expected, got = clean[:, -1].log_softmax(-1), logits[:, -1].log_softmax(-1)
    return (expected.exp() * (expected - got)).sum()


def run_subject(folder: Path, method: str) -> dict[str, float]:
    """As `attribution_run.run_subject`."""
    attribution = import_module("eap.attribute")
    model, tokens = load_model(folder), load_file(folder / "tokens.safetensors")
    # Tokens come as they are; and the library makes its matrix on a GPU, whatever the model is on.
    setattr(attribution, "tokenize_plus", lambda _, ids: (ids, None, None, ids.shape[1]))  # noqa: B010
    on_gpu = torch.zeros

    def zeros(*shape: Any, device: Any = None, **options: Any) -> Any:
        return on_gpu(*shape, device="cpu" if device == "cuda" else device, **options)

    setattr(torch, "zeros", zeros)  # noqa: B010
    graph = import_module("eap.graph").Graph.from_model(model)
    pairs = [(tokens["clean"], tokens["corrupted"], None)]
    processor, clock = process_time(), perf_counter()
    attribution.attribute(
        model, graph, pairs, mean_kl, method=METHODS[method], ig_steps=STEPS, quiet=True
    )
    cpu_seconds, seconds = process_time() - processor, perf_counter() - clock
    names = list(graph.edges)
    np.savez(
        folder / f"{method}-peer.npz",
        names=names,
        scores=[float(graph.edges[name].score) for name in names],
    )
    return {"cpu_seconds": cpu_seconds, "seconds": seconds, "mb": most_in_memory()}


def most_in_memory() -> float:
    """The most memory that this process has had, in millions of bytes; NaN but on Linux."""
    path = Path("/proc/self/status")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")]
    return found[0] if found else float("nan")


if __name__ == "__main__":
    print(json.dumps(run_subject(Path(sys.argv[1]), sys.argv[2])))
