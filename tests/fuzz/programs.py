"""Random programs, compiled and compared with the interpreter: each is equal or refused.

    python tests/fuzz/programs.py --seed 0 --count 10000

Program number n of seed s is number 0 of seed s + n, so that a failure is made again by its seed.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from knowncircuits import rasp
from knowncircuits.compiler import Compiled, compile_program
from knowncircuits.errors import CompileError, KnownCircuitsError
from knowncircuits.rasp import Value, interpret
from knowncircuits.rasp.text import program_text
from knowncircuits.rasp.vocabulary import Vocabulary

# Inputs of each length that a program is tried on: all, or so many at random ...
N_INPUTS = 48
# ... of which so many one by one, too.
N_SINGLE = 6
# Numbers agree to so much of their size, or of 1: a hundred times what float32's last digit is, and
# in float64 what the compiler promises.
TOLERANCES = {torch.float64: 1e-6, torch.float32: 5e-4}

ALPHABETS: tuple[tuple[Value, ...], ...] = (
    (0, 1),
    (-2, -1, 0, 1, 2),
    (1, 2, 3, 10),
    (0.1, 0.2, 0.6),
    (-1.5, 0.25, 3),
    (0.6, 1e6),
    (-(10**6), 0.5, 7),
    (1e-4, 1.0),
    (2**24, 2**24 + 1),
    (1e12, 3, -4),
    (1e30, 1.0),
    (301.2, 0.1),
    (True, False),
)
NUMBERS = (0, 1, -1, 0.5, 0.3, 2, 7, 100, -0.6, 1e-3, 1e6, 1e-6, -1e9, 2**24 + 1, 1e20)
UNARY: tuple[Callable[[float], Value], ...] = (
    lambda x: x + 1,
    lambda x: -x,
    lambda x: x / 3,
    lambda x: x * x,
    lambda x: x % 2,
    lambda x: 0.6 if x > 1 else 1e6,
    lambda x: x * 1e6,
    lambda x: x * 1e-3,
    lambda x: 2.0 ** min(x, 60),
    lambda x: 1 / x,
    lambda x: None if x == 1 else x,
    lambda x: x > 0,
    lambda x: 7,
)
BINARY: tuple[Callable[[float, float], Value], ...] = (
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: max(x, y),
    lambda x, y: x < y,
    lambda x, y: x if x == y else None,
    lambda x, y: x / y,
)


@dataclass(frozen=True)
class Sample:
    """A random program with what it is compiled for."""

    output: rasp.SOp
    vocabulary: Vocabulary
    causal: bool
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{program_text(self.output)}\n{self.vocabulary}, causal={self.causal}, {self.dtype}"


def draw_program(seed: int) -> Sample:
    """One to six random steps over a random alphabet."""
    draw = random.Random(seed)
    categorical: list[rasp.SOp] = [rasp.tokens, rasp.tokens, rasp.indices]
    numerical: list[rasp.SOp] = []

    def selector(depth: int = 0) -> rasp.Selector:
        kinds = ("select", "select", "constant", "and", "or", "not")
        kind = draw.choice(kinds) if depth < 2 else "select"
        if kind == "select":
            keys, queries = draw.choice(categorical), draw.choice(categorical)
            return rasp.Select(keys, queries, draw.choice(list(rasp.Comparison)))
        if kind == "constant":
            n = draw.randint(1, 4)
            rows = [[draw.random() < 0.5 for _ in range(n)] for _ in range(n)]
            return rasp.ConstantSelector(rows, check_length=False)
        if kind == "not":
            return ~selector(depth + 1)
        fst, snd = selector(depth + 1), selector(depth + 1)
        return fst & snd if kind == "and" else fst | snd

    def number() -> rasp.SOp:
        """A numerical variable, new where there is none."""
        if numerical and draw.random() < 0.8:
            return draw.choice(numerical)
        if draw.random() < 0.2:
            return rasp.numerical(rasp.Full(draw.choice(NUMBERS)))
        return rasp.numerical(rasp.Map(draw.choice(UNARY), draw.choice(categorical)))

    def step() -> rasp.SOp:
        kind = draw.choice(
            (
                *("map", "pair", "full", "constant", "width", "move", "mean", "mean", "sum", "sum"),
                *("linear", "to_number", "decode", "decode"),
            )
        )
        if kind == "map":
            return rasp.Map(draw.choice(UNARY), draw.choice(categorical), draw.random() < 0.5)
        if kind == "pair":
            pair = draw.choice(categorical), draw.choice(categorical)
            return rasp.SequenceMap(draw.choice(BINARY), *pair)
        if kind == "full":
            return rasp.Full(draw.choice(NUMBERS))
        if kind == "constant":
            values = [draw.choice((None, *NUMBERS)) for _ in range(draw.randint(1, 4))]
            return rasp.ConstantSOp(values, check_length=False)
        if kind == "width":
            width = rasp.SelectorWidth(selector())
            return rasp.numerical(width) if draw.random() < 0.3 else width
        if kind == "move":
            default = draw.choice((None, None, *NUMBERS))
            return rasp.Aggregate(selector(), draw.choice(categorical), default=default)
        if kind == "mean":
            averaged = number() if draw.random() < 0.6 else draw.choice(categorical)
            default = draw.choice(NUMBERS)
            return rasp.numerical(rasp.Aggregate(selector(), averaged, default=default))
        if kind == "sum":
            summed = number() if draw.random() < 0.6 else draw.choice(categorical)
            total = rasp.AggregateSum(selector(), summed)
            return rasp.numerical(total) if draw.random() < 0.7 else total
        if kind == "linear":
            fst = number()
            snd = fst if draw.random() < 0.3 else number()
            factors = draw.choice((*NUMBERS, 0.5, 0.3, 1)), draw.choice((*NUMBERS, 0.5, -1))
            return rasp.numerical(rasp.LinearSequenceMap(fst, snd, *factors))
        mapped = rasp.Map(draw.choice(UNARY), number(), simplify=False)
        if kind == "to_number":
            return rasp.numerical(rasp.Map(draw.choice(UNARY), draw.choice(categorical)))
        return rasp.numerical(mapped) if draw.random() < 0.5 else mapped

    for _ in range(draw.randint(1, 6)):
        expr = step()
        (categorical if rasp.is_categorical(expr) else numerical).append(expr)
        last = expr
    vocabulary = Vocabulary(draw.choice(ALPHABETS), draw.randint(1, 4), pad=draw.random() < 0.4)
    dtype = draw.choice((torch.float64, torch.float64, torch.float32))
    return Sample(last, vocabulary, draw.random() < 0.4, dtype)


def agree(value: Value, answer: Value, tolerance: float) -> bool:
    """Whether an answer is the program's value."""
    if isinstance(value, (int, float)) and isinstance(answer, float):
        return abs(value - answer) <= tolerance * max(1.0, abs(value))
    return value == answer and (value is None) == (answer is None)


