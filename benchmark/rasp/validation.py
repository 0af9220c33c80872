"""Everything that keeps a program from being compiled, reported all at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import CompileError, ProgramError
from knowncircuits.rasp.columns import Batch, Column
from knowncircuits.rasp.domains import Domain, Domains, infer_domains
from knowncircuits.rasp.expressions import SOp
from knowncircuits.rasp.meant import Meant, MeantInputs, tried_inputs
from knowncircuits.rasp.program import INPUTS, Kind, Program, Step, flatten
from knowncircuits.rasp.vocabulary import Vocabulary

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
    inputs: MeantInputs | Meant | None = None,
) -> list[str]:
    """The reasons why a program cannot be compiled to what it means; empty where there is none.

    Encodings and values are checked for every possible input. Whether a categorical aggregate meets
    different values, which no head can average, is checked by interpreting inputs: all of them
    where there are at most N_CHECKED, a fixed random sample of each length otherwise; and only
    those that the program is meant for, where `inputs` says so as in `compile_program`.

    That a model would be too large, or its dtype too coarse, is found when it is compiled.

    Raises InputError for `inputs` that are not of the vocabulary.
    """
    meant = None if inputs is None else Meant.of(inputs, vocabulary)
    try:
        analyse(program, vocabulary, causal=causal, meant=meant)
    except CompileError as error:
        return list(error.reasons)
    return []


def analyse(
    program: SOp,
    vocabulary: Vocabulary,
    *,
    causal: bool,
    meant: Meant | None,
    check_inputs: bool = True,
) -> tuple[Program, Domains]:
    """A program's steps and what each can be; raises CompileError with every reason why not."""
    flat = flatten(program)
    domains, reasons = infer_domains(flat, vocabulary)
    reasons += static_reasons(flat, domains)
    if check_inputs:
        reasons += dynamic_reasons(flat, vocabulary, causal, meant)
    if reasons:
        raise CompileError(list(dict.fromkeys(reasons)))
    return flat, domains


def static_reasons(program: Program, domains: Domains) -> list[str]:
    """What is wrong whatever the input."""
    reasons = [
        f"{step.name}: {reason}"
        for step in program.steps
        for reason in _static_reasons(step, domains.get(step), step is program.output)
    ]
    return list(dict.fromkeys(reasons))


def _static_reasons(step: Step, domain: Domain | None, is_output: bool) -> Iterator[str]:
    """The problems of one step; without those of its values where it has no domain."""
    if step.kind in INPUTS and step.numerical:
        yield "the input is categorical; map it to a numerical variable"
    if domain is not None and step.numerical and domain.nullable:
        if step.kind is Kind.MEAN and step.constant is None:
            yield "a numerical aggregate needs a default that is a number, such as 0"
        else:
            yield "a numerical variable cannot be None; give its aggregate a default"
    if domain is not None and not step.numerical and len(domain.listed) > MAX_CATEGORICAL:
        yield f"takes {len(domain.listed)} values; at most {MAX_CATEGORICAL} can be categorical"
    for term in step.terms:
        for role, variable in (("keys", term.keys), ("queries", term.queries)):
            if variable.numerical:
                yield f"the {role} of its selector must be categorical"
    numerical = [part.numerical for part in step.inputs]
    if step.kind is Kind.MEAN and not step.numerical and any(numerical):
        yield "a mean is a number: mark the aggregate numerical, and map it if need be"
    if step.kind is Kind.LINEAR and not all([*numerical, step.numerical]):
        yield "a LinearSequenceMap needs numerical inputs and a numerical output"
    if step.kind is Kind.TABLE and any(numerical):
        yield "a SequenceMap needs categorical inputs; LinearSequenceMap takes numbers"
    if is_output and domain is not None and domain.values == ():
        yield "the program's output is None on every input"


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
    names: dict[Hashable, str] = {step.sop: step.name for step in program.steps}
    for codes in tried:
        batch = Batch(Column(codes, vocabulary.tokens), causal)
        try:
            program.output.sop.column(batch)
        except ProgramError as error:
            reasons.setdefault(str(error), f"{error}{REMEDY}")
        for sop, row in batch.mixtures.items():
            example = [vocabulary.tokens[code] for code in codes[row]]
            name = names[sop]
            reasons.setdefault(
                name,
                f"{name}: a categorical aggregate of several different values, as on {example}; "
                f"no head can average directions: make it numerical{REMEDY}",
            )
    return list(reasons.values())
