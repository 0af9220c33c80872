"""Whether heads copy what they attend to into the output, or keep it out of there."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import TaskError
from knowncircuits.evaluation.components.insides import insides_of
from knowncircuits.evaluation.components.views import describe_node
from knowncircuits.evaluation.task import Task
from knowncircuits.names import Node
from knowncircuits.work.progress import reported

# Logits nearer than this share of the largest are ties, and a tie is not copied.
ROUNDING = 1e-5


@takes(task=Task)
def copy_scores(
    task: Task, tokens: Sequence[int] | None = None, *, top: int = 1, after: int | None = 0
) -> pd.DataFrame:
    """How often a head that attends to a token alone makes that token's logit one of the highest.

    Wang et al. (2023): the residual stream at a token, as it is after the first layer's MLP, goes
    through the head's norm, values and output and then, as if it were the whole stream, through the
    last norm and the unembedding. The negative score is that of the head's output with the other
    sign. Biases behind the head are left out, so that a head that writes nothing copies nothing;
    nor does one that gives others the same logit.

    Args:
        task: tokens are looked at in its clean inputs. `task.said` tells which output says a token.
        tokens: ids of those that count, such as names; by default all that an output says.
        top: among so many of the highest logits; Wang et al. take 5 of 50,257.
        after: the layer behind which the stream is taken; None for what each head reads in the run.

    Returns:
        A row for each head: node, kind, layer, head, positive and negative, from 0 to 1, and n, how
        many tokens they are shares of.

    Raises:
        TaskError: where no such token is in the inputs, for a layer that there is not, or for a top
            of none or of all outputs.
        ModelError: for a model that is neither ours nor a TransformerLens bridge.
    """
    graph, insides = task.graph, insides_of(task.model)
    n_outputs = task.clean_run.logits.shape[-1]
    if after is not None and not 0 <= after < graph.n_layers:
        raise TaskError(f"expected a layer of 0 to {graph.n_layers - 1}, got {after}")
    said = said_outputs(task)
    chosen = said[task.clean] >= 0
    if tokens is not None:
        if not all(isinstance(token, int) for token in tokens):
            raise TaskError(f"expected ids of tokens, got {[*tokens]}")
        chosen &= torch.isin(task.clean, torch.tensor(tokens, device=task.clean.device))
    if not chosen.any():
        raise TaskError("expected a token in the clean inputs that an output says, got none")
    if not 1 <= top < n_outputs:
        raise TaskError(f"expected a top of 1 to {n_outputs - 1} of {n_outputs} outputs, got {top}")
    answers = said[task.clean[chosen]]
    rows = []
    with torch.no_grad():
        nothing = insides.unembed(torch.zeros_like(task.clean_run.outputs[:1, 0, :1]))[0]
        for layer in reported(range(graph.n_layers)):
            stream = insides.stream(task.clean, layer if after is None else after + 1)[chosen]
            written = insides.written(stream, layer)
            for head, one in enumerate(written.unbind(1)):
                logits = insides.unembed(one[None])[0] - nothing
                scores = [_copied(signed, answers, top) for signed in (logits, -logits)]
                positive, negative = (score.double().mean().item() for score in scores)
                about = describe_node(Node.of_head(layer, head))
                rows.append(about | {"positive": positive, "negative": negative, "n": len(answers)})
    frame = pd.DataFrame(rows)
    frame.attrs |= {"top": top, "after": after, "task": task.name}
    return frame


def said_outputs(task: Task) -> Int[Tensor, " token"]:
    """The output that says each token; without other word, the one of the same id."""
    if task.said is not None:
        return task.said
    n = max(int(task.clean.max()) + 1, task.clean_run.logits.shape[-1])
    ids = torch.arange(n, device=task.clean.device)
    return ids.where(ids < task.clean_run.logits.shape[-1], -1)


def _copied(
    logits: Float[Tensor, "some output"], answers: Int[Tensor, " some"], top: int
) -> Bool[Tensor, " some"]:
    """Whether fewer than `top` other outputs have as high a logit as the answer."""
    own = logits.gather(1, answers[:, None])
    near = ROUNDING * logits.abs().amax()
    return (logits >= own - near).sum(1) - 1 < top
