"""Commands about cases: what they compute, how hard they are, what they are compiled to."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knowncircuits.cli.options import (
    CaseArgument,
    CasesOption,
    FamilyOption,
    SuiteOption,
    choose_cases,
    pairs_option,
    seed_option,
    to_path,
)
from knowncircuits.cli.printing import (
    number_text,
    print_frame,
    print_table,
    value_text,
    values_text,
)
from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Look(StrEnum):
    """What `cases` prints."""

    list = "list"
    check = "check"


def cases(
    look: Annotated[
        Look, typer.Argument(help="list: what they compute and how hard they are; check: the data.")
    ] = Look.list,
    case: CasesOption = None,
    suite: SuiteOption = None,
    family: FamilyOption = None,
    pairs: Annotated[int, pairs_option("check: pairs for each case.")] = 1000,
    seed: Annotated[int, seed_option("check: seed of the pairs.")] = 0,
) -> None:
    """List the cases with how hard their circuits are to find, or check their data.

    `cases check` looks at inputs, pairs and outputs, and exits with 1 if anything is wrong.
    """
    names = choose_cases(case, suite, family)
    if look is Look.list:
        _print_cases(names)
    else:
        _check_cases(names, pairs, seed)


def show(
    case: CaseArgument,
    save: Annotated[
        Path | None,
        typer.Option(
            parser=to_path,
            help="Write the circuit: .json (EAP-IG's format), .html, .svg, .png or .pdf.",
        ),
    ] = None,
) -> None:
    """Show a case's program, its compiled model and its circuit."""
    from knowncircuits.cases import load_case
    from knowncircuits.cases.difficulty import load_difficulty
    from knowncircuits.describe import program_text
    from knowncircuits.drawing import circuit_text, save_circuit
    from knowncircuits.pictures import FIGURES, check_targets

    chosen = load_case(case)
    check_targets([save] if save else [], (".json", *FIGURES))
    compiled = chosen.compile()
    if save is not None:
        save_circuit(
            compiled.circuit, save, title=chosen.name, d_model=compiled.model.config.d_model
        )
    config = compiled.model.config
    example = chosen.sample(1, seed=0)[0]
    answer = chosen.interpret([example])[0]
    print(f"{chosen.name}: {chosen.description}\n")
    print(program_text(chosen.program))
    print(f"\non {values_text(example)}\n-> {values_text(answer)}\n")
    print(
        f"{config.n_layers} layers, {config.n_heads} heads, d_model {config.d_model}, "
        f"{'causal' if config.causal else 'bidirectional'} attention\n"
    )
    print(circuit_text(compiled.circuit))
    untold = load_difficulty(chosen.name).undetected
    if untold:
        print("\nread, but no interchange can tell:")
    for edge, why in untold.items():
        print(f"  {edge}: {why}")
    if save is not None:
        print(f"\nwrote {save}")


def run(
    case: CaseArgument,
    tokens: Annotated[list[str] | None, typer.Argument(help="The input, token by token.")] = None,
) -> None:
    """Run a case's program and its compiled model on one input, side by side."""
    from knowncircuits.cases import load_case

    chosen = load_case(case)
    by_text = {str(value): value for value in chosen.vocab}
    unknown = [token for token in tokens or () if token not in by_text]
    if unknown:
        raise InputError(
            f"expected tokens among {', '.join(by_text)}; got {', '.join(map(repr, unknown))}"
        )
    values = [by_text[token] for token in tokens or ()]
    wanted = chosen.interpret([values])[0]
    got = chosen.compile()(values)
    rows = [tuple(map(value_text, row)) for row in zip(values, wanted, got, strict=True)]
    print_table(("token", "program", "compiled model"), rows)


def _print_cases(names: Sequence[str]) -> None:
    from knowncircuits.cases import CASES
    from knowncircuits.cases.difficulty import load_difficulty

    rows = []
    for name in names:
        case, hard = CASES[name], load_difficulty(name)
        trivial = [
            number_text(hard.auroc[control]) for control in ("depth", "shortness", "from_embed")
        ]
        rows.append(
            (
                name,
                "-" if hard.degenerate else "yes",
                f"{len(case.vocab)}^{case.max_len}",
                f"{hard.layers}x{hard.heads}",
                str(hard.variables),
                str(hard.depth),
                str(hard.edges),
                str(hard.edges - hard.undetermined_edges),
                f"{hard.true_edges}/{hard.true_head_edges}/{hard.true_nodes}",
                str(hard.detected_edges),
                *trivial,
                case.description,
            )
        )
    header = "case structural inputs heads variables depth edges determined true detected"
    columns = (*header.split(), "late", "short", "embed", "what it computes")
    print(
        "heads: layers x heads; true: edges/head edges/nodes; detected: by some interchange;\n"
        "late, short, embed: AUROC of late edges, short edges, edges out of embed"
    )
    print_table(columns, rows, numbers=range(2, 13))
    structural = sum(row[1] == "yes" for row in rows)
    print(f"{len(rows)} cases, {structural} structural. Details: knowncircuits show CASE")


def _check_cases(names: Sequence[str], pairs: int, seed: int) -> None:
    from knowncircuits.cases import CASES, check_cases

    table = check_cases([CASES[name] for name in names], n=pairs, seed=seed)
    shown = {
        "case": "case",
        "duplicates": "repeated",
        "changed_inputs": "corrupted differs",
        "label_change": "output differs",
        "label_change_at": "least at a position",
        "constant_positions": "constant positions",
        "entropy": "bits",
        "none": "None",
        "unreached_tokens": "unreached tokens",
        "problems": "problems",
    }
    print_frame(table[list(shown)].rename(columns=shown))
    wrong = int((table["problems"] != "").sum())
    print(f"{len(table)} cases, {wrong} with problems")
    if wrong:
        raise typer.Exit(1)
