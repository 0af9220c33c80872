"""Folders of trained models: whole, bound to their certificates, and read without trusting them."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from knowncircuits.errors import ModelError, ResultError
from knowncircuits.models.choices import Storage
from knowncircuits.models.trained import FILES, load_trained, save_trained
from knowncircuits.models.zoo import load_model, shipped
from knowncircuits.models.zoo.produce import with_certificate
from knowncircuits.transformer import weights_hash

NAME = "fraction_of_x"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(shipped(1).place(NAME, "seed0"), tmp_path / "model")


@pytest.mark.long
def test_no_compiler_is_loaded_with_a_model() -> None:
    """Sizes are checked on the meta device, where some operations load torch's compiler: 2 s."""
    code = "import sys, knowncircuits as kc; kc.load_model(sys.argv[1]); "
    code += "print('torch._dynamo' in sys.modules)"
    printed = subprocess.check_output([sys.executable, "-c", code, NAME], text=True)
    assert printed == "False\n"


def test_a_certificate_holds_for_one_placement(folder: Path) -> None:
    """The placement decides what the circuit is; sizes and weights are the same."""
    shutil.copy(shipped(1).place(NAME, "shuffled") / "config.json", folder)
    with pytest.raises(ResultError, match="expected a certificate of placement .*, got one of"):
        load_trained(folder)
    assert load_trained(folder, certified=False).certificate is None


@pytest.mark.parametrize("change", [{"layer_norm_eps": 1e-4}, {"activation": "relu"}])
def test_nor_for_another_choice_of_equal_sizes(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "config.json"
    document = json.loads(path.read_text())
    document["transformer"] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match="expected a certificate of configuration"):
        load_trained(folder)


def test_certificates_of_the_last_version_have_no_hashes(folder: Path) -> None:
    path = folder / "certificate.json"
    document = json.loads(path.read_text())
    del document["placement"]
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match=r"placement: Field required; `knowncircuits certify`"):
        load_trained(folder)


def test_a_model_is_replaced_and_what_else_is_there_stays(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "runs").mkdir()
    (folder / "runs" / "config.json").write_text("mine too")
    (folder / f".config.json.{2**22 + 1}").write_text("what a killed process left")
    new = replace(load_trained(folder), certificate=None, training={"steps": 1})
    save_trained(new, str(folder))
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert there == {*FILES, "notes.txt", "runs", "runs/config.json"} - {"certificate.json"}
    assert (folder / "runs" / "config.json").read_text() == "mine too"
    assert load_trained(str(folder)).training == {"steps": 1}
    assert os.listdir(folder.parent) == [folder.name]


def test_a_failed_save_changes_nothing(folder: Path) -> None:
    trained = load_trained(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TypeError):  # no JSON: the write fails after the folder is begun
        save_trained(replace(trained, training={"steps": object()}), folder)
    (folder.parent / "other").mkdir()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(os.listdir(folder.parent)) == [folder.name, "other"]


