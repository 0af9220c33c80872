"""A method's hash changes with its code and what it imports beside it, and with nothing else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from knowncircuits.errors import MethodError, UnknownNameError
from knowncircuits.evaluation.methods import METHODS
from knowncircuits.evaluation.runs import provenance
from knowncircuits.evaluation.runs.provenance import code_hash, machine

FILES = {
    "theirs.py": "import numpy\ndef fit(task):\n    from theirs_too import a\n    return a\n",
    "theirs_too.py": "import theirs_deep.inner\na = 1\n",
    "theirs_deep/__init__.py": "",
    "theirs_deep/inner.py": "from . import last\nfrom ..nowhere import x\n",
    "theirs_deep/last.py": "b = 1\n",
    "unrelated.py": "c = 1\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's files, in a folder that is searched for modules."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    importlib.invalidate_caches()
    return tmp_path


def test_a_function_with_what_it_imports_beside_it(folder: Path) -> None:
    before = code_hash("theirs:fit")
    assert code_hash("theirs:fit") == before
    for name, text in FILES.items():
        (folder / name).write_text(f"{text}# edited\n")
        assert (code_hash("theirs:fit") == before) == (name == "unrelated.py"), name
        (folder / name).write_text(text)
    assert code_hash("theirs:fit") == before


def test_a_file_beside_it_that_does_not_compile(folder: Path) -> None:
    """A method that never runs its import is not stopped by it."""
    (folder / "theirs_too.py").write_text("a = (\n")
    assert code_hash("theirs:fit") != code_hash("eap")


def test_our_own_methods_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the same files: the method's own, `gradients.py`, and what gives it its task."""
    hashes = {name: code_hash(name) for name in ("eap", "exact", "nap", "random", "truth")}
    assert len(set(hashes.values())) == 4  # the controls share a file
    sources = provenance._sources(METHODS["eap"].run.__module__)
    assert {path.name for path in sources.values()} == {
        *("eap.py", "gradients.py", "method.py", "cost.py"),
        *("batches.py", "parts.py", "streams.py"),  # on large models
    }
    other = tmp_path / "task.py"
    other.write_text("edited")
    real = provenance._file_of
    monkeypatch.setattr(
        provenance, "_file_of", lambda m: other if m.endswith("evaluation.task") else real(m)
    )
    assert all(code_hash(name) != before for name, before in hashes.items())


def test_an_installed_package_counts_with_its_version(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only its own modules do, not those of other packages beside it."""
    site = tmp_path / "site-packages"
    (site / "added").mkdir(parents=True)
    (site / "added" / "__init__.py").write_text("import neighbour\nfrom added.inner import fit\n")
    (site / "added" / "inner.py").write_text("def fit(task): ...\n")
    (site / "neighbour.py").write_text("")
    info = site / "added-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
    entry = "[knowncircuits.methods]\nadded-method = added.inner:fit\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    before = code_hash("added-method")
    (site / "neighbour.py").write_text("edited = True\n")
    assert code_hash("added-method") == before
    (site / "added" / "__init__.py").write_text("from added.inner import fit\n")
    changed = code_hash("added-method")
    assert changed != before
    metadata = (info / "METADATA").read_text().replace("1.0", "1.1")
    (info / "METADATA").write_text(metadata)
    assert code_hash("added-method") != changed


def test_methods_that_there_are_not(folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown method"):
        code_hash("eep")
    with pytest.raises(MethodError, match="cannot load"):
        code_hash("theirs:fitt")


def test_the_machine_is_described_in_words() -> None:
    assert machine()["torch"].startswith("2.")
    assert all(isinstance(value, str) and value for value in machine().values())
