"""Gates of flags: what the experiments `gate_...` have in common.

A flag is whether a letter, small or capital, is anywhere in the input: a head of its own looks for
it, with certainty, and one MLP joins all flags, so each comes in along an edge of its own. In
directed pairs all flags are on in one input and off in the other; all other tokens are the same.

A head that is certain hands no gradient to its keys: `eap` finds no edge in front of the heads,
whatever the gate, and of those behind them what the MLP's units happen to let through. Between the
two inputs heads hesitate: `eap-ig-inputs` takes gradients there, and finds nearly all edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.contrast import Contrast
from knowncircuits.cases.sampling import Codes, Sampler

LETTERS = "abcdexy"  # flags are of the first of them; others fill the input
TOKENS = (*LETTERS, *LETTERS.upper())
SMALL = rasp.Map(str.lower, rasp.tokens).named("small")
TRUE = rasp.Full(True).named("true")
FAN_INS = (2, 3, 4, 5)
LENGTH = 6


def gate_case(
    name: str, n_flags: int, says: str, gate: Callable[[Sequence[bool]], bool], share: float
) -> Case:
    """The case of a gate over so many flags.

    `says` is how many of the letters the gate asks for, `share` how often each of them is there.
    """
    letters = LETTERS[:n_flags]
    flags = [has_letter(letter) for letter in letters]
    program = rasp.NarySequenceMap(lambda *on: gate(on), *flags)
    description = f"Whether {says} of the letters {', '.join(letters)} is in the input."
    sampler, contrast = letters_there(n_flags, share), all_or_none(n_flags)
    return letters_case(name, n_flags, description, program, sampler, contrast)


def letters_case(
    name: str,
    level: int,
    description: str,
    program: rasp.SOp,
    sampler: Sampler,
    contrast: Contrast,
) -> Case:
    """A level whose inputs are small and capital letters."""
    return Case(
        name=f"{name}_{level}",
        family=name,
        description=description,
        program=program.named(name),
        vocab=TOKENS,
        max_len=LENGTH,
        only_lengths=(LENGTH,),
        sampler=sampler,
        contrast=contrast,
    )


def has_letter(letter: str) -> rasp.SOp:
    """Whether a letter is anywhere in the input: a head that attends to it, or else to BOS."""
    here = rasp.Select(SMALL, rasp.Full(letter).named(letter), rasp.Comparison.EQ)
    return rasp.Aggregate(here, TRUE, default=False).named(f"has_{letter}")


def letters_there(n_flags: int, share: float) -> Sampler:
    """Inputs in which each letter of a flag is with this probability, among other letters."""

    def sample(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
        return planted(rng, fillers(rng, (n, length), n_flags), n_flags, share)

    sample.__doc__ = f"Each of {n_flags} letters is in {share:.0%} of inputs, among other letters."
    return sample


def all_or_none(n_flags: int) -> Contrast:
    """All letters of flags are there, or none is."""

    def switch_on(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
        return planted(rng, codes, n_flags, 1)

    def switch_off(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
        others = fillers(rng, codes.shape, n_flags)
        return np.where(codes % len(LETTERS) < n_flags, others, codes)

    letters = f"of the letters {', '.join(LETTERS[:n_flags])} is in the input"
    return Contrast(f"every one {letters}", f"none {letters}", switch_on, switch_off)


def fillers(rng: np.random.Generator, shape: tuple[int, ...], n_flags: int) -> np.ndarray:
    """Letters of no flag, small and capital."""
    case = rng.integers(2, size=shape) * len(LETTERS)
    return np.asarray(case + rng.integers(n_flags, len(LETTERS), size=shape))


def planted(rng: np.random.Generator, codes: Codes, n_flags: int, share: float) -> Codes:
    """Each letter of a flag at a place of its own, with a probability; short inputs have fewer."""
    letters = np.arange(min(n_flags, codes.shape[1]))
    letters = letters + len(LETTERS) * rng.integers(2, size=(len(codes), len(letters)))
    places = rng.random(codes.shape).argsort(1)[:, : letters.shape[1]]
    there = rng.random(letters.shape) < share
    new = np.where(there, letters, np.take_along_axis(codes, places, 1))
    codes = codes.copy()
    np.put_along_axis(codes, places, new, 1)
    return codes
