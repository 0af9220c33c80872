"""Pass 4: the weights of all components in the stacks of one Transformer."""

from __future__ import annotations

import math

import numpy as np
import torch

from knowncircuits.architecture import TransformerConfig
from knowncircuits.compiler.components import Components
from knowncircuits.compiler.layout import Layout
from knowncircuits.compiler.variables import Variable
from knowncircuits.errors import CompileError
from knowncircuits.names import Node
from knowncircuits.rasp.vocabulary import BOS, Vocabulary
from knowncircuits.transformer import Transformer

# A model of more is refused: half a gigabyte in float64.
MAX_WEIGHTS = 2**26


def assemble(
    components: Components,
    n_layers: int,
    layout: Layout,
    output: Variable,
    vocabulary: Vocabulary,
    *,
    causal: bool,
    dtype: torch.dtype,
) -> Transformer:
    """Fill a transformer without norms, with ReLU, and as small as the components allow.

    Raises CompileError for one of more than MAX_WEIGHTS.
    """
    heads, mlps = components.heads, components.mlps
    widths = {node: sum(piece.into.size for piece in pieces) for node, pieces in mlps.items()}
    config = TransformerConfig(
        n_layers=n_layers,
        n_heads=max((node.head + 1 for node in heads), default=1),
        d_model=layout.d_model,
        d_head=max((max(h.k.size, h.v.size) for h in heads.values()), default=1),
        d_mlp=max([1, *widths.values()]),  # a map that is None throughout has no units
        n_ctx=vocabulary.n_ctx,
        d_vocab=vocabulary.size,
        d_vocab_out=len(output.directions),
        causal=causal,
        activation="relu",
    )
    _check_size(config)
    hidden = [widths.get(Node.of_mlp(layer), 0) for layer in range(n_layers)]
    model = Transformer(config, hidden=hidden, dtype=dtype)
    D, K, M = config.d_model, config.d_head, config.d_mlp
    with torch.no_grad():
        model.W_E.copy_(torch.from_numpy(_embedding(layout, vocabulary)))
        places = layout.indices.directions
        for position, direction in enumerate(places, start=1):
            model.W_pos[position, direction] = 1.0
        for node, head in heads.items():
            layer, number = node.layer, node.head
            q = head.q.matrix(D, K) * math.sqrt(K)
            for i, matrix in enumerate((q, head.k.matrix(D, K), head.v.matrix(D, K))):
                model.W_QKV[layer, i, number] = torch.from_numpy(matrix)
            model.W_O[layer, number] = torch.from_numpy(head.o.matrix(D, K).T.copy())
        for node, pieces in mlps.items():
            layer, start = node.layer, 0
            for piece in pieces:
                stop = start + piece.into.size
                into, out = piece.into.matrix(D, M), piece.out.matrix(D, M)
                model.W_in[layer, :, start:stop] = torch.from_numpy(into[:, : stop - start])
                model.W_out[layer, start:stop] = torch.from_numpy(out[:, : stop - start].T.copy())
                start = stop
        for i, direction in enumerate(output.directions):
            model.W_U[direction, i] = 1.0
    return model.requires_grad_(False)


def _check_size(config: TransformerConfig) -> None:
    c = config
    n_weights = c.n_layers * c.d_model * (4 * c.n_heads * c.d_head + 2 * c.d_mlp)
    if n_weights > MAX_WEIGHTS:
        reason = (
            f"its model of {c.n_layers} layers, {c.n_heads} heads of {c.d_head}, {c.d_model} "
            f"directions and {c.d_mlp} hidden units has {n_weights / 1e6:.0f} million weights, "
            f"more than {MAX_WEIGHTS / 1e6:.0f}; categorical variables have a direction for each "
            "value, and pairs a unit each: with fewer tokens, a smaller max_len or coarser values "
            "there are fewer"
        )
        raise CompileError([reason])


def _embedding(layout: Layout, vocabulary: Vocabulary) -> np.ndarray:
    embedding = np.zeros((vocabulary.size, layout.d_model))
    constants = layout.constants
    embedding[:, constants.one.directions[0]] = 1.0
    embedding[BOS, constants.bos.directions[0]] = 1.0
    if constants.pad is not None:
        embedding[vocabulary.pad_id, constants.pad.directions[0]] = 1.0
    for i, direction in enumerate(layout.tokens.directions, start=1):
        embedding[i, direction] = 1.0
    return embedding
