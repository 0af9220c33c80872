"""A model in one call: the same as by its plan, of a case, of a name and of a program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import knowncircuits as kc
from knowncircuits import rasp
from knowncircuits.errors import ArgumentError, InputError, ModelError, UnknownNameError
from knowncircuits.models.training.trainer import train as train_by_steps
from knowncircuits.models.zoo import plan_model
from knowncircuits.transformer import weights_hash
from knowncircuits.work.progress import Report, heard_by

SHORT: dict[str, Any] = {"steps": 3, "n_inputs": 500, "n_validation": 50, "warmup": 1}
CASE = kc.load_case("sign")


def test_it_is_what_the_plan_gives() -> None:
    trainer = plan_model("sign", zoo=2).changed({**SHORT, "seed": 3}).trainer()
    train_by_steps(trainer)
    made = kc.train("sign", zoo=2, seed=3, certify=False, **SHORT)
    assert weights_hash(made.model) == weights_hash(trainer.placed.model)
    assert made.certificate is None
    assert made.training["steps"] == 3


def test_a_case_of_ones_own(tmp_path: Path) -> None:
    """It need not be known by its name; its model is written with what was measured of it."""
    case = replace(CASE, name="signs_of_mine")
    made = kc.train(case, folder=tmp_path, n_pairs=50, zoo=2, layers=1, heads=1, **SHORT)
    assert made.case is case
    assert made.certificate is not None
    assert not made.certificate.passed  # after three steps
    assert {path.name for path in tmp_path.iterdir()} == {
        *("config.json", "model.safetensors", "circuit.json", "certificate.json")
    }
    again = kc.load_trained(tmp_path, case=case)
    assert weights_hash(again.model) == weights_hash(made.model)
    task = kc.make_task(again, 5)
    assert kc.score(kc.discover("exact", task), again.circuit).n_true
    with pytest.raises(UnknownNameError, match="unknown case 'signs_of_mine'"):
        kc.load_trained(tmp_path)


def test_a_program_with_its_inputs() -> None:
    program = rasp.Map(lambda letter: letter == "a", rasp.tokens)
    made = kc.train(program, vocab="ab", max_len=2, certify=False, d_model=8, **SHORT)
    assert made.compiled(["a", "b"]) == [True, False]
    assert made.model.config.d_model == 8
    with pytest.raises(InputError, match="expected vocab and max_len with a program, got none"):
        kc.train(program)
    with pytest.raises(InputError, match="with a program, got a case"):
        kc.train(CASE, max_len=3)


def test_progress_is_heard_or_shown(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[Report] = []
    with heard_by(heard.append):
        kc.train(CASE, certify=False, **SHORT)
    assert ("training sign", 3, 3) in {(r.what, r.done, r.total) for r in heard}
    kc.train(CASE, certify=False, progress=False, **SHORT)
    assert capsys.readouterr().err == ""


def test_what_it_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected settings among .*; got layer"):
        kc.train(CASE, layer=3)
    with pytest.raises(ArgumentError, match="expected case to be Case or str or SOp, got int"):
        kc.train(3)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="did you mean sign"):
        kc.train("signs")
