"""Models in InterpBench's format, loaded as its own loader does."""

from __future__ import annotations

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig

import knowncircuits as kc
from knowncircuits.models.interop import export_interpbench, load_interpbench
from knowncircuits.models.interop.interpbench import tracr_order

worst, n = 0.0, 0
for name in kc.list_models("interpbench"):
    trained = kc.load_model(name)
    with TemporaryDirectory() as root:
        folder = export_interpbench(trained, Path(root))
        fields = pickle.loads((folder / "ll_model_cfg.pkl").read_bytes())
        model = HookedTransformer(HookedTransformerConfig.from_dict(fields))
        model.load_state_dict(torch.load(folder / "ll_model.pth"))
        assert load_interpbench(name, root).circuit.edges() == trained.circuit.edges(), name
    tokens = trained.compiled.vocabulary.tokens
    theirs = tracr_order([*tokens, "BOS", "PAD"])
    place = torch.tensor([theirs.index(token) for token in ("BOS", *tokens)])
    ids = trained.compiled.draw(20, seed=0)
    with torch.no_grad():
        expected, got = trained.model(ids), model(place[ids])
    worst, n = max(worst, float((got - expected).abs().max() / expected.abs().max())), n + 1
assert worst < 1e-5, worst
print(f"{n} models written, logits equal to {worst:.0e} of the largest in its loader's steps")
