"""Direct effects on the logits: what each node adds to them by itself, also with others ablated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.backward import BackwardRules
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.evaluation.components.views import describe_node, edges_into
from knowncircuits.evaluation.task import Task
from knowncircuits.inference import recorded_gradients
from knowncircuits.names import LOGITS, Destination
from knowncircuits.primitive import Patchable

Lead = Callable[[Tensor], Tensor]  # logits [row, pos, output] to a number of each row


@takes(task=Task)
def direct_logits(task: Task) -> pd.DataFrame:
    """How much of the logit difference each node writes by itself: direct logit attribution.

    Elhage et al. (2021), Wang et al. (2023). The logits are linear in what nodes write but for the
    last norm, whose scale is held at what it is in the clean run. The difference is that of the
    task's labels, or of the model's own answers to the clean and the corrupted input, at the
    positions that count; where the model gives a number, it is that number.

    Returns:
        A row for each node: node, kind, layer, head (-1 but for heads), attribution, mean over
        pairs, and std over pairs. They add up to `attrs["lead"]` but for `attrs["bias"]`, what
        biases add.

    Cost: 2 forward passes and 1 backward pass for each pair.
    """
    found, leads = _direct(task, task.clean_run.outputs)
    rows = [
        describe_node(node) | {"attribution": mean, "std": std}
        for node, mean, std in zip(
            task.graph.sources, found.mean(0).tolist(), found.std(0).tolist(), strict=True
        )
    ]
    frame = pd.DataFrame(rows)
    lead = float(leads.mean())
    frame.attrs |= {
        "receivers": ["logits"],
        "freeze_mlps": True,
        "lead": lead,
        "bias": lead - float(found.sum(1).mean()),
        "n_pairs": task.n_pairs,
        "task": task.name,
    }
    return frame


@takes(task=Task)
def backup(task: Task, ablated: str | Sequence[str]) -> pd.DataFrame:
    """Each node's direct effect on the logit difference, before and after others are ablated.

    Wang et al. (2023): backup heads are those that write more of the answer once the heads that
    usually do are gone (McGrath et al., 2023, "The hydra effect").

    Args:
        task: patched nodes write its `alternative`: of the corrupted input (`resample`, Wang et
            al. take means), their `mean` or `zero`.
        ablated: a node, or several.

    Returns:
        A row for each node: node, kind, layer, head, before, after and change, means over pairs as
        in `direct_logits`. `attrs` has the logit difference before and after.

    Cost: 4 forward passes and 2 backward passes for each pair.

    Raises:
        UnknownNameError: for a node that there is not.
        TaskError: for none.
    """
    graph = task.graph
    names = [ablated] if isinstance(ablated, str) else [*ablated]
    for name in names:
        if name not in graph.sources:
            raise UnknownNameError("node", name, graph.sources)
    if not names:
        raise TaskError("expected at least one node to ablate, got none")
    gone = np.array([node in names for node in graph.sources])
    mask = torch.from_numpy(gone[graph.source_of_edge]).to(task.alternative)[None]
    with torch.no_grad():
        outputs = task.model.run(task.clean, task.alternative, mask).outputs
    gone_sources = torch.from_numpy(gone).to(outputs.device)[:, None, None]
    outputs = torch.where(gone_sources, task.alternative, outputs)
    before, lead_before = _direct(task, task.clean_run.outputs)
    after, lead_after = _direct(task, outputs)
    frame = pd.DataFrame([describe_node(node) for node in graph.sources])
    frame = frame.assign(before=before.mean(0), after=after.mean(0))
    frame = frame.assign(change=frame["after"] - frame["before"])
    frame.attrs |= {
        "receivers": ["logits"],
        "freeze_mlps": True,
        "ablated": names,
        "before": float(lead_before.mean()),
        "after": float(lead_after.mean()),
        "ablation": task.ablation,
        "n_pairs": task.n_pairs,
        "task": task.name,
    }
    return frame


def _direct(
    task: Task, outputs: Float[Tensor, "pair source pos d_model"]
) -> tuple[Float[np.ndarray, "pair source"], Float[np.ndarray, " pair"]]:
    """What each source adds to the lead of each pair, and the lead."""
    every = torch.arange(task.n_pairs, device=task.clean.device)
    found, leads = direct_effects(
        task.model, task.clean, outputs, lambda logits: task.lead(logits, every)
    )
    return found.double().cpu().numpy(), leads.double().cpu().numpy()


def direct_effects(
    model: Patchable,
    tokens: Int[Tensor, "row pos"],
    outputs: Float[Tensor, "row source pos d_model"],
    lead: Lead,
) -> tuple[Float[Tensor, "row source"], Float[Tensor, " row"]]:
    """What each source adds to a linear function of the logits, and the function's value.

    Args:
        model: any that has the primitive.
        tokens: its inputs.
        outputs: what the sources write; `logits` reads these.
        lead: the function, of each row's logits alone.
    """
    into_logits = edges_into(model.graph, Destination.of(LOGITS))
    with recorded_gradients():
        # The last norm's scale has no gradient here, and what is left is linear.
        written = outputs.detach().clone().requires_grad_()
        mask = torch.from_numpy(into_logits).to(written)[None]
        logits = model.run(tokens, written, mask, BackwardRules(frozen_norms=True)).logits
        leads = lead(logits)
        (gradient,) = torch.autograd.grad(leads.sum(), written)
    return (gradient * outputs).sum((-1, -2)), leads.detach()
