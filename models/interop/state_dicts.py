"""State dicts that torch saved, read as plain numbers: no code of theirs runs, and none of torch's.

The file is a zip of a pickle and of each storage's bytes. `torch.load` trusts the sizes in the
pickle, and would set memory aside for them or read past a storage's end.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from knowncircuits.errors import ModelError, ResultError
from knowncircuits.files.reading import read_bytes
from knowncircuits.models.interop.pickles import MAX_BYTES as MAX_PICKLE
from knowncircuits.models.interop.pickles import REFUSED, Reader, RefusedError, parse_pickle
from knowncircuits.models.interop.tensors import MAX_BYTES

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}
TENSOR = ("torch._utils", "_rebuild_tensor_v2")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote of a state dict.

    Raises ModelError for anything else, for a file of more than `MAX_BYTES`, and for tensors that
    are larger than what the file has of them.
    """
    what = f"a state dict of tensors in {path}"
    try:
        data = read_bytes(path, "a state dict", MAX_BYTES)
    except ResultError as error:
        raise ModelError(str(error)) from error
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = archive.infolist()
        (root,) = {
            m.filename.removesuffix("data.pkl") for m in members if m.filename.endswith("data.pkl")
        }
        if any(m.compress_type != zipfile.ZIP_STORED for m in members):
            raise ValueError("compressed members")
        if sum(m.file_size for m in members) > len(data):
            raise ValueError("members larger than the file")
        if archive.getinfo(f"{root}data.pkl").file_size > MAX_PICKLE:
            raise ValueError(f"a pickle of more than {MAX_PICKLE} bytes")
        pickled = archive.read(f"{root}data.pkl")
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"expected {what}, got {type(error).__name__}: {error}") from error

    class OfArchive(_Reader):
        """Finds storages in this archive."""

        storages = _Storages(archive, root)

    state = parse_pickle(pickled, what, OfArchive)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise ModelError(f"expected {what}, got {type(state).__name__}")
    return dict(state)


class _Storages:
    """The numbers in an archive, each storage read once."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self._archive, self._root = archive, root
        self._read: dict[str, Tensor] = {}

    def load(self, key: str, dtype: torch.dtype) -> Tensor:
        if key not in self._read:
            data = bytearray(self._archive.read(f"{self._root}data/{key}"))
            self._read[key] = (
                torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            )
        return self._read[key]


class _Dict(dict[str, Any]):
    """Stands for OrderedDict; its attributes, such as versions of modules, are passed over."""

    def __setstate__(self, state: object) -> None:
        """Nothing is kept."""


class _Reader(Reader):
    refused: ClassVar[set[str]] = REFUSED - {"BINPERSID"}
    storages: ClassVar[_Storages]

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Dict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == TENSOR:
            return _tensor
        raise RefusedError(f"{module}.{name}")

    def persistent_load(self, pid: Any, /) -> Tensor:
        kind, dtype, key, _, _ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise RefusedError("a reference to something else than a storage")
        return self.storages.load(key, dtype)


def _tensor(
    storage: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *others: object
) -> Tensor:
    """A view of a storage that lies within it, and has no number twice."""
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError(f"expected a tensor, got one of shape {list(size)}")
    n = math.prod(size)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if n and (n > len(storage) or last >= len(storage)):
        raise ValueError(f"expected at most {len(storage)} numbers in a tensor, got {n}")
    return storage.as_strided(tuple(size), tuple(stride), offset)
