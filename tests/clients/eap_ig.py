"""EAP-IG's six methods on a trained model, each beside ours."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

import knowncircuits as kc
from knowncircuits.compat import hooked_transformer, restore_hooked_transformer
from knowncircuits.evaluation.faithfulness import faithfulness
from knowncircuits.evaluation.scoring import Scores
from knowncircuits.exchange import merge_scores

restore_hooked_transformer()

from eap.attribute import attribute
from eap.evaluate import evaluate_graph
from eap.graph import Graph

CASE, N_PAIRS, STEPS = "histogram", 20, 5
# Their name, ours, whether ours is the same quantity, and options of ours that make it theirs.
METHODS = (
    ("EAP", "eap", True, {}),
    ("EAP-IG-inputs", "eap-ig-inputs", True, {"steps": STEPS}),
    ("clean-corrupted", "clean-corrupted", True, {}),
    ("exact", "exact", True, {}),
    ("EAP-IG-activations", "eap-ig-activations", False, {"steps": STEPS}),
    ("information-flow-routes", "ifr", False, {}),
)


def texts(ids: Tensor, words: tuple[object, ...]) -> list[str]:
    """Inputs as EAP-IG takes them."""
    return [" ".join(str(words[i - 1]) for i in row[1:]) for row in ids.tolist()]


def lost(task: kc.Task) -> Callable[..., Tensor]:
    """The task's metric as EAP-IG calls one; it divides by the pairs itself."""
    everything = torch.arange(task.n_pairs)

    def metric(logits: Tensor, *_: object) -> Tensor:
        return task.measure(logits, everything).sum()

    return metric


trained = kc.load_model(CASE)
trained = replace(trained, placed=replace(trained.placed, model=deepcopy(trained.model).double()))
task = kc.make_task(trained, n_pairs=N_PAIRS, metric="logit_diff")
words = trained.compiled.vocabulary.tokens
model = hooked_transformer(trained)
loader = [(texts(task.clean, words), texts(task.corrupted, words), None)]
metric = lost(task)
merged = task.graph.merge_inputs()
of_embed = [edge.replace("input->", "embed->") for edge in merged.edges]
circuit = trained.circuit.merge_inputs()
equal, areas = [], []
for theirs, ours, same, options in METHODS:
    graph = Graph.from_model(model)
    # Their `exact` adds the mean over pairs of what the metric returns, not the sum.
    attribute(model, graph, loader, metric, theirs, ig_steps=STEPS, quiet=True)
    got = np.array([float(graph.edges[edge].score) for edge in merged.edges])
    got /= N_PAIRS if theirs == "exact" else 1
    found = kc.discover(ours, task, **options)
    expected = found.values[[task.graph.index(edge) for edge in of_embed]]
    error = np.abs(got - expected).max() / np.abs(expected).max()
    if same:
        assert error < 1e-5, (theirs, error)
        equal.append(theirs)
    area = kc.score(Scores(merged, got, theirs), circuit).auroc
    areas.append(f"{theirs} {area:.3f} (ours {kc.score(found, trained.circuit).auroc:.3f})")

# Files: what we write they read, and the other way round; circuits of a size do as much in both.
with TemporaryDirectory() as folder:
    found = kc.discover("exact", task)
    kc.write_graph_file(found, f"{folder}/ours.json", merged=True)
    graph = Graph.from_json(f"{folder}/ours.json")
    graph.to_json(f"{folder}/theirs.json")
    graph.to_pt(f"{folder}/theirs.pt")
    expected = merge_scores(found.graph, found.values)
    for name in ("theirs.json", "theirs.pt"):
        got = kc.read_graph_file(f"{folder}/{name}")
        np.testing.assert_allclose(got.scores, expected, rtol=1e-6)
measured = faithfulness(task, found, merged=True, resolution=0)


def distance(size: int) -> float:
    """The metric with all edges but the highest ones patched, as MIB measures a circuit."""
    graph.apply_topn(size, absolute=True)
    return float(evaluate_graph(model, graph, loader, metric, quiet=True).mean())


nothing = distance(0)
theirs = [1 - distance(size) / nothing for size in measured.nominal]
np.testing.assert_allclose(measured.f, theirs, atol=1e-4)
files = f"files read both ways; f of circuits of {len(theirs)} sizes equal to 1e-4"
print(f"{CASE}: {files}; {', '.join(equal)} equal to 1e-5 of the largest; AUROC {', '.join(areas)}")
