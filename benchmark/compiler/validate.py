"""Everything that keeps a program from being compiled, reported all at once."""

from __future__ import annotations

import itertools

import numpy as np

from knowncircuits.arguments import takes
from knowncircuits.compiler.program import Program, flatten
from knowncircuits.compiler.selectors import as_map
from knowncircuits.compiler.values import Domains, infer_domains
from knowncircuits.errors import CompileError, ProgramError
from knowncircuits.rasp.expressions import (
    Aggregate,
    IndicesType,
    LinearSequenceMap,
    SequenceMap,
    SOp,
    TokensType,
    is_categorical,
    is_numerical,
)
from knowncircuits.rasp.interpreter import Column, Interpreter
from knowncircuits.vocabulary import Vocabulary

# What a program does to so many inputs is checked: all of them, where there are no more.
N_CHECKED = 2_000
# More values than this make a categorical variable too wide to compile.
MAX_CATEGORICAL = 5_000


@takes(program=SOp, vocabulary=Vocabulary)
def validate(program: SOp, vocabulary: Vocabulary, *, causal: bool = False) -> list[str]:
    """The reasons why a program cannot be compiled to what it means; empty where there is none.

    Encodings and values are checked for every possible input. Whether a categorical aggregate meets
    different values, which no head can average, is checked by interpreting inputs: all of them
    where there are at most N_CHECKED, a fixed random sample of each length otherwise.
    """
    try:
        flat = flatten(program)
        domains, reasons = infer_domains(flat, vocabulary)
    except (CompileError, ProgramError) as error:
        return list(error.reasons) if isinstance(error, CompileError) else [str(error)]
    return reasons + static_reasons(flat, domains) + dynamic_reasons(flat, vocabulary, causal)


def static_reasons(program: Program, domains: Domains) -> list[str]:
    """What is wrong whatever the input."""
    reasons: list[str] = []
    for expr in program.sops:
        name = program.names[id(expr)]
        domain = domains.get(id(expr))

        def say(reason: str, name: str = name) -> None:
            reasons.append(f"{name}: {reason}")

        if isinstance(expr, (TokensType, IndicesType)) and is_numerical(expr):
            say("the input is categorical; map it to a numerical variable")
        if domain is not None and is_numerical(expr) and domain.nullable:
            if isinstance(expr, Aggregate) and expr.default is None:
                say("a numerical aggregate needs a default that is a number, such as 0")
            else:
                say("a numerical variable cannot be None; give its aggregate a default")
        if domain is not None and is_categorical(expr) and len(domain.listed) > MAX_CATEGORICAL:
            say(f"takes {len(domain.listed)} values; at most {MAX_CATEGORICAL} can be categorical")
        for term in program.terms(expr):
            for role, variable in (("keys", term.keys), ("queries", term.queries)):
                if is_numerical(variable):
                    say(f"the {role} of its selector must be categorical")
        if isinstance(expr, Aggregate) and is_categorical(expr) and is_numerical(expr.sop):
            say("a mean is a number: mark the aggregate numerical, and map it if need be")
        if isinstance(expr, SequenceMap) and as_map(expr) is None:
            numerical = [is_numerical(part) for part in (expr.fst, expr.snd)]
            if isinstance(expr, LinearSequenceMap):
                if not all([*numerical, is_numerical(expr)]):
                    say("a LinearSequenceMap needs numerical inputs and a numerical output")
            elif any(numerical):
                say("a SequenceMap needs categorical inputs; LinearSequenceMap takes numbers")
        if expr is program.output and domain is not None and domain.values == ():
            say("the program's output is None on every input")
    return list(dict.fromkeys(reasons))


def dynamic_reasons(program: Program, vocabulary: Vocabulary, causal: bool) -> list[str]:
    """What goes wrong on some inputs that were tried."""
    reasons: dict[str, str] = {}
    for inputs in _inputs(vocabulary):
        interpreter = Interpreter(inputs, causal=causal)
        try:
            interpreter.column(program.output)
        except ProgramError as error:
            reasons.setdefault(str(error), str(error))
        for key, (expr, row) in interpreter.mixtures.items():
            example = [vocabulary.tokens[code] for code in inputs.codes[row]]
            name = program.names.get(key, expr.name)
            reasons.setdefault(
                name,
                f"{name}: a categorical aggregate of several different values, as on {example}; "
                "no head can average directions: make it numerical",
            )
    return list(reasons.values())


def _inputs(vocabulary: Vocabulary) -> list[Column]:
    """Inputs of every length, all where they are few."""
    n_tokens, columns = len(vocabulary.tokens), []
    rng = np.random.default_rng(0)
    lengths = range(1, vocabulary.max_len + 1)
    per_length = max(50, N_CHECKED // vocabulary.max_len)
    for length in lengths:
        if n_tokens**length <= per_length:
            codes = np.array(list(itertools.product(range(n_tokens), repeat=length)))
        else:
            n = N_CHECKED if length == vocabulary.max_len else per_length
            codes = rng.integers(n_tokens, size=(n, length))
        columns.append(Column(codes, vocabulary.tokens))
    return columns
