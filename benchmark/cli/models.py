"""The group `models`: the trained models listed, measured again, and made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from knowncircuits.cli.options import (
    CasesOption,
    DeviceOption,
    FamilyOption,
    FolderOption,
    JobsOption,
    SuiteOption,
    VariantsOption,
    check_device,
    choose_cases,
    choose_variants,
    output_option,
    pairs_option,
    to_path,
)
from knowncircuits.cli.printing import print_table, progress_bar, share_text
from knowncircuits.cli.stopping import stoppable
from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowncircuits.models.zoo import Zoo


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
def models_list(
    case: CasesOption = None,
    suite: SuiteOption = None,
    family: FamilyOption = None,
    variant: VariantsOption = None,
    folder: FolderOption = None,
) -> None:
    """List the trained models with what their certificates say, and those that are missing."""
    from knowncircuits.models.zoo import SHIPPED, Zoo

    zoo = Zoo(folder) if folder else SHIPPED
    names, variants = choose_cases(case, suite, family), choose_variants(variant, "all")
    _print_models(zoo, _held(zoo, names, variants))
    _print_missing(zoo, names, variants)


@models_app.command("check")
def models_check(
    case: CasesOption = None,
    suite: SuiteOption = None,
    family: FamilyOption = None,
    variant: VariantsOption = None,
    folder: FolderOption = None,
    pairs: Annotated[int | None, pairs_option("New pairs for each model.")] = None,
) -> None:
    """Measure the trained models again on new pairs, by the certificate's quick form.

    Files, hashes and labels are compared too. Exits with 1 if anything is wrong.
    """
    from knowncircuits.models.zoo import PAIRS, SHIPPED, Zoo, check_model

    zoo = Zoo(folder) if folder else SHIPPED
    chosen = _held(zoo, choose_cases(case, suite, family), choose_variants(variant, "all"))
    if not chosen:
        raise InputError(f"expected trained models in {zoo.folder}, got none")
    checked, wrong = 0, 0

    def so_far() -> str:
        return f"{checked} of {len(chosen)} models checked, {wrong} with problems"

    with stoppable(so_far), progress_bar() as progress:
        bar = progress.add_task("models", total=len(chosen))
        for name, kind in chosen:
            problems = check_model(zoo, name, kind, pairs or PAIRS)
            wrong += bool(problems)
            for problem in problems:
                print(f"{name} {kind}: {problem}")
            checked += 1
            progress.update(bar, advance=1, description=name)
    print(f"{len(chosen)} models, {wrong} with problems")
    raise typer.Exit(1 if wrong else 0)


@models_app.command("train")
def models_train(
    case: CasesOption = None,
    suite: SuiteOption = None,
    family: FamilyOption = None,
    variant: VariantsOption = None,
    jobs: JobsOption = 1,
    output: Annotated[Path, output_option("Folder of the models and of missing.json.")] = Path(
        "zoo"
    ),
    recipes: Annotated[
        Path | None,
        typer.Option(
            parser=to_path, help="Settings by case and variant; default: the shipped ones."
        ),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also what these settings were tried on in vain.")
    ] = False,
    pairs: Annotated[int, pairs_option("Pairs of the certificates.")] = 20_000,
    device: DeviceOption = "cpu",
) -> None:
    """Train and certify models by their recipes, by default seed0; this makes the shipped ones.

    Certified models go to OUTPUT/CASE/VARIANT, all others into OUTPUT/missing.json. Models that are
    there are left alone, and what was killed goes on where it last validated. Exits with 1 if a
    model is not certified.
    """
    from knowncircuits.models.zoo import RECIPES, Outcome, Zoo, make_models

    check_device(device)
    zoo, names = Zoo(output), choose_cases(case, suite, family)
    chosen = [(name, kind) for kind in choose_variants(variant, "seed0") for name in names]

    def say(outcome: Outcome) -> None:
        what = "certified" if outcome.certified else "not certified"
        size = f"{outcome.steps} steps, {outcome.seconds:.0f} s"
        print(f"{outcome.case} {outcome.variant}: {what}, {size}: {outcome.reason}", flush=True)

    def there() -> int:
        return sum(zoo.holds(name, kind) for name, kind in chosen)

    def so_far() -> str:
        return f"{there()} of {len(chosen)} models certified; the same command goes on"

    with stoppable(so_far):
        done = make_models(
            zoo,
            chosen,
            processes=jobs,
            n_pairs=pairs,
            device=device,
            recipes=recipes or RECIPES,
            retry=retry,
            on_outcome=say,
        )
    n = there()
    print(
        f"{len(chosen)} models: {n} certified, {len(chosen) - n} not; {len(done)} trained now; "
        f"in {output}"
    )
    raise typer.Exit(0 if n == len(chosen) else 1)


def _held(zoo: Zoo, names: Sequence[str], variants: Sequence[str]) -> list[tuple[str, str]]:
    """Those models that there are."""
    return [(name, kind) for kind in variants for name in names if zoo.holds(name, kind)]


def _print_models(zoo: Zoo, chosen: Sequence[tuple[str, str]]) -> None:
    from knowncircuits.models.zoo import Summary

    rows = []
    for name, variant in chosen:
        config, certificate = zoo.describe(name, variant)
        found = Summary.of(certificate)
        rows.append(
            (
                name,
                variant,
                f"{config.n_layers}x{config.n_heads}x{config.d_model}",
                f"{found.edges_in}/{found.edges_out}",
                share_text(found.accuracy),
                share_text(found.worst_inside[1]),
                share_text(found.worst_outside[1]),
                share_text(found.all_outside),
                share_text(found.random_sets[1]),
                share_text(found.largest_outside_effect[1]),
                share_text(found.smallest_inside_effect[1]),
                f"{found.pairs}" + (" (all)" if certificate.enumerated else ""),
            )
        )
    print(
        "sizes: layers x heads x d_model; edges: in/out. Agreement with the compiled model when\n"
        "nothing is patched, one edge, all outside edges, random sets; effects: share of answers\n"
        "that an edge changes"
    )
    columns = ["accuracy", "inside edge", "outside edge", "all outside", "random sets"]
    effects = ("largest outside effect", "smallest inside effect", "pairs")
    print_table(
        ("case", "variant", "sizes", "edges", *columns, *effects), rows, numbers=range(2, 12)
    )
    print(f"{len(rows)} models")


def _print_missing(zoo: Zoo, names: Sequence[str], variants: Sequence[str]) -> None:
    rows = [
        (case, kind, str(attempts[0].get("steps", "")), str(attempts[0].get("reason", "")))
        for case, variants in zoo.missing().items()
        for kind, attempts in variants.items()
        if case in names and kind in variants and attempts
    ]
    if rows:
        print(f"\n{len(rows)} could not be certified:")
        print_table(("case", "variant", "steps", "best attempt"), rows, numbers=[2])
