"""How long cases take to compile, and what of that is trying their inputs."""

from __future__ import annotations

from time import perf_counter

import pandas as pd

from knowncircuits.cases.registry import CASES
from knowncircuits.compiler.compile import compile_program
from knowncircuits.work.progress import reported


def bench_compiling(n_slowest: int = 10) -> pd.DataFrame:
    """Compile every case once, with and without interpreting inputs to find what no head computes.

    Returns:
        A row for each of the slowest cases and one for the sum over all: layers, d_model, seconds,
        and seconds without trying inputs.
    """
    rows = []
    for case in reported([*CASES.values()]):
        seconds = []
        for check_inputs in (True, False):
            start = perf_counter()
            compiled = compile_program(
                case.program, case.vocabulary(), causal=case.causal, check_inputs=check_inputs
            )
            seconds.append(perf_counter() - start)
        config = compiled.model.config
        rows.append((case.name, config.n_layers, config.d_model, *seconds))
    columns = ["case", "layers", "d_model", "seconds", "without_inputs"]
    table = pd.DataFrame(rows, columns=columns)
    total = table.sum(numeric_only=True).to_dict() | {"case": f"all {len(table)}"}
    slowest = table.sort_values("seconds", ascending=False).head(n_slowest)
    return pd.concat([slowest, pd.DataFrame([total])])[columns].reset_index(drop=True)
