"""Damaged and hostile files: each is read, or refused in a line, within a minute and 2 GB.

    python tests/fuzz/files.py --seed 0 --count 1000

Real files of every kind that is read are bent, cut, filled with values of other types and with
numbers beyond all bounds, or replaced by pickles of random opcodes, and read by the public
functions, each in a process forked from this one. What fails is printed with its number: `--seed S
--first N --count 1` reads it again.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import pickletools
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from knowncircuits.errors import KnownCircuitsError
from knowncircuits.evaluation.runs.results import read_result
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.exchange import read_graph_file
from knowncircuits.leaderboard.making import make_submission
from knowncircuits.leaderboard.submission import read_submission, write_submission
from knowncircuits.models.certificates.certificate import read_certificate
from knowncircuits.models.interop.pickles import read_pickle
from knowncircuits.models.interop.state_dicts import read_state_dict
from knowncircuits.models.trained import load_trained
from knowncircuits.models.zoo import Zoo, check_model, shipped

MEMORY = 2 * 2**20  # kB
LIMIT = 60  # seconds
CASE = "fraction_of_x"
VALUES: list[Any] = [None, True, -1, 0, 1.5, 1e300, 10**30, "", "a" * 1000, "\ud800", [], {}, [[]]]
VALUES += [float("nan"), float("inf"), {"a": {"b": []}}, "../../x", list(range(100))]


def make_files(folder: Path) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    """A real file of each kind, with what reads it; the reader is given the file's folder."""
    shutil.copytree(shipped(1).place(CASE, "seed0"), folder / "zoo" / CASE / "seed0")
    model = folder / "zoo" / CASE / "seed0"
    (folder / "zoo" / "missing.json").write_text('{"sort": {"seed1": [{"steps": 1}]}}')
    run([Settings("random", n_pairs=2)], [(CASE, "seed0")], folder / "results", zoo=1)
    results = folder / "results" / "random"
    result = results / CASE / "seed0" / "0.json"
    submission = write_submission(make_submission(results), folder)
    numbers = {"n_layers": 2, "act_fn": "gelu", "edges": [("a", "b"), ("c", {"d": (1.5, None)})]}
    (folder / "data.pkl").write_bytes(pickle.dumps(numbers))
    torch.save({"W": torch.ones(3, 4), "b": torch.zeros(2)}, folder / "state.pth")
    return {
        "result": (result, read_result),
        "scores": (result, lambda path: read_graph_file(path).circuit()),
        "results to submit": (result, lambda path: make_submission(results)),
        "config": (model / "config.json", lambda path: load_trained(path.parent)),
        "certificate": (model / "certificate.json", read_certificate),
        "certified": (
            model / "certificate.json",
            lambda path: check_model(Zoo(folder / "zoo", 1), CASE, "seed0", 4),
        ),
        "circuit": (model / "circuit.json", read_graph_file),
        "weights": (model / "model.safetensors", lambda path: load_trained(path.parent)),
        "missing": (folder / "zoo" / "missing.json", lambda path: Zoo(path.parent, 1).missing()),
        "submission": (submission / "submission.json", lambda path: read_submission(path.parent)),
        "table": (
            submission / "scores" / CASE / "seed0.csv",
            lambda path: read_submission(submission),
        ),
        "pickle": (folder / "data.pkl", read_pickle),
        "state dict": (folder / "state.pth", read_state_dict),
    }


