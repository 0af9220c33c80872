"""Command lines at random, by a grammar that is read off the application itself."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

SKIPPED = ("maintain",)  # writes into the checkout
NOISE = 0.3  # share of values that are nasty
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
    "case": ["fraction_of_x", "histogram", "identity", "gate_or_2"],
    "method": ["eap", "exact", "random", "truth", "own:good", "own:bad", "raises:f", "leaves:f"],
    "suite": ["structural", "degenerate", "all", "interpbench", "hard", "modalities", "generated"],
    "variant": ["seed0", "seed1", "shuffled", "all"],
    "family": ["counting", "brackets"],
    "scales": ["1", "0,1", "0,0.5,2"],
    "ablation": ["resample", "mean", "zero"],
    "corruption": ["resample", "minimal", "variable:is_x", "on-off"],
    "option": ["steps=2", "steps=1e3", "batch_size=8", "batch_size=NaN", "thresholds=0.1,1"],
    "tokens": ["x", "a", "b"],
    "subject": ["scores.json", "circuit.json", "histogram"],
    "view": ["edge", "head", "node", "no-embed", "circuit-nodes"],
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
    """What a command takes, as its signature says."""
    found = []
    for parameter in inspect.signature(callback, eval_str=True).parameters.values():
        if get_origin(parameter.annotation) is not Annotated:
            continue
        kind, info = get_args(parameter.annotation)[:2]
        assert isinstance(info, ParameterInfo)
        if get_origin(kind) in (Union, UnionType):
            kind = next(part for part in get_args(kind) if part is not type(None))
        names: tuple[str, ...] = ()
        if isinstance(info, OptionInfo):
            written = [part for text in info.param_decls or () for part in text.split("/")]
            dashed = [text for text in written if text.startswith("-")]
            names = tuple(dashed) or ("--" + parameter.name.replace("_", "-"),)
        required = isinstance(info, ArgumentInfo) and parameter.default is parameter.empty
        found.append(Parameter(parameter.name, names, kind, required))
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
    elif get_origin(kind) is Literal:
        real = [str(choice) for choice in get_args(kind)]
    real = REAL.get(parameter.name, real)
    if rng.random() >= NOISE:
        return rng.choice(real)
    return rng.choice(nasty if rng.random() < 0.8 else [*TEXTS, *NUMBERS, *PATHS])
