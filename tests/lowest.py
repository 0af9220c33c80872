"""Tests with the lowest versions of what the package depends on.

    python tests/lowest.py FOLDER
    python tests/lowest.py FOLDER --keep torch

makes an environment in the folder, installs there what `pyproject.toml` asks for at its lower
bounds, and runs a part of the tests in it. With --keep a package has the version of
`constraints.txt`, for machines that have no other; so have the tests' own tools.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ("beartype", "hypothesis", "packaging", "pytest", "pytest-xdist")
# What each dependency is used for, and needs no extra; some minutes of one core.
TESTS = (
    "tests/rasp",  # numpy
    "tests/test_names.py",
    "tests/test_graph.py",
    "tests/evaluation/scoring",  # scikit-learn, pandas
    "tests/evaluation/comparison/test_compare.py",  # pandas, scipy, plotly
    "tests/evaluation/catalogue/test_measuring.py",  # networkx
    "tests/cli/test_cli.py",  # typer, torch, safetensors
    "tests/cli/test_options.py",
    "tests/cli/test_printing.py",  # rich
    "tests/leaderboard/test_site.py",  # jinja2, pydantic
)
# What old packages find deprecated in new ones is none of ours.
WARNINGS = ("-W", "default::DeprecationWarning", "-W", "default::PendingDeprecationWarning")


def lowest(dependencies: list[str]) -> dict[str, str]:
    """Each package with its lower bound."""
    found = {}
    for line in dependencies:
        match = re.fullmatch(r"([\w-]+)>=([\w.]+)", line)
        if match is None:
            raise SystemExit(f"expected a dependency NAME>=VERSION, got {line!r}")
        found[match[1]] = match[2]
    return found


def tested() -> dict[str, str]:
    """Each package with the version of `constraints.txt`."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def main() -> None:
    """Make the environment and run the tests; exits as pytest does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the environment; new, or an earlier one")
    parser.add_argument("--keep", nargs="*", default=[], help="packages that stay as tested")
    chosen = parser.parse_args()

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = tested()
    versions = lowest(project["dependencies"])
    versions |= {name: known[name] for name in (*TOOLS, *chosen.keep)}

    folder = chosen.folder.resolve()
    venv.create(folder, symlinks=True, with_pip=True)
    python, pins = folder / "bin" / "python", folder / "lowest.txt"
    pins.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
    install = [python, "-m", "pip", "install", "--quiet", "-c", pins, "-e", ROOT, *TOOLS]
    subprocess.run(install, check=True)
    subprocess.run([python, "-m", "pip", "freeze", "--exclude-editable"], check=True)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", *WARNINGS, *TESTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ""},
    )
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
