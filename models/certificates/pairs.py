"""The pairs of inputs that a certificate is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int
from torch import Tensor

from knowncircuits.cases.case import Case
from knowncircuits.cases.pairs import draw_pairs, resample
from knowncircuits.cases.sampling import enumerate_inputs, most_inputs
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError
from knowncircuits.rasp.meant import ProgramInputs

MAX_PAIRS = 1_000_000  # of a certificate
Inputs = Literal["all pairs", "a sample of all pairs", "test inputs", "drawn inputs"]


@dataclass(frozen=True, eq=False)
class CertificatePairs:
    """What a certificate is measured on."""

    base: Int[Tensor, "pair pos"]
    source: Int[Tensor, "pair pos"]
    inputs: Inputs


def certificate_pairs(compiled: Compiled, n_pairs: int, seed: int) -> CertificatePairs:
    """Ordered pairs of different inputs, of the greatest length."""
    n_tokens, length = len(compiled.vocabulary.tokens), compiled.vocabulary.max_len
    n_inputs, n_tests = (most_inputs(n_tokens, length, split) for split in (None, "test"))
    n_all = n_inputs * (n_inputs - 1)
    if n_pairs < 1 or not n_all:
        raise ModelError(f"expected at least one pair and two inputs, got {n_pairs}, {n_inputs}")
    may_list = isinstance(compiled.case, Case | ProgramInputs)
    inputs: Inputs
    if may_list and (n_all <= n_pairs or n_tests * (n_tests - 1) < n_pairs):
        inputs, chosen = "all pairs", np.arange(n_all)
        if n_all > n_pairs:
            rng = np.random.default_rng(seed)
            inputs, chosen = "a sample of all pairs", rng.choice(n_all, n_pairs, replace=False)
        first, second = np.divmod(chosen, n_inputs - 1)
        every = enumerate_inputs(n_tokens, length)
        codes = every[first], every[second + (second >= first)]
    else:
        if isinstance(compiled.case, Case):
            inputs, drawn = "test inputs", draw_pairs(compiled.case, n_pairs, seed, split="test")
        else:
            inputs, drawn = "drawn inputs", resample(compiled.draw_codes, n_pairs, seed)
        codes = drawn.clean, drawn.corrupted
    return CertificatePairs(compiled.to_ids(codes[0]), compiled.to_ids(codes[1]), inputs)
