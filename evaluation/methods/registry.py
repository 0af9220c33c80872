"""Every method by its name."""

from __future__ import annotations

from knowncircuits.evaluation.methods.acdc import acdc
from knowncircuits.evaluation.methods.clean_corrupted import clean_corrupted
from knowncircuits.evaluation.methods.eap import eap
from knowncircuits.evaluation.methods.eap_ig_activations import eap_ig_activations
from knowncircuits.evaluation.methods.eap_ig_inputs import eap_ig_inputs
from knowncircuits.evaluation.methods.edge_sp import edge_sp
from knowncircuits.evaluation.methods.exact import exact
from knowncircuits.evaluation.methods.method import Method
from knowncircuits.evaluation.methods.nap import nap
from knowncircuits.evaluation.methods.nap_ig import nap_ig
from knowncircuits.evaluation.methods.shapley import shapley
from knowncircuits.evaluation.methods.sp import sp

METHODS: dict[str, Method] = {
    "exact": Method(exact),
    "shapley": Method(shapley),
    "eap": Method(eap),
    "eap-ig-inputs": Method(eap_ig_inputs),
    "eap-ig-activations": Method(eap_ig_activations),
    "clean-corrupted": Method(clean_corrupted),
    "acdc": Method(acdc, rank_by="signed"),
    "sp": Method(sp, rank_by="signed", threshold=0.5),
    "edge-sp": Method(edge_sp, rank_by="signed", threshold=0.5),
    "nap": Method(nap),
    "nap-ig": Method(nap_ig),
}
