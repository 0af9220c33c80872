"""Whether a case's data can be trusted: figures on its inputs, outputs and pairs, with limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from knowncircuits.cases.case import Case
from knowncircuits.cases.pairs import draw_pairs, output_changes
from knowncircuits.cases.registry import CASES
from knowncircuits.cases.sampling import most_inputs
from knowncircuits.errors import InputError
from knowncircuits.rasp.columns import NONE
from knowncircuits.rasp.domains import infer_domains
from knowncircuits.rasp.program import flatten
from knowncircuits.rasp.values import Value

if TYPE_CHECKING:
    import pandas as pd

# Different inputs drawn, as a share of as many as could be: the number drawn, or all there are.
MIN_DISTINCT = 0.4
# Pairs whose output differs where the clean one is not None.
MIN_LABEL_CHANGE = 0.3
# The entropy of the output over all defined positions, in bits.
MIN_ENTROPY = 0.3
# Outputs that are None, as a share of all positions; of long inputs at all but one.
MAX_NONE = 0.9


@dataclass(frozen=True)
class CaseCheck:
    """What was found on n random pairs of the greatest length."""

    case: str
    n: int
    duplicates: float  # clean inputs that repeat an earlier one, as a share
    distinct: float  # different clean inputs, as a share of as many as could be
    changed_inputs: float  # pairs whose corrupted input differs from the clean one
    label_change: float  # pairs whose output differs where the clean one is not None
    label_change_at: tuple[float, ...]  # the same by position; NaN where the output is always None
    constant_positions: tuple[int, ...]  # positions at which all outputs are equal
    constant: bool  # whether the output is the same on every input
    entropy: float  # of the output over all defined positions, in bits
    none: float  # outputs that are None, as a share of all positions
    unreached_tokens: tuple[Value, ...]  # of the alphabet, in no input
    # Outputs that the parts of the program admit, each for itself, and no input had; None: too many
    # to list. Many can only be had of shorter inputs, or never.
    unreached_outputs: tuple[Value, ...] | None

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, each in a clause with its limit; empty where nothing is."""
        equal = f"{1 - self.changed_inputs:.1%} of corrupted inputs equal the clean ones"
        repeated = f"different inputs are {self.distinct:.1%} of as many as could be"
        unchanged = f"the output differs in {self.label_change:.1%} of pairs"
        foreseeable = f"the output has {self.entropy:.2f} bits"
        undefined = f"{self.none:.1%} of outputs are None"
        most_none = max(MAX_NONE, 1 - 1 / len(self.label_change_at))
        unreached = f"tokens in no input: {', '.join(map(repr, self.unreached_tokens))}"
        found = (
            (self.changed_inputs < 1, equal),
            (self.distinct < MIN_DISTINCT, f"{repeated}, expected {MIN_DISTINCT:.0%}"),
            (self.constant, "the output is the same on every input"),
            (self.label_change < MIN_LABEL_CHANGE, f"{unchanged}, expected {MIN_LABEL_CHANGE:.0%}"),
            (self.entropy < MIN_ENTROPY, f"{foreseeable}, expected {MIN_ENTROPY}"),
            (self.none > most_none, f"{undefined}, expected at most {most_none:.0%}"),
            (bool(self.unreached_tokens), unreached),
        )
        return tuple(problem for wrong, problem in found if wrong)


def check_case(case: Case, n: int = 1000, seed: int = 0, *, split: str | None = None) -> CaseCheck:
    """Measure a case's inputs, outputs and resampled pairs.

    Args:
        case: the case.
        n: how many pairs.
        seed: of the pairs.
        split: `train` or `test`: only of these inputs.

    Raises:
        InputError: for no pair.
        TaskError: where no pairs can be drawn.
    """
    if n < 1:
        raise InputError(f"expected at least one pair to check, got {n}")
    pairs = draw_pairs(case, n, seed, split=split)
    outputs = case.outputs(np.concatenate([pairs.clean, pairs.corrupted]))
    clean, corrupted = outputs.codes[:n], outputs.codes[n:]
    counts, changes = clean != NONE, output_changes(clean, corrupted)
    with np.errstate(invalid="ignore"):  # 0 / 0 where the output is always None
        by_position = (changes & counts).sum(0) / counts.sum(0)
    constant_at = (clean == clean[0]).all(0)
    n_distinct = len(np.unique(pairs.clean, axis=0))
    used = np.bincount(pairs.clean.ravel(), minlength=len(case.vocab))
    return CaseCheck(
        case=case.name,
        n=n,
        duplicates=1 - n_distinct / n,
        distinct=n_distinct / min(n, most_inputs(len(case.vocab), case.max_len, split)),
        changed_inputs=float((pairs.clean != pairs.corrupted).any(1).mean()),
        label_change=float(changes.any(1).mean()),
        label_change_at=tuple(by_position.tolist()),
        constant_positions=tuple(np.flatnonzero(constant_at).tolist()),
        constant=bool(constant_at.all()),
        entropy=_entropy(clean[counts]),
        none=float(1 - counts.mean()),
        unreached_tokens=tuple(case.vocab[i] for i in np.flatnonzero(used == 0)),
        unreached_outputs=_unreached_outputs(case, outputs.values),
    )


def check_cases(cases: Iterable[Case] | None = None, n: int = 1000, seed: int = 0) -> pd.DataFrame:
    """A row of `check_case` for each case, by default for all.

    Returns:
        The fields of CaseCheck, with numbers for those that list something (`label_change_at`: the
        least where the output is not constant), and `problems` as one text, empty where there is
        none.
    """
    import pandas as pd

    rows = []
    for case in CASES.values() if cases is None else cases:
        check = check_case(case, n, seed)
        changes = np.delete(check.label_change_at, check.constant_positions)
        unreached = check.unreached_outputs
        rows.append(
            asdict(check)
            | {
                "label_change_at": float(min(changes, default=np.nan)),
                "constant_positions": len(check.constant_positions),
                "unreached_tokens": len(check.unreached_tokens),
                "unreached_outputs": None if unreached is None else len(unreached),
                "problems": "; ".join(check.problems),
            }
        )
    frame = pd.DataFrame(rows)
    return frame.astype({"unreached_outputs": "Int64"}) if rows else frame


def _entropy(codes: Int[np.ndarray, " n"]) -> float:
    """The entropy, in bits, of how often each code occurs."""
    if not len(codes):
        return 0.0
    shares = np.unique(codes, return_counts=True)[1] / len(codes)
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # a constant has 0, not -0


def _unreached_outputs(case: Case, reached: tuple[Value, ...]) -> tuple[Value, ...] | None:
    program = flatten(case.program)
    domains, _ = infer_domains(program, case.vocabulary())
    if program.output not in domains:
        return None
    values = domains[program.output].values
    return None if values is None else tuple(v for v in values if v not in set(reached))
