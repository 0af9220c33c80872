"""Methods that look at a task by themselves, by name; others run, join and filter them."""

from __future__ import annotations

import inspect
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from knowncircuits.evaluation.methods.acdc import acdc
from knowncircuits.evaluation.methods.activation import activation
from knowncircuits.evaluation.methods.atp_star import atp_star
from knowncircuits.evaluation.methods.cd_t import cd_t
from knowncircuits.evaluation.methods.circuit_probing import circuit_probing
from knowncircuits.evaluation.methods.clean_corrupted import clean_corrupted
from knowncircuits.evaluation.methods.discogp import discogp
from knowncircuits.evaluation.methods.eap import eap
from knowncircuits.evaluation.methods.eap_gp import eap_gp
from knowncircuits.evaluation.methods.eap_ig_activations import eap_ig_activations
from knowncircuits.evaluation.methods.eap_ig_inputs import eap_ig_inputs
from knowncircuits.evaluation.methods.edge_pruning import edge_pruning
from knowncircuits.evaluation.methods.edge_sp import edge_sp
from knowncircuits.evaluation.methods.exact import exact
from knowncircuits.evaluation.methods.gim import gim
from knowncircuits.evaluation.methods.hisp import hisp
from knowncircuits.evaluation.methods.ibcircuit import ibcircuit
from knowncircuits.evaluation.methods.ifr import ifr
from knowncircuits.evaluation.methods.method import Attribution, Method
from knowncircuits.evaluation.methods.multi_restart import multi_restart
from knowncircuits.evaluation.methods.nap import nap
from knowncircuits.evaluation.methods.nap_ig import nap_ig
from knowncircuits.evaluation.methods.optimal_ablation import optimal_ablation
from knowncircuits.evaluation.methods.peap import peap
from knowncircuits.evaluation.methods.relp import relp
from knowncircuits.evaluation.methods.shapley import shapley
from knowncircuits.evaluation.methods.sp import sp
from knowncircuits.evaluation.methods.ugs import ugs
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.evaluation.task import Task

BASES: dict[str, Method] = {
    "exact": Method(exact),
    "shapley": Method(shapley),
    "eap": Method(eap),
    "eap-ig-inputs": Method(eap_ig_inputs),
    "eap-ig-activations": Method(eap_ig_activations),
    "clean-corrupted": Method(clean_corrupted),
    "acdc": Method(acdc, rank_by="signed"),
    "sp": Method(sp, rank_by="signed", threshold=0.5),
    "edge-sp": Method(edge_sp, rank_by="signed", threshold=0.5),
    "circuit-probing": Method(circuit_probing, rank_by="signed"),
    "edge-pruning": Method(edge_pruning, rank_by="signed", threshold=0.0),
    "ugs": Method(ugs, rank_by="signed", threshold=0.0),
    "optimal-ablation": Method(optimal_ablation, rank_by="signed", threshold=0.0),
    "multi-restart": Method(multi_restart, rank_by="signed", threshold=0.5),
    "discogp": Method(discogp, rank_by="signed", threshold=0.0),
    "ibcircuit": Method(ibcircuit, rank_by="signed", threshold=0.0),
    "nap": Method(nap),
    "nap-ig": Method(nap_ig),
    "peap": Method(peap),
    "relp": Method(relp),
    "gim": Method(gim),
    "atp-star": Method(atp_star),
    "eap-gp": Method(eap_gp),
    "ifr": Method(ifr, rank_by="signed"),
    "cd-t": Method(cd_t, rank_by="signed"),
    "hisp": Method(hisp, rank_by="signed"),
    "activation": Method(activation),
}


def _known(name: str) -> str:
    if name not in BASES:
        raise PydanticCustomError("base", "one of {names}", {"names": ", ".join(BASES)})
    return name


Base = Annotated[str, AfterValidator(_known)]  # of options: the name of such a method


def base_scores(name: Base, task: Task, seed: int) -> Scores:
    """What a method says of a task with its own defaults; `seed` where it draws at all."""
    method = BASES[name]
    seeded = {"seed": seed} if "seed" in inspect.signature(method.run).parameters else {}
    found: Attribution = method.run(task, **seeded)
    return found.scores(task.graph, name, method, seeded)
