"""A case and its trained model as the pair that iit trains and evaluates.

iit (the package of InterpBench's authors, Gupta et al., 2024) interchanges what a high-level model
holds, and what the nodes of a low-level one write that stand for it. Here the high-level model is
the compiled one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from knowncircuits.compiler.compiled import Compiled
from knowncircuits.correspondence import FIXED, Correspondence
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.interop.hooks import source_hooks, split_heads
from knowncircuits.models.interop.lens_library import HookedRootModule, HookPoint
from knowncircuits.names import Node

HEAD, MLP = "attn.hook_result", "mlp.hook_post"  # where iit looks for nodes
IGNORED = -100  # an answer that PyTorch's cross-entropy leaves out


class HighLevelModel(HookedRootModule):  # type: ignore[misc]
    """A compiled model with a hook for each node, of the node's name: `a0.h1`, `m0`, `embed`."""

    def __init__(self, compiled: Compiled) -> None:
        super().__init__()
        self.compiled = compiled
        self.twin = to_hooked(compiled)
        points: dict[str, nn.Module] = {}
        for hook, nodes in source_hooks(self.twin.graph).items():
            passed: dict[str, nn.Module] = {str(node): HookPoint() for node in nodes}
            self.twin.add_hook(hook, _through([*passed.values()]), is_permanent=True)
            points |= passed
        for name, point in points.items():  # a head's goes into its layer, since names have no dots
            layer, _, head = name.partition(".")
            if not head:
                self.add_module(layer, point)
            elif not hasattr(self, layer):
                self.add_module(layer, nn.ModuleDict({head: point}))
            else:
                getattr(self, layer)[head] = point
        self.setup()

    def forward(self, inputs: Any) -> Tensor:
        """The program's answers as iit wants them.

        Args:
            inputs: tokens [batch, pos], or a tuple in which they come first, as iit hands it on.

        Returns:
            The ids of values [batch, pos], and -100 where there is none, as at BOS: PyTorch's
            cross-entropy leaves these out. A program of numbers gives numbers [batch, pos, 1].
        """
        logits: Tensor = self.twin(inputs if isinstance(inputs, Tensor) else inputs[0])
        if not self.is_categorical():
            return logits
        return logits.argmax(-1).where(self.compiled.defined(logits), IGNORED)

    def is_categorical(self) -> bool:
        """Whether answers are ids of values, for which iit's loss is the cross-entropy."""
        return not self.compiled.output.numerical


def _through(points: list[nn.Module]) -> Callable[[Tensor, HookPoint], Tensor]:
    """A hook that passes what each node writes through a point of its own."""

    def hook_fn(value: Tensor, hook: HookPoint) -> Tensor:
        parts = [point(part) for point, part in zip(points, split_heads(value), strict=True)]
        return parts[0] if value.ndim == 3 else torch.stack(parts, 2)

    return hook_fn


def low_level_places(
    correspondence: Correspondence,
) -> dict[str, list[tuple[str, tuple[int | None, ...]]]]:
    """For each compiled head and MLP the hook of the twin that stands for it, and its index there.

    An index has None for all of a dimension, as iit's `TorchIndex` takes it. Inputs have no place:
    iit interchanges what heads and MLPs write.
    """
    places: dict[str, list[tuple[str, tuple[int | None, ...]]]] = {}
    for high, low in correspondence.nodes.items():
        node = Node(low)
        if node in FIXED:
            continue
        hook = f"blocks.{node.layer}.{HEAD if node.kind == 'head' else MLP}"
        index = (None, None, node.head, None) if node.kind == "head" else (None,)
        places[high] = [(hook, index)]
    return places
