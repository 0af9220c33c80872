"""Commands about cases: what they compute, how hard they are, what they are compiled to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from knowncircuits.cases.choices import Direction
from knowncircuits.cli.groups import CaseOptions, grouped
from knowncircuits.cli.layout import (
    Column,
    Row,
    Table,
    frame_table,
    number_text,
    numbers,
    value_text,
    values_text,
    words,
)
from knowncircuits.cli.options import (
    CaseArgument,
    FormatOption,
    ModelOption,
    check_device,
    pairs_option,
    seed_option,
    to_path,
)
from knowncircuits.cli.printing import Output
from knowncircuits.cli.wiring import load_wired_of, recipe_text
from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowncircuits.circuit import Circuit
    from knowncircuits.compiler.compiled import Compiled
    from knowncircuits.models.trained import Trained
    from knowncircuits.models.wired.wired import Wired


@grouped
def cases(
    chosen: CaseOptions,
    look: Annotated[
        Literal["list", "check"],
        typer.Argument(
            help="list: show what they compute and how hard they are; check: check their data."
        ),
    ] = "list",
    pairs: Annotated[int, pairs_option("check: pairs for each case.")] = 1000,
    seed: Annotated[int, seed_option("check: seed of the pairs.")] = 0,
    form: FormatOption = "table",
) -> None:
    """List the cases with how hard their circuits are to find, or check their data.

    `cases check` looks at inputs, pairs and outputs, and exits with 1 if anything is wrong.
    """
    names = chosen.names()
    if look == "list":
        _print_cases(names, Output(form))
    else:
        _check_cases(names, pairs, seed, Output(form))


def show(
    case: CaseArgument,
    direction: Annotated[
        Direction | None,
        typer.Option(help="Also show what edges do together on pairs of this direction."),
    ] = None,
    pairs: Annotated[int, pairs_option("With --direction: how many pairs.")] = 20,
    seed: Annotated[int, seed_option("With --direction: seed of the pairs.")] = 0,
    device: Annotated[str, typer.Option(help="With --direction: device that computes.")] = "cpu",
    save: Annotated[
        Path | None,
        typer.Option(
            parser=to_path,
            help="Write the circuit: .json (EAP-IG's format), .html, .svg, .png or .pdf.",
        ),
    ] = None,
    model: ModelOption = None,
) -> None:
    """Show a case's program and its compiled model's circuit, or that of a model in a folder."""
    from knowncircuits.cases.difficulty import stored_difficulties
    from knowncircuits.cases.registry import load_case
    from knowncircuits.evaluation.figures.drawing import circuit_text, save_circuit
    from knowncircuits.evaluation.figures.pictures import FIGURES, check_targets
    from knowncircuits.evaluation.runs.results import COMPILED
    from knowncircuits.evaluation.runs.subjects import load_subject
    from knowncircuits.models.wired.wired import Wired
    from knowncircuits.rasp.text import program_text

    chosen = load_case(case)
    check_targets([save] if save else [], (".json", *FIGURES))
    check_device(device)
    shown = load_subject(chosen.name, model or COMPILED).to(device=device)
    config, circuit = shown.model.config, shown.circuit
    if direction:
        circuit = _with_sets(shown, direction, pairs, seed)
    if save is not None:
        save_circuit(circuit, save, title=chosen.name, d_model=config.d_model)
    example = chosen.sample(1, seed=0)[0]
    answer = chosen.interpret([example])[0]
    print(f"{chosen.name}: {chosen.description}\n")
    print(program_text(chosen.program))
    print(f"\non {values_text(example)}\n-> {values_text(answer)}\n")
    print(
        f"{config.n_layers} layers, {config.n_heads} heads, d_model {config.d_model}, "
        f"{'causal' if config.causal else 'bidirectional'} attention\n"
    )
    if isinstance(shown, Wired):
        print(f"{recipe_text(shown)}\n")
    print(circuit_text(circuit))
    difficulty = None if model else stored_difficulties().get(chosen.name)  # hard ones: none
    untold = difficulty.undetected if difficulty else {}
    if untold:
        print("\nread, but no interchange can tell:")
    for edge, why in untold.items():
        print(f"  {edge}: {why}")
    if save is not None:
        print(f"\nwrote {save}")


def run(
    case: CaseArgument,
    tokens: Annotated[list[str] | None, typer.Argument(help="The input, token by token.")] = None,
    model: ModelOption = None,
    form: FormatOption = "table",
) -> None:
    """Run a case's program and its compiled model, or a wired one, on one input, side by side."""
    import pandas as pd

    from knowncircuits.cases.registry import load_case
    from knowncircuits.models.wired.recipes import model_of

    chosen = load_case(case)
    by_text = {str(value): value for value in chosen.vocab}
    unknown = [token for token in tokens or () if token not in by_text]
    if unknown:
        raise InputError(
            f"expected tokens among {', '.join(by_text)}; got {', '.join(map(repr, unknown))}"
        )
    values = [by_text[token] for token in tokens or ()]
    wanted = chosen.interpret([values])[0]
    got = (load_wired_of(chosen.name, model) if model else model_of(chosen))(values)
    names = ("token", "program", "wired model" if model else "compiled model")
    rows = [dict(zip(names, row, strict=True)) for row in zip(values, wanted, got, strict=True)]
    table = Table([_value(name) for name in names], rows)
    Output(form).show(table, data=pd.DataFrame(rows, columns=names))


