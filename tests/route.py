"""The way of a program through the compiler: which files it enters, and how often it comes back.

    python tests/route.py balanced_parentheses

It is the way of someone who reads along: a function is read where it is called first, and after it
the rest of its caller. A stay is what is read of one file before another; a return is a stay in a
file that was left before.
"""

from __future__ import annotations

import argparse
import enum
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType

from knowncircuits.cases.registry import CASES
from knowncircuits.compiler.compile import compile_program

PACKAGE = "knowncircuits."
ROOMS = ("rasp", "compiler")
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")  # read with what is around


class _Unread(enum.Enum):
    """Why a call is not read."""

    KNOWN = enum.auto()
    NO_FUNCTION_OF_OURS = enum.auto()


@dataclass(frozen=True)
class Route:
    """The modules of all stays, in their order."""

    stays: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """In the order in which they are entered."""
        return tuple(dict.fromkeys(self.stays))

    @property
    def returns(self) -> int:
        """How many stays are in a file that was left before."""
        return len(self.stays) - len(self.files)

    def within(self, *rooms: str) -> Route:
        """The way as one goes it who looks at nothing but these rooms."""
        inside = [stay for stay in self.stays if stay.partition(".")[0] in rooms]
        return Route(tuple(stay for stay, _ in itertools.groupby(inside)))

    def __str__(self) -> str:
        return f"{len(self.stays)} stays in {len(self.files)} files, {self.returns} returns"


class _Reader:
    """Follows calls, and reads each function once; there is nothing to read of generated ones."""

    def __init__(self) -> None:
        self.stays: list[str] = []
        self.known: set[CodeType] = set()
        # Of each call under way the module where it is read, or why it is not.
        self.under_way: list[str | _Unread] = []

    def follow(self, frame: FrameType, event: str, _: object) -> None:
        """See `sys.setprofile`."""
        if event == "call":
            self.under_way.append(self.enter(frame.f_code, frame.f_globals["__name__"]))
            self.read_on()
        elif event == "return" and self.under_way and isinstance(self.under_way.pop(), str):
            self.read_on()

    def enter(self, code: CodeType, module: str) -> str | _Unread:
        """The module of a function that is to be read."""
        is_written = not code.co_filename.startswith("<")
        if not (module.startswith(PACKAGE) and is_written) or code.co_name in COMPREHENSIONS:
            return _Unread.NO_FUNCTION_OF_OURS
        if code in self.known:
            return _Unread.KNOWN
        self.known.add(code)
        return module.removeprefix(PACKAGE)

    def read_on(self) -> None:
        """Read on in the innermost function, if it is one to read."""
        ours = (at for at in reversed(self.under_way) if at is not _Unread.NO_FUNCTION_OF_OURS)
        here = next(ours, _Unread.KNOWN)
        if isinstance(here, str) and self.stays[-1:] != [here]:
            self.stays.append(here)


def route_of(work: Callable[[], object]) -> Route:
    """The way that some work takes through the package."""
    reader = _Reader()
    sys.setprofile(reader.follow)
    try:
        work()
    finally:
        sys.setprofile(None)
    return Route(tuple(reader.stays))


def compile_route(name: str) -> Route:
    """The way of a case's program."""
    case = CASES[name]
    vocabulary = case.vocabulary()
    return route_of(
        lambda: compile_program(case.program, vocabulary, causal=case.causal, inputs=case.inputs)
    )


def main() -> None:
    """Print the files in the order in which they are entered, and how many stays there are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=CASES, metavar="CASE", help="a case's name")
    route = compile_route(parser.parse_args().case)
    print(*route.within(*ROOMS).files, sep="\n")
    print(f"compiler: {route.within('compiler')}")
    print(f"rasp and compiler: {route.within(*ROOMS)}")
    print(f"the whole package: {route}")


if __name__ == "__main__":
    main()
