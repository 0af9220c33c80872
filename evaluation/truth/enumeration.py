"""Every set of a circuit's edges, and the answers of the compiled model while it reads otherwise.

A set of edges is a number with bit i for edge i. That the model's other edges are no players at
all is what their label `out` says.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Label
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import TaskError
from knowncircuits.evaluation.truth.gates import gates_of
from knowncircuits.models.certificates.sides import high_answers
from knowncircuits.sets import SetTruth
from knowncircuits.work.progress import reported

MAX_EDGES = 16  # 65,536 sets
PAIRS = 4  # at a time
ROWS = 512  # runs at a time
ATOL = 1e-6  # numbers are answers to this precision

Sets = Int[np.ndarray, " set"]
OfSets = Bool[np.ndarray, " set"]
OfEdges = Bool[np.ndarray, " edge"]


@takes(compiled=Compiled)
def set_truth(
    compiled: Compiled,
    clean: Int[Tensor, "pair pos"],
    corrupted: Int[Tensor, "pair pos"],
    pairs: str = "resample",
    *,
    max_edges: int = MAX_EDGES,
) -> SetTruth:
    """What a compiled model's edges do together on pairs of inputs, by all sets of those inside.

    Args:
        compiled: the model with its circuit.
        clean: ids of the clean inputs.
        corrupted: ids of the corrupted ones.
        pairs: how the two differ, in the word that a task has for it.
        max_edges: circuits of more are refused: each doubles the number of sets.

    Raises TaskError for a circuit of too many edges.
    """
    circuit = compiled.circuit
    inside = np.flatnonzero(circuit.labels == Label.IN)
    if len(inside) > max_edges:
        raise TaskError(
            f"expected a circuit of at most {max_edges} edges to enumerate its sets, got "
            f"{len(inside)} in {compiled.name}"
        )
    found = _play(_Game(compiled, clean, corrupted, inside), len(inside))
    alone, matters, sufficient = found
    names = [circuit.graph.edges[i] for i in inside.tolist()]
    return SetTruth(
        pairs=pairs,
        n_pairs=len(clean),
        alone=_chosen(names, alone),
        company=_chosen(names, matters & ~alone),
        idle=_chosen(names, ~matters),
        minimal=tuple(_chosen(names, members(s, len(names))) for s in minimal_sets(sufficient)),
        gates=gates_of(compiled, clean, corrupted),
    )


def members(sets: int | Sets, n: int) -> Bool[np.ndarray, "*set edge"]:
    """Which edges are in each set."""
    return np.asarray(np.asarray(sets)[..., None] >> np.arange(n) & 1, dtype=bool)


def minimal_sets(sufficient: OfSets) -> list[int]:
    """The sufficient sets without a sufficient proper subset, small ones first."""
    n, sets = len(sufficient).bit_length() - 1, np.arange(len(sufficient))
    holds = sufficient.copy()  # whether a set has a sufficient subset, itself maybe
    below = np.zeros_like(holds)  # a proper one
    for size in range(1, n + 1):
        of_size = sets[np.bitwise_count(sets) == size]
        for i in range(n):
            there = of_size[of_size >> i & 1 == 1]
            below[there] |= holds[there ^ (1 << i)]
        holds[of_size] |= below[of_size]
    found = np.flatnonzero(sufficient & ~below)
    return sorted(found.tolist(), key=lambda s: (s.bit_count(), s))


class _Game:
    """The interchange game on a batch of pairs."""

    def __init__(
        self, compiled: Compiled, clean: Tensor, corrupted: Tensor, inside: Int[np.ndarray, " edge"]
    ) -> None:
        both = torch.unique(torch.stack([clean, corrupted], 1), dim=0)  # equal pairs play once
        self.compiled, self.inside = compiled, inside
        self.clean, self.corrupted = both[:, 0], both[:, 1]
        with torch.no_grad():
            self.alternative = compiled.model.run(self.corrupted).outputs

    def answers(
        self, sets: Sets, pairs: Int[np.ndarray, " pair"]
    ) -> Int[np.ndarray, "pair set pos"]:
        """The answers while each set of edges reads the corrupted input, as whole numbers."""
        model, found = self.compiled.model, []
        masks = np.zeros((len(sets), model.graph.n_edges), dtype=bool)
        masks[:, self.inside] = members(sets, len(self.inside))
        mask = torch.from_numpy(masks).to(self.alternative)
        rows = torch.cartesian_prod(torch.from_numpy(pairs), torch.arange(len(sets)))
        for some in torch.split(rows.to(mask.device), ROWS):
            pair, place = some.T
            with torch.no_grad():
                run = model.run(self.clean[pair], self.alternative[pair], mask[place])
            answers = high_answers(self.compiled, run.logits)
            if answers.is_floating_point():
                answers = (answers / ATOL).round().long()
            found.append(answers)
        return torch.cat(found).reshape(len(pairs), len(sets), -1).cpu().numpy()


def _play(game: _Game, n: int) -> tuple[OfEdges, OfEdges, OfSets]:
    """Which edges matter alone, which with some set, and which sets are sufficient.

    Once each edge is known to matter, only sets that may still be sufficient are run, beside
    single edges.
    """
    full, singles = (1 << n) - 1, 1 << np.arange(n)
    alone, matters = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    sufficient = np.ones(1 << n, dtype=bool)
    chunks = np.split(np.arange(len(game.clean)), range(PAIRS, len(game.clean), PAIRS))
    for pairs in reported(chunks):
        everything = not matters.all()
        kept = np.arange(1 << n) if everything else np.flatnonzero(sufficient)
        sets = np.unique(np.concatenate([[0], singles, full ^ kept]))
        answers = game.answers(sets, pairs)
        stays = (answers == answers[:, :1]).all((0, 2))  # the empty set is first
        alone |= ~stays[np.searchsorted(sets, singles)]
        sufficient[kept] &= stays[np.searchsorted(sets, full ^ kept)]
        if everything:
            for i in range(n):
                without = sets[sets >> i & 1 == 0]
                differs = answers[:, without] != answers[:, without | 1 << i]
                matters[i] |= differs.any()
    return alone, matters, sufficient


def _chosen(names: list[str], chosen: Bool[np.ndarray, " edge"]) -> tuple[str, ...]:
    return tuple(name for name, there in zip(names, chosen, strict=True) if there)
