"""The library's errors. Only the command line turns them into messages and exit codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

MAX_LISTED = 20  # names that a message lists; of more it says the nearest
MAX_NAME = 60  # characters of a wrong name that it repeats


class KnownCircuitsError(Exception):
    """Base of every error that bad input can cause."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle would call `__init__` with the message, which is not what all of them take.
        return _restored, (type(self), self.args, self.__dict__)


class ProgramError(KnownCircuitsError):
    """A RASP program cannot be evaluated on this input."""


class ArgumentError(KnownCircuitsError):
    """An argument of another type than a function takes."""


class CompileError(KnownCircuitsError):
    """A program cannot be compiled; `reasons` lists everything that is wrong with it."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("the program cannot be compiled:\n" + "\n".join(f"- {r}" for r in reasons))


class InputError(KnownCircuitsError):
    """Tokens outside the vocabulary, an empty input, one that is too long."""


class GraphError(KnownCircuitsError):
    """Unknown edges or nodes, or vectors that do not fit the graph."""


class ShapeError(KnownCircuitsError):
    """A tensor of another shape than the primitive takes."""


class TaskError(KnownCircuitsError):
    """Pairs from which nothing could be learnt, such as corrupted equal to clean."""


class UndefinedError(TaskError):
    """A task on which what was asked for is not defined, such as faithfulness on an even XOR."""


class ModelError(KnownCircuitsError):
    """A model that lacks what was asked of it."""


class MissedError(ModelError):
    """A model misses a threshold on a stratum of its certificate; no more was measured."""

    def __init__(self, stratum: str, missed: str) -> None:
        self.stratum = stratum
        super().__init__(f"stratum {stratum}: {missed}")


class MethodError(KnownCircuitsError):
    """A discovery method that cannot be loaded, or options that it does not take."""


class ResultError(KnownCircuitsError):
    """Scores or result files that cannot be used."""


class SubmissionError(KnownCircuitsError):
    """A submission that is refused; `problems` lists everything that is wrong with it."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        self.name = name
        self.problems = tuple(problems)
        lines = "\n".join(f"- {problem}" for problem in problems)
        super().__init__(f"{name} is refused:\n{lines}")


class MissingExtraError(KnownCircuitsError, ImportError):
    """A package that an extra installs, and that is not there."""


class TrackingError(KnownCircuitsError):
    """Weights & Biases is missing, not logged in or not reached."""


class UnknownNameError(KnownCircuitsError):
    """A name that is not in a registry, with the close ones."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        known, name = sorted(known), str(name)
        name = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
        if close := get_close_matches(name, known, n=3, cutoff=0.5):
            hint = f"did you mean {' or '.join(close)}?"
        elif len(known) <= MAX_LISTED:
            hint = f"known: {', '.join(known)}"
        else:
            nearest = get_close_matches(name, known, n=3, cutoff=0.0)
            hint = f"none of the {len(known)} known is close, the nearest are {', '.join(nearest)}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")


def _restored(
    kind: type[KnownCircuitsError], args: tuple[Any, ...], fields: dict[str, Any]
) -> KnownCircuitsError:
    """An error that comes from another process."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error
