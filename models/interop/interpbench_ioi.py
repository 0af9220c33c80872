"""InterpBench's model for indirect object identification, in the words of our case `ioi`.

It is not made of a tracr program, and reads GPT-2's 50,257 tokens. Those are kept that the case
has, and of its answers the names, so that it takes the ids of our case and says what our compiled
model does. Its heads have the roles that InterpBench trains them for (Gupta et al., 2024).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch

from knowncircuits.cases.ioi import IOI, NAMES
from knowncircuits.circuit import Circuit
from knowncircuits.errors import ModelError
from knowncircuits.roles import DUPLICATE_TOKEN, NAME_MOVER, S_INHIBITION
from knowncircuits.transformer import Transformer

# InterpBench's two: the second was trained to say what comes next at every position.
IOI_CASES = ("ioi", "ioi_next_token")
ROLES = {"a1.h1": DUPLICATE_TOKEN, "a2.h1": S_INHIBITION, "a4.h1": NAME_MOVER}
N_TOKENS, BOS_ID = 50_257, 50_256  # of GPT-2's vocabulary; <|endoftext|>
# GPT-2's ids: with a blank before, but for marks and for the words that sentences begin with.
TOKEN_IDS: Final = {
    "Mary": 5335,
    "John": 1757,
    "James": 3700,
    "Sarah": 10490,
    "Michael": 3899,
    "Emily": 17608,
    "Paul": 3362,
    "Laura": 16753,
    "store": 3650,
    "garden": 11376,
    "office": 2607,
    "ring": 5858,
    "drink": 4144,
    "bone": 9970,
    "snack": 26906,
    "Then": 6423,
    "While": 3633,
    "Friends": 36705,
    ",": 11,
    ".": 13,
    "and": 290,
    "went": 1816,
    "to": 284,
    "the": 262,
    "gave": 2921,
    "a": 257,
    "were": 547,
    "working": 1762,
    "at": 379,
    "found": 1043,
    "it": 340,
}


def in_our_words(model: Transformer) -> Transformer:
    """The model of our tokens and names, in the order of `ioi`'s vocabulary and of its answers.

    Raises ModelError for a model of another vocabulary, or of too few positions.
    """
    c, n_ctx = model.config, IOI.vocabulary().n_ctx
    if (c.d_vocab, c.d_vocab_out) != (N_TOKENS, N_TOKENS) or c.n_ctx < n_ctx:
        raise ModelError(
            f"expected GPT-2's {N_TOKENS} tokens and at least {n_ctx} positions for {IOI.name}, "
            f"got {c.d_vocab}, {c.d_vocab_out} answers and {c.n_ctx} positions"
        )
    read = [BOS_ID, *(TOKEN_IDS[word] for word in map(str, IOI.vocab))]
    said = [TOKEN_IDS[name] for name in sorted(NAMES)]  # as a compiled model's values are
    config = replace(c, d_vocab=len(read), d_vocab_out=len(said))
    ours = Transformer(config, dtype=model.dtype, device=model.device)
    with torch.no_grad():
        kept = {"W_E": model.W_E[read], "W_U": model.W_U[:, said], "b_U": model.b_U[said]}
        ours.load_state_dict({**model.state_dict(), **kept})
    return ours


def with_roles(circuit: Circuit) -> Circuit:
    """The recorded circuit with the roles of those heads that are in it."""
    there = set(circuit.inside_nodes)
    return replace(circuit, roles={node: role for node, role in ROLES.items() if node in there})
