"""Clean and corrupted inputs: other inputs, the smallest change that counts, or one variable's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from knowncircuits.cases.case import Case
from knowncircuits.cases.directed import DIRECTIONS, directed_inputs
from knowncircuits.cases.sampling import Codes, Satisfy, in_split
from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.rasp.columns import NONE, Batch, Column
from knowncircuits.rasp.expressions import SOp
from knowncircuits.rasp.interpreter import MAX_CELLS
from knowncircuits.rasp.program import Step, flatten

CORRUPTIONS = ("resample", "minimal", "variable:NAME", *DIRECTIONS)

# How often inputs are drawn anew before giving up.
ATTEMPTS = 100
# How often candidates are sought that change a variable.
ROUNDS = 20
# A small change replaces at most so many tokens ...
MAX_REPLACED = 3
# ... and of those that replace more than one, so many are tried for each input.
N_TRIED = 192
# So many candidates at a time: changes of one size, or inputs drawn anew.
STEP = 32

Draw = Callable[[int, int], Codes]  # (how many, seed) -> inputs
Candidates = Int[np.ndarray, "pair candidate length"]
Choices = Int[np.ndarray, "pair candidate size"]
Good = Bool[np.ndarray, "pair candidate"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Clean inputs and, for each, a corrupted one of the same length that differs from it."""

    clean: Int[np.ndarray, "pair length"]  # indices into the alphabet
    corrupted: Int[np.ndarray, "pair length"]
    # Minimal: pairs whose output no small change altered, so that another input was drawn.
    n_resampled: int = 0
    # Variable: how many of the other variables, that it neither feeds nor is fed by, changed too.
    side_effects: Int[np.ndarray, " pair"] | None = None

    def __post_init__(self) -> None:
        equal = (self.clean == self.corrupted).all(1)
        if equal.any():
            raise TaskError(
                f"expected corrupted inputs that differ from the clean ones, got {equal.sum()} "
                f"equal pairs of {len(equal)}, the first at {equal.argmax()}"
            )

    @property
    def n_replaced(self) -> Int[np.ndarray, " pair"]:
        """In how many tokens each pair differs."""
        return np.asarray((self.clean != self.corrupted).sum(1))


def draw_pairs(
    case: Case,
    n: int,
    seed: int = 0,
    corruption: str = "resample",
    *,
    length: int | None = None,
    split: str | None = None,
) -> Pairs:
    """Clean inputs as the case draws them, and corrupted ones.

    Args:
        case: the case.
        n: how many pairs.
        seed: equal seeds give equal pairs, and the same clean inputs whatever the corruption, if
            it has no direction.
        corruption:
            `resample`: another input that the case draws.
            `minimal`: as few tokens replaced as change the output, at a position where the clean
            output is not None if there is one; at random among all replacements of one token, then
            among a sample of those of two and three. Where none does, an input drawn anew that has
            another output.
            `variable:NAME`: the variable of the program differs at some position. Among samples of
            inputs with one to three tokens replaced, and of inputs drawn anew, one that changes
            the fewest of those variables that are neither computed from this one nor it from
            them; and of these one that replaces the fewest tokens.
            `on-off`: both are made of one input that the case draws, the clean one to have the
            property that the case names, and the corrupted one to lack it; `off-on`: the reverse.
            One of the case's own, `case.corruptions`: what that makes of the clean input.
        length: by default the greatest.
        split: `train` or `test`, for clean and corrupted inputs; see `Case.draw`.

    Raises:
        TaskError: where no such corrupted inputs can be found, or for a direction of a case that
            names no property.
        InputError: for a wrong length.
        UnknownNameError: for another corruption or split, or an unknown variable.
    """
    if n < 1:
        raise TaskError(f"expected at least one pair, got {n}")
    for direction in DIRECTIONS:
        if corruption == direction:
            return Pairs(*directed_inputs(case, n, seed, direction, length=length, split=split))
    kind, _, name = corruption.partition(":")
    own = case.corruptions.get(corruption)
    if (
        own is None
        and corruption not in ("resample", "minimal")
        and not (kind == "variable" and name)
    ):
        raise UnknownNameError("corruption", corruption, (*CORRUPTIONS, *case.corruptions))

    def draw(n: int, seed: int) -> Codes:
        return case.draw(n, seed, length, split=split)

    if corruption == "resample":
        return resample(draw, n, seed)
    if own is not None:
        return _corrupted(case, own, draw, n, seed, split)
    search = _Search(case, draw, n, seed, split)
    return search.minimal() if corruption == "minimal" else search.variable(name)


