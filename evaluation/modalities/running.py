"""Runs of a hooked model: what its heads and neurons are, and runs in which some are replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.errors import GraphError
from knowncircuits.evaluation.modalities.nodes import NodeCircuit
from knowncircuits.evaluation.modalities.prompts import BATCH_SIZE, Hooked, Prompts, rows_at_a_time
from knowncircuits.models.interop.lens_library import HookPoint

EMBED = "hook_embed"  # without positions, where these are learned

Hook = Callable[[Tensor, HookPoint], Tensor]


@dataclass(frozen=True, eq=False)
class Activations:
    """What a batch of prompts comes to in a model."""

    embed: Float[Tensor, "batch pos d_model"]
    z: tuple[Float[Tensor, "batch pos head d_head"], ...]  # of each layer
    post: tuple[Float[Tensor, "batch pos neuron"], ...]  # none of models without MLPs


def z_hooks(model: Hooked) -> list[str]:
    """Where each layer's heads are seen, before they write."""
    return [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]


def post_hooks(model: Hooked) -> list[str]:
    """Where each layer's neurons are seen; nowhere in models without MLPs."""
    if model.cfg.attn_only:
        return []
    return [f"blocks.{layer}.mlp.hook_post" for layer in range(model.cfg.n_layers)]


def residual_hooks(model: Hooked) -> list[str]:
    """Where the residual stream behind each layer is seen."""
    return [f"blocks.{layer}.hook_resid_post" for layer in range(model.cfg.n_layers)]


def node_hooks(model: Hooked) -> list[str]:
    """The hooks of every layer's heads, then of every layer's neurons."""
    return [*z_hooks(model), *post_hooks(model)]


def keep(seen: dict[str, Tensor], name: str) -> Hook:
    """A hook that keeps what it sees under a name."""

    def hook_fn(value: Tensor, hook: HookPoint) -> Tensor:
        seen[name] = value
        return value  # a bridge goes on with what a hook returns, which gradients then reach

    return hook_fn


def see(model: Hooked, tokens: Int[Tensor, "batch pos"], names: Sequence[str]) -> list[Tensor]:
    """What is at some hooks of an ordinary run, without gradients."""
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=[(name, keep(seen, name)) for name in names])
    return [seen[name].detach() for name in names]


def activations(model: Hooked, tokens: Int[Tensor, "batch pos"]) -> Activations:
    """Embeddings, heads and neurons of an ordinary run."""
    embed, *nodes = see(model, tokens, [EMBED, *node_hooks(model)])
    n_layers = model.cfg.n_layers
    return Activations(embed, tuple(nodes[:n_layers]), tuple(nodes[n_layers:]))


def sizes(prompts: Prompts) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """[layer, pos, head] and [layer, pos, neuron] of circuits in these prompts."""
    first = activations(prompts.model, prompts.clean[:1])
    layers, positions = len(first.z), prompts.classes.n_positions
    width = first.post[0].shape[-1] if first.post else 0
    return (layers, positions, first.z[0].shape[2]), (layers, positions, width)


def no_nodes(prompts: Prompts) -> NodeCircuit:
    """The empty circuit."""
    return NodeCircuit(*(np.zeros(shape, dtype=bool) for shape in sizes(prompts)))


def circuit_answers(
    prompts: Prompts, circuits: Sequence[NodeCircuit], batch_size: int = BATCH_SIZE
) -> Float[Tensor, "circuit pair d_vocab_out"]:
    """What the model says where heads and neurons outside a circuit are as in the corrupted run.

    What is inside is computed from what it reads in this very run. Every circuit and pair is a row
    of batches.

    Raises GraphError for circuits of other sizes.
    """
    shapes = sizes(prompts)
    for circuit in circuits:
        if (circuit.heads.shape, circuit.neurons.shape) != shapes:
            raise GraphError(
                f"expected circuits of heads {shapes[0]} and neurons {shapes[1]}, got "
                f"{circuit.heads.shape} and {circuit.neurons.shape}"
            )
    model, device = prompts.model, prompts.clean.device
    heads, neurons = (
        torch.from_numpy(np.stack([circuit.of(kind) for circuit in circuits])).to(device)
        for kind in ("head", "neuron")
    )
    inside = [*heads[..., None].unbind(1), *neurons.unbind(1)]  # of a head all its numbers
    found: list[Tensor] = []  # [circuit, pair, d_vocab_out] of some pairs
    for pairs in rows_at_a_time(prompts.n_pairs, batch_size, device):
        corrupted = see(model, prompts.corrupted[pairs], node_hooks(model))
        said: list[Tensor] = []
        for chunk in rows_at_a_time(len(circuits) * len(pairs), batch_size, device):
            which, place = chunk // len(pairs), chunk % len(pairs)
            hooks = [
                (name, _replace(inside[i][which], corrupted[i][place]))
                for i, name in enumerate(node_hooks(model))
            ]
            with torch.no_grad():
                logits = model.run_with_hooks(prompts.clean[pairs[place]], fwd_hooks=hooks)
            said.append(prompts.at_answer(logits))
        found.append(torch.cat(said).reshape(len(circuits), len(pairs), -1))
    return torch.cat(found, 1)


def _replace(inside: Tensor, other: Tensor) -> Hook:
    """A hook that leaves what is inside and replaces the rest."""
    return lambda value, hook: torch.where(inside, value, other)
