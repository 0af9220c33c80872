"""The command that draws random programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.cli.options import output_option, seed_option
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    from knowncircuits.cases.written import Written


MOST = 100  # more than any program has


def to_range(text: str | range) -> range:
    """A number, or as 2-5 all from one to another."""
    if isinstance(text, range):  # a default
        return text
    first, dash, last = text.partition("-")
    try:
        low, high = int(first), int(last if dash else first)
    except ValueError:
        low, high = 0, 0
    if not 1 <= low <= high <= MOST:
        raise typer.BadParameter(f"expected a number up to {MOST}, or two like 2-5, got {text!r}")
    return range(low, high + 1)


def range_option(text: str, default: str) -> Any:
    """A number or a range of them."""
    return typer.Option(
        metavar="N[-N]",
        parser=to_range,
        show_default=default,
        help=f"{text}: a number, or a range like 2-5.",
    )


# What random programs are like, wherever some are drawn.
SizeOption = Annotated[range, range_option("Steps of a program", "2-6")]
DepthOption = Annotated[range, range_option("Steps on its longest path", "2-4")]
FanInOption = Annotated[range, range_option("Variables that its widest step reads", "1-3")]


def generate(
    output: Annotated[Path, output_option("File of the programs: .json.")],
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, max=100_000, help="How many programs.")
    ] = 10,
    size: SizeOption = range(2, 7),
    depth: DepthOption = range(2, 5),
    fan_in: FanInOption = range(1, 4),
    seed: Annotated[int, seed_option("Seed of the programs.")] = 0,
    again: Annotated[
        bool,
        typer.Option("--again", help="Allow programs that are shipped: to make these once more."),
    ] = False,
) -> None:
    """Draw random programs, no two alike, whose circuits can be found, and write them as data.

    Sizes, depths and fan-ins that a program can have take turns. None is like a case that there is;
    none is degenerate; each true edge alone is detected in a twentieth of the case's pairs.
    """
    from knowncircuits.cases.drawing import shapes_within
    from knowncircuits.cases.generated import generated_cases
    from knowncircuits.cases.registry import CASES
    from knowncircuits.cases.written import write_written
    from knowncircuits.evaluation.catalogue.generating import generate
    from knowncircuits.files.writing import check_writable

    shapes = shapes_within(size, depth, fan_in)
    there = {**CASES, **({} if again else generated_cases())}
    check_writable(output.parent)
    with show_progress("generate", number) as shown:

        def say(program: Written) -> None:
            print(
                f"{program.name}: {program.size} steps, {program.depth} deep, fan-in "
                f"{program.fan_in}; {program.tokens} tokens, up to {program.max_len}",
                flush=True,
            )
            shown.advance()

        programs = generate(number, shapes, seed, there=there.values(), on_program=say)
    write_written(programs, output)
    print(f"{len(programs)} programs of {len(shapes)} shapes; wrote {output}")
