"""The certificate of a trained model: every edge measured against the compiled model's.

An edge is in the circuit because its interchange changes the compiled model's answers and the
trained model follows, out because it changes neither. `certify` measures that for each edge, each
node, all outside edges at once and random sets; `Certificate.failures` names what falls short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from knowncircuits.cases.case import Case
from knowncircuits.cases.own import with_own_cases
from knowncircuits.cases.pools import ATOL
from knowncircuits.cases.strata import strata_of
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import MissedError, ModelError
from knowncircuits.files.shards import run_shards
from knowncircuits.models.certificates.agreement import ABLATIONS, BATCH, Ablation, Agreement
from knowncircuits.models.certificates.certificate import Certificate, label_names
from knowncircuits.models.certificates.measured import Measured
from knowncircuits.models.certificates.measuring import Measuring, MeasuringSettings, Part
from knowncircuits.models.certificates.pairs import MAX_PAIRS
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sets import NOTHING
from knowncircuits.work.executor import HERE, Executor
from knowncircuits.work.progress import part, report


@takes(placed=Placed)
def certify(
    placed: Placed,
    *,
    n_pairs: int = 20_000,
    seed: int = 0,
    edges: Sequence[str] | None = None,
    ablations: Sequence[Ablation] = ABLATIONS,
    strata: Sequence[str] | None = None,
    atol: float = ATOL,
    until_missed: bool = False,
    batch_size: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
    executor: Executor = HERE,
    shards: Path | None = None,
) -> Certificate:
    """Measure a low-level model's circuit against the compiled model's, edge by edge.

    Args:
        placed: the models, and which low-level edge stands for which compiled one.
        n_pairs: how many pairs of inputs. All pairs, where there are no more. Else pairs of test
            inputs; where there are too few of these, different pairs of all inputs.
        seed: of the pairs and of the random sets.
        edges: those to measure; a certificate of fewer than all never passes.
        ablations: `resample`, which the certificate is about, and those to be reported beside it.
        strata: those of the case to measure beside the sampler's pairs; by default all, and of a
            program that is no case none.
        atol: how far numbers may differ and be equal.
        until_missed: give up after the first stratum on which a threshold is missed.
        batch_size: pairs at a time.
        progress: called with the pairs that are done and with all, each ablation and stratum
            counted.
        executor: who measures, batch by batch; by default this process. Counts do not depend on
            it. Other processes load the case by its name.
        shards: folder of what is measured, for a certificate that is to go on where it was killed;
            see `run_shards`.

    Raises:
        ModelError: for numbers out of range, or ablations that there are not.
        GraphError: for an unknown edge.
        UnknownNameError: for an unknown stratum.
        MissedError: after a stratum on which one is, if that was asked for.
        UnknownNameError, ModelError: for a model of no case that other processes can load.
        KilledError: if one was killed.
    """
    _check(n_pairs, seed, edges, ablations, atol, batch_size)
    graph, compiled = placed.model.graph, placed.compiled
    if strata is None:
        strata = strata_of(compiled.case) if isinstance(compiled.case, Case) else ()
    measured = tuple(str(edge) for edge in (graph.edges if edges is None else edges))
    settings = MeasuringSettings(
        n_pairs, seed, measured, tuple(ablations), tuple(strata), atol, batch_size
    )
    measuring = Measuring(placed, settings)
    parts = measuring.parts()
    n_steps, done = sum(part_.n_pairs for part_ in parts), 0
    documents: dict[Part, Any] = {}
    on_strata: dict[str, Measured] = {}
    found_shards = run_shards(
        with_own_cases(measuring),
        parts,
        shards,
        measuring.content,
        executor,
        heard=False,
    )
    with part(f"certificate of {compiled.name}"), closing(found_shards):
        for of, document in found_shards:
            documents[of] = document
            done += of.n_pairs
            report(done, n_steps)
            if progress:
                progress(done, n_steps)
            # One after the other, the smallest first: whose miss is told depends on no process.
            for name in measuring.smallest_first[len(on_strata) :]:
                of_stratum = measuring.parts_of(name)
                if not documents.keys() >= {*of_stratum}:
                    break
                on_strata[name] = measuring.stratum(name, [documents[p] for p in of_stratum])
                if until_missed and (missed := on_strata[name].misses):
                    raise MissedError(name, missed[0])
    found: dict[str, dict[str, Agreement]] = {
        kind: measuring.agreements(kind, [documents[p] for p in measuring.parts_of(kind)])
        for kind in ablations
    }
    main, pairs = found.pop("resample"), measuring.pairs
    return Certificate(
        case=compiled.name,
        inputs=pairs.inputs,
        n_pairs=len(pairs.base),
        n_inputs=pairs.n_inputs,
        seed=seed,
        atol=atol,
        **measuring.identity,
        versions={"knowncircuits": version("knowncircuits"), "torch": str(torch.__version__)},
        labels=label_names(placed.circuit),
        accuracy=main[NOTHING],
        edges={edge: main[edge] for edge in measured},
        nodes={str(node): main[str(node)] for node in graph.sources},
        sets={name: main[name] for name in measuring.sets},
        ablations=found,
        strata={name: on_strata[name] for name in strata},
    )


def _check(
    n_pairs: int,
    seed: int,
    edges: Sequence[str] | None,
    ablations: Sequence[Ablation],
    atol: float,
    batch_size: int,
) -> None:
    """Raise ModelError, with expected and got, for what `certify` cannot take."""
    if not 1 <= n_pairs <= MAX_PAIRS:
        raise ModelError(f"expected at least one pair and at most {MAX_PAIRS}, got {n_pairs}")
    if seed < 0 or batch_size < 1:
        raise ModelError(
            f"expected a seed of at least 0 and a batch of at least 1, got {seed} and {batch_size}"
        )
    if isinstance(edges, str):
        raise ModelError(f"expected several edges, got the text {edges!r}")
    if not 0 <= atol < float("inf"):
        raise ModelError(f"expected a tolerance of at least 0, got {atol}")
    if "resample" not in ablations or not set(ablations) <= set(ABLATIONS):
        raise ModelError(
            f"expected resample and perhaps mean and zero ablation, got {', '.join(ablations)}"
        )
