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


def theirs_of(method: str, task: kc.Task, **options: object) -> np.ndarray:
    """Their scores of the merged graph's edges."""
    graph = Graph.from_model(model)
    attribute(model, graph, loader, lost(task), method, quiet=True, **options)
    got = np.array([float(graph.edges[edge].score) for edge in merged.edges])
    # Their `exact` adds the mean over pairs of what the metric returns, not the sum.
    return got / N_PAIRS if method == "exact" else got


def ours_of(scores: Scores) -> np.ndarray:
    """Our scores of the edges that theirs are about."""
    return scores.values[[task.graph.index(edge) for edge in of_embed]]


def apart(got: np.ndarray, expected: np.ndarray) -> float:
    """How far scores are apart, as a share of the largest."""
    return np.abs(got - expected).max() / np.abs(expected).max()


equal, areas = [], []
for theirs, ours, same, options in METHODS:
    got = theirs_of(theirs, task, ig_steps=STEPS)
    found = kc.discover(ours, task, **options)
    if same:
        assert apart(got, ours_of(found)) < 1e-5, theirs
        equal.append(theirs)
    area = kc.score(Scores(merged, got, theirs), circuit).auroc
    areas.append(f"{theirs} {area:.3f} (ours {kc.score(found, trained.circuit).auroc:.3f})")

# A divergence is least at the clean run: what EAP finds there is rounding. Ours is at the corrupted
# run, as their EAP-IG is in its first step.
divergence = kc.make_task(trained, n_pairs=N_PAIRS, metric="kl")
expected = ours_of(kc.discover("eap", divergence))
assert np.abs(theirs_of("EAP", divergence)).max() < 1e-9 * np.abs(expected).max()
assert apart(theirs_of("EAP-IG-inputs", divergence, ig_steps=1), expected) < 1e-5

# Means at each position, of inputs that they are given, and zeros: of `hook_embed`, not of `pos`.
corrupted = [(texts(task.corrupted, words), None, None)]
for theirs, ours in (("mean-positional", "mean"), ("zero", "zero")):
    got = theirs_of("EAP", task, intervention=theirs, intervention_dataloader=corrupted)
    found = kc.discover("eap", replace(task, ablation=ours))
    assert apart(got, ours_of(found)) < 1e-5, theirs

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