def _with_sets(
    shown: Compiled | Trained | Wired, direction: Direction, pairs: int, seed: int
) -> Circuit:
    from knowncircuits.compiler.compiled import Compiled
    from knowncircuits.evaluation.task import make_task
    from knowncircuits.evaluation.truth.enumeration import set_truth
    from knowncircuits.evaluation.truth.known import known_sets

    task = make_task(shown, pairs, seed, direction=direction)
    if isinstance(shown, Compiled):
        sets = set_truth(shown, task.clean, task.corrupted, direction)
        return replace(shown.circuit, sets=sets)
    return known_sets(shown, task, direction)


def _value(name: str) -> Column:
    return Column(name, lambda row: value_text(row[name]), number=False)


def _print_cases(names: Sequence[str], output: Output) -> None:
    from knowncircuits.cases.difficulty import difficulty_table
    from knowncircuits.cases.experiments.registry import hard_cases
    from knowncircuits.cases.modalities import modality_cases
    from knowncircuits.cases.registry import COMPONENTS, load_case
    from knowncircuits.evaluation.catalogue.measuring import difficulty_of

    for apart, printed in (
        (hard_cases(), _print_hard_cases),
        (COMPONENTS, _print_components),
        (modality_cases(), _print_modality_cases),
    ):
        if names and apart.keys() >= set(names):
            printed(names, output)
            return
    cases = [load_case(name) for name in names]
    data = difficulty_table(map(difficulty_of, cases))
    data["inputs"] = [f"{len(case.vocab)}^{case.max_len}" for case in cases]
    data["description"] = [case.description for case in cases]
    output.say(
        "heads: layers x heads; true: edges/head edges/nodes; detected: by some interchange;\n"
        "late, short, embed: AUROC of late edges, short edges, edges out of embed"
    )
    output.show(_cases_table(data.to_dict("records")), data=data)
    structural = int((~data["degenerate"]).sum()) if len(data) else 0
    output.say(f"{len(data)} cases, {structural} structural. Details: knowncircuits show CASE")


