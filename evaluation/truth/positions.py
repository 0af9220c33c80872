"""The truth at every position: which edges of a compiled model have a part there.

The players are edges at positions: many more than edges, too many for all their sets to be tried.
Three things leave few enough, and leave nothing out:

- a player is *live* on a pair only if what its destination reads there can be something else: the
  others change nothing beside any set;
- the answer at one position depends on those players alone from which a way of live ones leads to
  it, its *cone*;
- a player that changes an answer beside one of some drawn sets is in, and needs no further trial.

All sets of a cone are tried where one of its players is not known to be in.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Label
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import TaskError
from knowncircuits.evaluation.task import Task
from knowncircuits.evaluation.truth.enumeration import ATOL, MAX_EDGES, ROWS, members
from knowncircuits.graph import Block
from knowncircuits.models.certificates.sides import high_answers
from knowncircuits.models.reads import readers
from knowncircuits.work.progress import reported

DRAWS = 64  # sets of each pair beside which players are tried
FORMS = 64  # of what an MLP writes at a position: of more nothing is assumed

Labels = Int8[np.ndarray, "edge pos"]
Players = Bool[np.ndarray, "edge pos"]
Vectors = Float[Tensor, "form d_model"]  # all that a source may write at a position


@takes(compiled=Compiled, task=Task)
def position_labels(
    compiled: Compiled, task: Task, *, max_players: int = MAX_EDGES, seed: int = 0
) -> Labels:
    """Which edges have a part in the answers to a task's pairs, and at which positions.

    An edge at a position is *in* if reading the corrupted input there changes an answer to some
    pair, alone or beside some set of other edges at positions. It is *undetermined* if what its
    source writes there is the same in both runs of every pair, unless it is in all the same.

    Args:
        compiled: the model with its circuit.
        task: whose pairs count, of this model.
        max_players: all sets of so many edges at positions are tried at most.
        seed: of the sets that are drawn before. The labels do not depend on it.

    Raises TaskError for the task of another graph, for another ablation than `resample`, and where
    it would take more players: pairs that differ at fewer positions have fewer.
    """
    if task.graph != compiled.model.graph or task.ablation != "resample":
        raise TaskError(
            f"expected a task of {compiled.name} and resample ablation, got one of {task.name} and "
            f"{task.ablation} ablation"
        )
    both = torch.unique(torch.stack([task.clean, task.corrupted], 1), dim=0)  # equal pairs once
    games = [_Game(compiled, *pair.split(1)) for pair in both]
    moved = np.any([game.moved for game in games], 0)
    known, rng = np.zeros_like(moved), np.random.default_rng(seed)
    for game in reported(games):
        known |= game.found_by_draws(known, rng)
    for game in reported(games):
        for position in range(1, known.shape[1]):  # of BOS nothing is asked
            cone = game.live & game.cone(position)
            if not (cone & ~known).any():
                continue
            if cone.sum() > max_players:
                raise TaskError(
                    f"expected at most {max_players} edges at positions that may have a part in "
                    f"one answer to try all their sets, got {cone.sum()} in {compiled.name}"
                )
            known |= game.matter(cone, position)
    labels = np.where(moved, Label.OUT, Label.UNDETERMINED).astype(np.int8)
    labels[compiled.circuit.labels == Label.UNDETERMINED] = Label.UNDETERMINED
    labels[known] = Label.IN
    return labels


class _Game:
    """The interchange game on one pair."""

    def __init__(
        self, compiled: Compiled, clean: Int[Tensor, "1 pos"], corrupted: Int[Tensor, "1 pos"]
    ) -> None:
        self.compiled, self.clean = compiled, clean
        with torch.no_grad():
            self.written = compiled.model.run(clean).outputs
            self.alternative = compiled.model.run(corrupted).outputs
            self.live = self._live()
        source_of_edge = torch.from_numpy(compiled.model.graph.source_of_edge)
        moved = ((self.alternative - self.written)[0].abs() > ATOL).any(-1)
        self.moved: Players = moved[source_of_edge].cpu().numpy()  # a source that writes otherwise

    def found_by_draws(self, known: Players, rng: np.random.Generator) -> Players:
        """Live players, not known before, that change an answer, alone or beside a drawn set."""
        players = np.argwhere(self.live)
        found, n = np.zeros_like(self.live), len(players)
        for draw in range(DRAWS):
            asked = np.flatnonzero((self.live & ~known & ~found)[tuple(players.T)])
            if not len(asked):
                break
            first = (rng.random(n) < rng.random()) & (draw > 0)  # alone, to begin with
            sets = np.concatenate([first[None], first ^ np.eye(n, dtype=bool)[asked]])
            answers = self.answers(players, sets)
            changed = (answers[1:] != answers[:1]).any(1)
            found[tuple(players[asked[changed]].T)] = True
        return found

    def matter(self, cone: Players, position: int) -> Players:
        """The players of a cone that change the answer at a position beside any set of the cone."""
        players = np.argwhere(cone)
        sets = np.arange(1 << len(players))
        answers = self.answers(players, members(sets, len(players)))[:, position]
        found = np.zeros_like(cone)
        for i, (edge, pos) in enumerate(players.tolist()):
            without = sets[sets >> i & 1 == 0]
            found[edge, pos] = (answers[without] != answers[without | 1 << i]).any()
        return found

    def answers(
        self, players: Int[np.ndarray, "player 2"], sets: Bool[np.ndarray, "set player"]
    ) -> Int[np.ndarray, "set pos"]:
        """The answers while the players of each set read the corrupted input; of BOS none."""
        model, found = self.compiled.model, []
        edges, positions = torch.from_numpy(players).T
        for some in torch.split(torch.from_numpy(sets), ROWS):
            mask = self.written.new_zeros(len(some), *self.live.shape)
            mask[:, edges, positions] = some.to(mask)
            with torch.no_grad():
                run = model.run(self.clean.expand(len(some), -1), self.alternative, mask)
            answers = high_answers(self.compiled, run.logits)
            if answers.is_floating_point():
                answers = (answers / ATOL).round().long()
            found.append(answers)
        answered = torch.cat(found).cpu().numpy()
        return np.concatenate([np.zeros_like(answered[:, :1]), answered], 1)

    def cone(self, position: int) -> Players:
        """The live players from which a way of live ones leads to the answer at a position."""
        graph = self.compiled.model.graph
        found = np.zeros_like(self.live)
        reached = np.zeros((len(graph.nodes), self.live.shape[1]), dtype=bool)
        reached[-1, position] = True
        for block in reversed(graph.blocks):
            for place, destination in enumerate(block.destinations):
                start = block.start + place * block.n_sources
                edges = slice(start, start + block.n_sources)
                at = reached[graph.target_of_edge[start]]
                if destination.letter in ("k", "v"):  # of all that the queries may look at
                    at = self._seen(at)
                found[edges] = self.live[edges] & at
                reached[: block.n_sources] |= found[edges]
        return found

    def _seen(self, queries: Bool[np.ndarray, " pos"]) -> Bool[np.ndarray, " pos"]:
        """The positions that any of these queries may look at."""
        if self.compiled.model.config.causal:
            return np.logical_or.accumulate(queries[::-1])[::-1]
        return np.full_like(queries, queries.any())

    def _seen_by(self, keys: Bool[np.ndarray, " pos"]) -> Bool[np.ndarray, " pos"]:
        """The positions that may look at any of these keys."""
        if self.compiled.model.config.causal:
            return np.logical_or.accumulate(keys)
        return np.full_like(keys, keys.any())

    def _live(self) -> Players:
        """The inside edges at positions along which something else may be read than is in this run.

        All forms of what each source may write at each position are kept, or None where they are
        not known: for heads of which any input is live, and for MLPs with many forms.
        """
        compiled, graph = self.compiled, self.compiled.model.graph
        inside = compiled.circuit.labels == Label.IN
        n_pos = self.clean.shape[1]
        forms: list[list[Vectors | None]] = [
            [self.written[0, source, None, pos] for pos in range(n_pos)]
            for source in range(len(graph.sources))
        ]
        live = np.zeros((graph.n_edges, n_pos), dtype=bool)
        through = readers(compiled.model)
        for block, matrices in zip(graph.blocks, through, strict=True):
            for place, destination in enumerate(block.destinations):
                start = block.start + place * block.n_sources
                matrix = matrices[place]
                if destination.letter == "k":
                    queries = start - (block.stop - block.start)  # the head's edges into its query
                    if not live[queries : queries + block.n_sources].any():
                        matrix = matrix @ self._queries(block)[place].T
                for source, pos in itertools.product(range(block.n_sources), range(n_pos)):
                    edge = start + source
                    if inside[edge]:
                        live[edge, pos] = self._differs(forms[source][pos], source, pos, matrix)
                target = int(graph.target_of_edge[start])
                moves = np.asarray(live[start : start + block.n_sources].any(0))
                if destination.node.kind == "mlp":
                    self._write(block, target, moves, live, forms)
                elif destination.node.kind == "head":
                    written = moves if destination.letter == "q" else self._seen_by(moves)
                    for pos in np.flatnonzero(written).tolist():
                        forms[target][pos] = None
        return live

    def _differs(
        self, forms: Vectors | None, source: int, pos: int, matrix: Float[Tensor, "d_model read"]
    ) -> bool:
        """Whether a destination may read another value than the alternative."""
        if forms is None:
            return True
        read = (forms - self.alternative[0, source, pos]) @ matrix  # compiled models have no norms
        return bool((read.abs() > ATOL).any())

    def _queries(self, block: Block) -> Float[Tensor, "head pos d_head"]:
        """The queries of this run: keys are read as scores, where these cannot change."""
        layer, model = block.destinations[0].node.layer, self.compiled.model
        return model.qkv(self._stream(block), None, layer)[0][0]

    def _stream(self, block: Block) -> Float[Tensor, "1 pos d_model"]:
        """What a block's destinations read in this run."""
        node = block.destinations[0].node
        biases = self.compiled.model.b_O[: node.layer + (node.kind == "mlp")].sum(0)
        return self.written[:, : block.n_sources].sum(1) + biases

    def _write(
        self,
        block: Block,
        target: int,
        moves: Bool[np.ndarray, " pos"],
        live: Players,
        forms: list[list[Vectors | None]],
    ) -> None:
        """All that an MLP may write, of what its live inputs may be."""
        model = self.compiled.model
        layer = block.destinations[0].node.layer
        for pos in np.flatnonzero(moves).tolist():
            sources = np.flatnonzero(live[block.start : block.stop, pos]).tolist()
            choices = [forms[source][pos] for source in sources]
            sizes = [0 if choice is None else len(choice) + 1 for choice in choices]
            if not 0 < np.prod(sizes) <= FORMS:
                forms[target][pos] = None
                continue
            steps = [
                torch.cat([choice, self.alternative[0, source, None, pos]])
                - self.written[0, source, pos]
                for source, choice in zip(sources, choices, strict=True)
                if choice is not None
            ]
            moved = torch.stack([sum(step) for step in itertools.product(*steps)])
            read = self._stream(block)[:, pos] + moved
            forms[target][pos] = torch.unique(model.mlp(read[:, None], layer)[:, 0], dim=0)
