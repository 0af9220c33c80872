"""One attribution of a large random model, in a process of its own.

`python -m knowncircuits.evaluation.bench.attribution_run FOLDER METHOD` runs what `write_subject`
wrote, writes METHOD.npy there, and prints what it took.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from knowncircuits.architecture import TransformerConfig, from_document
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.task import Task
from knowncircuits.transformer import Transformer

WEIGHTS, TOKENS, CONFIG = "weights.safetensors", "tokens.safetensors", "config.json"
OPTIONS: Mapping[str, Mapping[str, Any]] = {  # of methods that would run for longer than they need
    "eap-ig-inputs": {"steps": 5},
    "acdc": {"thresholds": [0.01]},
    "edge-sp": {"steps": 2},
    "eap-gp": {"steps": 1},
}


def write_subject(folder: Path, config: TransformerConfig, n_pairs: int, seed: int) -> None:
    """A model of random weights, and pairs of random tokens."""
    model = Transformer(config).initialise(seed)
    generator = torch.Generator("cpu").manual_seed(seed)
    shape = (2, n_pairs, config.n_ctx)
    clean, corrupted = torch.randint(config.d_vocab, shape, generator=generator, device="cpu")
    save_file(dict(model.state_dict()), folder / WEIGHTS)
    save_file({"clean": clean, "corrupted": corrupted.clone()}, folder / TOKENS)
    (folder / CONFIG).write_text(json.dumps(config.document()), encoding="utf-8")


def run_subject(folder: Path, method: str) -> dict[str, float]:
    """Attribute the divergence (`kl`) at the last position to all edges.

    Returns the seconds of the processor and of the clock, from tokens to scores, the most memory of
    the process, and what it was before, with the weights.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    model = Transformer(TransformerConfig(**from_document(config))).requires_grad_(False)
    with safe_open(folder / WEIGHTS, "pt") as weights:  # one by one: they are large
        for name, parameter in model.named_parameters():
            parameter.copy_(weights.get_tensor(name))
    tokens = load_file(folder / TOKENS)
    counts = torch.zeros(tokens["clean"].shape, dtype=torch.bool, device="cpu")
    counts[:, -1] = True
    task = Task("random", model, tokens["clean"], tokens["corrupted"], counts, "kl")
    before = most_in_memory()
    processor, clock = process_time(), perf_counter()
    scores = discover(method, task, **OPTIONS.get(method, {}))
    cpu_seconds, seconds = process_time() - processor, perf_counter() - clock
    np.save(folder / f"{method}.npy", scores.values)
    found = {"cpu_seconds": cpu_seconds, "seconds": seconds}
    return found | {"mb": most_in_memory(), "mb_before": before}


def most_in_memory() -> float:
    """The most memory that this process has had, in millions of bytes; NaN but on Linux."""
    path = Path("/proc/self/status")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")]
    return found[0] if found else float("nan")


if __name__ == "__main__":
    print(json.dumps(run_subject(Path(sys.argv[1]), sys.argv[2])))
