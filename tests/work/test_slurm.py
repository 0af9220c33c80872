"""Jobs in packs through submitit: by its local executor, of real processes without SLURM."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from jobs import late, square
from knowncircuits.errors import InputError
from knowncircuits.work.choosing import choose_executor
from knowncircuits.work.executor import KilledError, run_jobs
from knowncircuits.work.slurm import Pack, Slurm


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """`jobs` in tasks, which start anew."""
    monkeypatch.setenv("PYTHONPATH", str(root / "tests"))


def local(folder: Path, n: int = 2) -> Slurm:
    return Slurm(n, cluster="local", folder=folder)


def test_a_pack_does_what_is_left_of_it() -> None:
    """Errors and kills cost a job each, as in processes."""
    pack = Pack(square, range(5))
    pack.done[4] = None, "done before"
    found = pack.checkpoint().function()
    assert [found[place][1] for place in (0, 1, 4)] == [0, 1, "done before"]
    assert isinstance(found[2][0], KilledError)
    assert "OwnError: 1 and 2" in str(found[3][0])


@pytest.mark.long
def test_jobs_go_through_submitit(tmp_path: Path) -> None:
    jobs = run_jobs(square, range(6), local(tmp_path), when_killed=lambda job, error: -job)
    found: list[int] = []
    with pytest.raises(RuntimeError, match="OwnError: 1 and 2"):
        found.extend(jobs)
    assert sorted(found) == [-2, 0, 1, 16, 25]


@pytest.mark.long
def test_a_preempted_pack_is_requeued_with_what_it_has_done(tmp_path: Path) -> None:
    """The signal comes in the middle of the second of three jobs."""
    log = tmp_path / "log"
    executor = local(tmp_path / "submitit", 1)
    task = executor._submitter().submit(Pack(late, [(str(log), n) for n in range(3)]))
    while not log.exists() or len(log.read_text().split()) < 2:
        assert not task.done()
        time.sleep(0.05)
    (pid,) = {int(word.split(":")[1]) for word in log.read_text().split()}
    starter = int(Path(f"/proc/{pid}/stat").read_text().split()[3])
    os.kill(starter, signal.SIGUSR2)
    assert [done for _, done in task.result().values()] == [0, 1, 4]
    begun = [word.split(":")[0] for word in log.read_text().split()]
    assert begun == ["0", "1", "1", "2"]


def test_options_are_submitits(tmp_path: Path) -> None:
    chosen = choose_executor("slurm", 3, {"cluster": "local", "folder": str(tmp_path), "mem_gb": 4})
    assert chosen == Slurm(3, {"mem_gb": 4}, "local", tmp_path)
    for options in ({"cluster": "local", "nodes": 2}, {"cluster": "nowhere"}, {"no_such": 1}):
        with pytest.raises(InputError, match="submitit: "):
            choose_executor("slurm", 1, {"folder": str(tmp_path), **options})
    with pytest.raises(InputError, match="no --executor-option with local, got mem_gb"):
        choose_executor("local", 1, {"mem_gb": 4})
    with pytest.raises(InputError, match="at most 64 jobs on one machine, got 65"):
        choose_executor("local", 65, {})
