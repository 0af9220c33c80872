"""Random command lines: none may end in a traceback, hang, or take more than 2 GB.

    python tests/fuzz/commands.py --seed 0 --count 5000

The grammar is read off the application, so new commands and options are tried by themselves. Each
line runs in a process of its own, forked from this one, or started anew with a hostile standard
output for a few, in a folder of small real and of broken files. What fails is printed with its
number: `--seed S --first N --count 1` runs it again.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import random
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from knowncircuits.cli import app, main
from knowncircuits.models.zoo import SHIPPED

MEMORY = 2 * 2**30
LIMIT = 60.0  # seconds, for commands that have no reason to take longer
# These work for as long as they are asked to: cut after so many seconds, they must have worked.
LONG = ("train", "realism", "effects", "score", "certify", "bench", "build", "check", "serve")
CUT = 8.0
IDLE = ("serve",)
SKIPPED = ("maintain",)  # writes into the checkout
NOISE = 0.3  # share of values that are nasty
FRESH = 0.01  # share of lines that run in a process started anew
TEXTS = ["", " ", "a" * 300, "a" * 100_000, "\n", "\x1b[31m", "é", "😀", "\udcff", "..", "-", "--"]
TEXTS += ["%s", "{}", "[" * 3000, "[red]", "[/]", "null", "NaN", "HISTOGRAM", ":", "a:b:c", "="]
TEXTS += [
    "a=",
    "=b",
    "x=" + "[" * 3000,
    "x=1e999",
    "seed=NaN",
    "x=" + "9" * 5000,
    "None",
    "\\",
    "0",
]
NUMBERS = ["0", "-1", "1", "2", "65536", str(2**31), str(2**32), str(2**63), str(10**30), "1e3", ""]
NUMBERS += ["nan", "inf", "-inf", "0x10", " 5", "٣", "1_000", "9" * 5000, "1.5", "-0.0", "1e-320"]
PATHS = ["", ".", "..", "none", "file", "empty", "loop", "looping", "a" * 300, "a/" * 3000, "fifo"]
PATHS += ["file/below", "deep.json", "brackets.json", "latin.json", "\udcff", "😀.html", "a\nb.csv"]
PATHS += ["/proc/none/a", "/dev/full/a", "a.png", "a.gif", "folder.json", "~", "-", "[red]/a.html"]
FOLDERS = ["results", "model", "submissions", "scores", "site", "new", "results/eap", "empty"]
FILES = ["scores.json", "circuit.json", "new.json", "new.html", "new.csv", "new.md", "fields.json"]
REAL = {  # by the parameter's name
    "case": ["fraction_of_x", "histogram", "identity", "fraction_of_x"],
    "method": ["eap", "exact", "random", "truth", "own:good", "own:bad", "raises:f", "leaves:f"],
    "suite": ["structural", "degenerate", "all", "interpbench"],
    "variant": ["seed0", "seed1", "shuffled", "all"],
    "family": ["counting", "brackets"],
    "scales": ["1", "0,1", "0,0.5,2"],
    "ablation": ["resample", "mean", "zero"],
    "corruption": ["resample", "minimal", "variable:is_x"],
    "option": ["steps=2", "steps=1e3", "batch_size=8", "batch_size=NaN", "thresholds=0.1,1"],
    "tokens": ["x", "a", "b"],
    "subject": ["scores.json", "circuit.json", "histogram"],
    "view": ["edge", "head", "node", "no-embed"],
    "device": ["cpu", "cuda"],
    "wandb_mode": ["disabled"],  # others would look for a network
    "jobs": ["1"],
    "pairs": ["5", "20"],
    "inputs": ["4", "10"],
    "steps": ["2", "10"],
    "submissions": ["submissions", "empty", "model"],
    "masks": ["2"],
}


@dataclass(frozen=True)
class Parameter:
    """An argument, or an option with its names, and the type of its values."""

    name: str
    names: tuple[str, ...]  # none for an argument
    kind: Any
    required: bool

    @property
    def many(self) -> bool:
        """Whether it may be repeated."""
        return get_origin(self.kind) is list


def commands(of: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of an application with the words that call it."""
    for group in of.registered_groups:
        if group.name not in SKIPPED:
            yield from commands(group.typer_instance, (*path, str(group.name)))
    for command in of.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        yield (*path, name), command.callback


