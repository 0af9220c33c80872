"""Facts about models of a zoo in rows: certified ones and missing ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from knowncircuits.models.certificates.agreement import worst
from knowncircuits.models.certificates.summary import Summary
from knowncircuits.models.zoo.shelf import Zoo


def describe_models(zoo: Zoo, models: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Each model's sizes, and what its certificate says.

    Raises ResultError for broken files.
    """
    return [_describe(zoo, name, variant) for name, variant in models]


def describe_strata(zoo: Zoo, models: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """What agrees least and what changes most, for each model and stratum of its certificate.

    Raises ResultError for broken files.
    """
    return [
        {
            "case": case,
            "variant": variant,
            "stratum": name,
            "pairs": found.n_pairs,
            "inputs": found.n_inputs,
            "accuracy": found.accuracy.share,
            "worst_inside_edge": worst(found.edges)[0],
            "worst_inside": worst(found.edges)[1],
            "most_changing": found.worst_change[0],
            "largest_change": found.worst_change[1],
        }
        for case, variant in models
        for name, found in zoo.describe(case, variant)[1].strata.items()
    ]


def describe_answers(zoo: Zoo, models: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """How often each model is right where its program gives each answer.

    By the certificate's balanced stratum; raises ResultError for broken files.
    """
    return [
        {
            "case": case,
            "variant": variant,
            "answer": answer,
            "positions": agreement.positions,
            "accuracy": agreement.share,
        }
        for case, variant in models
        for found in zoo.describe(case, variant)[1].strata.values()
        for answer, agreement in found.answers.items()
    ]


def best_attempts(zoo: Zoo, cases: Sequence[str], variants: Sequence[str]) -> list[dict[str, Any]]:
    """Steps and reason of the best attempt at each model that could not be certified."""
    return [
        {"case": case, "variant": kind, **{k: attempts[0].get(k) for k in ("steps", "reason")}}
        for case, found in zoo.missing().items()
        for kind, attempts in found.items()
        if case in cases and kind in variants and attempts
    ]


def _describe(zoo: Zoo, name: str, variant: str) -> dict[str, Any]:
    config, certificate = zoo.describe(name, variant)
    found = Summary.of(certificate)
    return {
        "case": name,
        "variant": variant,
        "layers": config.n_layers,
        "heads": config.n_heads,
        "d_model": config.d_model,
        "edges_in": found.edges_in,
        "edges_out": found.edges_out,
        "accuracy": found.accuracy,
        "worst_inside": found.worst_inside[1],
        "worst_outside": found.worst_outside[1],
        "all_outside": found.all_outside,
        "random_sets": found.random_sets[1],
        "largest_outside_effect": found.largest_outside_effect[1],
        "smallest_inside_effect": found.smallest_inside_effect[1],
        "pairs": found.pairs,
        "all_pairs": certificate.enumerated,
    }
