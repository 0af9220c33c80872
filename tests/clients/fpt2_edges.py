"""Edge-Pruning's GPT-2 class with trained models in it: every edge that it masks, beside `run`."""

from __future__ import annotations

import sys

import modeling
import torch

import knowncircuits as kc
from knowncircuits.models.interop import (
    edge_pruning_names,
    from_edge_pruning_names,
    to_edge_pruning,
)

sys.path += modeling.__path__

from modeling_fpt2 import FPT2LMHeadModel

CASES, N_PAIRS = ("fraction_of_x", "count_a"), 8  # causal attention, and all to all

distances, n_edges = [], 0
with torch.no_grad():
    for case in CASES:
        trained = kc.load_model(case).to(dtype=torch.float64)
        task = kc.make_task(trained, n_pairs=N_PAIRS)
        graph, corrupted = task.graph, task.corrupted_run.outputs
        model = to_edge_pruning(FPT2LMHeadModel, trained, with_embedding_nodes=True)
        model.set_edge_threshold_for_deterministic(0.5)
        model.set_node_threshold_for_deterministic(0.5)
        named = {from_edge_pruning_names(*pair) for pair in model.get_edges()}
        assert named == {*graph.edges}, named ^ {*graph.edges}
        written = model(task.corrupted, output_writer_states=True).writer_states.transpose(0, 1)
        for i, edge in enumerate(graph.edges):
            before = model.add_or_remove_edge(*edge_pruning_names(edge), remove=True)
            got = model(task.clean, corr_x=written).logits
            model.add_or_remove_edge(*edge_pruning_names(edge), value=before)
            mask = torch.zeros(1, graph.n_edges, dtype=torch.float64)
            mask[:, i] = 1
            expected = trained.model.run(task.clean, corrupted, mask).logits
            distances.append(float((got - expected).abs().max() / expected.abs().max()))
            n_edges += 1
        logits = model(task.clean).logits
        distances.append(float((logits - task.clean_run.logits).abs().max()))
assert max(distances) < 1e-9, max(distances)
print(
    f"{' and '.join(CASES)}: edges named as ours, logits, and logits with each of {n_edges} edges "
    f"masked, equal to {max(distances):.0e} of the largest"
)
