"""Neighbours' libraries beside ours, each in an environment with the versions that it wants.

    python tests/clients/run.py FOLDER
    python tests/clients/run.py FOLDER --only EAP-IG --repositories file:///my/copies

makes the environments in the folder, or takes those that are there, runs each client in its own,
and prints a table. An environment stands on the one that runs this, so torch and numpy are shared;
what the client wants in other versions is its own. Libraries that are on no package index are
cloned at a commit, and used as they are but for what `Source.replaced` says.

Exit code 1 where a client fails. One is skipped only where `Client.skipped` says why.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
GITHUB = "https://github.com"

# What all versions of TransformerLens before 4 were written for.
BEFORE_4 = (
    "transformers==4.57.6",
    "huggingface_hub==0.36.2",
    "tokenizers==0.22.2",
    "datasets==3.6.0",
    "dill==0.3.8",
    "multiprocess==0.70.16",
    "fsspec==2025.3.0",
    "better_abc==0.0.3",
)


@dataclass(frozen=True)
class Source:
    """A package in a repository at a commit."""

    repository: str  # owner/name
    commit: str
    package: str  # its folder, whose parent is put on the path
    replaced: tuple[tuple[str, str], ...] = ()  # text in its modules: another


# EAP-IG keeps its scores on the GPU, whatever the model is on.
ON_CPU = (("device='cuda'", "device='cpu'"),)

LENS_1 = ("transformer_lens==1.19.0", "beartype==0.14.1", *BEFORE_4)
LENS_2 = ("transformer_lens==2.16.1", "beartype==0.14.1", *BEFORE_4)
MATPLOTLIB = (
    "matplotlib==3.10.1",
    "contourpy==1.3.3",
    "cycler==0.12.1",
    "fonttools==4.60.0",
    "kiwisolver==1.4.9",
    "pyparsing==3.2.5",
    "pillow==11.3.0",
)
NNSIGHT = ("nnsight==0.8.1", "websocket-client==1.9.2", "zstandard==0.25.0")
# nnterp 1.3 is written for nnsight before 0.8.
NNTERP = (
    "nnterp==1.3.0",
    "nnsight==0.7.0",
    "astor==0.8.1",
    "toml==0.10.2",
    "python-socketio==5.18.1",
    "python-engineio==4.15.1",
    "bidict==0.24.1",
    "simple-websocket==1.1.0",
    "wsproto==1.3.2",
    "websocket-client==1.9.2",
    "zstandard==0.25.0",
)
AUTO_CIRCUIT = (
    "ordered-set==4.1.0",
    "attrs==25.3.0",
    "blobfile==3.0.0",
    "pycryptodomex==3.23.0",
    "lxml==6.0.2",
)

SOURCES = {
    "EAP-IG": Source(
        "hannamw/EAP-IG", "795f5607b25638935aec89aee3c1cb4bd9ed72f1", "src/eap", ON_CPU
    ),
    "auto-circuit": Source(
        "UFO-101/auto-circuit", "98db58c430a6006dca58bb1751bcaea0c546d42f", "auto_circuit"
    ),
    "ACDC": Source(
        "ArthurConmy/Automatic-Circuit-Discovery",
        "bc99ace817974b5584b7ee203d596a8e2bbcd399",
        "acdc",
        # Only its drawings need Graphviz, which pip does not install.
        (
            ("import pygraphviz as pgv", ""),
            (" -> pgv.AGraph:", ":"),
            ("from acdc.acdc_graphics import show", "def show(*_, **__): pass"),
        ),
    ),
    "iit": Source(
        "cybershiptrooper/iit",
        "ed44cbfa255b543bb2d4da3d193ae97c9715c4f7",
        "iit",
        (("t.Any", "object"),),  # torch has no Any any more
    ),
    "Edge-Pruning": Source(
        "princeton-nlp/Edge-Pruning", "a918efd8fffcabe9b5853f6e236722e9ec0f4688", "src/modeling"
    ),
    "tracr": Source(
        "google-deepmind/tracr",
        "9ce2b8c82b6ba10e62e86cf6f390e7536d4fd2cd",
        "tracr",
        # As a program's author changes its imports. Its compiler alone needs jax.
        (
            ("from tracr.rasp import rasp\n", "from knowncircuits import rasp\n"),
            (
                "from tracr.rasp import causal_eval\n",
                "from knowncircuits.rasp import causal_eval\n",
            ),
            ("from tracr.compiler import lib\n", "from knowncircuits import rasp as lib\n"),
            ("from tracr.compiler.compiling import compile_rasp_to_model\n", ""),
        ),
    ),
}


@dataclass(frozen=True)
class Environment:
    """Packages from the index and libraries from repositories, in this order on the path."""

    packages: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


ENVIRONMENTS = {
    "lens1": Environment(("transformer_lens==1.19.0", "beartype==0.14.1", *BEFORE_4)),
    "lens2": Environment(("transformer_lens==2.16.1", "beartype==0.14.1", *BEFORE_4)),
    "lens3": Environment(("transformer_lens==3.9.0", *BEFORE_4)),
    "eap2": Environment(
        ("transformer_lens==2.16.1", "beartype==0.14.1", *BEFORE_4, *MATPLOTLIB), ("EAP-IG",)
    ),
    "eap4": Environment(MATPLOTLIB, ("EAP-IG",)),
    "circuit2": Environment((*LENS_2, *AUTO_CIRCUIT), ("auto-circuit", "ACDC")),
    "circuit4": Environment(AUTO_CIRCUIT, ("auto-circuit", "ACDC")),
    "nnsight": Environment(NNSIGHT),
    "captum": Environment(("captum==0.9.0", *MATPLOTLIB)),
    "pyvene": Environment(("pyvene==0.1.8", "seaborn==0.13.2", *MATPLOTLIB)),
    "rasp": Environment(("absl-py==2.3.1",), ("tracr",)),
    "tracer": Environment(("circuit-tracer==0.5.0",)),
    "iit4": Environment(sources=("iit",)),
    "fpt2": Environment(BEFORE_4, ("Edge-Pruning",)),
    "nnterp": Environment(NNTERP),
}


@dataclass(frozen=True)
class Client:
    """A library, and the script that uses it on our models."""

    library: str
    script: str
    environment: str
    distributions: tuple[str, ...]  # whose versions are shown
    arguments: tuple[str, ...] = ()
    skipped: str = ""  # why, if it is


LENS = ("transformer_lens",)
CLIENTS = (
    Client("TransformerLens 1", "hooked_transformer.py", "lens1", LENS),
    Client("TransformerLens 2", "hooked_transformer.py", "lens2", LENS),
    Client("TransformerLens 3", "hooked_transformer.py", "lens3", LENS),
    Client("InterpBench's files", "interpbench_release.py", "lens1", LENS),
    Client("EAP-IG", "eap_ig.py", "eap2", LENS),
    Client("EAP-IG on TransformerLens 4", "eap_ig.py", "eap4", LENS),
    Client("auto-circuit", "auto_circuit_masks.py", "circuit2", LENS),
    Client("auto-circuit on TransformerLens 4", "auto_circuit_masks.py", "circuit4", LENS),
    Client("ACDC", "acdc_experiment.py", "circuit2", LENS),
    Client("ACDC on TransformerLens 4", "acdc_experiment.py", "circuit4", LENS),
    Client("nnsight", "nnsight_traces.py", "nnsight", ("nnsight", *LENS)),
    Client("captum", "captum_attributions.py", "captum", ("captum", *LENS)),
    Client("tracr", "tracr_tests.py", "rasp", ("absl-py",)),
    Client("pyvene", "pyvene_interchange.py", "pyvene", ("pyvene",)),
    Client("circuit-tracer", "circuit_tracer_graph.py", "tracer", ("circuit-tracer",)),
    Client("iit on TransformerLens 4", "iit_pair.py", "iit4", LENS),
    Client("Edge-Pruning", "fpt2_edges.py", "fpt2", ("transformers",)),
    Client("nnterp", "nnterp_layers.py", "nnterp", ("nnterp", "nnsight")),
)


def make(name: str, folder: Path, repositories: str) -> Path:
    """The Python of an environment, which is made if it is not there."""
    environment, place = ENVIRONMENTS[name], folder / name
    python, done = place / "bin" / "python", place / "done"
    paths = [str(clone(SOURCES[s], folder / s, repositories)) for s in environment.sources]
    if done.exists() and done.read_text() == repr(environment):
        return python
    venv.create(place, with_pip=True, clear=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = place / "lib" / version / "site-packages"
    shared = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"
    (site / "zz_shared.pth").write_text("\n".join([*paths, shared]) + "\n")
    if environment.packages:
        install = [str(python), "-m", "pip", "install", "-q", "--no-deps", *environment.packages]
        subprocess.run(install, check=True)
    done.write_text(repr(environment))
    return python


def clone(source: Source, place: Path, repositories: str) -> Path:
    """The folder that a package is in, which is cloned if it is not there."""
    if not (place / source.package).exists():
        git = ["git", "-c", "advice.detachedHead=false"]
        url = f"{repositories}/{source.repository}"
        only_names = ["--no-checkout", "--filter=blob:none"]  # some have gigabytes of data
        subprocess.run([*git, "clone", "-q", *only_names, url, str(place)], check=True)
        chosen = [source.commit, "--", source.package]
        subprocess.run([*git, "-C", str(place), "checkout", "-q", *chosen], check=True)
        for path in (place / source.package).rglob("*.py") if source.replaced else ():
            text = path.read_text()
            for old, new in source.replaced:
                text = text.replace(old, new)
            path.write_text(text)
    return (place / source.package).parent


def run(client: Client, python: Path) -> tuple[bool, str]:
    """Whether a client works, and its last line: what was shown, or the error."""
    command = [str(python), "-W", "ignore", str(HERE / client.script), *client.arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=python.parent)
    text = done.stdout if done.returncode == 0 else done.stderr
    if done.returncode:
        print(text, file=sys.stderr)
    return done.returncode == 0, (text.strip().splitlines() or [""])[-1]


def versions(client: Client, python: Path) -> str:
    """The versions of its distributions, and the commits of its sources."""
    code = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]), sep='\\n')"
    found = subprocess.check_output(
        [str(python), "-c", code, *client.distributions], text=True
    ).split()
    shown = [f"{name} {v}" for name, v in zip(client.distributions, found, strict=True)]
    names = ENVIRONMENTS[client.environment].sources
    return ", ".join([*(f"{name} {SOURCES[name].commit[:7]}" for name in names), *shown])


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing, run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where environments and clones are kept")
    parser.add_argument("--only", action="append", help="a library, by its name in the table")
    parser.add_argument("--repositories", default=GITHUB, help="where owner/name is cloned from")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    print("| library | works | versions | shown |\n|---|---|---|---|")
    for client in CLIENTS:
        if options.only and client.library not in options.only:
            continue
        if client.skipped:
            print(f"| {client.library} | skipped | | {client.skipped} |", flush=True)
            continue
        python = make(client.environment, folder, options.repositories)
        works, shown = run(client, python)
        failed |= not works
        row = (client.library, "yes" if works else "no", versions(client, python), shown)
        print(f"| {' | '.join(row)} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
