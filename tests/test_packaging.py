"""The package as its users meet it: a quick command line, one import name, a complete wheel."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email import message_from_string
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import knowncircuits

# What draws help, and finds out where; all else is loaded by the command that needs it.
LIGHT = {"typer", "click", "shellingham", "rich", "pygments", "markdown_it", "mdurl", "lazy_loader"}
LIGHT |= {"annotated_doc", "typing_extensions", "colorama"}  # typer's own, by its version
LIGHT |= {"attr", "attrs"}  # rich looks for it, and takes it where something else has installed it


def run(*command: str | Path, cwd: Path | None = None, stdin: str = "") -> str:
    """The command's output; its errors fail the test."""
    result = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True)
    assert result.returncode == 0, f"{command} failed:\n{result.stdout}{result.stderr}"
    return result.stdout


def test_help_is_quick_since_it_loads_little() -> None:
    """In seconds it would be another test on each machine."""
    command = Path(sysconfig.get_path("scripts"), "knowncircuits")
    code = f"""
import atexit, runpy, sys
before = {{*sys.modules}}
atexit.register(lambda: print("loaded", *{{*sys.modules}} - before))
sys.argv = ["knowncircuits", "--help"]
runpy.run_path({str(command)!r}, run_name="__main__")
"""
    shown, _, loaded = run(sys.executable, "-c", code).rpartition("loaded")
    assert "Usage: knowncircuits" in shown
    rooms = {name.partition(".")[0] for name in loaded.split()} - {*sys.stdlib_module_names}
    assert "knowncircuits" in rooms
    assert rooms - {"knowncircuits"} <= LIGHT


def test_ruff_bans_the_folders_bare_names(root: Path, rooms: dict[str, Path]) -> None:
    forms = ("import {}", "import {}.x", "from {} import x", "from {}.x import y")
    bare = [form.format(folder.name) for folder in rooms.values() for form in forms]
    code = "\n".join([*bare, *(f"import {package}" for package in rooms)])
    options = ["--select", "TID251", "--exit-zero", "--output-format", "json"]
    ruff = [sys.executable, "-m", "ruff", "check", *options, "--stdin-filename", "snippet.py", "-"]
    rows = [finding["location"]["row"] for finding in json.loads(run(*ruff, cwd=root, stdin=code))]
    assert [code.splitlines()[row - 1] for row in rows] == bare


@pytest.mark.long
def test_the_wheel_holds_every_file_of_the_rooms_and_no_other(
    root: Path, rooms: dict[str, Path], tmp_path: Path
) -> None:
    source = tmp_path / "source"  # a copy: building writes into the tree
    ignore = shutil.ignore_patterns(
        ".*", "__pycache__", "build", "dist", "*.egg-info", "results", "wandb"
    )
    shutil.copytree(root, source, ignore=ignore)
    # Submissions are data of the board, which grow with it: they stay out of the wheel.
    for name in ("submission.json", "scores/identity/seed0.csv"):
        path = source / "leaderboard" / "submissions" / "somebody" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    run(sys.executable, "-c", build, cwd=source)

    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if ".dist-info/" not in name}
    expected = {
        f"{package.replace('.', '/')}/{path.relative_to(source / folder.name).as_posix()}"
        for package, folder in rooms.items()
        for path in (source / folder.name).rglob("*")
        if path.is_file() and "submissions" not in path.parts
    }
    # A file missing here has an ending that pyproject's package-data does not list.
    assert packed == expected
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    check_that_an_index_takes_it(zipfile.ZipFile(wheel).read(metadata).decode())
    check_that_an_installed_package_stays_as_it_is(wheel, tmp_path / "site")


def check_that_an_index_takes_it(metadata: str) -> None:
    """PyPI refuses what depends on an address; requirements of extras are among these."""
    fields = message_from_string(metadata)
    required = [Requirement(line) for line in fields.get_all("Requires-Dist", [])]
    assert len(required) > 20
    assert [str(r) for r in required if r.url] == []
    assert fields["Author"] == "The knowncircuits authors"
    assert fields["Description-Content-Type"] == "text/markdown"
    assert {"lens", "wandb", "hub", "pictures", "all", "test", "tracr"} <= {
        *fields.get_all("Provides-Extra", [])
    }


def check_that_an_installed_package_stays_as_it_is(wheel: Path, site: Path) -> None:
    """What writes into the repository is refused where there is none."""
    zipfile.ZipFile(wheel).extractall(site)
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*.json")}
    for name in ("difficulty", "docs", "schema", "effects"):
        done = subprocess.run(
            [sys.executable, "-B", "-m", "knowncircuits.cli", "maintain", name],
            cwd=site.parent,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        message = f"error: expected a checkout of the repository, got the installed package {site}"
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*.json")} == before
    assert not (site.parent / "docs").exists()


def test_the_version_is_said_once_and_the_same_everywhere(root: Path) -> None:
    stated = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    assert knowncircuits.__version__ == stated
    assert f"\nversion: {stated}\n" in (root / "CITATION.cff").read_text()
    command = Path(sysconfig.get_path("scripts"), "knowncircuits")
    assert run(command, "--version") == f"knowncircuits {stated}\n"
    assert "\n## Unreleased\n" in (root / "CHANGELOG.md").read_text()


def test_what_the_project_stands_on_is_named(root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    project = settings["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {Requirement(x).name for x in chain(*lists, *settings["dependency-groups"].values())}
    wanted = {"torch", "transformer_lens", "tracr", "jax", "dm-haiku", "pandas"}
    assert wanted | {"scikit-learn", "wandb", "pytest"} <= names


def test_the_readmes_commands_are_the_ones_that_ci_runs(root: Path) -> None:
    readme = (root / "README.md").read_text()
    assert "pip install -c constraints.txt -e . && knowncircuits score eap" in readme
    assert "pip install -c constraints.txt -e '.[test]' && pytest" in readme
