"""Our own rows of the board: what is run for each, so that one command makes all of them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from knowncircuits.errors import UnknownNameError
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.leaderboard.making import from_results
from knowncircuits.leaderboard.submission import write_submission
from knowncircuits.models.choices import DEFAULT_ZOO
from knowncircuits.work.executor import HERE, Executor

if TYPE_CHECKING:
    from knowncircuits.evaluation.runs.failures import Failure
    from knowncircuits.evaluation.runs.results import Result

PLACE = Path(__file__).parent / "submissions" / f"zoo{DEFAULT_ZOO}"
_METHODS = (
    *("exact", "eap", "eap-ig-inputs", "eap-ig-activations", "clean-corrupted", "acdc", "sp"),
    *("edge-sp", "nap", "nap-ig", "peap", "relp", "gim", "atp-star", "eap-gp", "ifr"),
    *("hisp", "activation", "bootstrap", "coax"),
)
_CONTROLS = ("random", "truth", "inverted-truth", "depth", "shortness", "from-embed")
ROWS: Mapping[str, Settings] = {
    row.name: row
    for row in (
        *map(Settings, _METHODS),
        Settings("exact", options={"by": "denoising"}, label="exact-denoising"),
        Settings("ifr", options={"extract": "routes"}, label="ifr-routes"),
        Settings("relp", options={"rules": ["ln", "ah", "identity", "half"]}, label="relp-ah"),
        # Of their defaults they take five times as long and more.
        Settings("vote", options={"of": "eap"}, label="vote-eap"),
        Settings(
            "ensemble",
            options={"of": ["eap", "eap-ig-inputs", "clean-corrupted"]},
            label="ensemble-eap",
        ),
        *map(Settings, _CONTROLS),
    )
}


def chosen_rows(names: Sequence[str]) -> list[Settings]:
    """The rows of these names, or all; raises UnknownNameError for a name that no row has."""
    for name in names:
        if name not in ROWS:
            raise UnknownNameError("row of the board", name, ROWS)
    return [ROWS[name] for name in dict.fromkeys(names or ROWS)]


def renew(
    rows: Sequence[Settings],
    models: Sequence[tuple[str, str]],
    results: Path,
    place: Path = PLACE,
    *,
    executor: Executor = HERE,
    on_result: Callable[[Result], None] = lambda result: None,
    on_failure: Callable[[Failure], None] | None = None,
) -> list[Path]:
    """Run rows, and write a submission of each that ran on all models.

    Args:
        rows: what is run.
        models: cases and variants of zoo 1.
        results: the folder of the result files; what an equal run has left there is read back.
        place: the folder of the submissions.
        executor: who does the work; by default this process.
        on_result: told of each result.
        on_failure: told of each failure; by default the first is raised in the end.

    Returns:
        The folders of the submissions that were written.

    Raises as `run` does.
    """
    from knowncircuits.evaluation.runs.running import run

    found = run(
        rows,
        models,
        results,
        executor=executor,
        on_result=on_result,
        on_failure=on_failure,
    )
    of_rows = [[result for result in found if result.label == row.name] for row in rows]
    return [
        write_submission(from_results(of_row), place)
        for of_row in of_rows
        if len(of_row) == len(models)
    ]
