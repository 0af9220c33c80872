"""Out to Edge-Pruning (Bhaskar et al., 2024): a model in its GPT-2 class, and the names of edges.

Its class is a GPT-2 that keeps what every node writes apart, so that edges can be masked. It is on
no package index: callers pass it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from knowncircuits.errors import ModelError
from knowncircuits.inference import ordinary_tensors
from knowncircuits.models.interop.hugging_face import (
    Conv1D,
    gpt2_norm,
    gpt2_sizes,
    gpt2_state_dict,
)
from knowncircuits.models.interop.lens_out import Subject, parts_of
from knowncircuits.names import Edge, Node

WRITERS = {"embed": "tok_embeds", "pos": "pos_embeds"}
FINAL = "resid_post"


def to_edge_pruning(kind: type[nn.Module], subject: Subject, **options: Any) -> Any:
    """Fill a class of GPT-2's shape with a model: Edge-Pruning's `FPT2LMHeadModel`, for one.

    What GPT-2 does not have is put in the place of its parts: norms, or none; heads of another
    width; attention that looks ahead; other outputs than tokens, with biases.

    Args:
        kind: the class, which takes a GPT2Config.
        subject: a compiled, trained or wired model, or the transformer of one.
        options: of the class, such as `with_embedding_nodes=True`, without which edges out of the
            embeddings cannot be masked.

    Returns:
        An instance in evaluation mode. Its weights of masks are as it draws them.

    Raises:
        ModelError: for gated MLPs, rotary positions, no MLPs, heads that do not divide `d_model`,
            and attention that looks ahead where the class has no buffer for the mask.
    """
    from transformers import GPT2Config

    model, _ = parts_of(subject)
    weights, c = gpt2_state_dict(model), model.config
    if c.d_model % c.n_heads or not c.d_mlp:
        got = f"{c.n_heads} heads, d_model {c.d_model} and d_mlp {c.d_mlp}"
        raise ModelError(f"expected heads that divide d_model, and MLPs, got {got}")
    with torch.random.fork_rng(devices=[]), ordinary_tensors():  # the first weights are drawn
        twin: Any = kind(GPT2Config(**gpt2_sizes(c)), **options)
    decoder, width = twin.transformer, c.n_heads * c.d_head
    norm = c.norm, c.d_model, c.norm_eps
    for block in decoder.h:
        block.ln_1, block.ln_2 = gpt2_norm(*norm), gpt2_norm(*norm)
        attention = block.attn
        attention.head_dim, attention.split_size = c.d_head, width
        attention.scaling = c.d_head**-0.5
        attention.c_attn, attention.c_proj = Conv1D(3 * width, c.d_model), Conv1D(c.d_model, width)
        if not c.causal:
            if not hasattr(attention, "bias"):
                raise ModelError(f"expected a mask in {kind.__name__}'s attention, got none")
            attention.bias.fill_(True)
    decoder.ln_f = gpt2_norm(*norm)
    twin.lm_head = nn.Linear(c.d_model, c.d_vocab_out)
    twin.to(device=model.device, dtype=model.dtype)
    twin.load_state_dict({**twin.state_dict(), **weights})
    return twin.eval()


def edge_pruning_names(edge: str) -> tuple[str, str]:
    """The writer and the reader that Edge-Pruning calls an edge of ours.

    Raises GraphError for what is no edge.
    """
    source, destination = Edge(edge).source, Edge(edge).destination
    reader = FINAL if destination == "logits" else str(destination.node)
    return WRITERS.get(source, str(source)), ".".join(filter(None, (reader, destination.letter)))


def from_edge_pruning_names(writer: str, reader: str) -> Edge:
    """The edge of ours that Edge-Pruning calls so; `get_edges()` of its models lists such pairs.

    Raises GraphError for names that are none.
    """
    ours = {theirs: node for node, theirs in WRITERS.items()}
    node, _, letter = reader.rpartition(".") if reader.count(".") == 2 else (reader, "", "")
    target = Node("logits" if node == FINAL else node)
    return Edge(f"{ours.get(writer, writer)}->{target}" + (f"<{letter}>" if letter else ""))
