"""Runs of many small shards in two processes, killed at random times and started again.

    python tests/fuzz/shard_kills.py --shards 1000 --kills 20

Of three kills two are of the command, which is started again, and one is of a process that it has
started, beside which it goes on. In the end the files must be those of a run that nobody disturbed,
and no shard may have been done again but those that a kill came in.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # of `jobs`, in every process

from jobs import digest
from knowncircuits.files.shards import run_shards
from knowncircuits.work.executor import KilledError
from knowncircuits.work.processes import Processes

PROCESSES = 2
LIMIT = 600.0  # seconds that no run takes


def work(folder: Path, n: int) -> int:
    """Do what is missing of so many shards; 1 where a process was killed."""
    jobs = [(str(folder / "log"), i) for i in range(n)]
    try:
        for _ in run_shards(
            digest, jobs, folder / "shards", lambda job: {"digest of": job[1]}, Processes(PROCESSES)
        ):
            pass
    except KilledError:
        return 1
    return 0


def start(folder: Path, n: int) -> subprocess.Popen[bytes]:
    """A command of its own group."""
    words = [sys.executable, __file__, "--shards", str(n), "--work", str(folder)]
    return subprocess.Popen(words, start_new_session=True)


def done(folder: Path) -> dict[str, bytes]:
    """The files of shards."""
    return {path.name: path.read_bytes() for path in (folder / "shards").glob("[!.]*.json")}


def wait_for(folder: Path, n: int, command: subprocess.Popen[bytes]) -> None:
    """Until so many shards are there, or the command has ended."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and command.poll() is None:
        if len(list((folder / "shards").glob("[!.]*.json"))) >= n:
            return
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """The processes that one has started and that do jobs."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    spawned = b"multiprocessing.spawn"
    return [int(c) for c in listed if spawned in Path(f"/proc/{c}/cmdline").read_bytes()]


def wait_for_group(group: int) -> None:
    """Until nothing of it runs: raises TimeoutError if that takes long."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise TimeoutError("processes are left running")


def run(n: int, kills: int, seed: int, folder: Path) -> None:
    """Kill so many times; raises RuntimeError where that shows in the end."""
    rng = random.Random(seed)
    whole, killed = folder / "whole", folder / "killed"
    for place in (whole, killed):
        place.mkdir()
    if start(whole, n).wait(LIMIT):
        raise RuntimeError("an undisturbed run failed")
    command = start(killed, n)
    for kill in range(kills):
        there = len(done(killed))
        # Some before anything is done, and never so late that there is nothing left to kill.
        wait_for(killed, there + rng.randint(0, 2 * (n - there) // (kills - kill + 1)), command)
        if command.poll() is not None:
            raise RuntimeError(f"kill {kill} came too late")
        victims = children(command.pid) if kill % 3 == 2 else []
        victim = rng.choice(victims) if victims else command.pid
        os.kill(victim, signal.SIGKILL)
        whom = "a process" if victims else "the command"
        if victim == command.pid:
            command.wait()
            wait_for_group(command.pid)
            command = start(killed, n)
        print(f"kill {kill}, of {whom}: {len(done(killed))} of {n} shards", flush=True)
    command.wait(LIMIT)
    if start(killed, n).wait(LIMIT):
        raise RuntimeError("the last run failed")
    if done(killed) != done(whole) or len(done(whole)) != n:
        raise RuntimeError("the files differ")
    begun = len((killed / "log").read_text().split())
    if begun > n + PROCESSES * kills:
        raise RuntimeError(f"expected at most {n} and {PROCESSES} for each kill, got {begun} begun")
    print(f"{n} shards, killed {kills} times, the same bytes; {begun} were begun")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    if given.work:
        sys.exit(work(given.work, given.shards))
    with tempfile.TemporaryDirectory() as name:
        run(given.shards, given.kills, given.seed, Path(name))
