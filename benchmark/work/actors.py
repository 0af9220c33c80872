"""Jobs in actors of a Ray cluster, which may lose workers and whole nodes, and no job with them.

An actor is a process that does one job after the other; what all jobs need, such as a model, it is
given once. Where one is lost, its job waits again, and another actor starts where there is room.
https://docs.ray.io
"""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic

from knowncircuits.errors import InputError, ResultError
from knowncircuits.extras import missing
from knowncircuits.work.executor import Answer, Job, KilledError, answer_of
from knowncircuits.work.processes import use_one_thread
from knowncircuits.work.progress import Listener

MOST_LOSSES = 3  # of actors in a row with one job: it may be what ends them
START = -1  # what an actor is at before its first job, in the place of a job's number


@dataclass(frozen=True)
class Actors:
    """Runs jobs in up to n actors of a Ray cluster, fewer where there is no room for n.

    Progress within a job is not reported.

    Raises MissingExtraError without Ray, InputError for options that its actors do not take.
    """

    n: int
    options: Mapping[str, Any] = field(default_factory=dict)  # of actors: num_cpus, memory
    address: str | None = None  # by default RAY_ADDRESS, a cluster that runs here, or a new one

    def __post_init__(self) -> None:
        if find_spec("ray") is None:
            raise missing("ray")
        self._actor_class()

    def _actor_class(self) -> Any:
        import ray

        try:
            return ray.remote(_Actor).options(**{"num_cpus": 1, **self.options})
        except (TypeError, ValueError) as error:
            raise InputError(f"ray: {error}") from error

    def _connect(self) -> None:
        """Connect this process, once and until it ends; raises InputError if that fails."""
        import ray

        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a cluster that starts here
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(self.address, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # of its own some are no more than that
            raise InputError(f"ray: {error}") from error
        finally:
            if signal.getsignal(signal.SIGTERM) is not handler:
                signal.signal(signal.SIGTERM, handler)  # Ray has put its own in its place

    def answers(
        self, work: Callable[[Job], Any], jobs: Sequence[Job], listener: Listener | None
    ) -> Generator[tuple[Job, Exception | None, Any]]:
        """See `Executor`; killed is a job only when it has lost three actors."""
        if not jobs:
            return
        self._connect()
        import ray

        actor_class, held, folder = self._actor_class(), ray.put(work), str(Path.cwd())
        waiting, losses = deque(range(len(jobs))), Counter[int]()
        running: dict[Any, tuple[Any, int]] = {}  # by what Ray will answer: the actor, and its job
        try:
            while waiting or any(job != START for _, job in running.values()):
                n_starting = sum(job == START for _, job in running.values())
                for _ in range(min(self.n - len(running), len(waiting) - n_starting)):
                    actor = actor_class.remote(held, folder)
                    running[actor.start.remote()] = actor, START
                (ready,), _ = ray.wait(list(running))
                actor, number = running.pop(ready)
                error, done = _answer(ready)
                lost = isinstance(error, KilledError)
                losses[number] = losses[number] + 1 if lost else 0
                if lost and losses[number] == MOST_LOSSES and number == START:
                    raise ResultError(f"no actor of Ray could start: {error}")
                tried_again = lost and losses[number] < MOST_LOSSES
                if tried_again and number != START:
                    waiting.appendleft(number)
                if lost or not waiting:
                    ray.kill(actor)  # also one that is lost, but goes on where nobody hears of it
                else:
                    following = waiting.popleft()
                    running[actor.answer.remote(jobs[following])] = actor, following
                if number != START and not tried_again:
                    yield jobs[number], error, done
        finally:
            for actor, _ in running.values():
                ray.kill(actor)


def _answer(ready: Any) -> Answer:
    """What Ray answers, with KilledError where the actor was lost.

    Raises ResultError for an actor whose own start has failed, as another one's would.
    """
    import ray
    from ray.exceptions import RayActorError, RayError, RayTaskError

    try:
        answer: Answer = ray.get(ready)
    except RayTaskError as error:  # of an answer that pickle cannot carry
        return error, None
    except RayError as error:
        if isinstance(error, RayActorError) and error.actor_init_failed:
            reason = str(error).strip().splitlines()[-1]
            raise ResultError(f"an actor of Ray could not start: {reason}") from error
        reason = str(error).strip().partition("\n")[0]
        return KilledError(f"{reason} Lost {MOST_LOSSES} times; start again to go on"), None
    return answer


class _Actor(Generic[Job]):
    """A process that does jobs, in the folder of who asks for them."""

    def __init__(self, work: Callable[[Job], Any], folder: str) -> None:
        use_one_thread()
        os.chdir(folder)
        self.work = work

    def start(self) -> Answer:
        """Nothing has failed, and nothing is done."""
        return None, None

    def answer(self, job: Job) -> Answer:
        """See `answer_of`."""
        return answer_of(self.work, job)
