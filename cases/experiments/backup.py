"""Self-repair: is a path found that works only where the first one is gone?

A head sees whether one of four letters is in the input. Another one, a layer later, looks for some
of the same letters, but says so only if the first has not: in every clean run it is silent. Patch
what the first head reads, and the backup restores the answer for the letters that it knows. So
single patches (`exact`) miss the first head's keys and all of the backup, and pruning (`acdc`)
keeps one of the two (on real models: McGrath et al., "The Hydra effect", 2023).
"""

from __future__ import annotations

import numpy as np

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.contrast import Contrast
from knowncircuits.cases.directed import DIRECTIONS
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.gates import (
    LETTERS,
    SMALL,
    TRUE,
    fillers,
    letters_case,
    letters_there,
)
from knowncircuits.cases.sampling import Codes

NAME = "backup"
SEEN = 4  # letters that the first head looks for
SHARE = 1 - 0.5 ** (1 / SEEN)  # of inputs that have each: half have one


def build(n_known: int) -> Case:
    """The backup knows so many of the letters."""
    first = rasp.Aggregate(_one_of(SEEN), TRUE, default=False).named("first")
    gone = rasp.Map(lambda there: not there, first).named("gone")
    backup = rasp.Aggregate(_one_of(n_known), gone, default=False).named("backup")
    letters = ", ".join(LETTERS[:SEEN])
    contrast = Contrast(
        f"one of the letters {letters} is in the input",
        f"none of the letters {letters} is in the input",
        _with_one,
        _with_none,
    )
    return letters_case(
        NAME,
        n_known,
        f"Whether one of {letters} is in the input; a backup knows {n_known} of them.",
        rasp.SequenceMap(lambda one, other: one or other, first, backup),
        letters_there(SEEN, SHARE),
        contrast,
    )


def _one_of(n: int) -> rasp.Selector:
    """The positions with one of the first letters."""
    letters = LETTERS[:n]
    seen = rasp.Map(lambda letter: letter in letters, SMALL).named(f"one_of_{n}")
    return rasp.Select(seen, rasp.Full(True), rasp.Comparison.EQ)


def _with_one(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    rows = np.arange(len(codes))
    letters = rng.integers(SEEN, size=len(codes)) + len(LETTERS) * rng.integers(2, size=len(codes))
    codes = codes.copy()
    codes[rows, rng.integers(codes.shape[1], size=len(codes))] = letters
    return codes


def _with_none(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    others = fillers(rng, codes.shape, SEEN)
    return np.where(codes % len(LETTERS) < SEEN, others, codes)


BACKUP = Experiment(
    name=NAME,
    question="Is a path found that works only where the first one is gone?",
    dial="letters of four that the backup knows",
    levels=(1, 2, 3, 4),
    tags=("redundancy",),
    build=build,
    directions=DIRECTIONS,
)
