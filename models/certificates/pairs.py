"""The pairs of inputs that a certificate is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.cases.case import Case
from knowncircuits.cases.pairs import draw_pairs, resample
from knowncircuits.cases.sampling import FEW, Codes, enumerate_inputs, in_split, most_inputs
from knowncircuits.cases.strata import SAMPLER, draw_stratum, is_of_length, length_of
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError
from knowncircuits.rasp.meant import ProgramInputs

ALL_PAIRS: Final = "all pairs"
MAX_PAIRS = 1_000_000  # of a certificate
Inputs = Literal["all pairs", "a sample of all pairs", "test inputs", "drawn inputs"]
LISTED: tuple[Inputs, ...] = (ALL_PAIRS, "a sample of all pairs")  # where inputs are few

# Pairs of strata, as shares of the certificate's. Lengths are many, and cheap.
OF_KIND, OF_LENGTH, IN_COMPANY = 2, 5, 4


@dataclass(frozen=True, eq=False)
class CertificatePairs:
    """What a certificate is measured on."""

    base: Int[Tensor, "pair pos"]
    source: Int[Tensor, "pair pos"]
    inputs: Inputs
    n_beyond: int = 0  # pairs with an input that is no test input, where there are too few

    @property
    def n_inputs(self) -> int:
        """How many different ones there are."""
        return len(np.unique(torch.cat([self.base, self.source]).cpu().numpy(), axis=0))


def certificate_pairs(compiled: Compiled, n_pairs: int, seed: int) -> CertificatePairs:
    """Ordered pairs of different inputs, of the greatest length."""
    n_tokens, length = len(compiled.vocabulary.tokens), compiled.vocabulary.max_len
    n_inputs, n_tests = (most_inputs(n_tokens, length, split) for split in (None, "test"))
    may_list = isinstance(compiled.case, Case | ProgramInputs)
    if may_list and compiled.case.meant is not None and n_inputs <= FEW:
        every = _every_input(compiled, length)
        n_inputs, n_tests = len(every), int(in_split(every, n_tokens, "test").sum())
    n_all = n_inputs * (n_inputs - 1)
    if n_pairs < 1 or n_all < 1:
        raise ModelError(f"expected at least one pair and two inputs, got {n_pairs}, {n_inputs}")
    if may_list and (n_all <= n_pairs or n_tests * (n_tests - 1) < n_pairs):
        return _pairs_of(compiled, _every_input(compiled, length), n_pairs, seed)
    inputs: Inputs
    if isinstance(compiled.case, Case):
        inputs, drawn = "test inputs", draw_pairs(compiled.case, n_pairs, seed, split="test")
    else:
        inputs, drawn = "drawn inputs", resample(compiled.draw_codes, n_pairs, seed)
    return CertificatePairs(compiled.to_ids(drawn.clean), compiled.to_ids(drawn.corrupted), inputs)


def _every_input(compiled: Compiled, length: int) -> Codes:
    """All inputs of a length that the program is meant for."""
    meant = compiled.case.meant
    listed = None if meant is None else meant.of_length(length)
    if listed is not None:
        return listed
    every = enumerate_inputs(len(compiled.vocabulary.tokens), length)
    return every if meant is None else meant.among(every)


def _pairs_of(compiled: Compiled, every: Codes, n_pairs: int, seed: int) -> CertificatePairs:
    """All ordered pairs of different ones of these inputs, or a sample of them."""
    n_all = len(every) * (len(every) - 1)
    inputs: Inputs
    inputs, chosen = ALL_PAIRS, np.arange(n_all)
    if n_all > n_pairs:
        rng = np.random.default_rng(seed)
        inputs, chosen = "a sample of all pairs", rng.choice(n_all, n_pairs, replace=False)
    first, second = np.divmod(chosen, len(every) - 1)
    second = second + (second >= first)
    return CertificatePairs(compiled.to_ids(every[first]), compiled.to_ids(every[second]), inputs)


def n_of_stratum(stratum: str, n_pairs: int, *, enumerated: bool) -> int:
    """How many pairs of a stratum a certificate is measured on, of so many of the sampler's.

    Where these are all that there are, shorter inputs have no more: as many then.
    """
    if stratum == SAMPLER or enumerated:
        return n_pairs
    return max(1, n_pairs // (OF_LENGTH if is_of_length(stratum) else OF_KIND))


def n_in_company(n_of_stratum: int, n_pairs: int) -> int:
    """On how many of a stratum's pairs each inside edge is patched with bystanders.

    `n_pairs` are the sampler's.
    """
    return max(1, min(n_of_stratum // 2, n_pairs // IN_COMPANY))


def stratum_pairs(compiled: Compiled, stratum: str, n_pairs: int, seed: int) -> CertificatePairs:
    """The pairs of a stratum of a compiled case: see `knowncircuits.cases.strata`.

    The sampler's are the certificate's own. Of a length that has no more pairs than are asked for,
    all; otherwise test inputs, as far as there are enough.
    """
    case = compiled.case
    if stratum == SAMPLER:
        return certificate_pairs(compiled, n_pairs, seed)
    if not isinstance(case, Case):
        raise ModelError(f"expected a compiled case, whose inputs have strata, got {compiled.name}")
    length = length_of(case, stratum)
    if is_of_length(stratum) and case.n_inputs(length) <= FEW:
        every = _every_input(compiled, length)
        if len(every) * (len(every) - 1) <= n_pairs:
            return _pairs_of(compiled, every, n_pairs, seed)
    drawn = draw_stratum(case, stratum, n_pairs, seed, split="test")
    return CertificatePairs(
        compiled.to_ids(drawn.base),
        compiled.to_ids(drawn.source),
        "drawn inputs" if drawn.n_beyond else "test inputs",
        drawn.n_beyond,
    )
