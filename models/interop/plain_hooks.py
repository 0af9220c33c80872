"""Single edges patched in a Hugging Face model by PyTorch's own hooks, as a check of the primitive.

Nothing of TransformerLens is used, nor of the primitive: projections and norms are called as they
are, on inputs with a change, and what they give is put in place for one head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from knowncircuits.graph import Graph
from knowncircuits.models.interop.architectures import Places
from knowncircuits.names import QKV, Letter, Node

Stream = Float[Tensor, "batch seq d_model"]


class PlainHooks:
    """A Hugging Face model, where its parts are, and the graph whose edges are to be patched."""

    def __init__(self, model: nn.Module, places: Places, graph: Graph) -> None:
        """The model must not be behind a bridge, which changes it."""
        self.model, self.places, self.graph = model, places, graph
        self.n_layers = graph.n_layers

    @torch.no_grad()
    def run(
        self, tokens: Int[Tensor, "batch seq"]
    ) -> tuple[Float[Tensor, "batch seq output"], Float[Tensor, "batch source seq d_model"]]:
        """The logits, and what every source writes."""
        read: dict[str, Tensor] = {}
        wrote: dict[str, Tensor] = {}
        names = ["norm", "out", "mlp_write", *(["post_norm"] if self.places.post_norm else [])]
        handles = [
            _seeing(self._part(layer, name), f"{name}{layer}", read, wrote)
            for layer in range(self.n_layers)
            for name in names
        ]
        if self.places.positions:
            handles.append(_seeing(self._module(self.places.positions), "pos", read, wrote))
        with _removed(handles):
            logits = self.model(tokens).logits
        stream = read["norm0"]
        pos = wrote["pos"].expand_as(stream) if "pos" in wrote else torch.zeros_like(stream)
        written = {Node("embed"): stream - pos, Node("pos"): pos}
        for layer in range(self.n_layers):
            out, z = self._part(layer, "out"), read[f"out{layer}"]
            for head, of_head in enumerate(self._columns(z.shape[-1])):
                part = out(z * of_head) - out(torch.zeros_like(z))  # without the bias
                if self.places.post_norm:  # number by number, what the norm makes of the sum
                    part = part * (wrote[f"post_norm{layer}"] / read[f"post_norm{layer}"])
                written[Node.of_head(layer, head)] = part
            written[Node.of_mlp(layer)] = wrote[f"mlp_write{layer}"].reshape(stream.shape)
        return logits, torch.stack([written[source] for source in self.graph.sources], 1)

    @torch.no_grad()
    def patched(
        self,
        tokens: Int[Tensor, " seq"],
        differences: Float[Tensor, "source seq d_model"],
        edges: Int[np.ndarray, " edge"],
    ) -> Float[Tensor, "edge seq output"]:
        """The logits of runs in each of which one edge reads its source with a difference."""
        handles: list[RemovableHandle] = []
        streams: dict[int, Tensor] = {}
        for layer in range(self.n_layers):
            norm = self._part(layer, "norm")
            handles.append(norm.register_forward_pre_hook(_see(streams, layer)))
        for i, destination in enumerate(self.graph.destinations):
            rows = np.flatnonzero(self.graph.destination_of_edge[edges] == i)
            if not len(rows):
                continue
            change = torch.zeros(len(edges), *differences.shape[1:])
            change[rows] = differences[self.graph.source_of_edge[edges[rows]]]
            node = destination.node
            if node.kind == "logits":
                final = self._module(self.places.final_norm)
                handles.append(final.register_forward_pre_hook(_add(change)))
            elif node.kind == "mlp" and self.places.mlp_norm:
                norm = self._part(node.layer, "mlp_norm")
                handles.append(norm.register_forward_pre_hook(_add(change)))
            elif node.kind == "mlp":
                norm, mlp = self._part(node.layer, "norm"), self._part(node.layer, "mlp")
                hook = _normed_again(norm, change, streams, node.layer)
                handles.append(mlp.register_forward_pre_hook(hook))
            else:
                handles.append(self._patch_head(node, destination.letter, change, streams))
        with _removed(handles):
            logits: Tensor = self.model(tokens.expand(len(edges), -1)).logits
        return logits

    def _patch_head(
        self, node: Node, letter: Letter, change: Stream, streams: dict[int, Tensor]
    ) -> RemovableHandle:
        """Project the stream with a change, and take what one head, or one group, has of it."""
        norm = self._part(node.layer, "norm")
        projection = self._part(node.layer, "q" if self.places.fused else letter)

        def hook(module: nn.Module, args: tuple[Tensor, ...], made: Tensor) -> Tensor:
            new = module.forward(norm.forward(streams[node.layer] + change))
            own = self._own(node.head, letter, made.shape[-1])
            return torch.where(own, new, made)

        return projection.register_forward_hook(hook)

    def _own(self, head: int, letter: Letter, width: int) -> Tensor:
        """Which columns of a projection a head's query is in, or its group's key or value."""
        place, n_heads = QKV.index(letter), self.graph.n_heads
        columns = torch.arange(width)
        if self.places.fused is None:
            groups = n_heads if letter == "q" else n_heads // self.graph.group_size
            return columns // (width // groups) == head * groups // n_heads
        part = columns // (width // (3 * n_heads))
        by_letter, by_head = place * n_heads + head, 3 * head + place
        return part == (by_letter if self.places.fused == "letters" else by_head)

    def _columns(self, width: int) -> Tensor:
        """For each head 1 in its columns of what goes into the output projection, else 0."""
        heads = torch.arange(self.graph.n_heads)[:, None]
        return (torch.arange(width) // (width // self.graph.n_heads) == heads).float()

    def _module(self, name: str) -> nn.Module:
        return self.model.get_submodule(name)

    def _part(self, layer: int, role: str) -> nn.Module:
        return self._module(f"{self.places.layers}.{layer}.{getattr(self.places, role)}")


def _seeing(
    module: nn.Module, name: str, read: dict[str, Tensor], wrote: dict[str, Tensor]
) -> RemovableHandle:
    """A hook that notes what goes into a module and what comes out."""

    def see(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        wrote[name] = output
        if args:
            read[name] = args[0]

    return module.register_forward_hook(see)


def _see(streams: dict[int, Tensor], layer: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def see(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        streams[layer] = args[0]

    return see


def _add(change: Stream) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    # OPT puts all positions of all inputs in one row.
    return lambda module, args: (args[0] + change.reshape(args[0].shape),)


def _normed_again(
    norm: nn.Module, change: Stream, streams: dict[int, Tensor], layer: int
) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    """For an MLP that shares its norm with attention: the norm of the stream with a change."""
    changed = change.flatten(1).any(1)[:, None, None]
    return lambda module, args: (
        torch.where(changed, norm.forward(streams[layer] + change), args[0]),
    )


@contextmanager
def _removed(handles: list[RemovableHandle]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
