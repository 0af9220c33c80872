"""ACDC's own code on a trained model, beside our ACDC at the same threshold."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

import torch

import knowncircuits as kc
from knowncircuits.compat import hooked_transformer, restore_hooked_transformer

restore_hooked_transformer()

from acdc.TLACDCExperiment import TLACDCExperiment

CASES, N_PAIRS, THRESHOLDS = ("histogram", "frequency_class"), 20, (0.1, 0.01)


def place(hook: str, index: tuple[object, ...]) -> str:
    """ACDC's hook and index as our name of a node or of a head's input."""
    if hook == "blocks.0.hook_resid_pre":
        return "input"
    layer, kind = hook.removeprefix("blocks.").split(".hook_")[0], hook.rpartition("hook_")[2]
    layer = layer.split(".")[0]
    if kind in ("q_input", "k_input", "v_input"):
        return f"a{layer}.h{index[2]}<{kind[0]}>"
    if kind == "result":
        return f"a{layer}.h{index[2]}"
    return f"m{layer}" if kind in ("mlp_in", "mlp_out") else "logits"


def kept_by_theirs(trained: kc.models.Trained, task: kc.Task, threshold: float) -> set[str]:
    """The edges that ACDC keeps."""
    everything = torch.arange(task.n_pairs)
    with torch.no_grad(), redirect_stdout(StringIO()):
        experiment = TLACDCExperiment(
            hooked_transformer(trained),
            task.clean,
            task.corrupted,
            threshold,
            lambda logits: task.measure(logits, everything).mean(),
        )
        while experiment.current_node:
            experiment.step()
    return {
        f"{place(sender, at.hashable_tuple)}->{place(receiver, to.hashable_tuple)}"
        for (receiver, to, sender, at), edge in experiment.corr.all_edges().items()
        if edge.present and edge.edge_type.name == "ADDITION"
    }


def kept_by_ours(task: kc.Task, threshold: float) -> set[str]:
    """Ours, with `embed` for the input: what `pos` writes is the same on both inputs of a pair."""
    scores = kc.discover("acdc", task, thresholds=[threshold]).values
    kept = {edge for edge, score in zip(task.graph.edges, scores, strict=True) if score > 0}
    return {edge.replace("embed->", "input->") for edge in kept if not edge.startswith("pos->")}


counts = []
for name in CASES:
    trained = kc.load_model(name)
    task = kc.make_task(trained, n_pairs=N_PAIRS)
    for threshold in THRESHOLDS:
        theirs, ours = kept_by_theirs(trained, task, threshold), kept_by_ours(task, threshold)
        assert theirs == ours, (name, threshold, theirs ^ ours)
        counts.append(f"{len(ours)} of {name} at {threshold:g}")
print(f"the same edges kept as by ours: {', '.join(counts)}")
