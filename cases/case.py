"""A case: a program, its alphabet and lengths, and how its inputs are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from knowncircuits.cases.contrast import Contrast
from knowncircuits.cases.sampling import (
    Codes,
    Dataset,
    Sampler,
    Satisfy,
    draw_inputs,
    enumerate_inputs,
    gather,
    in_split,
    most_inputs,
    share_out,
)
from knowncircuits.errors import InputError, ProgramError
from knowncircuits.rasp.columns import NONE, Column
from knowncircuits.rasp.expressions import SOp
from knowncircuits.rasp.interpreter import evaluate, interpret
from knowncircuits.rasp.meant import Meant, MeantInputs, tried_inputs
from knowncircuits.rasp.text import steps_text
from knowncircuits.rasp.values import Value
from knowncircuits.rasp.vocabulary import Vocabulary
from knowncircuits.shown import Card, Shown, Table

if TYPE_CHECKING:
    import torch

    from knowncircuits.compiler.compiled import Compiled

Labelling = Callable[[Sequence[Value]], Value]
# Names of transformations with their parameters.
Wiring = tuple[tuple[str, Mapping[str, Any]], ...]

N_PAIRS = 100
N_TRIED = 1000  # inputs, over all lengths, to see on which a program is defined


def uniform(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
    """Every token equally likely, independently."""
    return rng.integers(n_tokens, size=(n, length))


@dataclass(frozen=True, eq=False, repr=False)
class Case(Shown):
    """One task of the benchmark. Its name is its identity."""

    name: str
    family: str
    description: str  # one line
    program: SOp
    vocab: tuple[Value, ...]
    max_len: int  # tokens, without BOS
    causal: bool = False
    sampler: Sampler = uniform
    interpbench_id: int | None = None  # of the cases that are InterpBench's
    # What it is meant for, where that is not every input; the sampler draws no others.
    inputs: MeantInputs | None = None
    # The lengths that it is about, where these are not all that the program is defined on.
    only_lengths: tuple[int, ...] | None = None
    # The property in which clean and corrupted inputs differ, where pairs have a direction.
    contrast: Contrast | None = None
    # Transformations, with their parameters, that its compiled model is wired by.
    wiring: Wiring = ()
    n_pairs: int = N_PAIRS  # of its tasks, where nothing else is said
    # Ways of its own to corrupt inputs, by name, beside those that all cases have.
    corruptions: Mapping[str, Satisfy] = field(default_factory=dict)
    # The right and the wrong answer to an input, where the task is to prefer one to the other.
    labels: tuple[Labelling, Labelling] | None = None
    # By variable of the program: what the node is for that computes it; see `knowncircuits.roles`.
    roles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = self.only_lengths
        if lengths is not None and (min(lengths, default=0) < 1 or max(lengths) != self.max_len):
            raise InputError(f"expected lengths up to the greatest, {self.max_len}, got {lengths}")

    def _card(self) -> Card:
        return Card(self.name, (self.description.rstrip("."), self.family), self._tables)

    def _tables(self) -> list[Table]:
        lines = steps_text(self.program).splitlines()
        steps = [line.partition(" = ")[::2] for line in lines]
        tokens = ", ".join(map(str, self.vocab))
        inputs = [
            ("tokens", tokens),
            ("length", f"up to {self.max_len}"),
            ("drawn", self.sampling),
        ]
        return [Table("Program", ("step", "is"), steps), Table("Inputs", ("", ""), inputs)]

    @property
    def sampling(self) -> str:
        """How inputs are drawn, in a sentence."""
        return (self.sampler.__doc__ or self.sampler.__name__).strip().splitlines()[0]

    def vocabulary(self, *, pad: bool = False) -> Vocabulary:
        """The alphabet with BOS and, if asked for, PAD."""
        return Vocabulary(self.vocab, self.max_len, pad)

    def compile(self, *, pad: bool = False, dtype: torch.dtype | None = None) -> Compiled:
        """The transformer whose circuit is known; see `knowncircuits.compiler.compile_program`."""
        import torch

        from knowncircuits.compiler.compile import compile_program

        compiled = compile_program(
            self.program,
            self.vocabulary(pad=pad),
            causal=self.causal,
            dtype=dtype or torch.float64,
            inputs=self.meant,
        )
        roles = {str(compiled.variables[name].node): role for name, role in self.roles.items()}
        circuit = replace(compiled.circuit, roles=roles)
        return replace(compiled, circuit=circuit, name=self.name, case=self)

    def interpret(self, inputs: Sequence[Sequence[Value]]) -> list[list[Value]]:
        """What the program says, on inputs of one length.

        Raises InputError for foreign tokens, and for inputs that the case is not meant for.
        """
        self.vocabulary().encode(inputs)
        if self.meant is not None:
            self.meant.check(inputs)
        return interpret(self.program, inputs, causal=self.causal)

    @cached_property
    def meant(self) -> Meant | None:
        """The inputs that it is meant for; None: all."""
        return None if self.inputs is None else Meant(self.inputs, self.vocabulary())

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The lengths that it is about, in order: a model has to know inputs of each.

        By default all up to the greatest on which the program is defined: it says something of
        some of the inputs that are tried, and there are two at least. Of a fixed sample, all where
        they are few, and only those that are meant.
        """
        if self.only_lengths is not None:
            return tuple(sorted(set(self.only_lengths)))
        return tuple(
            codes.shape[1]
            for codes in tried_inputs(self.vocabulary(), N_TRIED, self.meant)
            if len(codes) > 1 and self._is_defined(codes)
        )

    def _is_defined(self, codes: Int[np.ndarray, "n length"]) -> bool:
        try:
            return bool((self.outputs(codes).codes != NONE).any())
        except ProgramError:  # a function of the program fails
            return False

    def outputs(self, codes: Int[np.ndarray, "n length"]) -> Column:
        """What the program says on inputs given as indices into the alphabet."""
        return evaluate(self.program, Column(codes, self.vocab), causal=self.causal)

    def draw(
        self,
        n: int,
        seed: int,
        length: int | None = None,
        *,
        unique: bool = False,
        split: str | None = None,
    ) -> Int[np.ndarray, "n length"]:
        """Random inputs as indices into the alphabet, drawn as `sampling` says.

        Args:
            n: how many.
            seed: equal seeds give equal inputs.
            length: by default the greatest.
            unique: none twice.
            split: `train` or `test`: a part of all inputs, which no input of the other part is in.

        Raises:
            InputError: for no input, a wrong length, or more different inputs than there are.
            UnknownNameError: for another split.
        """
        length = self._length(length)
        if n < 1:
            raise InputError(f"expected at least one input, got {n}")
        drawn = draw_inputs(
            self.sampler, seed, n, length, len(self.vocab), unique=unique, split=split
        )
        if self.meant is not None:
            self.meant.check([self.vocab[i] for i in row] for row in drawn.tolist())
        return drawn

    def sample(
        self,
        n: int,
        seed: int,
        length: int | None = None,
        *,
        unique: bool = False,
        split: str | None = None,
    ) -> list[list[Value]]:
        """Random inputs as tokens; see `draw`."""
        codes = self.draw(n, seed, length, unique=unique, split=split)
        return [[self.vocab[i] for i in row] for row in codes]

    def dataset(
        self,
        n: int,
        seed: int,
        *,
        lengths: int | Sequence[int] | None = None,
        unique: bool = False,
        split: str | None = None,
    ) -> Dataset:
        """Random inputs with their outputs.

        Args:
            n: how many.
            seed: equal seeds give equal data.
            lengths: one length, or several of which each input has one, all as often as there are
                inputs for it; shorter inputs are filled up with PAD. By default the greatest.
            unique: no input twice.
            split: `train` or `test`; see `draw`.

        Raises:
            InputError: for no input, a wrong length, or more different inputs than there are.
            UnknownNameError: for another split.
        """
        several = [lengths] if lengths is None or isinstance(lengths, int) else lengths
        chosen = sorted({self._length(length) for length in several})
        if n < 1 or not chosen:
            raise InputError(f"expected at least one input and length, got {n} of {chosen}")
        rng = np.random.default_rng(seed)
        limits = [most_inputs(len(self.vocab), length, split) for length in chosen]
        counts = share_out(rng, n, limits if unique else [n if limit else 0 for limit in limits])
        seeds = rng.integers(2**32, size=len(chosen)).tolist()
        parts = []
        for length, count, own_seed in zip(chosen, counts, seeds, strict=True):
            if count:
                codes = self.draw(count, own_seed, length, unique=unique, split=split)
                parts.append((codes, self.outputs(codes)))
        vocabulary = self.vocabulary(pad=len(chosen) > 1)
        return gather(vocabulary, parts, rng.permutation(n), chosen[-1])

    def allows(self, codes: Codes, split: str | None = None) -> Bool[np.ndarray, " n"]:
        """Which of some inputs it is meant for, and are of a split."""
        allowed = in_split(codes, len(self.vocab), split)
        if self.meant is not None:
            allowed[allowed] = self.meant.holds(codes[allowed])
        return allowed

    def n_inputs(self, length: int | None = None) -> int:
        """How many inputs there are of a length; of a case whose inputs are listed, of these."""
        listed = self.listed(self._length(length))
        return int(len(self.vocab) ** self._length(length)) if listed is None else len(listed)

    def enumerate(self, length: int | None = None) -> Int[np.ndarray, "n length"]:
        """Every input of a length, as indices into the alphabet; see `n_inputs`.

        Raises InputError where there are too many to list.
        """
        listed = self.listed(self._length(length))
        return enumerate_inputs(len(self.vocab), self._length(length)) if listed is None else listed

    def listed(self, length: int) -> Int[np.ndarray, "n length"] | None:
        """The inputs of a length, where those that it is meant for are listed."""
        return None if self.meant is None else self.meant.of_length(length)

    def _length(self, length: int | None) -> int:
        length = self.max_len if length is None else length
        if not 1 <= length <= self.max_len:
            raise InputError(f"expected inputs of 1 to {self.max_len} tokens, got {length}")
        return length
