"""The discovery methods: a file each, and a line here."""

from __future__ import annotations

from knowncircuits.evaluation.methods.eap import eap
from knowncircuits.evaluation.methods.exact import exact
from knowncircuits.evaluation.methods.method import Attribution, Method
from knowncircuits.evaluation.methods.random import random

METHODS: dict[str, Method] = {
    "exact": Method(exact),
    "eap": Method(eap),
    "random": Method(random, rank_by="signed"),
}

__all__ = ["METHODS", "Attribution", "Method"]
