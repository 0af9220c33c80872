"""Models of a zoo that are another one under a second name."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from knowncircuits.errors import KnownCircuitsError
from knowncircuits.models.zoo.shelf import Zoo


def find_duplicates(zoo: Zoo, models: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What is wrong with models, cases and variants, that the zoo has already.

    Where two models have equal weights, or the compiled models of two cases have, the first one
    counts: programs that differ in names only, such as `median` and `median_variant`, would
    count twice in every mean. Zoo 1 has four such cases, which stay. Broken files are passed over;
    `check_model` names them.
    """
    found: dict[tuple[str, str], str] = {}
    if zoo.version == 1:
        return found
    trained: dict[str, str] = {}
    compiled: dict[str, str] = {}
    for name, variant in models:
        with suppress(KnownCircuitsError):
            _, certificate = zoo.describe(name, variant)
            case = compiled.setdefault(certificate.compiled_weights, name)
            key = trained.setdefault(certificate.weights, f"{name} {variant}")
            if case != name:
                found[name, variant] = f"expected a case of its own, got {case} by another name"
            elif key != f"{name} {variant}":
                found[name, variant] = f"expected weights of its own, got those of {key}"
    return found
