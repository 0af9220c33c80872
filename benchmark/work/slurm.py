"""Jobs in arrays of SLURM, through submitit: in packs, requeued where they are preempted.

A pack is a task of the array. It does its jobs one after the other in a process of its own, so that
one for which memory does not suffice costs no other. Where SLURM takes the machine away, the pack
goes back into the queue with what it has done. https://github.com/facebookincubator/submitit
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic

from knowncircuits.errors import InputError
from knowncircuits.extras import missing
from knowncircuits.work.executor import Answer, Job, KilledError
from knowncircuits.work.processes import Processes
from knowncircuits.work.progress import Listener

PACKS = 8  # for each task that runs at a time, so that all end at about the same time
MOST_PACKS = 1_000  # which is what a cluster allows of an array, if nobody has changed it
SECONDS_BETWEEN_LOOKS = 0.2  # at files; submitit asks SLURM itself once in a minute


@dataclass(frozen=True)
class Slurm:
    """Runs jobs as an array of SLURM, n tasks at a time.

    Progress within a job is not reported.

    Raises MissingExtraError without submitit, InputError for options that it does not take.
    """

    n: int
    options: Mapping[str, Any] = field(default_factory=dict)  # submitit's: slurm_partition, mem_gb
    cluster: str = "slurm"  # or submitit's `local`: without SLURM, to try it
    folder: Path = Path(".submitit")  # of packs and logs, where all machines see it

    def __post_init__(self) -> None:
        if find_spec("submitit") is None:
            raise missing("submitit")
        self._submitter()

    def _submitter(self) -> Any:
        import submitit

        given = {"name": "knowncircuits", "cpus_per_task": 1, "timeout_min": 60}
        given |= {"slurm_array_parallelism": self.n, **self.options}
        try:
            submitter = submitit.AutoExecutor(self.folder, cluster=self.cluster)
            submitter.update_parameters(**given)
        except (RuntimeError, ValueError, TypeError, NameError, AssertionError) as error:
            raise InputError(f"submitit: {error}") from error
        return submitter

    def answers(
        self, work: Callable[[Job], Any], jobs: Sequence[Job], listener: Listener | None
    ) -> Generator[tuple[Job, Exception | None, Any]]:
        """See `Executor`."""
        if not jobs:
            return
        # All packs of submitit's own cluster run at once.
        n_packs = self.n if self.cluster == "local" else min(PACKS * self.n, MOST_PACKS)
        packs = [jobs[i::n_packs] for i in range(min(n_packs, len(jobs)))]
        submitter = self._submitter()
        with submitter.batch():
            submitted = [submitter.submit(Pack(work, pack)) for pack in packs]
        running = dict(zip(submitted, packs, strict=True))
        try:
            while running:
                for task in [task for task in running if task.done()]:
                    for place, (error, done) in _answers_of(task, len(running[task])):
                        yield running[task][place], error, done
                    del running[task]
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            for task in running:
                task.cancel()


def _answers_of(task: Any, n: int) -> Iterator[tuple[int, Answer]]:
    """By their places; a pack that has not come back was killed, and all of its jobs with it."""
    import submitit

    try:
        yield from task.result().items()
    except submitit.core.utils.UncompletedJobError as error:
        reason = str(error).partition("\n")[0]
        killed = KilledError(f"a task of {task.job_id} ended: {reason}; start again to go on")
        yield from ((place, (killed, None)) for place in range(n))


class Pack(Generic[Job]):
    """Jobs, and what has come of them."""

    def __init__(self, work: Callable[[Job], Any], jobs: Sequence[Job]) -> None:
        self.work, self.jobs = work, jobs
        self.done: dict[int, Answer] = {}

    def __call__(self) -> dict[int, Answer]:
        """Do what is left of them."""
        left = [(place, job) for place, job in enumerate(self.jobs) if place not in self.done]
        answers = Processes(1).answers(_Placed(self.work), left, None)
        for (place, _), error, done in answers:
            self.done[place] = error, done
        return self.done

    def checkpoint(self) -> Any:
        """What goes back into the queue; submitit asks for it."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(frozen=True)
class _Placed(Generic[Job]):
    """Work on jobs with their places."""

    work: Callable[[Job], Any]

    def __call__(self, placed: tuple[int, Job]) -> Any:
        return self.work(placed[1])