def resample(draw: Draw, n: int, seed: int) -> Pairs:
    """Two draws of inputs, equal ones drawn anew; raises TaskError where they stay equal."""
    seeds = iter(np.random.SeedSequence(seed).generate_state(ATTEMPTS + 1).tolist())
    clean, corrupted = draw(n, next(seeds)), draw(n, next(seeds))
    for attempt in seeds:
        equal = (clean == corrupted).all(1)
        if not equal.any():
            break
        corrupted[equal] = draw(int(equal.sum()), attempt)
    return Pairs(clean, corrupted)


def _corrupted(
    case: Case, corrupt: Satisfy, draw: Draw, n: int, seed: int, split: str | None
) -> Pairs:
    """Clean inputs and what one of the case's own corruptions makes of each.

    Inputs that it leaves as they are, or takes out of the split or of what the case is meant for,
    are drawn anew.
    """
    first, own, *seeds = np.random.SeedSequence(seed).generate_state(ATTEMPTS + 2).tolist()
    rng, clean = np.random.default_rng(own), draw(n, first)
    corrupted, left = clean.copy(), np.arange(n)
    for attempt in seeds:
        corrupted[left] = corrupt(rng, clean[left], len(case.vocab))
        good = (corrupted[left] != clean[left]).any(1)
        good &= case.allows(corrupted[left], split)
        left = left[~good]
        if not len(left):
            return Pairs(clean, corrupted)
        clean[left] = draw(len(left), attempt)
    raise TaskError(f"expected {n} pairs of {case.name}, found none for {len(left)} of them")


def output_changes(
    clean: Int[np.ndarray, "*batch length"], corrupted: Int[np.ndarray, "*batch length"]
) -> Bool[np.ndarray, "*batch length"]:
    """Where outputs differ, as codes of one table, among the positions that count.

    These are the positions where the clean output is not None; all, if it is None everywhere.
    """
    counts = clean != NONE
    counts = counts | ~counts.any(-1, keepdims=True)
    return np.asarray((clean != corrupted) & counts)


