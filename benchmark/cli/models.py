"""The group `models`: the trained models listed, measured again, and made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from knowncircuits.cli.groups import CaseOptions, ExecutorOptions, VariantOptions, grouped
from knowncircuits.cli.layout import (
    Column,
    Row,
    Table,
    magnitude_text,
    number_text,
    numbers,
    share_text,
    words,
)
from knowncircuits.cli.options import (
    DeviceOption,
    FolderOption,
    FormatOption,
    StackOption,
    check_device,
    output_option,
    pairs_option,
    to_path,
)
from knowncircuits.cli.printing import Output
from knowncircuits.cli.stopping import stoppable
from knowncircuits.errors import InputError
from knowncircuits.models.choices import Storage
from knowncircuits.work.progress import part
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    from collections.abc import Sequence


class ListByDefault(TyperGroup):
    """A group of commands that runs `list` where none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put it before the arguments."""
        named = args and (args[0] == "--help" or not args[0].startswith("-"))
        return super().parse_args(ctx, args if named else ["list", *args])


models_app = typer.Typer(
    cls=ListByDefault,
    help="Trained models: list them, measure them again, make them. By itself: list.",
)


@models_app.command("list")
@grouped
def models_list(
    cases: CaseOptions,
    variants: VariantOptions,
    folder: FolderOption = None,
    form: FormatOption = "table",
) -> None:
    """List the trained models with what their certificates say, and those that are missing."""
    import pandas as pd

    from knowncircuits.evaluation.hardness.stored import read_hardness, told
    from knowncircuits.models.zoo.listing import best_attempts, describe_models

    zoo = variants.in_folder(folder)
    names, kinds = cases.names_in(zoo), variants.chosen("all", zoo)
    chosen, measured = zoo.among(names, kinds), read_hardness(zoo)
    rows = zip(chosen, describe_models(zoo, chosen), strict=True)
    models = [{**row, **told(measured.get(model))} for model, row in rows]
    missing = best_attempts(zoo, names, kinds)
    to = Output(form)
    to.say(
        "sizes: layers x heads x d_model; edges: in/out. Agreement with the compiled model when\n"
        "nothing is patched, one edge, all outside edges, random sets; effects: share of answers\n"
        "that an edge changes. gap, living, cheap: how hard the circuit is to find, of which\n"
        "`knowncircuits models hardness` says more"
    )
    data = {"certified": pd.DataFrame(models), "missing": pd.DataFrame(missing)}
    tables = [_models_table(models), *([_missing_table(missing)] if missing else [])]
    to.show(*tables, data=data)
    to.say(f"{len(models)} models")


@models_app.command("check")
@grouped
def models_check(
    cases: CaseOptions,
    variants: VariantOptions,
    folder: FolderOption = None,
    pairs: Annotated[int | None, pairs_option("New pairs for each model.")] = None,
    device: DeviceOption = "cpu",
    form: FormatOption = "table",
) -> None:
    """Measure the trained models again on new pairs, by the certificate's quick form.

    Files, hashes and labels are compared too, and from zoo 2 on no model may be another one by a
    second name. Exits with 1 if anything is wrong.
    """
    import pandas as pd

    from knowncircuits.models.zoo.check import PAIRS, check_model
    from knowncircuits.models.zoo.duplicates import find_duplicates

    zoo = variants.in_folder(folder)
    chosen = zoo.among(cases.names_in(zoo), variants.chosen("all", zoo))
    if not chosen:
        raise InputError(f"expected trained models in {zoo.folder}, got none")
    check_device(device)
    to = Output(form)
    rows: list[dict[str, str]] = []
    twice = find_duplicates(zoo, chosen)

    def wrong() -> int:
        return sum(row["problems"] != "" for row in rows)

    def so_far() -> str:
        return f"{len(rows)} of {len(chosen)} models checked, {wrong()} with problems"

    with stoppable(so_far), show_progress("models check", len(chosen)) as shown:
        for name, kind in chosen:
            with part(f"{name} {kind}"):
                problems = check_model(zoo, name, kind, pairs or PAIRS, device=device)
            if (name, kind) in twice:
                problems += (twice[name, kind],)
            rows.append({"case": name, "variant": kind, "problems": "; ".join(problems)})
            for problem in problems:
                to.say(f"{name} {kind}: {problem}")
            shown.advance()
    to.show(data=pd.DataFrame(rows))
    to.say(f"{len(chosen)} models, {wrong()} with problems")
    raise typer.Exit(1 if wrong() else 0)


@models_app.command("train")
@grouped
def models_train(
    cases: CaseOptions,
    variants: VariantOptions,
    executed: ExecutorOptions,
    *,
    output: Annotated[Path, output_option("Folder of the models and of missing.json.")] = Path(
        "zoo"
    ),
    recipes: Annotated[
        Path | None,
        typer.Option(
            parser=to_path, help="File of settings by case and variant; by default the zoo's own."
        ),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Train again what these settings have failed on before.")
    ] = False,
    pairs: Annotated[int, pairs_option("Pairs of the certificates.")] = 20_000,
    storage: Annotated[
        Storage,
        typer.Option(help="Type of the stored weights, which are rounded before the certificate."),
    ] = "float32",
    stack: StackOption = 1,
    device: DeviceOption = "cpu",
) -> None:
    """Train and certify models by their recipes, by default seed0; this makes the shipped ones.

    Certified models go to OUTPUT/CASE/VARIANT, all others into OUTPUT/missing.json. Models that are
    there are left alone, and what was killed goes on where it last validated. Exits with 1 if a
    model is not certified. `-o models/zoo2 --zoo 2` makes zoo 2, in a checkout.
    """
    from knowncircuits.models.zoo.produce import Outcome, make_models
    from knowncircuits.models.zoo.shelf import Zoo

    check_device(device)
    zoo, names = Zoo(output, variants.version), cases.names()
    chosen = [(name, kind) for kind in variants.chosen("seed0", zoo) for name in names]

    def say(outcome: Outcome) -> None:
        what = "certified" if outcome.certified else "not certified"
        size = f"{outcome.steps} steps, {outcome.seconds:.0f} s"
        print(f"{outcome.case} {outcome.variant}: {what}, {size}: {outcome.reason}", flush=True)
        shown.advance()

    def there() -> int:
        return sum(zoo.holds(name, kind) for name, kind in chosen)

    def so_far() -> str:
        return f"{there()} of {len(chosen)} models certified; the same command goes on"

    with stoppable(so_far), show_progress("models train", len(chosen)) as shown:
        shown.advance(n=there())
        done = make_models(
            zoo,
            chosen,
            executor=executed.chosen(),
            n_pairs=pairs,
            device=device,
            recipes=recipes,
            retry=retry,
            storage=storage,
            stack=stack,
            on_outcome=say,
        )
    n = there()
    print(
        f"{len(chosen)} models: {n} certified, {len(chosen) - n} not; {len(done)} trained now; "
        f"in {output}"
    )
    raise typer.Exit(0 if n == len(chosen) else 1)


# What a model's certificate says, in per cent: the column's name, and the key of the data.
SHARES = {
    "accuracy": "accuracy",
    "inside edge": "worst_inside",
    "outside edge": "worst_outside",
    "all outside": "all_outside",
    "random sets": "random_sets",
    "largest outside effect": "largest_outside_effect",
    "smallest inside effect": "smallest_inside_effect",
}


def _models_table(rows: Sequence[Row]) -> Table:
    columns = [
        words("case"),
        words("variant"),
        Column("sizes", lambda row: f"{row['layers']}x{row['heads']}x{row['d_model']}"),
        Column("edges", lambda row: f"{row['edges_in']}/{row['edges_out']}"),
        *(numbers(name, key, share_text) for name, key in SHARES.items()),
        numbers("gap", form=magnitude_text),
        numbers("living", "living_edges", number_text),
        numbers("cheap", "best_cheap", number_text),
        Column("pairs", lambda row: f"{row['pairs']}" + (" (all)" if row["all_pairs"] else "")),
    ]
    drops = ("pairs", "edges", "sizes", *list(SHARES)[:0:-1], "cheap", "living", "gap")
    return Table(columns, rows, drops)


def _missing_table(rows: Sequence[Row]) -> Table:
    def steps(row: Row) -> str:
        return "" if row["steps"] is None else str(row["steps"])

    columns = [
        words("case"),
        words("variant"),
        Column("steps", steps),
        Column("best attempt", lambda row: row["reason"] or "", number=False, wraps=True),
    ]
    return Table(columns, rows, ("steps",), f"\n{len(rows)} could not be certified:")
