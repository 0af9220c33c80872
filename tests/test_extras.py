"""Without any extra the main commands work, and what needs one says which."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from knowncircuits.errors import MissingExtraError
from knowncircuits.extras import EXTRAS, install_line, missing
from knowncircuits.models.interop import load_interpbench
from light import SETTINGS, make_light_site, run_lightly

METHOD = "acdc"  # of which there is a submission
WORKING = (
    ["--help"],
    ["--version"],
    ["score", "eap", "-c", "fraction_of_x", "--pairs", "10"],
    ["compare", "results"],
    ["leaderboard", "build", "submissions", "-o", "site"],
)
REFUSED = {
    ("certify", "model"): "lens",
    ("leaderboard", "table", "submissions", "--wandb", "project"): "wandb",
    ("sankey", "fraction_of_x", "--save", "circuit.png"): "pictures",
    ("score", "eap", "-c", "fraction_of_x", "--executor", "slurm"): "slurm",
    ("score", "eap", "-c", "fraction_of_x", "--executor", "ray"): "ray",
}


def test_every_missing_package_is_in_the_extra_that_is_named() -> None:
    extras = SETTINGS["project"]["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert any(line.startswith(package) for line in extras[extra])
        assert install_line(package) == f"pip install 'knowncircuits[{extra}]'"
        assert isinstance(missing(package), ImportError)
    assert extras["all"] == [f"knowncircuits[{','.join(EXTRAS.values())}]"]


def test_interpbench_from_the_hub_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"needs huggingface_hub.*knowncircuits\[hub\]"):
        load_interpbench("fraction_of_x", "cybershiptrooper/InterpBench")


@pytest.mark.long
def test_commands_without_extras(tmp_path: Path, root: Path) -> None:
    make_light_site(site := tmp_path / "packages")
    shipped = root / "leaderboard" / "submissions" / "zoo1" / METHOD
    shutil.copytree(shipped, tmp_path / "submissions" / METHOD)
    shutil.copytree(root / "models" / "zoo1" / "fraction_of_x" / "seed0", tmp_path / "model")
    commands = (*WORKING, *map(list, REFUSED))
    found = run_lightly(site, tmp_path, *commands)
    working, refused = found[: len(WORKING)], found[len(WORKING) :]
    assert [(code, errors) for code, _, errors in working if code] == []
    assert (tmp_path / "site" / "index.html").is_file()
    for (code, _, errors), extra in zip(refused, REFUSED.values(), strict=True):
        assert code == 2
        assert errors.startswith("error: ")
        assert f"pip install 'knowncircuits[{extra}]'" in errors


@pytest.mark.long
def test_the_light_environment_holds_no_extra(tmp_path: Path) -> None:
    make_light_site(site := tmp_path / "packages")
    names = {path.name for path in site.iterdir()}
    assert {"knowncircuits", "torch", "typer"} <= names
    assert not names & {*EXTRAS, "transformers", "datasets"}