class _Search:
    """Tries candidates for every pair; `left` are those that still lack a good one."""

    def __init__(self, case: Case, draw: Draw, n: int, seed: int, split: str | None) -> None:
        if len(case.vocab) < 2:
            raise TaskError("expected an alphabet of at least two tokens, got one")
        first, own, *seeds = np.random.SeedSequence(seed).generate_state(ATTEMPTS + 2).tolist()
        self.case, self.draw, self.split, self.seeds = case, draw, split, seeds
        self.rng = np.random.default_rng(own)
        self.clean = draw(n, first)
        self.corrupted = self.clean.copy()
        self.left = np.arange(n)
        n_singles = self.clean.shape[1] * (len(case.vocab) - 1)
        self.singles = self.rng.permuted(np.tile(np.arange(n_singles), (n, 1)), axis=1)

    def minimal(self) -> Pairs:
        """See `draw_pairs`."""
        for candidates in map(self._meant, self._small_changes()):
            self._settle(candidates, self._output_changes(candidates))
            if not len(self.left):
                return Pairs(self.clean, self.corrupted)
        n_resampled = len(self.left)
        for seed in self.seeds:
            candidates = self._drawn(1, seed)
            self._settle(candidates, self._output_changes(candidates))
            if not len(self.left):
                return Pairs(self.clean, self.corrupted, n_resampled)
        raise self._failure("with another output")

    def variable(self, name: str) -> Pairs:
        """See `draw_pairs`."""
        target, others = _variable_and_unrelated(self.case, name)
        n, length = self.clean.shape
        side_effects = np.zeros(n, dtype=np.int64)
        for attempt, seed in enumerate(self.seeds[:ROUNDS]):
            sizes = range(2, min(MAX_REPLACED, length) + 1)
            several = [self._random_changes(size) for size in sizes]
            singles = self._single_changes(attempt * 2 * STEP, 2 * STEP)
            candidates = np.concatenate([singles, *several, self._drawn(STEP, seed)], axis=1)
            candidates = self._meant(candidates)
            changed, effects = self._variable_changes(target, others, candidates)
            n_replaced = (candidates != self.clean[self.left, None]).sum(-1)
            pairs, chosen = self._settle(candidates, changed, effects * (length + 1) + n_replaced)
            side_effects[pairs] = effects[chosen]
            if not len(self.left):
                return Pairs(self.clean, self.corrupted, side_effects=side_effects)
        raise self._failure(f"that differs in {name}")

    def _small_changes(self) -> Iterator[Candidates]:
        for start in range(0, self.singles.shape[1], STEP):
            yield self._single_changes(start, STEP)
        for size in range(2, min(MAX_REPLACED, self.clean.shape[1]) + 1):
            for _ in range(0, N_TRIED, STEP):
                yield self._random_changes(size)

    def _single_changes(self, start: int, n: int) -> Candidates:
        """Of all replacements of one token, in the random order of each pair, the next n."""
        position, shift = np.divmod(
            self.singles[self.left, start : start + n, None], len(self.case.vocab) - 1
        )
        return self._replace(position, shift + 1)

    def _random_changes(self, size: int) -> Candidates:
        """Random replacements of so many tokens."""
        shape, length = (len(self.left), STEP), self.clean.shape[1]
        positions = self.rng.random((*shape, length)).argsort(-1)[..., :size]
        shifts = self.rng.integers(1, len(self.case.vocab), size=(*shape, size))
        return self._replace(positions, shifts)

    def _replace(self, positions: Choices, shifts: Choices) -> Candidates:
        """The clean inputs with other tokens at these positions, so far on in the alphabet."""
        candidates = np.repeat(self.clean[self.left, None], positions.shape[1], axis=1)
        old = np.take_along_axis(candidates, positions, axis=2)
        np.put_along_axis(candidates, positions, (old + shifts) % len(self.case.vocab), axis=2)
        return candidates

    def _drawn(self, n: int, seed: int) -> Candidates:
        """For each pair n inputs as the case draws them."""
        shape = (len(self.left), n, self.clean.shape[1])
        return self.draw(shape[0] * n, seed).reshape(shape)

    def _meant(self, candidates: Candidates) -> Candidates:
        """With the clean input, which changes nothing, in place of what the case is not meant for.

        The program may say nothing of such inputs, not even that.
        """
        meant = self.case.meant
        if meant is None:
            return candidates
        holds = meant.holds(candidates.reshape(-1, candidates.shape[-1]))
        holds = holds.reshape(candidates.shape[:2])
        return np.where(holds[..., None], candidates, self.clean[self.left, None])

    def _output_changes(self, candidates: Candidates) -> Good:
        inputs = np.concatenate([self.clean[self.left, None], candidates], axis=1)
        outputs = self.case.outputs(inputs.reshape(-1, inputs.shape[-1])).codes
        outputs = outputs.reshape(inputs.shape)
        clean = np.broadcast_to(outputs[:, :1], candidates.shape)
        return np.asarray(output_changes(clean, outputs[:, 1:]).any(-1))

    def _variable_changes(
        self, target: SOp, others: Sequence[SOp], candidates: Candidates
    ) -> tuple[Good, Int[np.ndarray, "pair candidate"]]:
        """Which candidates change the target, and how many of the others each changes."""
        inputs = np.concatenate([self.clean[self.left, None], candidates], axis=1)
        step = max(1, MAX_CELLS // (inputs.shape[1] * inputs.shape[2] ** 2))
        changes = []
        for start in range(0, len(inputs), step):
            part = inputs[start : start + step]
            column = Column(part.reshape(-1, part.shape[-1]), self.case.vocab)
            batch = Batch(column, self.case.causal)
            codes = np.stack([sop.column(batch).codes for sop in (target, *others)])
            codes = codes.reshape(len(codes), *part.shape)
            changes.append((codes[:, :, 1:] != codes[:, :, :1]).any(-1))
        changed = np.concatenate(changes, axis=1)
        return changed[0], changed[1:].sum(0)

    def _settle(
        self, candidates: Candidates, good: Good, cost: np.ndarray | None = None
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Give each pair its first good candidate of the split, or the cheapest.

        Returns which pairs are done, and where their candidates are.
        """
        flat = candidates.reshape(-1, candidates.shape[-1])
        good = good & in_split(flat, len(self.case.vocab), self.split).reshape(good.shape)
        done = np.flatnonzero(good.any(1))
        never = np.iinfo(np.int64).max
        best = np.where(good, 0 if cost is None else cost, never).argmin(1)
        pairs, chosen = self.left[done], (done, best[done])
        self.corrupted[pairs] = candidates[chosen]
        self.left = np.delete(self.left, done)
        return pairs, chosen

    def _failure(self, what: str) -> TaskError:
        example = [self.case.vocab[code] for code in self.clean[self.left[0]]]
        return TaskError(
            f"expected for each clean input another one {what}, found none for {len(self.left)} "
            f"of {len(self.clean)}, such as {example}"
        )


def _variable_and_unrelated(case: Case, name: str) -> tuple[SOp, list[SOp]]:
    """A variable by its name, and those that neither feed it nor are fed by it."""
    program = flatten(case.program)
    by_name = {step.name: step for step in program.steps}
    if name not in by_name:
        raise UnknownNameError("variable", name, by_name)
    sources: dict[Step, set[Step]] = {}
    for step in program.in_order:
        sources[step] = {step}.union(*(sources[read] for read in step.reads))
    target = by_name[name]
    others = [
        step.sop
        for step in program.steps
        if step not in sources[target] and target not in sources[step]
    ]
    return target.sop, others
