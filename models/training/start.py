"""Weights that training starts from, where they are another model's."""

from __future__ import annotations

from dataclasses import asdict

import torch

from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError
from knowncircuits.models.trained import Trained
from knowncircuits.rasp.vocabulary import BOS
from knowncircuits.transformer import Transformer


def start_from(model: Transformer, compiled: Compiled, start: Trained) -> None:
    """Give a model of a compiled one the weights of another: its first layers and its embeddings.

    Tokens have the embeddings that they have there. Of layers that the other lacks, and of a
    readout for another number of answers, the weights stay as they are. Where one program begins
    as another does, such as `median`, which sorts, the model then has that part of the circuit.

    Raises ModelError for other widths or kinds of layers, for fewer layers than `start` has, and
    for tokens that it does not know.
    """
    wanted, got = asdict(model.config), asdict(start.model.config)
    most, layers = wanted.pop("n_layers"), got.pop("n_layers")
    for free in ("d_vocab", "d_vocab_out"):
        del wanted[free], got[free]
    if other := {name: value for name, value in wanted.items() if got[name] != value}:
        found = {name: got[name] for name in other}
        raise ModelError(f"expected a model to start from with {other}, got one with {found}")
    if layers > most:
        raise ModelError(f"expected at most {most} layers to start from, got {layers}")
    known, tokens = start.compiled.vocabulary.tokens, compiled.vocabulary.tokens
    if unknown := [token for token in tokens if token not in known]:
        raise ModelError(f"expected a model to start from that knows the tokens {unknown}")
    ids = [BOS, *(BOS + 1 + known.index(token) for token in tokens)]
    norms = [model.config.norms.index(norm) for norm in start.model.config.norms]
    with torch.no_grad():
        for name, parameter in start.model.named_parameters():
            place = getattr(model, name)
            weights = parameter[ids] if name == "W_E" else parameter
            if name in ("ln_w", "ln_b"):
                place[norms] = weights
            elif place[: len(weights)].shape == weights.shape:
                place[: len(weights)] = weights
