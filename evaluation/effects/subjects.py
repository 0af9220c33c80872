"""What effects are measured on: a model with its labels, and the pairs of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import advice
from knowncircuits.circuit import Circuit
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import InputError, ModelError, TaskError
from knowncircuits.models.certificates.placed import says_none
from knowncircuits.models.interop.interpbench import InterpBenchModel
from knowncircuits.models.trained import Trained
from knowncircuits.models.wired.wired import Wired
from knowncircuits.primitive import Patchable, Run
from knowncircuits.rasp.values import Value
from knowncircuits.rasp.vocabulary import Vocabulary
from knowncircuits.transformer import Transformer

Model = Compiled | Trained | Wired | InterpBenchModel | Patchable
Inputs = Int[Tensor, "input pos"] | Sequence[Sequence[Value]]

ROUNDING = 1e-5  # an answer so near to the border of another has not changed
SAME_NUMBER = 1e-4  # numbers of a compiled model that differ by less are one label


@dataclass(frozen=True, eq=False)
class Labels:
    """What the model ought to say of each input: what the high-level model says."""

    values: Float[Tensor, "input pos"] | Int[Tensor, "input pos"]  # numbers, or places of tokens
    defined: Bool[Tensor, "input pos"]
    atol: float
    may_be_none: bool = False  # the model is compiled: where no logit is high, it has no answer
    exact: bool = True  # numbers that differ by more than rounding are two labels; else than atol

    @property
    def numerical(self) -> bool:
        """Whether they are numbers."""
        return self.values.is_floating_point()

    def differ(
        self, base: Int[Tensor, " pair"], source: Int[Tensor, " pair"]
    ) -> Bool[Tensor, "pair pos"]:
        """Where both inputs of a pair have a label, and not the same."""
        a, b = self.values[base], self.values[source]
        if not self.numerical:
            same = a == b
        elif self.exact:
            same = torch.isclose(a, b, SAME_NUMBER, SAME_NUMBER)
        else:
            same = (a - b).abs() <= self.atol + ROUNDING
        return self.defined[base] & self.defined[source] & ~same

    def changed(
        self, logits: Float[Tensor, "row pos d_vocab_out"], base: Int[Tensor, " row"]
    ) -> Bool[Tensor, "row pos"]:
        """Where the model's answer is not the label of base."""
        if self.numerical:
            distance = (logits[..., 0] - self.values[base]).abs()
            return distance > self.atol + ROUNDING
        own = self._of_label(logits, base)
        changed = logits.amax(-1) > own + ROUNDING
        return changed | (own <= 0.5 + ROUNDING) if self.may_be_none else changed

    def divergence(
        self, logits: Float[Tensor, "row pos d_vocab_out"], base: Int[Tensor, " row"]
    ) -> Float[Tensor, "row pos"]:
        """KL of what the model says from the label of base, as a one-hot distribution."""
        return logits.logsumexp(-1) - self._of_label(logits, base)

    def _of_label(self, logits: Tensor, base: Tensor) -> Float[Tensor, "row pos"]:
        return logits.gather(-1, self.values[base][..., None])[..., 0]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with what is known of it."""

    name: str
    model: Patchable
    circuit: Circuit | None
    compiled: Compiled | None  # whose outputs are the labels; without it, the model's own are
    as_compiled: bool = False  # it has no answer where no logit is high

    @classmethod
    def of(cls, model: Model) -> Subject:
        """Any model of the project; raises ModelError for anything else."""
        if isinstance(model, Compiled):
            return cls(model.name, model.model, model.circuit, model, as_compiled=True)
        if isinstance(model, Trained | Wired):
            name, wired = model.compiled.name, isinstance(model, Wired)
            return cls(name, model.model, model.circuit, model.compiled, as_compiled=wired)
        if isinstance(model, InterpBenchModel):
            if model.case is None:
                return cls("model", model.model, model.circuit, None)
            return cls(model.case.name, model.model, model.circuit, model.case.compile())
        if isinstance(model, Patchable):
            return cls("model", model, None, None)
        raise ModelError(
            "expected a compiled, trained or wired model, one of InterpBench's, or one with the "
            f"primitive `run`, got {type(model).__name__}{advice(model, 'Compiled', 'Trained')}"
        )

    def ids(self, inputs: Inputs | None, n: int, seed: int) -> Int[Tensor, "input pos"]:
        """Ids of the given inputs, or of n that are drawn.

        Raises InputError for fewer than two inputs, unknown tokens or several lengths, ModelError
        for a model without a vocabulary where inputs are not given as ids.
        """
        n = n if inputs is None else len(inputs)
        if n < 2:
            raise InputError(f"expected at least two inputs, got {n}")
        if isinstance(inputs, Tensor):
            ids = inputs
        elif self.compiled is None:
            got = "none" if inputs is None else "tokens"
            raise ModelError(f"expected inputs as ids for a model without a vocabulary, got {got}")
        elif inputs is None:
            ids = self.compiled.draw(n, seed)
        else:
            ids = self.compiled.encode(inputs)
        if ids.ndim != 2:
            raise InputError(f"expected ids of shape [input, pos], got {list(ids.shape)}")
        if self.compiled is not None:
            _check_ids(ids, self.compiled.vocabulary)
        return ids.to(self.model.device) if isinstance(self.model, Transformer) else ids

    def labels(self, ids: Int[Tensor, "input pos"], clean: Run, atol: float) -> Labels:
        """The high-level model's answers after the first token, which is BOS."""
        logits, compiled = clean.logits, self.compiled
        if compiled is None:
            numerical, defined = logits.shape[-1] == 1, torch.ones_like(logits[..., 0]).bool()
        else:
            if self.model is not compiled.model:
                logits = compiled.model.run(ids.to(compiled.model.device)).logits
            numerical, defined = compiled.output.numerical, compiled.defined(logits)
        values = logits[..., 0] if numerical else logits.argmax(-1)
        n_outputs = clean.logits.shape[-1]
        if compiled is not None and says_none(compiled, n_outputs):
            values = values.where(defined, n_outputs - 1)
            defined = torch.ones_like(defined)
        defined[:, 0] = False
        return Labels(
            values.to(ids.device),
            defined.to(ids.device),
            atol,
            may_be_none=self.as_compiled,
            exact=compiled is not None,
        )


