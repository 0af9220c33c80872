"""A certified model measured again on a few new pairs, and compared with its files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from knowncircuits.errors import KnownCircuitsError
from knowncircuits.exchange import read_graph_file
from knowncircuits.files.reading import read_json
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.chance import is_missed
from knowncircuits.models.certificates.contents import contradictions
from knowncircuits.models.certificates.pairs import LISTED, certificate_pairs
from knowncircuits.models.certificates.quick import quick_agreement, strata_pairs
from knowncircuits.models.certificates.thresholds import (
    ACCURACY,
    EVERY_EDGE,
    of_set,
)
from knowncircuits.models.trained import CERTIFICATE, CIRCUIT, Trained
from knowncircuits.models.zoo.shelf import Zoo

PAIRS = 256
CERTIFIED_PAIRS = 20_000  # that a certificate needs, unless it has all there are
# The chance, over all checks, to fail a model that is as good as its certificate says.
FALSE_ALARM = 1e-3


def check_model(
    zoo: Zoo,
    name: str,
    variant: str,
    n_pairs: int = PAIRS,
    n_strata: int | None = None,
    device: str = "cpu",
) -> tuple[str, ...]:
    """Everything that is wrong with a model of the zoo: its files, its hashes, its agreement.

    Args:
        zoo: where it is.
        name: of the case.
        variant: of the model.
        n_pairs: to measure it on, and as many of each stratum.
        n_strata: how many of the certificate's strata to draw and measure again; which ones its
            weights' hash says. By default all. The counts of the others are looked at all the same.
        device: where the model runs: `cpu`, `cuda` or another that torch has.
    """
    try:
        trained = zoo.load(name, variant).to(device=device)
        folder = zoo.place(name, variant)
        stored = read_graph_file(folder / CIRCUIT).circuit()
        document = read_json(folder / CERTIFICATE) if trained.certificate else None
    except KnownCircuitsError as error:
        return (str(error),)
    certificate = trained.certificate
    if certificate is None:
        return ("expected certificate.json, got none",)
    problems = list(certificate.failures)
    if trained.compiled.name != name or certificate.case != name:
        problems.append(
            f"expected a model and a certificate of {name}, got {trained.compiled.name} and "
            f"{certificate.case}"
        )
    if not certificate.enumerated and certificate.n_pairs < CERTIFIED_PAIRS:
        problems.append(
            f"expected a certificate of {CERTIFIED_PAIRS} pairs, got {certificate.n_pairs}"
        )
    strata = _some_strata(certificate, n_strata)
    problems += contradictions(certificate, trained.placed, strata=zoo.version > 1, drawn=strata)
    if zoo.version > 1 and _may_say_anything(trained):
        problems.append('expected an answer "none", which the program gives, got none in the model')
    if document != json.loads(json.dumps(certificate.to_dict())):
        problems.append("expected shares and failures in certificate.json as its counts give them")
    if stored != trained.circuit:
        problems.append("expected the placement's labels in circuit.json")
    if not problems:
        problems += _misses(trained, certificate, n_pairs, strata)
    return tuple(problems)


def _some_strata(certificate: Certificate, n: int | None) -> tuple[str, ...]:
    rng = np.random.default_rng(int(certificate.weights[:16], 16))
    return tuple(rng.permutation(list(certificate.strata)).tolist()[:n])


def _may_say_anything(trained: Trained) -> bool:
    """Whether a model lacks the answer that its program gives where it says None."""
    compiled = trained.compiled
    if compiled.output.numerical or trained.placed.says_none:
        return False
    with torch.no_grad():
        logits = compiled.model(compiled.draw(PAIRS, 0))
    return not bool(compiled.defined(logits)[:, 1:].all())


def _misses(
    trained: Trained, certificate: Certificate, n_pairs: int, strata: Sequence[str]
) -> Iterator[str]:
    """Each threshold of the certificate that these pairs show to be missed."""
    # Pairs that the certificate's were drawn like, but, unless there are no others, not the same.
    seed = certificate.seed + 1
    listed = certificate.inputs in LISTED  # and not drawn one by one
    pairs = certificate_pairs(trained.compiled, certificate.n_pairs if listed else n_pairs, seed)
    chosen = np.random.default_rng(seed).permutation(len(pairs.base))[:n_pairs]
    quick = quick_agreement(
        trained.placed,
        pairs.base[chosen],
        pairs.source[chosen],
        torch.Generator("cpu").manual_seed(seed),
        strata=strata_pairs(trained.compiled, n_pairs, seed, strata),
    )
    checks = [("accuracy", quick.accuracy, ACCURACY)]
    checks += [(f"inside edge {edge}", found, EVERY_EDGE) for edge, found in quick.inside.items()]
    checks += [(f"edges {name}", found, of_set(name)) for name, found in quick.sets.items()]
    for stratum, measured in quick.strata.items():
        checks += [(f"stratum {stratum}: {what}", a, share) for what, a, share in measured.checks]
    for what, found, threshold in checks:
        if is_missed(found, threshold, FALSE_ALARM / len(checks)):
            yield (
                f"{what}: {found.share:.3%} of {found.positions} positions agree, too few for a "
                f"share of {threshold:.1%} by chance"
            )
