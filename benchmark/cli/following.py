"""What `score` says of a run: progress, what was reused, computed anew or failed, and its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from knowncircuits.cli.printing import Output
from knowncircuits.cli.stopping import stoppable
from knowncircuits.work.showing import Shown, show_progress

if TYPE_CHECKING:
    from knowncircuits.evaluation.runs.failures import Failure
    from knowncircuits.evaluation.runs.results import Result


@dataclass
class Followed:
    """What has come of a run so far."""

    total: int
    shown: Shown
    computed: int = 0
    reused: int = 0
    stale: set[str] = field(default_factory=set)  # labels of methods with results of other code
    failures: list[Failure] = field(default_factory=list)

    def on_result(self, result: Result) -> None:
        """Count a result, and say once of a method that its results were stale."""
        self.computed += result.fresh
        self.reused += not result.fresh
        if result.stale and result.label not in self.stale:
            self.stale.add(result.label)
            self.shown.say(
                f"{result.label}: results of other code than it has now are computed anew"
            )
        self.shown.advance()

    def on_failure(self, failure: Failure) -> None:
        """Keep a failure for the end, and show it as it happens."""
        self.failures.append(failure)
        if failure.fresh:
            self.shown.say(f"failed: {failure}")
        self.shown.advance()

    def so_far(self) -> str:
        """What is done when a run is stopped."""
        done, failed = self.computed + self.reused, len(self.failures)
        return (
            f"{done} of {self.total} results are there"
            + (f", {failed} failed" if failed else "")
            + "; the same command goes on with the others"
        )

    def print_end(self, folder: Path, to: Output) -> None:
        """Print how many results there are, then the failures; exit with 1 if there are any."""
        n = self.computed + self.reused
        reused = f", {self.reused} of them reused" if self.reused else ""
        to.say(f"{n} result files in {folder}{reused}")
        if self.failures:
            print(f"{len(self.failures)} of {self.total} failed:", file=sys.stderr)
            for failure in self.failures:
                print(f"  {failure}", file=sys.stderr)
            if not all(failure.fresh for failure in self.failures):
                print("--retry tries again what failed in an earlier run", file=sys.stderr)
            raise typer.Exit(1)


@contextmanager
def follow_runs(total: int) -> Iterator[Followed]:
    """Show progress over so many results; a signal ends the work within with what is done."""
    followed: Followed | None = None

    def so_far() -> str:
        return followed.so_far() if followed else "nothing is done"

    with stoppable(so_far), show_progress("score", total) as shown:
        followed = Followed(total, shown)
        yield followed
