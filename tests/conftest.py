"""What all tests share: runtime shape checks, one thread, reproducible examples, the layout."""

import gc
import importlib.util
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
from hypothesis import settings

# The tests run in parallel processes, on tensors too small to share. An environment variable also
# reaches subprocesses, and does not import torch for tests that need none.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Before any test imports the package: shapes and types are checked at every call, in tests only.
# As for mypy, an int serves as a float; Self is not checked, as beartype cannot method by method.
jaxtyping.install_import_hook(
    "knowncircuits",
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True, "
    "hint_overrides=beartype.FrozenDict({beartype.typing.Self: object})))",
)

# A deadline fails at random on a busy machine; CI must say the same from run to run.
settings.register_profile("tests", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("tests")

ROOT = Path(__file__).parents[1]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs the tracr extra where it is missing."""
    if item.get_closest_marker("tracr") and importlib.util.find_spec("tracr") is None:
        pytest.skip("needs tracr: pip install '.[tracr]'")


def pytest_collection_finish() -> None:
    """Set aside what is imported by now: looked through at each collection, it took minutes."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def rooms() -> dict[str, Path]:
    """The folder of each top-level package, as in pyproject: `knowncircuits.cases` in `cases/`."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = settings["tool"]["setuptools"]["package-dir"]
    return {package: ROOT / folder for package, folder in folders.items()}


@pytest.fixture
def no_shape_checks() -> Iterator[None]:
    """Let wrong shapes through to the library, to see the errors that its users get."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def wandb_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever W&B writes, it writes below the test's folder, and nothing leaves the machine."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "no.netrc"))
    (tmp_path / "home").mkdir()
    yield
    if wandb := sys.modules.get("wandb"):
        wandb.teardown()
