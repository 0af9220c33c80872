"""A compiled program: its transformer, its circuit, and where every variable lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.circuit import Circuit
from knowncircuits.compiler.variables import Component, Variable
from knowncircuits.errors import ProgramError
from knowncircuits.primitive import Run
from knowncircuits.rasp.meant import Meant
from knowncircuits.rasp.values import Value
from knowncircuits.rasp.vocabulary import BOS, Vocabulary
from knowncircuits.shown import Card, Shown, Table
from knowncircuits.transformer import Transformer


@runtime_checkable
class InputSource(Protocol):
    """What a compiled model knows of its case, or of its program where that is no case."""

    @property
    def meant(self) -> Meant | None:
        """The inputs that the program is meant for; None: all."""

    def draw(self, n: int, seed: int) -> Int[np.ndarray, "n length"]:
        """Random inputs as indices into the alphabet."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Compiled(Shown):
    """A transformer that computes a program, with the circuit that it computes it by."""

    model: Transformer
    circuit: Circuit
    vocabulary: Vocabulary
    variables: Mapping[str, Variable]
    components: tuple[Component, ...]
    output: Variable
    case: InputSource  # that this was compiled from
    name: str = "program"
    # How far from one-hot a variable may be: rounding is far smaller, a mixture far larger.
    tolerance: float = 0.01

    def _card(self) -> Card:
        return Card(
            self.name, (self.circuit.graph.summary(), self.circuit.label_counts()), self._tables
        )

    def _tables(self) -> list[Table]:
        rows = [
            (name, v.node, "a number" if v.numerical else ", ".join(map(str, v.values)))
            for name, v in self.variables.items()
        ]
        return [Table("Variables", ("variable", "written by", "values"), rows)]

    def __call__(self, tokens: Sequence[Value]) -> list[Value]:
        """The model's answer for one input, decoded; it is checked that every variable is clean.

        Raises InputError for tokens that the model has no ids for and for inputs that the program
        is not meant for, ProgramError where an aggregate mixed values of a categorical variable.
        """
        if self.case.meant is not None:
            self.case.meant.check([tokens])
        ids = self.encode([tokens])
        run = self.model.run(ids)
        self._check_unmixed(run, tokens)
        return self.decode(run.logits)[0]

    def to(
        self, *, dtype: torch.dtype | None = None, device: str | torch.device | None = None
    ) -> Compiled:
        """The same with a copy of the model in another dtype or on another device, if it is one."""
        dtype, device = dtype or self.model.dtype, torch.device(device or self.model.device)
        if (dtype, device) == (self.model.dtype, self.model.device):
            return self
        return replace(self, model=deepcopy(self.model).to(device=device, dtype=dtype))

    def encode(self, inputs: Sequence[Sequence[Value]]) -> Int[Tensor, "batch pos"]:
        """Ids with BOS first; raises InputError for what cannot be encoded."""
        return torch.from_numpy(self.vocabulary.encode(inputs)).to(self.model.device)

    def to_ids(self, codes: Int[np.ndarray, "n length"]) -> Int[Tensor, "n pos"]:
        """Ids, BOS first, of inputs given as indices into the alphabet."""
        ids = np.pad(codes + 1, ((0, 0), (1, 0)), constant_values=BOS)
        return torch.from_numpy(ids).to(self.model.device)

    def draw_codes(self, n: int, seed: int) -> Int[np.ndarray, "n length"]:
        """Random inputs as indices into the alphabet; of a program that is no case uniform ones."""
        return self.case.draw(n, seed)

    def draw(self, n: int, seed: int) -> Int[Tensor, "n pos"]:
        """Random inputs as ids, BOS first; see `draw_codes`."""
        return self.to_ids(self.draw_codes(n, seed))

    def defined(self, logits: Float[Tensor, "batch pos d_vocab_out"]) -> Bool[Tensor, "batch pos"]:
        """Where the model has an answer: after BOS, and not where the program says None."""
        answered = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
        if not self.output.numerical:
            answered = logits.amax(-1) > 0.5
        answered[:, 0] = False
        return answered

    def decode(self, logits: Float[Tensor, "batch pos d_vocab_out"]) -> list[list[Value]]:
        """The output's values at every position after BOS."""
        if self.output.numerical:
            numbers: list[list[Value]] = logits[:, 1:, 0].tolist()
            return numbers
        best, values = logits[:, 1:].argmax(-1).tolist(), self.output.values
        return [
            [values[i] if known else None for i, known in zip(row, defined, strict=True)]
            for row, defined in zip(best, self.defined(logits)[:, 1:].tolist(), strict=True)
        ]

    def unmixed(
        self, outputs: Float[Tensor, "batch source pos d_model"]
    ) -> Bool[Tensor, "variable batch"]:
        """Whether each variable is a single value, or None, at every position after BOS."""
        clean = []
        residual = outputs.sum(1)[:, 1:]
        for variable in self.variables.values():
            if variable.numerical or not variable.values:
                clean.append(torch.ones(len(outputs), dtype=torch.bool, device=outputs.device))
                continue
            held = residual[..., list(variable.directions)]
            distance = torch.minimum(held.abs(), (held - 1).abs()).amax((-1, -2))
            single = held.sum(-1).amax(-1) < 1 + self.tolerance
            clean.append((distance < self.tolerance) & single)
        return torch.stack(clean)

    def _check_unmixed(self, run: Run, tokens: Sequence[Value]) -> None:
        clean = self.unmixed(run.outputs).all(1)
        mixed = [v.name for v, ok in zip(self.variables.values(), clean, strict=True) if not ok]
        if mixed:
            raise ProgramError(
                f"{', '.join(mixed)}: several different values were aggregated into a categorical "
                f"variable on {list(tokens)}"
            )