def find_fault(sample: Sample) -> str | None:
    """What is wrong with a program that compiles; None where nothing is.

    Raises CompileError for one that does not.
    """
    compiled = compile_program(
        sample.output, sample.vocabulary, causal=sample.causal, dtype=sample.dtype
    )
    draw, tolerance = random.Random(0), TOLERANCES[sample.dtype]
    everything: list[tuple[Value, ...]] = []
    with torch.no_grad():
        for length in range(1, sample.vocabulary.max_len + 1):
            inputs = _inputs(sample.vocabulary, length, draw)
            wanted = interpret(sample.output, inputs, causal=sample.causal)
            if fault := _compare("batch", inputs, wanted, _answers(compiled, inputs), tolerance):
                return fault
            chosen = draw.sample(range(len(inputs)), min(N_SINGLE, len(inputs)))
            single = [compiled(inputs[i]) for i in chosen]
            some, known = [inputs[i] for i in chosen], [wanted[i] for i in chosen]
            if fault := _compare("single call", some, known, single, tolerance):
                return fault
            everything += some
        if sample.vocabulary.pad:
            padded = [
                row[: len(xs)]
                for xs, row in zip(everything, _answers(compiled, everything), strict=True)
            ]
            wanted = [interpret(sample.output, [xs], causal=sample.causal)[0] for xs in everything]
            return _compare("padded batch", everything, wanted, padded, tolerance)
    return None


def _inputs(vocabulary: Vocabulary, length: int, draw: random.Random) -> list[tuple[Value, ...]]:
    tokens = vocabulary.tokens
    if len(tokens) ** length <= N_INPUTS:
        return list(itertools.product(tokens, repeat=length))
    return [tuple(draw.choices(tokens, k=length)) for _ in range(N_INPUTS)]


def _answers(compiled: Compiled, inputs: Sequence[Sequence[Value]]) -> list[list[Value]]:
    return compiled.decode(compiled.model.run(compiled.encode(inputs)).logits)


def _compare(
    what: str,
    inputs: Sequence[Sequence[Value]],
    wanted: Sequence[Sequence[Value]],
    got: Sequence[Sequence[Value]],
    tolerance: float,
) -> str | None:
    for xs, values, answers in zip(inputs, wanted, got, strict=True):
        pairs = zip(values, answers, strict=True)
        if not all(agree(value, answer, tolerance) for value, answer in pairs):
            return f"{what} on {xs}: expected {values}, got {answers}"
    return None


def check(seed: int) -> tuple[str, str]:
    """One program: `equal`, `refused` or `wrong`, and what is wrong with it."""
    sample = draw_program(seed)
    try:
        fault = find_fault(sample)
    except CompileError as error:
        return "refused", error.reasons[0]
    except KnownCircuitsError as error:
        fault = f"compiled, but then {error!r}"
    except Exception as error:
        fault = f"crashed: {error!r}"
    return ("wrong", f"--seed {seed} --count 1: {fault}\n{sample}\n") if fault else ("equal", "")


def main() -> int:
    """Try programs, print what is wrong and how many were what; 1 where any is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--count", type=int, default=1000, help="how many programs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts: Counter[str] = Counter()
    for seed in range(options.seed, options.seed + options.count):
        verdict, text = check(seed)
        counts[verdict] += 1
        if verdict == "wrong":
            print(text, flush=True)
        if not (seed + 1) % 500:
            print(f"after seed {seed}: {dict(counts)}", file=sys.stderr, flush=True)
    print(", ".join(f"{counts[verdict]} {verdict}" for verdict in ("equal", "refused", "wrong")))
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
