"""Certificates in parts: equal counts wherever they are measured, and none is measured again."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from knowncircuits.errors import MissedError, ModelError, UnknownNameError
from knowncircuits.evaluation.bench.planting import plant_edge
from knowncircuits.models.certificates import certify
from knowncircuits.models.certificates.agreement import ABLATIONS
from knowncircuits.models.certificates.measuring import Measuring, MeasuringSettings
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.zoo import load_model
from knowncircuits.work.processes import Processes

STRATA = ("balanced", "length:2")


def placed() -> Placed:
    return load_model("fraction_of_x", zoo=1).placed


def measuring(of: Placed, strata: Sequence[str] = STRATA) -> Measuring:
    edges = tuple(map(str, of.model.graph.edges[::20]))
    return Measuring(of, MeasuringSettings(60, 1, edges, ABLATIONS, tuple(strata), 1e-3, 25))


def test_parts_are_of_every_pair_once() -> None:
    found = measuring(placed())
    parts = found.parts()
    assert len({*parts}) == len(parts)
    for name, n in {"balanced": 30, "length:2": 12, "zero": 60}.items():
        covered = [i for part in parts if part.of == name for i in range(60)[part.batch]]
        assert covered == list(range(n))
    assert [part.of for part in parts[:2]] == ["length:2", "balanced"]


def test_another_process_measures_the_same() -> None:
    """What crosses to one is the model and its case's name."""
    here = measuring(placed())
    there = pickle.loads(pickle.dumps(here))
    for part in reversed(here.parts()):
        assert there(part) == here(part)


def test_what_crosses_is_checked() -> None:
    trained = placed()
    other = replace(trained, compiled=replace(trained.compiled, name="histogram"))
    crossed = pickle.loads(pickle.dumps(measuring(other)))
    with pytest.raises(ModelError, match="expected a model of the case histogram"):
        crossed(crossed.parts()[0])
    unknown = replace(trained, compiled=replace(trained.compiled, name="no_such_case"))
    crossed = pickle.loads(pickle.dumps(measuring(unknown)))
    with pytest.raises(UnknownNameError):
        crossed(crossed.parts()[0])


def test_a_certificate_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """What was measured is there: a changed file shows that it is read."""
    asked = {"n_pairs": 60, "edges": ["embed->m0"], "strata": STRATA, "batch_size": 25}

    def stop(done: int, total: int) -> None:
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify(placed(), shards=tmp_path, progress=stop, **asked)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert 2 <= len(before) < 8
    assert certify(placed(), shards=tmp_path, **asked) == certify(placed(), **asked)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(after) == 3 * 3 + 2 + 1
    assert before.items() <= after.items()


@pytest.mark.long
def test_counts_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    of = placed()
    one = certify(of, n_pairs=300, batch_size=64)
    for n in (1, 2, 3):
        found = certify(of, n_pairs=300, batch_size=64, executor=Processes(n))
        assert found.to_dict() == one.to_dict()
        found.write(tmp_path / f"{n}.json")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


@pytest.mark.long
def test_the_stratum_that_is_missed_is_the_same_in_processes() -> None:
    leaky = plant_edge(placed(), "embed->logits", 0.3, 0)
    for executor in (Processes(1), Processes(2)):
        with pytest.raises(MissedError, match="^stratum length:1: accuracy"):
            certify(leaky, n_pairs=200, until_missed=True, executor=executor)
