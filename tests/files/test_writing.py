"""Files and folders are written whole, in place of regular ones alone, and leave nothing behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from knowncircuits.errors import ResultError
from knowncircuits.files import writing
from knowncircuits.files.writing import check_replaceable, whole_folder, write_bytes, write_text

DEAD = 2**22 + 1  # no process has such a number


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_text(path, "å")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make devices")
def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """A copy of /dev/null: with the fault of old, the machine's own would be lost."""
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with pytest.raises(ResultError, match="expected a regular file or a new one"):
        write_text(device, "text")
    assert stat.S_ISCHR(device.stat().st_mode)


def test_neither_are_pipes_and_folders(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ResultError, match="expected a regular file or a new one"):
            write_text(tmp_path / name, "text")
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]
    with pytest.raises(ResultError, match="expected a folder or a new one"):
        check_replaceable(tmp_path / "pipe")


def test_through_a_link_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    for text in ("new", "newer"):
        write_text(tmp_path / "link", text)
        assert (tmp_path / "elsewhere" / "file").read_text() == text
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ResultError, match="expected a regular file or a new one"):
        write_text(tmp_path / "loop", "text")


def test_what_killed_processes_left_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    kept = [".file.1", ".file.x", ".files.1", f".other.{DEAD}"]  # process 1 runs
    for name in (*kept, f".file.{DEAD}", f".file.{os.getpid()}"):
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "file", "whole")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "file"])


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (tmp_path / f".folder.{DEAD}").mkdir()
    for before, text in ((None, "one"), ("one", "two")):
        with whole_folder(folder, lambda name: name == "sub/file") as new:
            write_text(new / "sub" / "file", text)
            there = folder / "sub" / "file"
            assert (there.read_text() if folder.exists() else None) == before
        assert (folder / "sub" / "file").read_text() == text
        (folder / "sub" / "mine").write_text("kept")
    assert (folder / "sub" / "mine").exists()
    assert os.listdir(tmp_path) == ["folder"]


def test_so_it_is_where_names_cannot_be_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_exchange", lambda one, other: False)
    test_a_folder_is_replaced_as_a_whole(tmp_path)
    # Killed between the two renames: what was moved aside goes back.
    (tmp_path / "folder").rename(tmp_path / f".folder.{DEAD}.old")
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "folder", lambda name: True):
        raise RuntimeError
    assert (tmp_path / "folder" / "sub" / "mine").read_text() == "kept"
    assert os.listdir(tmp_path) == ["folder"]


def test_where_the_block_fails_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    def fill() -> None:
        with whole_folder(tmp_path / "folder", lambda name: True) as new:
            (new / "half").write_text("half")
            raise OSError(28, os.strerror(28))

    with pytest.raises(ResultError, match="cannot write .*: No space left on device"):
        fill()
    assert os.listdir(tmp_path) == ["folder"]
    assert not os.listdir(tmp_path / "folder")


def test_folders_in_use_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    for folder in (tmp_path, Path(), Path("/proc")):
        with pytest.raises(ResultError, match="can be replaced as a whole, got .* in use"):
            check_replaceable(folder)
    check_replaceable(Path("new"))


def test_killed_while_it_is_written(tmp_path: Path) -> None:
    """The old file stays, and the next write leaves nothing beside the new one."""
    path = tmp_path / "file"
    write_text(path, "old")
    code = (
        "import os, sys, signal; from knowncircuits.files.writing import write_text\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_text(sys.argv[1], 'new')"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -9
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    write_text(path, "newer")
    assert os.listdir(tmp_path) == ["file"]
