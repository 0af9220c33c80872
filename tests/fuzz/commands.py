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
import random
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from command_lines import commands, line, parameters
from command_runs import HOSTILE, LONG, SERVING, copy_file, furnish, limit_of, run, verdict, warm
from knowncircuits.cli import app

FRESH = 0.02  # share of short lines that run in a process started anew


def fuzz(seed: int, numbers: Iterable[int], folder: Path) -> Iterator[tuple[str, str]]:
    """Run lines of a seed; of each how it ended, and what there is to say if that is wrong."""
    known = list(commands(app))
    warm()
    furnish(folder / "furnished")
    for n in numbers:
        rng = random.Random(f"{seed}/{n}")
        first_word = rng.choice(sorted({path[0] for path, _ in known}))  # groups as often as others
        path, callback = rng.choice([entry for entry in known if entry[0][0] == first_word])
        words = line(rng, path, parameters(callback))
        short = not {*LONG, SERVING} & {*words[:2]}
        fresh = rng.choice(HOSTILE) if short and rng.random() < FRESH else ""
        place = folder / "work"
        shutil.copytree(folder / "furnished", place, symlinks=True, copy_function=copy_file)
        code, usage, output = run(words, place, limit_of(words), fresh)
        shutil.rmtree(place)
        wrong = verdict(code, usage, output, words)
        last = output.strip().splitlines()[-1:] or [""]
        story = f"{n} {wrong}: {fresh} {shlex.join(words)[:300]}\n    {last[0][:300]}"
        memory = "out of memory" if "out of memory" in output else ""
        yield wrong or memory or ("cut" if code < 0 else f"exit {code}"), wrong and story


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