def parameters(callback: Any) -> list[Parameter]:
    """What a command takes, as its function says."""
    found = []
    defaults = callback.__kwdefaults__ or {}
    for name, hint in get_type_hints(callback, include_extras=True).items():
        if get_origin(hint) is not Annotated:
            continue
        kind, info = get_args(hint)[:2]
        assert isinstance(info, ParameterInfo)
        if get_origin(kind) in (Union, UnionType):
            kind = next(part for part in get_args(kind) if part is not type(None))
        if isinstance(info, OptionInfo):
            written = [part for text in info.param_decls or () for part in text.split("/")]
            dashed = [text for text in written if text.startswith("-")]
            names = tuple(dashed) or ("--" + name.replace("_", "-"),)
            found.append(Parameter(name, names, kind, False))
        elif isinstance(info, ArgumentInfo):
            positions = callback.__code__.co_varnames[: callback.__code__.co_argcount]
            n_defaults = len(callback.__defaults__ or ())
            required = positions.index(name) < len(positions) - n_defaults and name not in defaults
            found.append(Parameter(name, (), kind, required))
    return found


def line(rng: random.Random, path: tuple[str, ...], taken: Sequence[Parameter]) -> list[str]:
    """A command with random arguments and options, right and wrong ones mixed."""
    words: list[str] = []
    for parameter in taken:
        chance = (0.97 if parameter.required else 0.5) if not parameter.names else 0.2
        repeats = 1 + (parameter.many and rng.random() < 0.3)
        for _ in range(repeats if rng.random() < chance else 0):
            words += [rng.choice(parameter.names)] if parameter.names else []
            if parameter.kind is not bool:
                words.append(value(rng, parameter))
    if rng.random() < 0.05:
        words.insert(rng.randrange(len(words) + 1), rng.choice([*TEXTS, *PATHS, "--help", "-x"]))
    if words and rng.random() < 0.05:
        words.pop(rng.randrange(len(words)))
    return [*path, *(word.replace("\0", "") for word in words)]


def value(rng: random.Random, parameter: Parameter) -> str:
    """A real value of a parameter, or a nasty one of its type or of any."""
    kind = get_args(parameter.kind)[0] if parameter.many else parameter.kind
    nasty, real = TEXTS, ["a"]
    if kind in (int, float):
        nasty, real = NUMBERS, ["1", "2", "3"] if kind is int else ["0.1", "0.5"]
    elif kind is Path:
        nasty, real = PATHS, [*FOLDERS, *FILES]
    elif isinstance(kind, type) and issubclass(kind, Enum):
        real = [str(member.value) for member in kind]
    elif get_origin(kind) is Literal:
        real = [str(choice) for choice in get_args(kind)]
    real = REAL.get(parameter.name, real)
    if rng.random() >= NOISE:
        return rng.choice(real)
    return rng.choice(nasty if rng.random() < 0.8 else [*TEXTS, *NUMBERS, *PATHS])


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
    shutil.copytree(SHIPPED.place("fraction_of_x", "seed0"), folder / "model")
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
        ["score", "eap", "truth", "-c", "fraction_of_x", "--pairs", "5"],
        ["show", "fraction_of_x", "--save", "circuit.json"],
        ["submit", "results/eap", "--version", "1"],
    ):
        code, _, output = run(words, folder, 600.0)
        assert code == 0, (words, output)
    shutil.copy(next((folder / "results").rglob("*.json")), folder / "scores.json")


