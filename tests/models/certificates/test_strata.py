"""Strata of certificates: what must be there, what falls short, and who is to blame."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from knowncircuits.cases import load_case, strata_of
from knowncircuits.circuit import Label
from knowncircuits.errors import MissedError, ModelError, UnknownNameError
from knowncircuits.evaluation.bench.planting import plant_edge
from knowncircuits.models.certificates.blame import blame
from knowncircuits.models.certificates.certificate import Certificate, read_certificate
from knowncircuits.models.certificates.certifying import certify
from knowncircuits.models.certificates.change import Change
from knowncircuits.models.certificates.contents import contradictions
from knowncircuits.models.certificates.pairs import n_of_stratum, stratum_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.quick import (
    QuickAgreement,
    quick_agreement,
    strata_pairs,
)
from knowncircuits.models.certificates.recheck import recheck
from knowncircuits.models.certificates.sets import rest_of
from knowncircuits.models.certificates.sides import Side
from knowncircuits.models.certificates.strata_contents import wrong_strata
from knowncircuits.models.zoo.shelf import load_model
from knowncircuits.names import Edge


def placed() -> Placed:
    return load_model("fraction_of_x", zoo=1).placed


def leaky(strength: float) -> Placed:
    """fraction_of_x whose output also reads the tokens."""
    return plant_edge(placed(), "embed->logits", strength, 0)


@cache
def made() -> Certificate:
    return certify(placed(), n_pairs=200, ablations=("resample",))


def test_a_certificate_has_every_stratum_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = made()
    assert tuple(found.strata) == strata_of(load_case("fraction_of_x"))
    assert found.passed
    found.write(tmp_path / "certificate.json")
    assert read_certificate(tmp_path / "certificate.json") == found
    plain = replace(found, strata={})
    assert "strata" not in plain.to_dict()
    with pytest.raises(UnknownNameError, match="stratum"):
        certify(placed(), n_pairs=10, strata=["length:9"])


def test_measuring_ends_at_the_first_stratum_that_falls_short() -> None:
    done: list[int] = []
    with pytest.raises(MissedError, match="^stratum length:1: accuracy: expected agreement"):
        certify(
            leaky(0.3),
            n_pairs=200,
            ablations=("resample",),
            until_missed=True,
            progress=lambda n, total: done.append(n),
        )
    assert done[-1] < 100  # of one short length alone
    assert certify(placed(), n_pairs=200, ablations=("resample",), until_missed=True) == made()


def test_certificates_of_zoo_1_stay_as_they_are() -> None:
    path = next(Path("models/zoo1/fraction_of_x/seed0").glob("certificate.json"))
    found = read_certificate(path)
    assert not found.strata
    assert found.passed
    assert json.dumps(found.to_dict(), allow_nan=False) + "\n" == path.read_text()


def test_what_was_left_out_or_changed_shows() -> None:
    found = certify(placed(), n_pairs=200)
    assert not contradictions(found, placed(), strata=True)
    assert not contradictions(found, placed(), strata=True, drawn=())
    assert contradictions(replace(found, strata={}), placed(), strata=True)
    assert not contradictions(replace(found, strata={}), placed())
    name = "skewed"
    one = found.strata[name]
    for forged in (
        replace(one, n_pairs=one.n_pairs + 1),
        replace(one, edges={}),
        replace(one, own={**one.own, "the rest": Change()}),
        replace(one, own={k: v for k, v in one.own.items() if k != "random of the rest"}),
        replace(one, n_company=one.n_company + 1),
        replace(one, accuracy=replace(one.accuracy, agreeing=10**9)),
        replace(one, answers={"1": one.accuracy}),
    ):
        for drawn in (None, ()):  # also where no pairs are drawn again
            problems = contradictions(
                replace(found, strata={**found.strata, name: forged}),
                placed(),
                strata=True,
                drawn=drawn,
            )
            assert problems
            assert all(problem.startswith("stratum skewed") for problem in problems)


def test_pairs_that_are_not_those_of_a_stratum_show_where_they_are_drawn_again() -> None:
    found = made()
    one = found.strata["skewed"]
    forged = {**found.strata, "skewed": replace(one, n_inputs=one.n_inputs + 1)}
    wrong = replace(found, strata=forged)
    for drawn, n_problems in ((None, 1), (["skewed"], 1), (["minimal"], 0)):
        problems = list(wrong_strata(wrong, placed(), drawn))
        assert len(problems) == n_problems
        assert all(problem.startswith("stratum skewed: expected pairs") for problem in problems)


def test_a_leak_is_named_in_the_strata_where_it_acts() -> None:
    found = certify(leaky(0.15), n_pairs=300, ablations=("resample",))
    balanced = [f for f in found.failures if f.startswith("stratum balanced: own answers")]
    assert any("embed->logits" in failure for failure in balanced)
    assert recheck(leaky(0.15), found, n_edges=4, n_pairs=30)


def test_hooks_find_forged_strata() -> None:
    found = made()
    for field, name in (("own", "the rest"), ("sets", "random inside")):
        measured = found.strata["minimal"]
        counts = getattr(measured, field)
        wrong = replace(counts[name], pairs=counts[name].pairs - 1)
        forged = replace(measured, **{field: {**counts, name: wrong}})
        with pytest.raises(ModelError, match=f"stratum minimal.*{name}: expected"):
            recheck(placed(), replace(found, strata={**found.strata, "minimal": forged}))


def test_the_fewest_edges_are_blamed() -> None:
    model = leaky(0.15)
    pairs = stratum_pairs(model.compiled, "balanced", 60, 0)
    inside = model.correspondence.inside
    side = Side(model.model, pairs.base, pairs.source, None, lambda logits: logits[:, 1:, 0])
    with torch.no_grad():
        every = np.broadcast_to(~inside, (60, len(inside)))
        moved = (side.edge_set(every[:1]) - side.clean).abs().amax(1) > 0.05
        (places,) = np.nonzero(moved.numpy())
        blamed = blame(side.of_pairs(places), every[places].copy(), ~inside, 0.05)
    assert blamed["embed->logits"] >= 0.9 * len(places) > 0


def test_shorter_inputs_are_all_measured_where_they_are_few() -> None:
    compiled = placed().compiled
    pairs = stratum_pairs(compiled, "length:1", 100, 0)
    assert pairs.inputs == "all pairs"
    assert len(pairs.base) == 12
    assert n_of_stratum("sampler", 100, enumerated=False) == 100
    assert n_of_stratum("length:1", 100, enumerated=True) == 100


def test_the_quick_form_covers_strata() -> None:
    """Up to the first that is missed, and none where something else is."""
    model = placed()
    strata = strata_pairs(model.compiled, 60, 0)
    base, source = strata["sampler"].base, strata["sampler"].source

    def quick(of: Placed) -> QuickAgreement:
        generator = torch.Generator().manual_seed(0)
        return quick_agreement(of, base, source, generator, strata=strata)

    fine, leaking, wrong = map(quick, (model, leaky(0.15), leaky(0.3)))
    assert (fine.passed, list(fine.strata)) == (True, list(strata))
    assert (leaking.promising, list(leaking.strata)) == (False, ["sampler"])
    assert all(failure.startswith("stratum sampler: own") for failure in leaking.failures)
    assert (wrong.passed, list(wrong.strata)) == (False, [])


def test_the_rest_is_dealt_out_to_sources() -> None:
    """Each of its edges to one: what cancels among all of them need not among one's."""
    circuit = load_model("fraction_of_x", zoo=1).circuit
    edges = circuit.graph.edges
    found = [
        (name, edges[i]) for name, rows in rest_of(circuit).items() for i in np.flatnonzero(rows[0])
    ]
    rest = [Edge(edge) for edge in edges if circuit.label(edge) != Label.IN]
    assert sorted(found) == sorted((f"the rest of {edge.source}", edge) for edge in rest)
