"""Every method by its name."""

from __future__ import annotations

from knowncircuits.evaluation.methods.bases import BASES
from knowncircuits.evaluation.methods.bootstrap import bootstrap
from knowncircuits.evaluation.methods.coax import coax
from knowncircuits.evaluation.methods.ensemble import ensemble
from knowncircuits.evaluation.methods.method import Method
from knowncircuits.evaluation.methods.vote import vote

METHODS: dict[str, Method] = {
    **BASES,
    "ensemble": Method(ensemble, rank_by="signed"),
    "bootstrap": Method(bootstrap),
    "coax": Method(coax, rank_by="signed"),
    "vote": Method(vote, rank_by="signed"),
}