def damage(data: bytes, rng: random.Random) -> bytes:
    """Other bytes in the place of a few, or bytes that are missing, twice there, or too many."""
    found, place = bytearray(data), rng.randrange(len(data) + 1)
    kind = rng.randrange(5)
    if kind == 0:
        for _ in range(rng.choice((1, 3, 30))):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del found[place:]
    elif kind == 2:
        found[place:place] = rng.randbytes(rng.choice((1, 8, 1000)))
    elif kind == 3:
        found[place : place + 8] = struct.pack("<Q", rng.choice((2**63, 2**40, 2**31, 0)))
    else:
        found[place:place] = data[place // 2 : place]
    return bytes(found)


def bend(data: bytes, rng: random.Random) -> bytes:
    """A JSON document with values of other types, keys gone, added or twice, or too deep."""
    document = json.loads(data)
    part: Any = document
    for _ in range(rng.randrange(1, 6)):
        inner = list(part.values()) if isinstance(part, dict) else part
        inner = [p for p in inner if isinstance(p, dict | list) and p]
        if not inner or rng.random() < 0.3:
            break
        part = rng.choice(inner)
    key = rng.choice(list(part)) if isinstance(part, dict) else rng.randrange(len(part))
    kind = rng.randrange(5)
    if kind == 0 and isinstance(part, dict):
        del part[key]
    elif kind == 1 and isinstance(part, dict):
        part.update({f"{key}{i}": part[key] for i in range(rng.choice((1, 10_000)))})
    else:
        part[key] = rng.choice(VALUES)
    text = json.dumps(document).encode()
    if kind == 2:
        text = text.replace(b"{", b'{"twice": 1, "twice": 2, ', 1)
    if kind == 3 and rng.random() < 0.3:
        place, n = rng.choice((b"[", b'{"a":')), rng.choice((40, 900, 200_000))
        text = text.replace(b": ", b": " + place * n, 1)
    return text


def random_pickle(rng: random.Random) -> bytes:
    """Opcodes at random, some of them again and again, on a stack that has something on it."""
    simple = [op for op in pickletools.opcodes if op.arg is None and op.name != "STOP"]
    found = bytearray(b"\x80\x04]\x94}\x94(K\x01K\x02")
    for _ in range(rng.choice((3, 30, 300))):
        code = rng.choice(simple).code.encode("latin-1")
        chosen = rng.choice((code, b"h\x00", b"h\x01", b"K\x07", b"(", b"\x8c\x01a", b"\x94"))
        found += chosen * rng.choice((1, 1, 1, 2, 1000, 100_000))
        if len(found) > 1_000_000:
            break
    return bytes(found) + b"."


def read_one(path: Path, reader: Callable[[Path], object], log: Path) -> str:
    """Read a file in a process of its own; what is wrong with how that ends, or nothing."""
    pid = os.fork()
    if not pid:
        code = 0
        try:
            signal.alarm(LIMIT)
            reader(path)
        except KnownCircuitsError as error:
            code = 0 if len(str(error)) < 20_000 else 3
        except BaseException:
            log.write_text(traceback.format_exc()[-600:])
            code = 1
        os._exit(code)
    _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        return f"takes more than {LIMIT} s"
    if code:
        return log.read_text() if code == 1 else f"exit code {code}"
    return f"takes {usage.ru_maxrss // 1024} MB" if usage.ru_maxrss > MEMORY else ""


def run_trials(seed: int, first: int, count: int) -> int:
    """Read so many files; how many of them ended in something else than data or an error."""
    failed, slowest = 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        files = make_files(Path(name))
        for number in range(first, first + count):
            rng = random.Random(f"{seed} {number}")
            kind = rng.choice(list(files))
            path, reader = files[kind]
            data = path.read_bytes()
            change = bend if path.suffix == ".json" and rng.random() < 0.7 else damage
            hostile = kind == "pickle" and rng.random() < 0.8
            path.write_bytes(random_pickle(rng) if hostile else change(data, rng))
            start = time.monotonic()
            if wrong := read_one(path, reader, Path(name) / "log"):
                failed += 1
                print(f"{number}: {kind}: {wrong}", flush=True)
            slowest = max(slowest, time.monotonic() - start)
            path.write_bytes(data)
    print(f"{count} files, {failed} failed; the slowest took {slowest:.1f} s")
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args()
    torch.set_num_threads(1)  # a process with threads should not be forked
    sys.exit(bool(run_trials(given.seed, given.first, given.count)))
