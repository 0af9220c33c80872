"""pyvene's interchange on a trained model, one node after the other, beside `run`."""

from __future__ import annotations

import pyvene as pv
import torch
from pyvene.models.gpt2 import modelings_intervenable_gpt2 as of_gpt2
from torch import Tensor

import knowncircuits as kc
from knowncircuits.models.interop import to_hugging_face
from knowncircuits.names import Node

CASE, N_PAIRS = "histogram", 8

trained = kc.load_model(CASE).to(dtype=torch.float64)
task = kc.make_task(trained, n_pairs=N_PAIRS)
graph = task.graph
model = to_hugging_face(trained)
pv.type_to_module_mapping[type(model)] = of_gpt2.gpt2_lm_type_to_module_mapping
pv.type_to_dimension_mapping[type(model)] = {
    **of_gpt2.gpt2_lm_type_to_dimension_mapping,
    "head_attention_value_output": ("head_dim",),
}
positions = [[*range(task.clean.shape[1])]] * N_PAIRS


def interchanged(node: Node) -> Tensor:
    """The logits on clean inputs where a node has what it has on corrupted ones."""
    if node.kind == "mlp":
        component, unit, places = "mlp_output", "pos", positions
    else:
        component, unit = "head_attention_value_output", "h.pos"
        places = [[[node.head]] * N_PAIRS, positions]
    config = pv.IntervenableConfig(
        [{"layer": node.layer, "component": component, "unit": unit}],
        intervention_types=pv.VanillaIntervention,
    )
    _, out = pv.IntervenableModel(config, model, use_fast=False)(
        {"input_ids": task.clean},
        [{"input_ids": task.corrupted}],
        {"sources->base": ([places], [places])},
    )
    logits: Tensor = out.logits
    return logits


def by_primitive(node: Node) -> Tensor:
    """The logits where all edges out of a node read the corrupted value."""
    mask = torch.zeros(1, graph.n_edges, dtype=torch.float64)
    mask[:, graph.edges_from(node)] = 1
    return trained.model.run(task.clean, task.corrupted_run.outputs, mask).logits


distances = []
with torch.no_grad():
    for node in graph.sources[2:]:
        got, expected = interchanged(node), by_primitive(node)
        distances.append(float((got - expected).abs().max() / expected.abs().max()))
assert max(distances) < 1e-9, distances
print(
    f"{CASE}: logits with each of {len(distances)} heads and MLPs interchanged, equal to "
    f"{max(distances):.0e} of the largest"
)
