"""A case: a program, its alphabet and lengths, and how its inputs are drawn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from knowncircuits.errors import InputError
from knowncircuits.rasp.expressions import SOp, Value
from knowncircuits.rasp.interpreter import Column, evaluate, interpret
from knowncircuits.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

    from knowncircuits.compiler import Compiled

# (random generator, how many, length, size of the alphabet) -> indices into the alphabet [n, length]
Sampler = Callable[[np.random.Generator, int, int, int], Int[np.ndarray, "n length"]]


def uniform(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
    """Every token equally likely, independently."""
    return rng.integers(n_tokens, size=(n, length))


@dataclass(frozen=True, eq=False)
class Case:
    """One task of the benchmark. Its name is its identity."""

    name: str
    family: str
    description: str  # one line
    program: SOp
    vocab: tuple[Value, ...]
    max_len: int  # tokens, without BOS
    causal: bool = False
    sampler: Sampler = uniform
    suites: tuple[str, ...] = ("interpbench",)
    interpbench_id: int | None = None

    def vocabulary(self, *, pad: bool = False) -> Vocabulary:
        """The alphabet with BOS and, if asked for, PAD."""
        return Vocabulary(self.vocab, self.max_len, pad)

    def compile(self, *, pad: bool = False, dtype: torch.dtype | None = None) -> Compiled:
        """The transformer whose circuit is known; see `knowncircuits.compiler.compile_program`."""
        import torch

        from knowncircuits.compiler import compile_program

        compiled = compile_program(
            self.program,
            self.vocabulary(pad=pad),
            causal=self.causal,
            dtype=dtype or torch.float32,
        )
        return replace(compiled, name=self.name, sampler=self.draw)

    def interpret(self, inputs: Sequence[Sequence[Value]]) -> list[list[Value]]:
        """What the program says, on inputs of one length; raises InputError for foreign tokens."""
        self.vocabulary().encode(inputs)
        return interpret(self.program, inputs, causal=self.causal)

    def outputs(self, codes: Int[np.ndarray, "n length"]) -> Column:
        """What the program says on inputs given as indices into the alphabet."""
        return evaluate(self.program, Column(codes, self.vocab), causal=self.causal)

    def draw(self, n: int, seed: int, length: int | None = None) -> Int[np.ndarray, "n length"]:
        """n random inputs as indices into the alphabet, of the greatest length unless told."""
        length = self.max_len if length is None else length
        if n < 1 or not 1 <= length <= self.max_len:
            raise InputError(
                f"expected at least one input of 1 to {self.max_len} tokens, got {n} of {length}"
            )
        return self.sampler(np.random.default_rng(seed), n, length, len(self.vocab))

    def sample(self, n: int, seed: int, length: int | None = None) -> list[list[Value]]:
        """n random inputs, of the greatest length unless told."""
        return [[self.vocab[i] for i in row] for row in self.draw(n, seed, length)]

    def n_inputs(self, length: int | None = None) -> int:
        """How many inputs there are of a length."""
        return len(self.vocab) ** (self.max_len if length is None else length)

    def enumerate(self, length: int | None = None) -> Int[np.ndarray, "n length"]:
        """Every input of a length, as indices into the alphabet."""
        repeat = self.max_len if length is None else length
        return np.array(list(itertools.product(range(len(self.vocab)), repeat=repeat)))