def run(words: list[str], folder: Path, limit: float, fresh: str = "") -> tuple[int, Any, str]:
    """Run a line in a folder: its exit code, -9 where it was cut, what it took and its output."""
    capture = folder.with_suffix(".out")
    pid = os.fork()
    if pid == 0:
        os.setsid()
        _become(words, folder, capture, fresh)
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


def _become(words: list[str], folder: Path, capture: Path, fresh: str) -> None:
    """In a child: the command, with its output in a file; never returns."""
    code = 99
    try:
        os.chdir(folder)
        os.environ |= {"WANDB_MODE": "disabled", "HOME": str(folder), "COLUMNS": "100"}
        pages = [int(n) for n in Path("/proc/self/statm").read_text().split()[:2]]
        spare = (pages[0] - pages[1]) * resource.getpagesize()  # mapped, but not in memory
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY + spare, MEMORY + spare))
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
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


# What a line that starts anew has for its standard output.
HOSTILE = ("{}", "{} >&-", "{} >/dev/full", "{} | true", "PYTHONIOENCODING=ascii {}", "{} 2>&-")


def verdict(code: int, usage: Any, output: str, words: Sequence[str], limit: float) -> str:
    """What is wrong with how a line ended; nothing where it is as it should be."""
    if "Traceback (most recent call last)" in output:
        return "traceback"
    if "fault of knowncircuits" in output or "stood in for a module" in output:
        return "fault"
    if usage.ru_maxrss * 1024 > MEMORY:
        return f"{usage.ru_maxrss / 2**20:.1f} GB"
    if code == -signal.SIGKILL:
        worked = usage.ru_utime + usage.ru_stime > limit / 10 or words[-1:] in IDLE
        fine = limit < LIMIT and (worked or any(word in IDLE for word in words[:2]))
        return "" if fine else "hangs"
    return "" if code in (0, 1, 2, 130) else f"exit code {code}"


def fuzz(seed: int, numbers: Iterable[int], folder: Path) -> Iterator[tuple[str, str]]:
    """Run lines of a seed; of each how it ended, and what there is to say if that is wrong."""
    known = list(commands(app))
    warm()
    furnish(folder / "furnished")
    for n in numbers:
        rng = random.Random(f"{seed}/{n}")
        path, callback = rng.choice(known)
        words = line(rng, path, parameters(callback))
        fresh = rng.choice(HOSTILE) if rng.random() < FRESH else ""
        limit = CUT if any(word in LONG for word in path) else LIMIT
        place = folder / "work"
        shutil.copytree(folder / "furnished", place, symlinks=True, copy_function=_copy)
        code, usage, output = run(words, place, limit, fresh)
        shutil.rmtree(place)
        wrong = verdict(code, usage, output, words, limit)
        last = output.strip().splitlines()[-1:] or [""]
        story = f"{n} {wrong}: {fresh} {shlex.join(words)[:300]}\n    {last[0][:300]}"
        memory = "out of memory" if "out of memory" in output else ""
        yield wrong or memory or ("cut" if code < 0 else f"exit {code}"), wrong and story


def _copy(source: str, target: str) -> None:
    """Links for files that nothing writes into, and a pipe for a pipe."""
    if Path(source).is_fifo():
        os.mkfifo(target)
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=5000)
    chosen = parser.parse_args()
    numbers = range(chosen.first, chosen.first + chosen.count)
    endings: Counter[str] = Counter()
    n_failed = 0
    with tempfile.TemporaryDirectory() as temporary, contextlib.suppress(KeyboardInterrupt):
        for ending, story in fuzz(chosen.seed, numbers, Path(temporary)):
            endings[ending] += 1
            n_failed += bool(story)
            if story:
                print(story.encode("utf-8", "backslashreplace").decode(), flush=True)
            if endings.total() % 100 == 0:
                print(f"{endings.total()} lines, {n_failed} failed", file=sys.stderr, flush=True)
    print(f"{endings.total()} lines, {n_failed} failed:", dict(sorted(endings.items())))
    sys.exit(1 if n_failed else 0)
