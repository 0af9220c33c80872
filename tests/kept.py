"""Results that must not move: what users get of a few commands, what differs by nature blanked.

    python tests/kept.py FOLDER [PART...] [--whole]

runs each command of `COMMANDS` through the entry point of the command line, in a fresh folder for
each part, in one process on one thread, and compiles every case. FOLDER/PART then holds what was
printed and written; hashes of weights and of files over `LARGE` bytes. With `--whole` these files
are there themselves, and the board's pages too: `diff -r` shows what moved between two commits.

`test_kept.py` compares `tests/data/kept`, which is renewed by

    python tests/kept.py tests/data/kept

That is right only where a change means to change results, and says so: never to make a test pass.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir, redirect_stdout
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # sums depend on how many threads share them

import torch

import knowncircuits as kc
from knowncircuits.cli import main

ROOT = Path(__file__).parents[1]
SUBMISSIONS = ROOT / "leaderboard" / "submissions"
LARGE = 20_000  # bytes
# Fields of JSON files and columns of tables: when, on what and by which code a result was computed.
DIFFERS = {"seconds", "peak_memory", "peak_memory_bytes", "machine", "version", "versions", "code"}

OTHERS = "eap-ig-inputs eap-ig-activations nap nap-ig clean-corrupted random"
ABLATIONS = "resample mean zero self-inside self-outside resample-inside resample-outside"
EACH_ABLATION = " ".join(f"--ablation {name}" for name in ABLATIONS.split())

# By part: the file of what a command prints, and the command. What it writes goes beside that file.
COMMANDS = {
    "scores": {
        "seed0.csv": "score exact eap acdc -c fraction_of_x -c all_equal --zoo 1 --pairs 20 "
        "--seed 7 -o seed0 --format csv",
        "shuffled.csv": "score exact eap acdc -c type_boundary --zoo 1 --variant shuffled "
        "--pairs 20 --seed 7 -o shuffled --format csv",
        "compiled.csv": "score exact eap acdc -c histogram --compiled --pairs 20 --seed 7 "
        "-o compiled --format csv",
        "compare.csv": "compare seed0 --format csv",
        "faithfulness.csv": "faithfulness seed0/eap --format csv --save steps.csv",
        "submit.txt": "submit seed0/eap --title EAP --author someone",
    },
    "methods": {
        "methods.csv": "methods --format csv",
        "others.csv": f"score {OTHERS} -c fraction_of_x --compiled --pairs 20 --seed 7 "
        "-o others --format csv",
        "pruned.csv": "score edge-sp sp -x steps=20 -c fraction_of_x --compiled --pairs 20 "
        "--seed 7 -o pruned --format csv",
    },
    "check": {
        "check.csv": "models check -c histogram -c all_equal --zoo 1 --variant seed0 "
        "--pairs 100 --format csv",
        "check.txt": "models check -c histogram --zoo 1 --variant shuffled --pairs 100",
        "models.csv": "models list --zoo 1 --format csv",
    },
    "effects": {
        "nodes.csv": "effects fraction_of_x --zoo 1 --scales 0,0.5,2 --inputs 8 --seed 7 "
        "--format csv " + EACH_ABLATION,
        "edges.csv": "effects histogram --zoo 1 --variant shuffled --granularity edge "
        "--inputs 8 --seed 7 --format csv",
        "positions.csv": "effects all_equal --zoo 1 --per-position --metric kl --ablation mean "
        "--inputs 8 --seed 7 --format csv",
    },
    "cases": {
        "show.txt": "show sort --save sort.json",
        "show_numerical.txt": "show fraction_of_x --save fraction_of_x.json",
        "run.csv": "run histogram a b a --format csv",
        "check.csv": "cases check -c histogram -c sort --pairs 100 --seed 7 --format csv",
        "cases.csv": "cases --format csv",
    },
    "training": {
        "train.txt": "train identity --zoo 1 --steps 60 -x n_inputs=2000 --pairs 100 --seed 7 "
        "-o identity",
    },
    "board": {
        "board.csv": f"leaderboard table {SUBMISSIONS} --zoo 1 --format csv",
    },
    "site": {
        "heads.csv": f"leaderboard table {SUBMISSIONS} --zoo 1 --suite all --view head "
        "--format csv",
        "build.txt": f"leaderboard build {SUBMISSIONS} -o site",
    },
}
PARTS = (*COMMANDS, "compiled")
PAGES = "site"  # how results look, which may change more freely than what they are


def run_commands(commands: dict[str, str]) -> None:
    """Run them in this folder, and write what they print and their exit codes."""
    codes = {}
    for name, command in commands.items():
        with open(name, "w", encoding="utf-8") as printed, redirect_stdout(printed):
            codes[name] = run_command(shlex.split(command))
    Path("exit_codes.json").write_text(json.dumps(codes, indent=1) + "\n")


def run_command(arguments: Sequence[str]) -> int:
    """Run the entry point of the command line; its exit code."""
    sys.argv = ["knowncircuits", *arguments]
    try:
        main()
    except SystemExit as ending:
        return int(ending.code or 0)
    raise RuntimeError("expected the command line to exit")


def compile_cases() -> None:
    """Hash each case's compiled weights, in both dtypes, and its circuit."""
    with open("compiled.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("case", "float64", "float32", "circuit"))
        for name in kc.list_cases():
            case = kc.load_case(name)
            double, single = (case.compile(dtype=d) for d in (torch.float64, torch.float32))
            hashed = (weights(double), weights(single), labels(double.circuit))
            table.writerow((name, *(digest(data)[:16] for data in hashed)))


def weights(compiled: kc.Compiled) -> bytes:
    """All weights by name, as they lie in memory."""
    state = sorted(compiled.model.state_dict().items())
    return b"".join(name.encode() + tensor.numpy().tobytes() for name, tensor in state)


def labels(circuit: kc.Circuit) -> bytes:
    """Each edge with its label and the variables that it carries."""
    edges = [(e, circuit.label(e).name, *circuit.carries.get(e, ())) for e in circuit.graph.edges]
    return json.dumps(edges).encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blank(path: Path) -> bytes:
    """A file's bytes with the values of `DIFFERS` blanked and everything else as it was."""
    if path.suffix == ".json":
        value = r'"(?:[^"\\]|\\.)*"|\{[^{}]*\}|[^\s,{}\[\]]+'
        field = rf'("(?:{"|".join(sorted(DIFFERS))})": )(?:{value})'
        return re.sub(field, r'\1"..."', path.read_text(encoding="utf-8")).encode()
    if path.suffix == ".csv":
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
        columns = [i for i, name in enumerate(header) if name in DIFFERS]
        for row in rows:
            for i in columns:
                row[i] = "..."
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([header, *rows])
        return table.getvalue().encode()
    return path.read_bytes()


def keep(made: Path, target: Path, whole: bool) -> None:
    """Write what a part made to its folder in `target`; large files as hashes unless `whole`."""
    hashes = []
    for path in sorted(p for p in made.rglob("*") if p.is_file()):
        name, data = path.relative_to(made), blank(path)
        if not whole and (len(data) > LARGE or path.suffix == ".safetensors"):
            hashes.append(f"{digest(data)}  {name.as_posix()}\n")
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)
    if hashes:
        (target / "SHA256SUMS").write_text("".join(hashes))


def machine() -> dict[str, str | int]:
    """All that the last digits of a result may depend on, besides the code."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    packages = ("torch", "numpy", "scipy", "scikit-learn", "pandas")
    return {
        "machine": platform.machine(),
        "processor": named[1] if named else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def write(folder: Path, parts: Sequence[str], whole: bool) -> None:
    """Write these parts into `folder`, in place of what it holds of them."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "machine.json").exists():
        raise SystemExit(f"error: expected a folder of kept results, or none yet: {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machine.json").write_text(json.dumps(machine(), indent=1) + "\n")
    for part in parts:
        with tempfile.TemporaryDirectory() as made, chdir(made):
            run_commands(COMMANDS[part]) if part in COMMANDS else compile_cases()
            shutil.rmtree(folder / part, ignore_errors=True)
            keep(Path(made), folder / part, whole)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the results that must not move.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--whole", action="store_true", help="large files, and the site")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"expected parts of {', '.join(PARTS)}; got {', '.join(sorted(unknown))}")
    default = [part for part in PARTS if chosen.whole or part != PAGES]
    write(chosen.folder.resolve(), chosen.parts or default, chosen.whole)
