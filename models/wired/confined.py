"""`confine`: labels for the inputs that a case draws, where its program is for more than these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from knowncircuits.circuit import Label
from knowncircuits.errors import ModelError
from knowncircuits.models.wired.enumeration import distance, edge_effects, rounding
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired
from knowncircuits.names import Edge


def others_are_no_players(before: Wired, after: Wired) -> Mapping[str, float]:
    """Check that edges which stand for none move nothing, and that those inside matter.

    Returns how far random sets of edges move logits from where their images do, at most, and the
    least of the greatest effects of edges that are in; raises ModelError where the first is more
    than rounding, or the second is not.
    """
    moved, least = distance(after), rounding(after.model)
    if moved > least:
        raise ModelError(
            f"expected edges of what is unread or constant to change nothing, got logits that "
            f"random sets of edges move by {moved:.2g} more"
        )
    effects = edge_effects(after)
    inside = {edge: effect for edge, effect in effects.items() if _is_in(after, edge)}
    if idle := [edge for edge, effect in inside.items() if effect <= least]:
        raise ModelError(
            f"expected edges that are in to matter, got no effect of {', '.join(idle[:5])} under "
            "any of many random interchanges"
        )
    return {"largest_move": moved, "smallest_effect": min(inside.values(), default=0.0)}


def _is_in(wired: Wired, edge: str) -> bool:
    return wired.circuit.label(edge) == Label.IN


@transformation(check=others_are_no_players)
def confine(wired: Wired, unread: Sequence[str] = (), constant: Sequence[str] = ()) -> Wired:
    """The same model, of which only some inputs are asked: those that the case's sampler draws.

    A model of several programs has the circuits of all. Where the inputs only ever ask for one of
    them, what the others compute is read and changes no answer under any set of edges.

    Labels: edges that carry nothing but `unread` variables, or go into a node that writes no
    others, are out. Those of `constant` variables, which are the same on all of these inputs, are
    undetermined. It is refused where a random set of such edges moves a logit, and where an edge
    that is in never does. It is the last step: no other can follow.

    Args:
        wired: the model.
        unread: names of the program's variables that no answer depends on.
        constant: names of variables that do not differ between inputs.

    Raises ModelError for a name that is no variable's.
    """
    variables = wired.compiled.variables
    if unknown := [name for name in (*unread, *constant) if name not in variables]:
        raise ModelError(
            f"expected variables of {wired.compiled.name} ({', '.join(variables)}), got "
            f"{unknown[0]!r}"
        )
    same, idle = (_edges_of(wired, names) for names in (constant, unread))
    images = {}
    for edge, of in wired.images.items():
        kept = tuple(image for image in of if image not in idle | same)
        if kept or not of or same & set(of):  # one that stands for none is undetermined
            images[edge] = kept
    silent = _writers(wired, constant)
    still = {
        Edge(edge).source
        for edge, of in wired.images.items()
        if of and all(Edge(image).source in silent for image in of)
    }
    return replace(wired, images=images, varying=wired.varying - still)


def _edges_of(wired: Wired, names: Sequence[str]) -> set[str]:
    """The compiled edges that carry only these variables, or lead to nodes that write no others."""
    circuit, variables = wired.compiled.circuit, wired.compiled.variables
    nodes = _writers(wired, names)
    found = set()
    for edge, carried in circuit.carries.items():
        varying = {name for name in carried if variables[name].varies}
        if varying and (varying <= set(names) or Edge(edge).target in nodes):
            found.add(str(edge))
    return found


def _writers(wired: Wired, names: Sequence[str]) -> set[str]:
    """The compiled nodes that write some of these variables and no others."""
    variables = wired.compiled.variables
    others = {str(variable.node) for name, variable in variables.items() if name not in names}
    return {str(variables[name].node) for name in names} - others
