"""State dicts read as torch reads them, and none that torch would take too much memory for."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from knowncircuits.errors import ModelError
from knowncircuits.models.interop.state_dicts import STORAGES, read_state_dict


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ll_model.pth"


@pytest.mark.parametrize("dtype", STORAGES.values())
def test_what_torch_saves_reads_back(path: Path, dtype: torch.dtype) -> None:
    numbers = torch.arange(24).reshape(2, 3, 4).to(dtype)
    state = OrderedDict(
        whole=numbers,
        turned=numbers.transpose(0, 2),
        part=numbers[1, :, 2:],
        number=numbers[0, 0, 1],
        empty=numbers[:0],
    )
    torch.save(state, path)
    found = read_state_dict(path)
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], tensor)


def test_a_modules_state(path: Path) -> None:
    module = torch.nn.Linear(2, 3)
    torch.save(module.state_dict(), path)
    assert torch.equal(read_state_dict(path)["weight"], module.weight)


class Storage:
    """Stands for a storage in a pickle, as torch has it."""

    def __init__(self, numel: int) -> None:
        self.numel = numel


def archive(path: Path, tensor: tuple[Any, ...], *, compression: int = zipfile.ZIP_STORED) -> None:
    """A file of one tensor, whose pickle says of it what is given."""

    class Tensor:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch._utils._rebuild_tensor_v2, tensor

    class Pickler(pickle.Pickler):
        def persistent_id(self, part: object) -> Any:
            if isinstance(part, Storage):
                return "storage", torch.FloatStorage, "0", "cpu", part.numel
            return None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"W": Tensor()})
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", buffer.getvalue())
        file.writestr("archive/data/0", bytes(16))


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((2**31, 2), (0, 0), 0),  # 17 GB of one number
        ((5,), (1,), 0),
        ((2, 2), (4, 1), 0),
        ((1,), (1,), 4),
        ((1,), (1,), -1),
        ((-1,), (1,), 0),
        ((2,), (1, 1), 0),
    ],
)
def test_tensors_that_are_not_in_the_file(
    path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    archive(path, (Storage(2**40), offset, size, stride, False, OrderedDict()))
    with pytest.raises(ModelError, match="expected .*, got"):
        read_state_dict(path)
    archive(path, (Storage(4), 0, (2, 2), (2, 1), False, OrderedDict()))
    assert read_state_dict(path)["W"].shape == (2, 2)


def test_compressed_files_are_refused(path: Path) -> None:
    whole = (Storage(4), 0, (4,), (1,), False, OrderedDict())
    archive(path, whole, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed members"):
        read_state_dict(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}.", bytes(1000)])
def test_files_that_are_none(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelError, match="expected a state dict of tensors"):
        read_state_dict(path)
