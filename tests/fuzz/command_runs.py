"""A folder of small real and of broken files, a process for each command line, and its verdict."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import resource
import shlex
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knowncircuits.cli import main
from knowncircuits.models.zoo import shipped

MEMORY = 2 * 2**30
LIMIT = 60.0  # seconds until a line hangs
# These work for as long as they are asked to, and are cut when they have, for so many seconds of
# processor time; one that waits for something is not, and hangs.
LONG = (
    "train",
    "realism",
    "effects",
    "score",
    "certify",
    "bench",
    "build",
    "check",
    "generate",
    "make",
)
CUT = 2
SERVING = "serve"  # waits, as it should: cut after so many seconds
SERVED = 5.0


def warm() -> None:
    """Import what commands import, once for all that are forked."""
    for room in ("", ".cases", ".models", ".evaluation", ".leaderboard"):
        package = importlib.import_module(f"knowncircuits{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in module.name for part in ("__main__", "tracr", ".zoo.")):
                importlib.import_module(module.name)
    for name in ("plotly.graph_objects", "scipy.stats", "typer.rich_utils", "rich.progress"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def furnish(folder: Path) -> None:
    """Small real files and broken ones, for all commands to find."""
    folder.mkdir()
    shutil.copytree(shipped(1).place("fraction_of_x", "seed0"), folder / "model")
    for name in ("empty", "looping/a", "folder.json", "site"):
        (folder / name).mkdir(parents=True)
    (folder / "loop").symlink_to("loop")
    (folder / "looping" / "a" / "b").symlink_to("..")
    os.mkfifo(folder / "fifo")
    texts = {
        "file": "stands in the way",
        "site/index.html": "<p>a site</p>",
        "deep.json": '{"a":' * 900 + "1" + "}" * 900,
        "brackets.json": "[" * 3000,
        "fields.json": json.dumps({"version": "1", "description": "none"}),
        "own.py": "def good(task, *, steps: int = 1):\n    return [0.5] * task.graph.n_edges\n"
        "def bad(task):\n    raise OSError('none of this')\n",
        "raises.py": "raise BaseExceptionGroup('many', [KeyError('a\\nb')])\n",
        "leaves.py": "import sys\nsys.exit('bye')\n",
        "typing.py": "raise RuntimeError('a file here stood in for a module')\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    shutil.copy(folder / "typing.py", folder / "safetensors.py")
    (folder / "latin.json").write_bytes(b'{"a": "\xe9"}')
    for words in (
        ["score", "eap", "truth", "-c", "fraction_of_x", "--zoo", "1", "--pairs", "5"],
        ["show", "fraction_of_x", "--save", "circuit.json"],
        ["submit", "results/eap", "--version", "1"],
    ):
        code, _, output = run(words, folder, 600.0, cut=False)
        assert code == 0, (words, output)
    shutil.copy(next((folder / "results").rglob("*.json")), folder / "scores.json")


def run(
    words: list[str], folder: Path, limit: float, fresh: str = "", *, cut: bool = True
) -> tuple[int, Any, str]:
    """Run a line in a folder: its exit code, or minus a signal, what it took and its output."""
    capture = folder.with_suffix(".out")
    pid = os.fork()
    if pid == 0:
        os.setsid()
        _become(words, folder, capture, fresh, cut)
    end, taken = time.monotonic() + limit, None
    while taken is None:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            taken = usage
        elif time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
            _, status, taken = os.wait4(pid, 0)
        else:
            time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what it may have left running
    return os.waitstatus_to_exitcode(status), taken, capture.read_text(errors="replace")


def _become(words: list[str], folder: Path, capture: Path, fresh: str, cut: bool) -> None:
    """In a child: the command, with its output in a file; never returns."""
    code = 99
    try:
        os.chdir(folder)
        os.environ |= {"WANDB_MODE": "disabled", "HOME": str(folder), "COLUMNS": "100"}
        pages = [int(n) for n in Path("/proc/self/statm").read_text().split()[:2]]
        spare = (pages[0] - pages[1]) * resource.getpagesize()  # mapped, but not in memory
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY + spare, MEMORY + spare))
        if cut and any(word in LONG for word in words[:2]):
            resource.setrlimit(resource.RLIMIT_CPU, (CUT, CUT + 1))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        out = os.open(capture, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if fresh:
            command = shlex.join([sys.executable, "-P", "-m", "knowncircuits.cli", *words])
            os.execvp("sh", ["sh", "-c", fresh.format(command)])
        for name, number in (("stdout", 1), ("stderr", 2)):
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115
        sys.argv = ["knowncircuits", *words]
        main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


# What a line that starts anew has for its standard output.
HOSTILE = ("{}", "{} >&-", "{} >/dev/full", "{} | true", "PYTHONIOENCODING=ascii {}", "{} 2>&-")


def limit_of(words: Sequence[str]) -> float:
    """Seconds until a line is killed."""
    return SERVED if SERVING in words[:2] else LIMIT


def verdict(code: int, usage: Any, output: str, words: Sequence[str]) -> str:
    """What is wrong with how a line ended; nothing where it is as it should be."""
    if "Traceback (most recent call last)" in output:
        return "traceback"
    if "fault of knowncircuits" in output or "stood in for a module" in output:
        return "fault"
    if usage.ru_maxrss * 1024 > MEMORY:
        return f"{usage.ru_maxrss / 2**20:.1f} GB"
    if code == -signal.SIGKILL:
        return "" if SERVING in words[:2] else "hangs"
    return "" if code in (0, 1, 2, 130, -signal.SIGXCPU) else f"exit code {code}"


def copy_file(source: str, target: str) -> None:
    """Links for files that nothing writes into, and a pipe for a pipe."""
    if Path(source).is_fifo():
        os.mkfifo(target)
    else:
        shutil.copy(source, target)
