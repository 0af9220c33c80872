"""From a RASP program to a transformer: the passes in their order."""

from __future__ import annotations

import torch

from knowncircuits.checks.arguments import takes
from knowncircuits.compiler.assemble import assemble
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.compiler.components import build
from knowncircuits.compiler.layout import lay_out
from knowncircuits.compiler.precision import precision_reasons
from knowncircuits.compiler.schedule import schedule
from knowncircuits.compiler.wiring import wire
from knowncircuits.errors import CompileError
from knowncircuits.rasp.expressions import SOp
from knowncircuits.rasp.meant import Meant, MeantInputs, ProgramInputs
from knowncircuits.rasp.validation import analyse
from knowncircuits.rasp.vocabulary import Vocabulary


@takes(program=SOp, vocabulary=Vocabulary)
def compile_program(
    program: SOp,
    vocabulary: Vocabulary,
    *,
    causal: bool = False,
    dtype: torch.dtype = torch.float64,
    check_inputs: bool = True,
    inputs: MeantInputs | Meant | None = None,
) -> Compiled:
    """Compile a program to a transformer with a known circuit, after tracr (Lindner et al., 2023).

    Args:
        program: the S-Op whose value the model answers with.
        vocabulary: the tokens and the longest input; with `pad`, shorter inputs can be filled up.
        causal: heads see nothing after the query, and the program is interpreted so.
        dtype: of the weights. In float64 an edge outside the circuit moves outputs by some 1e-12 of
            their size, in float32 by rounding a million times larger.
        check_inputs: interpret inputs to find aggregates that no head can compute; see `validate`.
        inputs: those that the program is meant for, if not all of the vocabulary: a predicate over
            the tuple of tokens, or the inputs themselves. Only these are checked and drawn, and
            calling the model on another raises InputError. What each variable can be is inferred
            for all inputs all the same, since the compiler takes tokens one by one.

    Returns:
        The model, its circuit and the place of every variable.

    Raises:
        CompileError: with every reason why the program cannot be compiled.
        InputError: for `inputs` that are not of the vocabulary.
    """
    meant = None if inputs is None else Meant.of(inputs, vocabulary)
    flat, domains = analyse(
        program, vocabulary, causal=causal, meant=meant, check_inputs=check_inputs
    )
    layers = schedule(flat)
    layout = lay_out(flat, domains, layers, vocabulary)
    components = build(flat, layout)
    reasons = precision_reasons(flat, layout, components, dtype)
    if reasons:
        raise CompileError(reasons)
    output = layout.of(flat.output)
    n_layers = max(layers.values(), default=0) + 1
    model = assemble(components, n_layers, layout, output, vocabulary, causal=causal, dtype=dtype)
    listed = components.listed()
    circuit = wire(model.graph, listed, output, layout.variables.values())
    return Compiled(
        model,
        circuit,
        vocabulary,
        layout.variables,
        listed,
        output,
        ProgramInputs(vocabulary, meant),
    )
