"""What all tests share: shape checks, one thread, reproducible examples, `--all`, the layout."""

import gc
import importlib.util
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jaxtyping
import pytest
from hypothesis import settings

import shape_checks

# The tests run in parallel processes, on tensors too small to share. An environment variable also
# reaches subprocesses, and does not import torch for tests that need none.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Before any test imports the package.
shape_checks.install("knowncircuits")

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Without `--all`, tests marked as long are left out, and hypothesis draws fewer examples."""
    parser.addoption("--all", action="store_true", help="run the long tests too, as CI does")


def pytest_configure(config: pytest.Config) -> None:
    """Set hypothesis up before any test is imported; tests take their numbers from its default."""
    # A deadline fails at random on a busy machine; CI must say the same from run to run.
    same = settings(deadline=None, derandomize="CI" in os.environ)
    settings.register_profile("all", same, max_examples=100)
    settings.register_profile("quick", same, max_examples=25)
    settings.load_profile("all" if config.getoption("all") else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start long tests first, so that none is alone at the end; without `--all`, deselect them."""
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if not item.get_closest_marker("long")]
    items[:] = [*long, *others] if config.getoption("all") else others
    if not config.getoption("all"):
        config.hook.pytest_deselected(items=long)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Tell how to run what is left out."""
    return None if config.getoption("all") else "long tests: left out (--all runs them too)"


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Let a process of xdist list what it leaves out, which it does not by itself."""
    for item in items:
        output = getattr(item.config, "workeroutput", {})
        output.setdefault("deselected", []).append(item.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Count in the last line what the processes left out: each the same."""
    if left_out := getattr(node, "workeroutput", {}).get("deselected"):
        terminal = node.config.pluginmanager.get_plugin("terminalreporter")
        terminal.stats["deselected"] = [SimpleNamespace(nodeid=nodeid) for nodeid in left_out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs the tracr extra where it is missing."""
    if item.get_closest_marker("tracr") and importlib.util.find_spec("tracr") is None:
        pytest.skip(
            "needs tracr: pip install '.[tracr]' git+https://github.com/google-deepmind/tracr"
        )


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
