"""Shards: what is done is not done again, and killed runs leave the bytes of whole ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs import digest
from knowncircuits.errors import ResultError
from knowncircuits.files import shards
from knowncircuits.files.shards import remove_shards, run_shards, shard_name
from knowncircuits.work.processes import Processes

ROOT = Path(__file__).parents[1]


def test_what_is_there_is_read_back_and_not_done_again(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "shards"

    def run(numbers: range, kept: Path | None = folder) -> dict[int, object]:
        jobs = [(str(log), n) for n in numbers]
        found = run_shards(digest, jobs, kept, lambda job: {"number": job[1]})
        return {job[1]: document for job, document in found}

    first = run(range(3))
    assert first == run(range(3), None)
    log.unlink()
    assert run(range(5)) == run(range(5), None)
    assert log.read_text().split() == ["3", "4", *"01234"]
    assert len(list(folder.iterdir())) == 5
    remove_shards(folder)
    assert not folder.exists()


def test_what_another_worker_has_written_meanwhile_is_not_done_again(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "shards"
    jobs = [(str(log), n) for n in range(2)]
    running = run_shards(digest, jobs, folder, lambda job: job[1])
    first = next(running)
    (other,) = run_shards(digest, jobs[1:], folder, lambda job: job[1])
    assert [first, *running] == [first, other]
    assert log.read_text().split() == ["0", "1"]


def test_a_name_is_of_the_content_and_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {shard_name(content) for content in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1})}
    assert len(names) == 2
    monkeypatch.setattr(shards, "_source_hash", lambda: "of other code")
    assert shard_name({"a": 1}) not in names


def test_a_broken_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / f"{shard_name(1)}.json").write_text('{"number"')
    with pytest.raises(ResultError, match="expected a shard"):
        list(run_shards(digest, [("", 1)], tmp_path, lambda job: job[1]))


def test_processes_write_what_this_one_does(tmp_path: Path) -> None:
    jobs = [(str(tmp_path / "log"), n) for n in range(6)]
    written = []
    for name, executor in (("here", Processes(1)), ("two", Processes(2))):
        list(run_shards(digest, jobs, tmp_path / name, lambda job: job[1], executor))
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert written[0] == written[1]


@pytest.mark.long
def test_killed_runs_leave_the_same_bytes() -> None:
    script = ROOT / "fuzz" / "shard_kills.py"
    command = [sys.executable, str(script), "--shards", "300", "--kills", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed 5 times, the same bytes" in done.stdout
