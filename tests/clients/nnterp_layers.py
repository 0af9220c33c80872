"""nnterp on a trained model as a Hugging Face folder: layers and patches, beside `run`."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import torch
from nnterp import StandardizedTransformer
from nnterp.rename_utils import RenameConfig
from torch import Tensor

import knowncircuits as kc
from knowncircuits.models.interop import export_hugging_face

CASE, N_PAIRS = "histogram", 8

trained = kc.load_model(CASE)
task = kc.make_task(trained, n_pairs=N_PAIRS)
graph, words = task.graph, trained.compiled.vocabulary.tokens
with TemporaryDirectory() as folder:
    export_hugging_face(trained, folder)
    outputs = RenameConfig(vocab_size_config_key=trained.model.config.d_vocab_out)
    model = StandardizedTransformer(folder, rename_config=outputs, dispatch=True)
texts = [" ".join(str(words[i - 1]) for i in row[1:]) for row in task.clean.tolist()]
clean, corrupted = task.clean_run.outputs, task.corrupted_run.outputs


def distance(got: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest value."""
    return float((got - expected).abs().max() / expected.abs().max())


distances = []
with torch.no_grad():
    for layer in range(graph.n_layers):
        mlp = kc.names.Node.of_mlp(layer)
        place = graph.sources.index(mlp)
        with model.trace(texts):
            attention = model.attentions_output[layer].save()
            written = model.mlps_output[layer].save()
            resid = model.layers_output[layer].save()
            logits = model.logits.save()
        biases = trained.model.b_O[: layer + 1].sum(0)
        heads = [i for i, n in enumerate(graph.sources) if n.kind == "head" and n.layer == layer]
        distances += [
            distance(attention, clean[:, heads].sum(1) + trained.model.b_O[layer]),
            distance(written, clean[:, place]),
            distance(resid, clean[:, : place + 1].sum(1) + biases),
            distance(logits, task.clean_run.logits),
        ]
        with model.trace(texts):
            model.mlps_output[layer] = corrupted[:, place]
            logits = model.logits.save()
        mask = torch.zeros(1, graph.n_edges)
        mask[:, graph.edges_from(mlp)] = 1
        distances.append(distance(logits, trained.model.run(task.clean, corrupted, mask).logits))
assert max(distances) < 1e-5, distances
print(
    f"{CASE}, a folder with config.json and safetensors: layers, attention, MLPs, logits, and "
    f"logits with each MLP patched, equal to {max(distances):.0e} of the largest"
)