def header(document: object, data: bytes = b"") -> bytes:
    text = json.dumps(document).encode()
    return struct.pack("<Q", len(text)) + text + data


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
BROKEN = {
    "empty": b"",
    "short": b"\x01\x02",
    "no header": struct.pack("<Q", 2**40),
    "a header beyond the end": struct.pack("<Q", 100) + b"{}",
    "no JSON": struct.pack("<Q", 2) + b"}{",
    "a list": header([]),
    "an unknown type": header({"W_E": {**ONE, "dtype": "Q7"}}, b"\0" * 4),
    "a shape that is none": header({"W_E": {**ONE, "shape": [-1]}}, b"\0" * 4),
    "offsets beyond the end": header({"W_E": {**ONE, "data_offsets": [0, 2**50]}}, b"\0" * 4),
    "offsets that overlap": header({"W_E": ONE, "W_U": ONE}, b"\0" * 4),
    "another tensor": header({"W_X": ONE}, b"\0" * 4),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_weights(folder: Path, kind: str) -> None:
    (folder / "model.safetensors").write_bytes(BROKEN[kind])
    with pytest.raises(ResultError, match="expected"):
        load_trained(folder)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(folder: Path, value: float) -> None:
    state = load_file(folder / "model.safetensors")
    state["W_U"][0, 0] = value
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ResultError, match="expected finite weights, got NaN or infinity in W_U"):
        load_trained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layers": 20_000}, "expected at most 1048576 edges"),
        ({"n_ctx": 10**9}, "expected n_ctx of at most 8192"),
        ({"n_heads": 10**6}, "expected n_heads of at most 65536"),
        (  # few weights, and 25 GB of angles
            {"positions": "rotary", "n_ctx": 8192, "d_head": 2**16, "d_model": 1, "n_heads": 1},
            "expected at most 134217728 numbers in tables of positions, got 3288334336",
        ),
        ({"d_model": 65_536}, "expected W_E of shape"),
        ({"n_layers": 2.0}, "transformer.n_layers: Input should be a valid integer"),
        ({"n_heads": "4"}, "transformer.n_heads: Input should be a valid integer"),
        ({"n_heads": -4}, "expected n_heads of at least 1, got -4"),
        ({"causal": None}, "transformer.causal"),
        ({"activation": []}, "transformer.activation"),
        ({"layer_norm": "batch"}, "transformer.norm: Input should be 'none', 'layer' or 'rms'"),
        ({"layer_norm": 0}, "transformer.norm"),
        ({"gated": 1}, "transformer.gated"),
        ({"positions": "sinusoidal"}, "transformer.positions"),
    ],
)
def test_sizes_that_are_refused_before_there_is_a_model(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    path = folder / "config.json"
    document = json.loads(path.read_text())
    document["transformer"] |= changes
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match=message):
        load_trained(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"case": 3}', "[" * 10_000, '{"case": "a", "case": "b"}']
)
def test_broken_configurations(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ResultError, match="expected the configuration of a trained model, got"):
        load_trained(folder)


@pytest.mark.parametrize("storage", ["bfloat16", "float16"])
def test_weights_are_stored_in_16_bits_as_they_were_certified(
    storage: Storage, tmp_path: Path
) -> None:
    trained = load_model("identity", zoo=1)
    rounded = trained.rounded(storage)
    assert rounded.certificate is None  # that of the model is of other weights
    certified = with_certificate(rounded, n_pairs=200, zoo=1)
    save_trained(certified, tmp_path, storage=storage)
    loaded = load_trained(tmp_path)  # compares the certificate's hash of the weights
    assert loaded.certificate == certified.certificate
    assert loaded.model.dtype == torch.float32
    assert weights_hash(loaded.model) == weights_hash(rounded.model)
    stored = load_file(tmp_path / "model.safetensors")
    assert {str(weight.dtype) for weight in stored.values()} == {f"torch.{storage}"}
    for name, weight in trained.model.state_dict().items():
        assert torch.equal(stored[name], weight.to(stored[name].dtype))
    # Weights that are stored so already stay, and keep their certificate.
    assert loaded.rounded(storage).certificate == loaded.certificate


def test_weights_are_not_rounded_unseen(tmp_path: Path) -> None:
    trained = load_model("identity", zoo=1)
    with pytest.raises(ModelError, match=r"weights that float16 holds exactly, as trained\.round"):
        save_trained(trained, tmp_path / "model", storage="float16")
    assert not (tmp_path / "model").exists()


@pytest.mark.usefixtures("no_shape_checks")
def test_types_that_weights_cannot_be_stored_in(tmp_path: Path) -> None:
    trained = load_model("identity", zoo=1)
    with pytest.raises(ModelError, match="stored as float32, bfloat16, float16, got 'int8'"):
        save_trained(trained, tmp_path / "model", storage="int8")  # type: ignore[arg-type]


def test_weights_beyond_a_range_are_refused() -> None:
    trained = load_model("identity", zoo=1)
    loud = replace(trained, placed=replace(trained.placed, model=deepcopy(trained.model)))
    loud.model.b_O.data[0, 0] = 1e6
    with pytest.raises(ModelError, match=r"at most 65504 for float16, got 1e\+06 in b_O"):
        loud.rounded("float16")
    assert loud.rounded("bfloat16").model.b_O[0, 0] == pytest.approx(1e6, rel=2**-8)
