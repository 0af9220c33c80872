"""Pass 1: which layer each step is computed in.

Depth is the longest way from the input. Depths become layers one by one, except that heads at one
depth and MLPs at the next share a layer, since a layer's MLP comes after its heads. tracr's rule,
kept for the sake of equal circuits.
"""

from __future__ import annotations

from knowncircuits.rasp.program import Program, Step


def schedule(program: Program) -> dict[Step, int]:
    """The layer of every step that a head or an MLP computes."""
    depth: dict[Step, int] = {}
    for step in program.in_order:
        depth[step] = 1 + max((depth[read] for read in step.reads), default=-1)
        if step.needs_mlp:  # a numerical constant reads nothing, yet is computed
            depth[step] = max(depth[step], 1)
    computed = [step for step in program.steps if step.is_head or step.needs_mlp]
    levels = [
        [step for step in computed if depth[step] == level]
        for level in range(1, max((depth[step] for step in computed), default=0) + 1)
    ]
    layers: list[list[Step]] = []
    previous_only_heads = False
    for level in levels:
        only_heads = not any(step.needs_mlp for step in level)
        only_maps = not any(step.is_head for step in level)
        if previous_only_heads and only_maps:
            layers[-1] += level
            previous_only_heads = False
        else:
            layers.append(level)
            previous_only_heads = only_heads
    return {step: layer for layer, level in enumerate(layers) for step in level}
