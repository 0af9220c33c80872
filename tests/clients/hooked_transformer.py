"""Every trained model as a HookedTransformer: exported, loaded strictly, and the same logits."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformers import AutoTokenizer

import knowncircuits as kc
from knowncircuits.compat import hooked_transformer
from knowncircuits.errors import ModelError
from knowncircuits.models.trained import Trained
from knowncircuits.models.zoo import shipped


def exported(trained: Trained, folder: Path) -> HookedTransformer:
    """The model as one reads it who has nothing of ours."""
    kc.export_lens(trained, folder)
    fields = json.loads((folder / "lens_config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = HookedTransformer(HookedTransformerConfig.from_dict(fields), tokenizer)
    model.load_state_dict(load_file(folder / "lens_weights.safetensors"), strict=True)
    return model.eval()


def distance(trained: Trained, model: HookedTransformer) -> float:
    """The largest difference of logits over the largest logit, on 20 inputs given as text."""
    ids = trained.compiled.draw(20, seed=0)
    words = trained.compiled.vocabulary.tokens
    texts = [" ".join(str(words[i - 1]) for i in row[1:]) for row in ids.tolist()]
    assert torch.equal(model.to_tokens(texts), ids), texts
    with torch.no_grad():
        expected, got = trained.model(ids), model(texts)
    return float((got - expected).abs().max() / expected.abs().max())


worst, n, refused = 0.0, 0, 0
for zoo in (shipped(1), shipped(2)):
    for name, variant in zoo.among(zoo.names(), [*zoo.variants]):
        trained = zoo.load(name, variant)
        try:
            model = hooked_transformer(trained)
        except ModelError as error:
            if "gated MLP without biases" not in str(error):
                raise
            refused += 1
            continue
        worst, n = max(worst, distance(trained, model)), n + 1
        if variant == "seed0":
            with TemporaryDirectory() as folder:
                worst = max(worst, distance(trained, exported(trained, Path(folder))))
assert worst < 1e-5, worst
print(
    f"{n} trained models, logits equal to {worst:.0e} of the largest, {refused} gated ones refused"
)
