"""The shipped models: found and loaded, measured again, and made by their recipes."""

from knowncircuits.models.certificates.summary import Summary
from knowncircuits.models.zoo.check import CERTIFIED_PAIRS, PAIRS, check_model
from knowncircuits.models.zoo.produce import (
    RECIPES,
    Outcome,
    Plan,
    freeze,
    make_models,
    plan_model,
    with_certificate,
)
from knowncircuits.models.zoo.shelf import (
    SHIPPED,
    VARIANTS,
    Variant,
    Zoo,
    check_variant,
    list_models,
    load_model,
)

__all__ = [
    "CERTIFIED_PAIRS",
    "PAIRS",
    "RECIPES",
    "SHIPPED",
    "VARIANTS",
    "Outcome",
    "Plan",
    "Summary",
    "Variant",
    "Zoo",
    "check_model",
    "check_variant",
    "freeze",
    "list_models",
    "load_model",
    "make_models",
    "plan_model",
    "with_certificate",
]