def _check_ids(ids: Int[Tensor, "input pos"], vocabulary: Vocabulary) -> None:
    wrong = ids[(ids < 0) | (ids >= vocabulary.size)].tolist()
    if wrong:
        raise InputError(f"expected ids from 0 to {vocabulary.size - 1}, got {wrong[0]}")
    if vocabulary.pad:
        padded = int((ids == vocabulary.pad_id).any(1).sum())
        if padded:
            raise InputError(f"expected inputs of one length, got {padded} with PAD")


@dataclass(frozen=True, eq=False)
class WeightedPairs:
    """Ordered pairs of different inputs, each once."""

    base: Int[Tensor, " pair"]
    source: Int[Tensor, " pair"]
    weights: Int[Tensor, " pair"]  # how often a pair is meant

    def __len__(self) -> int:
        return len(self.base)


def weigh_pairs(counts: Int[np.ndarray, " input"], n_pairs: int | None, seed: int) -> WeightedPairs:
    """All ordered pairs of different places in a list of inputs, or some of them at random.

    Args:
        counts: how often each different input is in the list.
        n_pairs: how many; all if None or more than there are.
        seed: of the choice.

    Raises:
        TaskError: for less than one pair.
    """
    n_different, n = len(counts), int(counts.sum())
    if n_pairs is not None and n_pairs < 1:
        raise TaskError(f"expected at least one pair, got {n_pairs}")
    if n_pairs is None or n_pairs >= n * (n - 1):
        # Pairs of equal inputs are left out: their labels do not differ.
        base, source = np.nonzero(~np.eye(n_different, dtype=bool))
        weights = counts[base] * counts[source]
    else:
        chosen = np.random.default_rng(seed).choice(n * (n - 1), size=n_pairs, replace=False)
        first, second = np.divmod(chosen, n - 1)
        second = second + (second >= first)
        which = np.repeat(np.arange(n_different), counts)
        folded, weights = np.unique(which[first] * n_different + which[second], return_counts=True)
        base, source = np.divmod(folded, n_different)
    return WeightedPairs(*(torch.from_numpy(x) for x in (base, source, weights)))
