"""How a command ends: with an exit code, and one line for whatever stopped it."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper

from knowncircuits.errors import KnownCircuitsError

BAD_INPUT = 2  # what was asked for cannot be done as it was asked, or not on this machine
FAULT = 70  # a fault of this program: `EX_SOFTWARE` of sysexits.h
TRACEBACK = "KNOWNCIRCUITS_TRACEBACK"  # set to anything, errors come with where they are from


def run_command(command: Callable[[], object]) -> int:
    """Run a command that exits by itself, with all that it prints written out; its exit code.

    0, and 1 where something that it checked is wrong, are the command's own; so are 2 for options
    that it does not take and 130 for an interrupt. Here come `BAD_INPUT` and `FAULT`, each after
    one line on standard error, and 1 without a word where nobody reads any more.
    """
    _prepare_streams()
    try:
        code = _exit_code(command)
        sys.stdout.flush()  # where the disk is full it fails now, not when nobody looks any more
    except Exception as error:
        code = _fail(error)
    _write_out()
    return code


def _exit_code(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0


def _fail(error: Exception) -> int:
    """Say what went wrong in a line: what the user can change, or that it is a fault of ours."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):
        return 1  # `| head` has seen enough
    if isinstance(error, KnownCircuitsError):
        return _refuse(str(error))
    if isinstance(error, OSError):
        return _refuse(_os_text(error))
    if _is_memory(error):
        return _refuse("out of memory; ask for less at a time, or fewer pairs, inputs or --jobs")
    what = f"{type(error).__name__}: {error}".partition("\n")[0]
    _say(f"fault of knowncircuits: {what} ({TRACEBACK}=1 shows where)")
    return FAULT


def _refuse(text: str) -> int:
    _say(f"error: {text}")
    return BAD_INPUT


def _say(text: str) -> None:
    with suppress(OSError):  # standard error can be full as well
        print(text, file=sys.stderr)


def _is_memory(error: Exception) -> bool:
    """Python's and NumPy's error, and those of torch, which on the CPU has no class for it."""
    texts = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
    )


def _os_text(error: OSError) -> str:
    where = "standard output" if error.filename is None else str(error.filename)
    if error.filename is None and error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
        return str(error)
    return f"cannot use {where}: {error.strerror or error}"


def _prepare_streams() -> None:
    """Let no character or closed stream stop a command."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write_out() -> None:
    """Write what is left to print, or drop it: Python would try again at exit, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
