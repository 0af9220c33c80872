"""An environment of what the package itself depends on, without extras, out of what is installed.

Packages are links into the environment that the tests run in, so it takes no time and no network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from knowncircuits.cli import main

found = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["knowncircuits", *arguments]
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as errors:
        try:
            main()
        except SystemExit as ending:
            code = ending.code
    found.append((code, output.getvalue(), errors.getvalue()))
print(json.dumps(found))
"""


def core() -> dict[str, Distribution]:
    """What the package needs without extras, and what that needs in turn, by name."""
    found: dict[str, Distribution] = {}
    left = [Requirement(line) for line in SETTINGS["project"]["dependencies"]]
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # of another build, such as CUDA's
            continue
        needed = map(Requirement, found[name].requires or ())
        left += [r for r in needed if _applies(r, ("", *wanted.extras))]
    return found


def _applies(needed: Requirement, extras: tuple[str, ...]) -> bool:
    return not needed.marker or any(needed.marker.evaluate({"extra": x}) for x in extras)


def make_light_site(site: Path) -> None:
    """Fill a folder with links to the core packages, and to this one."""
    site.mkdir()
    for package in core().values():
        files = package.files or []
        names = {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}
        for name in names - {path.name for path in site.iterdir()}:
            (site / name).symlink_to(str(package.locate_file(name)))
    for package, folder in SETTINGS["tool"]["setuptools"]["package-dir"].items():
        target = site.joinpath(*package.split("."))
        target.mkdir()
        for path in (ROOT / folder).iterdir():
            (target / path.name).symlink_to(path)
    info = site / f"knowncircuits-{SETTINGS['project']['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: knowncircuits\nVersion: {SETTINGS['project']['version']}\n"
    )


def run_lightly(site: Path, folder: Path, *commands: list[str]) -> list[tuple[int, str, str]]:
    """Run commands one after the other in one process: exit codes, what they print, errors."""
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", RUN, json.dumps(commands)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [(code, output, errors) for code, output, errors in json.loads(done.stdout)]
