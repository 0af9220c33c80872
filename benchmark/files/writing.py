"""Files and folders written whole: a kill or a full disk leaves the old one or the new one.

What is new is written beside what is there, under a name that begins with a dot, sent to the disk,
and then takes its place by one rename. What a killed process has left of this is taken away when
the same file or folder is written again. Where a path is a symbolic link, what it leads to is
written and the link stays. Devices, pipes and folders are never replaced by a file.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from knowncircuits.errors import ResultError

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's renameat2
ASIDE = ".old"  # after the name of a folder that waits for the new one


def write_text(path: str | Path, text: str, *, lasting: bool = True) -> None:
    """Write UTF-8 text whole or not at all; see `write_bytes`."""
    write_bytes(path, text.encode(), lasting=lasting)


def write_bytes(path: str | Path, data: bytes, *, lasting: bool = True) -> None:
    """Write a file whole or not at all.

    Args:
        path: a new file, or a regular one to be replaced.
        data: what is to be in it.
        lasting: wait until it is on the disk.

    Raises:
        ResultError: if the folder cannot be written to, or something else has that name.
    """
    path = Path(os.path.realpath(path))
    try:
        new_folders = [p for p in (path.parent, *path.parent.parents) if not p.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_regular(path)
        _remove_leftovers(path)
        temporary = _beside(path)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                if lasting:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        if lasting:
            for folder in (path.parent, *(p.parent for p in new_folders)):
                _sync(folder)
    except OSError as error:
        raise ResultError(f"cannot write {path}: {error.strerror or error}") from error


def _check_regular(path: Path) -> None:
    """Raise ResultError for what is there and is no regular file."""
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise ResultError(f"expected a regular file or a new one, got {path}, which is neither")


@contextmanager
def whole_folder(folder: Path, ours: Callable[[str], bool]) -> Iterator[Path]:
    """An empty folder to write into; it takes the place of `folder`, by one rename, at the end.

    Where the block raises, nothing changes.

    Args:
        folder: a new one, or one to be replaced.
        ours: whether a file, by its path from the folder, is one of those that are replaced or
            go. All others stay.

    Raises:
        ResultError: if that fails, or `folder` cannot be replaced; see `check_replaceable`.
    """
    folder = Path(os.path.realpath(folder))
    check_replaceable(folder)
    new = _beside(folder)
    try:
        _remove_leftovers(folder)
        new.mkdir()
        try:
            yield new
            if folder.exists():
                _keep_others(folder, new, ours)
            for path in (*new.rglob("*"), new):
                _sync(path)
            _put_in_place(new, folder)
            _sync(folder.parent)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise ResultError(f"cannot write {folder}: {error.strerror or error}") from error


def check_replaceable(folder: Path) -> None:
    """Raise ResultError where no other folder can take this one's place by a rename."""
    folder = Path(os.path.realpath(folder))
    if folder.exists() and not folder.is_dir():
        raise ResultError(f"expected a folder or a new one, got {folder}, which is neither")
    if Path.cwd().is_relative_to(folder) or os.path.ismount(folder):
        raise ResultError(
            f"expected a folder that can be replaced as a whole, got {folder}, which is in use; "
            "name one below it"
        )
    check_writable(folder.parent)


def check_writable(folder: Path) -> None:
    """Make the folder; raises ResultError where that, or writing into it, is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultError(f"cannot write to {folder}: {error.strerror or error}") from error


def _beside(path: Path) -> Path:
    """Where this process writes what will be `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def _remove_leftovers(path: Path) -> None:
    """Take away what processes that do not run any more left beside a path.

    A folder that was moved aside for one that never came goes back.
    """
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)(?:{re.escape(ASIDE)})?")
    for entry in os.scandir(path.parent):
        match = pattern.fullmatch(entry.name)
        if not match or _runs(int(match[1])):
            continue
        if entry.name.endswith(ASIDE) and not path.exists():
            os.rename(entry.path, path)
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _runs(pid: int) -> bool:
    """Whether another process of this number runs; where that cannot be told, it does."""
    if pid == os.getpid():
        return False
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _keep_others(folder: Path, new: Path, ours: Callable[[str], bool]) -> None:
    """Put what is not ours into the new folder too, as further names of the same files."""

    def going(place: str, names: list[str]) -> list[str]:
        inside = Path(place).relative_to(folder)
        # A killed write of a file of ours has left `.NAME.PID`.
        written = {name: re.sub(r"^\.(.+)\.\d+$", r"\1", name) for name in names}
        return [name for name in names if ours((inside / written[name]).as_posix())]

    shutil.copytree(
        folder, new, symlinks=True, ignore=going, copy_function=_link, dirs_exist_ok=True
    )


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system may have no links
        shutil.copy2(source, target)


def _put_in_place(new: Path, folder: Path) -> None:
    """Rename one folder to the other; what was there is at `new` afterwards, or gone."""
    if not folder.exists():
        new.rename(folder)
    elif not _exchange(new, folder):
        aside = new.with_name(new.name + ASIDE)
        folder.rename(aside)
        try:
            new.rename(folder)
        except OSError:
            aside.rename(folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if renameat2 is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0)


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    if path.is_symlink() or os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
