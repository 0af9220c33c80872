"""auto-circuit's mask gradient on a trained model, beside our EAP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

import knowncircuits as kc
from knowncircuits.compat import hooked_transformer, restore_hooked_transformer
from knowncircuits.names import Edge

restore_hooked_transformer()

from auto_circuit.data import PromptDataLoader, PromptDataset
from auto_circuit.prune_algos.ACDC import acdc_prune_scores
from auto_circuit.prune_algos.mask_gradient import mask_gradient_prune_scores
from auto_circuit.utils.graph_utils import patchable_model

CASE, N_PAIRS = "histogram", 20


def of_module(edge: Edge, n_layers: int) -> tuple[str, tuple[int, ...]]:
    """The module that an edge enters, and its place in that module's mask without the source."""
    node = edge.destination.node
    if edge.destination.letter:
        return f"blocks.{node.layer}.hook_{edge.destination.letter}_input", (node.head,)
    if node.kind == "mlp":
        return f"blocks.{node.layer}.hook_mlp_in", ()
    return f"blocks.{n_layers - 1}.hook_resid_post", ()


trained = kc.load_model(CASE)
task = kc.make_task(trained, n_pairs=N_PAIRS, metric="logit_diff")
last = torch.zeros_like(task.counts)
last[:, -1] = True
task = replace(task, counts=last)
right, wrong = (run.logits[:, -1].argmax(-1) for run in (task.clean_run, task.corrupted_run))
pairs = PromptDataset(list(task.clean), list(task.corrupted), [*right[:, None]], [*wrong[:, None]])
loader = PromptDataLoader(pairs, seq_len=None, diverge_idx=0, batch_size=N_PAIRS, shuffle=False)
model = patchable_model(
    hooked_transformer(trained), factorized=True, slice_output="last_seq", separate_qkv=True
)
merged = task.graph.merge_inputs()


def in_our_order(scores: dict[str, torch.Tensor]) -> np.ndarray:
    """Their scores by module as a vector of the edges of the merged graph."""
    found = []
    for name, source in zip(merged.edges, merged.source_of_edge, strict=True):
        module, place = of_module(Edge(name), merged.n_layers)
        found.append(float(scores[module][(*place, source)]))
    return np.array(found)


got = in_our_order(
    mask_gradient_prune_scores(model, loader, None, "logit", "avg_diff", mask_val=0.0)
)
found = kc.discover("eap", task)
expected = found.values[
    [task.graph.index(edge.replace("input->", "embed->")) for edge in merged.edges]
]
error = np.abs(got - expected).max() / np.abs(expected).max()
assert error < 1e-3, error
kept = in_our_order(
    acdc_prune_scores(
        model, loader, None, tao_exps=[-2], tao_bases=[1], faithfulness_target="kl_div"
    )
)
inside = [edge for edge, score in zip(merged.edges, kept, strict=True) if score == np.inf]
true = trained.circuit.merge_inputs().edges()
print(
    f"{CASE}, last position: mask gradient equals our EAP to {error:.0e} of the largest; "
    f"ACDC at 0.01 keeps {len(inside)} edges, {len({*inside} & {*true})} of {len(true)} true ones"
)
