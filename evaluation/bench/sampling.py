"""How fast inputs are drawn, encoded and interpreted: in one batch, against one by one."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import pandas as pd

from knowncircuits.cases.registry import load_case

# The cases that InterpBench's own data sets were timed on.
CASES = ("fraction_of_x", "open_minus_close_fraction")


def bench_sampling(
    cases: Sequence[str] = CASES, n: int = 100_000, n_one_by_one: int = 1_000, seed: int = 0
) -> pd.DataFrame:
    """Time a data set of inputs with ids and outputs, and interpreting single inputs.

    Args:
        cases: their names.
        n: how many inputs are drawn, encoded and interpreted in one batch.
        n_one_by_one: how many of them are also interpreted by a call of the program each.
        seed: of the inputs.

    Returns:
        A row for each case: seconds for the n inputs; for the single ones, and those for n of them
        at the same rate; how many times faster the batch is for each input; and how many of the
        single inputs had another output, which should be none.
    """
    rows = []
    for name in cases:
        case = load_case(name)
        case.dataset(1, seed)  # warm
        start = perf_counter()
        data = case.dataset(n, seed)
        _ = data.ids
        batch = perf_counter() - start
        inputs, answers = data.inputs[:n_one_by_one], data.answers[:n_one_by_one]
        start = perf_counter()
        single = [case.program(tokens, causal=case.causal) for tokens in inputs]
        one_by_one = perf_counter() - start
        rows.append(
            {
                "case": name,
                "inputs": n,
                "batch_seconds": batch,
                "single_inputs": len(inputs),
                "single_seconds": one_by_one,
                "single_seconds_for_all": one_by_one * n / len(inputs),
                "ratio": one_by_one * n / len(inputs) / batch,
                "differing": sum(a != b for a, b in zip(single, answers, strict=True)),
            }
        )
    return pd.DataFrame(rows)