def _print_hard_cases(names: Sequence[str], output: Output) -> None:
    import pandas as pd

    from knowncircuits.cases.experiments.registry import EXPERIMENTS

    rows = [
        {
            "case": case.name,
            "experiment": experiment.name,
            "dial": experiment.dial,
            "level": level,
            "tags": " ".join(experiment.tags),
            "directions": " ".join(experiment.directions),
            "question": experiment.question,
            "description": case.description,
        }
        for experiment in EXPERIMENTS.values()
        for level, case in experiment.cases.items()
        if case.name in names
    ]
    columns = [
        *map(words, ("case", "dial")),
        Column("level", lambda row: str(row["level"])),
        *map(words, ("tags", "directions")),
        words("question", wraps=True),
        words("what it computes", "description", wraps=True),
    ]
    drops = ("dial", "level", "tags", "directions", "what it computes")
    output.show(Table(columns, rows, drops), data=pd.DataFrame(rows))
    output.say(f"{len(rows)} cases. Details: knowncircuits show CASE")


def _print_components(names: Sequence[str], output: Output) -> None:
    import pandas as pd

    from knowncircuits.cases.registry import COMPONENTS

    cases = [COMPONENTS[name] for name in names]
    rows = [
        {
            "case": case.name,
            "inputs": case.n_inputs(),
            "roles": ", ".join(case.roles.values()),
            "wiring": ", ".join(name for name, _ in case.wiring),
            "corruptions": ", ".join(case.corruptions),
            "description": case.description,
        }
        for case in cases
    ]
    columns = [
        words("case"),
        numbers("inputs"),
        *(words(name, wraps=True) for name in ("roles", "wiring", "corruptions")),
        words("what it computes", "description", wraps=True),
    ]
    drops = ("wiring", "inputs", "corruptions", "what it computes")
    output.show(Table(columns, rows, drops), data=pd.DataFrame(rows))
    output.say(f"{len(rows)} cases. Details: knowncircuits show CASE")


def _print_modality_cases(names: Sequence[str], output: Output) -> None:
    import pandas as pd

    from knowncircuits.cases.modalities import modality_cases

    rows = [{"case": name, "description": modality_cases()[name].description} for name in names]
    columns = [words("case"), words("what it computes", "description", wraps=True)]
    output.show(Table(columns, rows), data=pd.DataFrame(rows))
    output.say(f"{len(rows)} cases. Details: knowncircuits show CASE; their study: modalities CASE")


def _cases_table(rows: Sequence[Row]) -> Table:
    def determined(row: Row) -> str:
        return str(row["edges"] - row["undetermined_edges"])

    def true(row: Row) -> str:
        return f"{row['true_edges']}/{row['true_head_edges']}/{row['true_nodes']}"

    columns = [
        words("case"),
        Column("structural", lambda row: "-" if row["degenerate"] else "yes", number=False),
        numbers("inputs"),
        Column("heads", lambda row: f"{row['layers']}x{row['heads']}"),
        *map(numbers, ("variables", "depth", "edges")),
        Column("determined", determined),
        Column("true", true),
        numbers("detected", "detected_edges"),
        numbers("late", "auroc_depth", number_text),
        numbers("short", "auroc_shortness", number_text),
        numbers("embed", "auroc_from_embed", number_text),
        words("what it computes", "description", wraps=True),
    ]
    sizes = ("variables", "inputs", "determined", "detected", "depth")
    drops = (*sizes, "embed", "late", "short", "heads", "edges", "structural", "what it computes")
    return Table(columns, rows, drops)


def _check_cases(names: Sequence[str], pairs: int, seed: int, output: Output) -> None:
    from knowncircuits.cases.checks import check_cases
    from knowncircuits.cases.registry import load_case

    table = check_cases([load_case(name) for name in names], n=pairs, seed=seed)
    shown = {
        "case": "case",
        "problems": "problems",
        "duplicates": "repeated",
        "changed_inputs": "corrupted differs",
        "label_change": "output differs",
        "label_change_at": "least at a position",
        "constant_positions": "constant positions",
        "entropy": "bits",
        "none": "None",
        "unreached_tokens": "unreached tokens",
    }
    output.show(frame_table(table[list(shown)].rename(columns=shown)), data=table)
    wrong = int((table["problems"] != "").sum())
    output.say(f"{len(table)} cases, {wrong} with problems")
    if wrong:
        raise typer.Exit(1)
