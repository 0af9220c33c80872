"""What running a wired model under single edges and random sets of them shows of its labels."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.cases.pools import ATOL
from knowncircuits.circuit import Label
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.sides import equal, high_answers
from knowncircuits.models.wired.wired import Wired
from knowncircuits.names import Edge
from knowncircuits.patching import SinglePatches
from knowncircuits.transformer import Transformer

PAIRS, SEED = 256, 0
PLAIN = 1e-3  # an effect that needs no company

# A row for each pair: the edges that read the other input.
EdgeSets = Bool[np.ndarray, "pair edge"]
ImageSets = Bool[np.ndarray, "pair image"]
Logits = Float[Tensor, "pair pos d_vocab_out"]


def rounding(model: Transformer) -> float:
    """How far logits may move by rounding alone."""
    return 1e-9 if model.dtype == torch.float64 else 1e-4


class Interchanges:
    """A model on pairs of inputs, in the first of which edges read the second."""

    def __init__(self, model: Transformer, compiled: Compiled, n_pairs: int, seed: int) -> None:
        """The pairs are drawn as those of a task are, and equal for equal numbers."""
        self.model = model
        self.clean, other = compiled.draw(n_pairs, 2 * seed), compiled.draw(n_pairs, 2 * seed + 1)
        with torch.no_grad():
            self.run, self.alternative = model.run(self.clean), model.run(other).outputs

    def under(self, sets: EdgeSets) -> Logits:
        """The logits of each pair under its set of edges."""
        mask = torch.from_numpy(sets).to(self.model.device, self.model.dtype)
        with torch.no_grad():
            return self.model.run(self.clean, self.alternative, mask).logits

    def alone(self, edges: Int[np.ndarray, " edge"]) -> Float[np.ndarray, " edge"]:
        """The largest move of a logit that each edge makes by itself, over all pairs."""
        patches = SinglePatches(self.model, self.run, self.alternative)
        moved = patches.moved.cpu().numpy()[:, self.model.graph.source_of_edge[edges]]
        pairs, which = map(torch.from_numpy, np.nonzero(moved))
        found = torch.zeros(len(edges), dtype=self.model.dtype)
        with torch.no_grad():
            for rows, logits in patches.edges(torch.from_numpy(edges)[which], pairs):
                moves = (logits - self.run.logits[pairs[rows]])[:, 1:].abs().amax((1, 2))
                found.scatter_reduce_(0, which[rows], moves, "amax")
        return found.double().numpy()


def edge_effects(wired: Wired, n_pairs: int = PAIRS, seed: int = SEED) -> dict[str, float]:
    """For each edge that stands for one the largest move of a logit that it makes.

    By itself, and where that is next to nothing, beside random sets of such edges.
    """
    model, edges = wired.model, sorted(wired.images)
    places = np.array([model.graph.index(edge) for edge in edges], dtype=np.int64)
    alone = Interchanges(model, wired.compiled, n_pairs, seed).alone(places)
    found = dict(zip(edges, alone.tolist(), strict=True))
    n_some = max(1, n_pairs // 4)
    some = Interchanges(model, wired.compiled, n_some, seed)
    rng = np.random.default_rng(seed)
    company = np.zeros((n_some, model.graph.n_edges), dtype=bool)
    company[:, places] = rng.random((n_some, len(places))) < rng.random((n_some, 1))
    for edge, place in zip(edges, places.tolist(), strict=True):
        if found[edge] < PLAIN and Edge(edge).source in wired.varying:
            without, with_it = company.copy(), company.copy()
            without[:, place], with_it[:, place] = False, True
            move = _largest(some.under(with_it) - some.under(without))
            found[edge] = max(found[edge], move)
    return found


def _largest(moves: Logits) -> float:
    return float(moves[:, 1:].abs().max())


def distance(wired: Wired, n_pairs: int = PAIRS, seed: int = SEED) -> float:
    """How far logits are from the compiled model's under the same interchange: the most.

    The first pair is clean. In every other one a random set of edges reads the other input, which
    has all or none of the edges that share an image, and in the compiled model their images do.
    """
    low, high = random_sets(wired, n_pairs, seed)
    mine = Interchanges(wired.model, wired.compiled, n_pairs, seed).under(low)
    theirs = Interchanges(wired.compiled.model, wired.compiled, n_pairs, seed).under(high)
    return _largest(mine - theirs)


def random_sets(wired: Wired, n_pairs: int, seed: int) -> tuple[EdgeSets, ImageSets]:
    """Sets of edges and their images, closed as `Wired` says, of random density; the first empty.

    Any of the edges that stand for no edge may be in them.
    """
    graph, images = wired.model.graph, wired.compiled.circuit.graph
    rng = np.random.default_rng(seed)
    density = rng.random((n_pairs, 1))
    low = rng.random((n_pairs, graph.n_edges)) < density
    high = np.zeros((n_pairs, images.n_edges), dtype=bool)
    for mine, theirs in _groups(wired.images):
        drawn = rng.random((n_pairs, 1)) < density
        low[:, [graph.index(edge) for edge in mine]] = drawn
        high[:, [images.index(edge) for edge in theirs]] = drawn
    low[0] = high[0] = False
    return low, high


def _groups(images: Mapping[str, tuple[str, ...]]) -> list[tuple[list[str], list[str]]]:
    """Edges that share images, directly or through others, and these images."""
    shared = nx.Graph()
    shared.add_edges_from(
        ((0, edge), (1, image)) for edge, of in sorted(images.items()) for image in of
    )
    found = [sorted(group) for group in nx.connected_components(shared)]
    return [
        ([edge for side, edge in group if side == 0], [edge for side, edge in group if side == 1])
        for group in found
    ]


def labels_stay(before: Wired, after: Wired) -> dict[str, float]:
    """Check that edges which are in still matter, and that no other does which did not.

    Returns the least of the greatest effects of edges that are in; raises ModelError, with the
    edges, where a label would be wrong.
    """
    effects, least = edge_effects(after), rounding(after.model)
    inside = {edge: x for edge, x in effects.items() if after.circuit.label(edge) == Label.IN}
    lost = [edge for edge, effect in inside.items() if effect <= least]
    won = [edge for edge, effect in effects.items() if edge not in inside and effect > least]
    if lost or won:
        had = edge_effects(before)
        lost = [edge for edge in lost if had.get(edge, 1.0) > least]
        won = [edge for edge in won if had.get(edge, 0.0) <= least]
    if lost or won:
        what = "no effect" if lost else "an effect"
        raise ModelError(
            f"expected labels to stay, got {what} of {', '.join((lost or won)[:5])} under any of "
            f"{PAIRS} random interchanges"
        )
    return {"smallest_effect": min(inside.values(), default=0.0)}


def answers_stay(before: Wired, after: Wired, n_pairs: int = 4 * PAIRS) -> dict[str, float]:
    """Check that answers are the same under random sets of edges, and on clean inputs.

    Returns how far logits move on clean inputs, at most; raises ModelError where an answer changes.
    """
    graph, compiled = before.model.graph, before.compiled
    rng = np.random.default_rng(SEED)
    sets = rng.random((n_pairs, graph.n_edges)) < rng.random((n_pairs, 1))
    sets[: n_pairs // 2] = False
    was, now = (
        Interchanges(wired.model, compiled, n_pairs, SEED).under(sets) for wired in (before, after)
    )
    same = equal(high_answers(compiled, was), high_answers(compiled, now), ATOL)
    changed = int((~same).sum())
    if changed:
        raise ModelError(
            f"expected answers to stay, got {changed} others at {same.numel()} positions, half of "
            "them under random interchanges"
        )
    return {"largest_move": _largest((was - now)[: n_pairs // 2])}
