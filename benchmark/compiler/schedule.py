"""Pass 4: which layer each S-Op is computed in.

Depth is the longest way from the input. Depths become layers one by one, except that heads at one
depth and MLPs at the next share a layer, since a layer's MLP comes after its heads. tracr's rule,
kept for the sake of equal circuits.
"""

from __future__ import annotations

from knowncircuits.compiler.program import Program
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Full,
    Map,
    SelectorWidth,
    SequenceMap,
    SOp,
    is_categorical,
)


def is_head(expr: SOp) -> bool:
    """Whether an S-Op is computed by an attention head, alone or before an MLP."""
    return isinstance(expr, (Aggregate, AggregateSum, SelectorWidth))


def needs_mlp(expr: SOp) -> bool:
    """Whether an S-Op is computed by an MLP, alone or after a head."""
    if isinstance(expr, Full):
        return not is_categorical(expr)
    return isinstance(expr, (Map, SequenceMap)) or decodes(expr)


def decodes(expr: SOp) -> bool:
    """Whether an S-Op is a head whose output an MLP turns into the value."""
    return isinstance(expr, (SelectorWidth, AggregateSum))


def schedule(program: Program) -> dict[int, int]:
    """The layer of every S-Op that a head or an MLP computes, by its id."""
    depth: dict[int, int] = {}
    for expr in program.dependency_order():
        depth[id(expr)] = 1 + max((depth[id(c)] for c in program.inputs(expr)), default=-1)
        if needs_mlp(expr):  # a numerical constant reads nothing, yet is computed
            depth[id(expr)] = max(depth[id(expr)], 1)
    computed = [expr for expr in program.sops if is_head(expr) or needs_mlp(expr)]
    levels = [
        [expr for expr in computed if depth[id(expr)] == level]
        for level in range(1, max((depth[id(expr)] for expr in computed), default=0) + 1)
    ]
    layers: list[list[SOp]] = []
    previous_only_heads = False
    for level in levels:
        only_heads = all(is_head(expr) and not decodes(expr) for expr in level)
        only_maps = not any(is_head(expr) for expr in level)
        if previous_only_heads and only_maps:
            layers[-1] += level
            previous_only_heads = False
        else:
            layers.append(level)
            previous_only_heads = only_heads
    return {id(expr): layer for layer, level in enumerate(layers) for expr in level}
