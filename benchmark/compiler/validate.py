"""Everything that keeps a program from being compiled, reported all at once."""

from __future__ import annotations

from knowncircuits.checks.arguments import takes
from knowncircuits.compiler.meant import Meant, MeantInputs, tried_inputs
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


# What can be done where an input is at fault for which the program was never meant.
REMEDY = (
    "; if it is not meant for that, say with inputs= what it is meant for, or skip this check with "
    "check_inputs=False"
)


@takes(program=SOp, vocabulary=Vocabulary)
def validate(
    program: SOp,
    vocabulary: Vocabulary,
    *,
    causal: bool = False,
    inputs: MeantInputs | None = None,
) -> list[str]:
    """The reasons why a program cannot be compiled to what it means; empty where there is none.

    Encodings and values are checked for every possible input. Whether a categorical aggregate meets
    different values, which no head can average, is checked by interpreting inputs: all of them
    where there are at most N_CHECKED, a fixed random sample of each length otherwise; and only
    those that the program is meant for, where `inputs` says so as in `compile_program`.

    Raises InputError for `inputs` that are not of the vocabulary.
    """
    meant = None if inputs is None else Meant(inputs, vocabulary)
    try:
        flat = flatten(program)
        domains, reasons = infer_domains(flat, vocabulary)
    except (CompileError, ProgramError) as error:
        return list(error.reasons) if isinstance(error, CompileError) else [str(error)]
    dynamic = dynamic_reasons(flat, vocabulary, causal, meant)
    return reasons + static_reasons(flat, domains) + dynamic


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


def dynamic_reasons(
    program: Program, vocabulary: Vocabulary, causal: bool, meant: Meant | None
) -> list[str]:
    """What goes wrong on some inputs that were tried, or that there are none to try."""
    reasons: dict[str, str] = {}
    tried = list(tried_inputs(vocabulary, N_CHECKED, meant))
    if not tried:
        return [
            "none of many random inputs is one that the program is meant for: list some as inputs"
        ]
    for codes in tried:
        inputs = Column(codes, vocabulary.tokens)
        interpreter = Interpreter(inputs, causal=causal)
        try:
            interpreter.column(program.output)
        except ProgramError as error:
            reasons.setdefault(str(error), f"{error}{REMEDY}")
        for key, (expr, row) in interpreter.mixtures.items():
            example = [vocabulary.tokens[code] for code in inputs.codes[row]]
            name = program.names.get(key, expr.name)
            reasons.setdefault(
                name,
                f"{name}: a categorical aggregate of several different values, as on {example}; "
                f"no head can average directions: make it numerical{REMEDY}",
            )
    return list(reasons.values())
