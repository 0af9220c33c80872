"""Jobs in actors of a real Ray cluster, of two nodes on this machine, which are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jobs import held, square, torch_threads
from knowncircuits.errors import InputError
from knowncircuits.files.shards import run_shards
from knowncircuits.work.actors import Actors
from knowncircuits.work.choosing import choose_executor
from knowncircuits.work.executor import run_jobs

ray = pytest.importorskip("ray", reason="needs the ray extra")

N_JOBS = 6


@pytest.fixture(scope="module")
def cluster(root: Path) -> Iterator[Any]:
    """One node; its processes can import `jobs`."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root / "tests"))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # by default they wait for all else
        patch.delenv("OMP_NUM_THREADS", raising=False)
        made = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


def begun(place: Path, n: int) -> list[int]:
    """The processes that have begun jobs, once there are so many of them."""
    log = place / "log"
    while not log.exists() or len(log.read_text().splitlines()) < n:
        time.sleep(0.05)
    return [int(line.partition(":")[2]) for line in log.read_text().splitlines()]


def node_of(pid: int) -> int:
    """The process of the node that a worker belongs to."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.long
def test_a_worker_and_a_node_are_lost_and_nothing_else(cluster: Any, tmp_path: Path) -> None:
    """Each loses the job that it is at, which is done again; no other is."""
    second = cluster.add_node(num_cpus=1)
    raylet = second.all_processes["raylet"][0].process.pid
    (tmp_path / "hold").touch()

    def disturb() -> None:
        try:
            first, other = sorted(begun(tmp_path, 2), key=lambda pid: node_of(pid) == raylet)
            os.kill(first, signal.SIGKILL)
            begun(tmp_path, 3)  # in another actor, on the first node
            cluster.remove_node(second, allow_graceful=False)
            os.kill(other, signal.SIGKILL)  # at once, as where a machine ends
        finally:
            (tmp_path / "hold").unlink()

    jobs = [(str(tmp_path), n) for n in range(N_JOBS)]
    there, content = tmp_path / "there", lambda job: job[1]
    with ThreadPoolExecutor(1) as thread:
        killing = thread.submit(disturb)
        found = dict(run_shards(held, jobs, there, content, Actors(2, {}, cluster.address)))
        killing.result()
    assert found == {job: job[1] ** 2 for job in jobs}
    assert len(begun(tmp_path, 0)) == N_JOBS + 2
    list(run_shards(held, jobs, tmp_path / "here", content))
    written = [
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (there, tmp_path / "here")
    ]
    assert written[0] == written[1]


@pytest.mark.long
def test_errors_and_kills_cost_one_job_each(cluster: Any) -> None:
    """As in processes; a job that has lost three actors is killed."""
    actors = Actors(1, {}, cluster.address)
    jobs = run_jobs(square, range(5), actors, when_killed=lambda job, error: -job)
    found: list[int] = []
    with pytest.raises(RuntimeError, match="OwnError: 1 and 2") as error:
        found.extend(jobs)
    assert found == [0, 1, -2, 16]
    assert "in square" in error.value.__notes__[0]
    assert list(run_jobs(torch_threads, [0], actors)) == [1]


def test_options_are_of_actors() -> None:
    chosen = choose_executor("ray", 3, {"address": "auto", "num_gpus": 1})
    assert chosen == Actors(3, {"num_gpus": 1}, "auto")
    for options in ({"no_such": 1}, {"num_cpus": "two"}, {"num_gpus": -1}):
        with pytest.raises(InputError, match="ray: "):
            choose_executor("ray", 1, options)
