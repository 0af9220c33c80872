"""Commands killed while they write: what was there or what was to be there stays, never half of it.

    python tests/fuzz/kills.py --seed 0 --count 200

Every second kill comes at a random time, the others at a random point of writing: before or after
the n-th call that makes, syncs, renames or removes a file. Then everything there must read, no
process may be left, and the same command must do its work and leave nothing else behind. What
fails is printed with its number: `--seed S --first N --count 1` runs it again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowncircuits.cli import main
from knowncircuits.errors import KnownCircuitsError
from knowncircuits.evaluation.runs.results import read_result
from knowncircuits.files import writing
from knowncircuits.leaderboard.submission import read_submission
from knowncircuits.models.trained import load_trained

LIMIT = 300.0  # seconds that no command takes
POINTS = ("replace", "rename", "fsync", "unlink", "link", "mkdir", "rmdir")  # of the module os
LEFTOVER = re.compile(r"\..+\.\d+(\.old)?")


@dataclass(frozen=True)
class Command:
    """A command, what it writes, and how that is read; `code` is how it ends."""

    words: tuple[str, ...]
    output: str
    read: Callable[[Path], object]
    code: int = 0


def read_all(folder: Path) -> None:
    """Every result that is there."""
    for path in folder.rglob("*.json"):
        read_result(path)


def read_site(folder: Path) -> None:
    """A site is whole: every page ends, and all that a page links to is there."""
    for page in folder.rglob("*.html"):
        text = page.read_text()
        if not text.rstrip().endswith("</html>"):
            raise ValueError(f"{page.name} is cut off")
        for link in re.findall(r'(?:href|src)="([^"#:]+)["#]', text):
            if not (page.parent / link.partition("?")[0]).exists():
                raise ValueError(f"{page.name} links to {link}")


def read_page(path: Path) -> None:
    """A drawing as a page."""
    if not path.read_text().rstrip().endswith("</html>"):
        raise ValueError("the page is cut off")


CASE = ("-c", "fraction_of_x", "--zoo", "1", "--pairs", "2")
COMMANDS = {
    "score": Command(("score", "random", "depth", *CASE, "-o", "results"), "results", read_all),
    "submit": Command(
        ("submit", "results/random", "-o", "submissions"),
        "submissions/zoo1/random",
        read_submission,
    ),
    "train": Command(
        ("train", "fraction_of_x", "--steps", "2", "--pairs", "20", "-x", "n_inputs=64", "-x",
         "n_validation=20", "-o", "trained"),
        "trained",
        lambda folder: load_trained(folder) if (folder / "config.json").exists() else None,
        code=1,
    ),
    "sankey": Command(
        ("sankey", "fraction_of_x", "--zoo", "1", "--save", "page.html"), "page.html", read_page
    ),
    "build": Command(
        ("leaderboard", "build", "submissions", "-o", "site"), "site", read_site
    ),
}  # fmt: skip


def run(words: tuple[str, ...], folder: Path, before: Callable[[], None] = lambda: None) -> int:
    """Start a command in a process of its own, forked from this one; its number."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    os.chdir(folder)
    with (folder.parent / "output").open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    before()
    sys.argv = ["knowncircuits", *words]
    code: Any = 0
    try:
        main()
    except SystemExit as left:
        code = left.code
    except BaseException:
        code = 70
    os._exit(code if isinstance(code, int) else 0)


def finish(pid: int) -> int:
    """How a process ends, killed after LIMIT; a negative number is a signal's."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f"took more than {LIMIT:.0f} s")


def wait_for_group(pid: int) -> None:
    """Raise TimeoutError if what a killed process had started still runs ten seconds later."""
    for _ in range(100):
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(pid, signal.SIGKILL)
    raise TimeoutError("processes are left running")


def at_point(n: int, after: bool, counted: Path | None = None) -> Callable[[], None]:
    """Kill the process at the n-th point of writing; with a file, only count them there."""

    def patch() -> None:
        seen = 0

        def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
            def point(*args: Any, **kwargs: Any) -> Any:
                nonlocal seen
                seen += 1
                if counted:
                    counted.write_text(str(seen))
                elif seen == n and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                found = call(*args, **kwargs)
                if seen == n and not counted:
                    os.kill(os.getpid(), signal.SIGKILL)
                return found

            return point

        for name in POINTS:
            setattr(os, name, wrapped(getattr(os, name)))
        writing._exchange = wrapped(writing._exchange)

    return patch


class Trials:
    """The outputs of all commands, made once, and how long each takes and where it writes."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.whole = folder, folder / "whole"
        self.whole.mkdir()
        self.seconds: dict[str, float] = {}
        self.points: dict[str, int] = {}
        for name in names:
            command = COMMANDS[name]
            counted = folder / "counted"
            start = time.monotonic()
            code = finish(run(command.words, self.whole, at_point(0, False, counted)))
            if code != command.code:
                raise RuntimeError(f"{name} ends with {code}: {(folder / 'output').read_text()}")
            self.seconds[name] = time.monotonic() - start
            print(f"{name}: {self.seconds[name]:.1f} s undisturbed", flush=True)
            self.points[name] = int(counted.read_text())

    def kill(self, number: int, seed: int) -> str:
        """One kill; what is wrong after it, or nothing."""
        rng = random.Random(f"{seed} {number}")
        name = rng.choice(list(self.points))
        command = COMMANDS[name]
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.whole, work)
        output, old = work / command.output, rng.random() < 0.5
        if not old or name == "score":  # which reads back what is there
            (shutil.rmtree if output.is_dir() else os.unlink)(output)
        if number % 2:
            point, after = rng.randint(1, self.points[name]), rng.random() < 0.5
            how = f"{name} killed {'after' if after else 'before'} point {point}"
            pid = run(command.words, work, at_point(point, after))
        else:
            seconds = rng.uniform(0, self.seconds[name])
            how = f"{name} killed after {seconds:.3f} s"
            pid = run(command.words, work)
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            finish(pid)
            wait_for_group(pid)
            self._check(command, work, old and name != "score")
        except (KnownCircuitsError, ValueError, OSError, TimeoutError) as error:
            return (
                f"{how}, {'with' if old else 'without'} an old one: {type(error).__name__}: {error}"
            )
        return ""

    def _check(self, command: Command, work: Path, old: bool) -> None:
        output = work / command.output
        if old and not output.exists():
            raise ValueError("the old one is lost")
        if output.exists():
            command.read(output)
        code = finish(run(command.words, work))
        if code != command.code:
            said = (self.folder / "output").read_text()
            raise ValueError(f"the same command then ends with {code}: {said[-300:]}")
        command.read(output)
        left = [path.name for path in work.rglob(".*") if LEFTOVER.fullmatch(path.name)]
        if left:
            raise ValueError(f"left behind: {', '.join(left)}")


def run_trials(seed: int, first: int, count: int, names: Sequence[str]) -> int:
    """Kill so many times; how many of them broke something."""
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), names)
        failed = 0
        for number in range(first, first + count):
            if wrong := trials.kill(number, seed):
                failed += 1
                print(f"{number}: {wrong}", flush=True)
    print(f"{count} kills, {failed} failed")
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", action="append", choices=["score", "train", "sankey"])
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # a process with threads should not be forked
    sys.exit(bool(run_trials(given.seed, given.first, given.count, given.only or list(COMMANDS))))
