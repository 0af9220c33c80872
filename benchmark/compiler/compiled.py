"""A compiled program: its transformer, its circuit, and where every variable lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.circuit import Circuit
from knowncircuits.compiler.assemble import Component
from knowncircuits.compiler.components import Variable
from knowncircuits.errors import ProgramError
from knowncircuits.rasp.expressions import Value
from knowncircuits.transformer import Run, Transformer
from knowncircuits.vocabulary import Vocabulary

# How far from one-hot a categorical variable may be: rounding is far smaller, a mixture far larger.
TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Compiled:
    """A transformer that computes a program, with the circuit that it computes it by."""

    model: Transformer
    circuit: Circuit
    vocabulary: Vocabulary
    variables: Mapping[str, Variable]
    components: tuple[Component, ...]
    output: Variable

    def __call__(self, tokens: Sequence[Value]) -> list[Value]:
        """The model's answer for one input, decoded; it is checked that every variable is clean.

        Raises InputError for tokens that the model has no ids for, ProgramError where an aggregate
        mixed values of a categorical variable.
        """
        ids = self.encode([tokens])
        run = self.model.run(ids)
        self._check_unmixed(run, tokens)
        return self.decode(run.logits)[0]

    def encode(self, inputs: Sequence[Sequence[Value]]) -> Int[Tensor, "batch pos"]:
        """Ids with BOS first; raises InputError for what cannot be encoded."""
        return torch.from_numpy(self.vocabulary.encode(inputs)).to(self.model.device)

    def decode(self, logits: Float[Tensor, "batch pos d_vocab_out"]) -> list[list[Value]]:
        """The output's values at every position after BOS."""
        after_bos = logits[:, 1:]
        if self.output.numerical:
            numbers: list[list[Value]] = after_bos[..., 0].tolist()
            return numbers
        best = after_bos.max(-1)
        values = self.output.values
        return [
            [values[i] if top > 0.5 else None for i, top in zip(row, tops, strict=True)]
            for row, tops in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def unmixed(
        self, outputs: Float[Tensor, "batch source pos d_model"]
    ) -> Bool[Tensor, "variable batch"]:
        """Whether each variable, in order, is a single value or None at every position after BOS."""
        clean = []
        residual = outputs.sum(1)[:, 1:]
        for variable in self.variables.values():
            if variable.numerical:
                clean.append(torch.ones(len(outputs), dtype=torch.bool, device=outputs.device))
                continue
            held = residual[..., list(variable.directions)]
            distance = torch.minimum(held.abs(), (held - 1).abs()).amax((-1, -2))
            single = held.sum(-1).amax(-1) < 1 + TOLERANCE
            clean.append((distance < TOLERANCE) & single)
        return torch.stack(clean)

    def _check_unmixed(self, run: Run, tokens: Sequence[Value]) -> None:
        clean = self.unmixed(run.outputs).all(1)
        mixed = [v.name for v, ok in zip(self.variables.values(), clean, strict=True) if not ok]
        if mixed:
            raise ProgramError(
                f"{', '.join(mixed)}: several different values were aggregated into a categorical "
                f"variable on {list(tokens)}"
            )
