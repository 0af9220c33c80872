"""What a value of a program can be, and which numbers count as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from fractions import Fraction
from typing import Any

import numpy as np

from knowncircuits.errors import ProgramError

Value = Hashable  # None, numbers, booleans, strings and tuples of them


def as_number(value: Value) -> float:
    """A number or boolean as a float; raises ProgramError for anything else, and beyond floats."""
    if not isinstance(value, (bool, int, float)):
        raise ProgramError(f"expected a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ProgramError(
            f"an integer of {int(value).bit_length()} bits is out of range"
        ) from None


def canonical(x: Value) -> Value:
    """The fraction, of a denominator up to 10,000, within 1e-9 of a float; without one the float.

    So that 0.1 + 0.2 and 0.3 are one value.
    """
    if not isinstance(x, float) or not math.isfinite(x) or x.is_integer():
        return x
    simple = float(Fraction(x).limit_denominator(10_000))
    return simple if abs(simple - x) < 1e-9 else x


def call(f: Callable[..., Any], name: str, *args: Value) -> Value:
    """`f(*args)`, checked: ProgramError, with the expression's name, for no usable value."""
    try:
        result = f(*args)
    except Exception as error:
        shown = ", ".join(map(repr, args))
        raise ProgramError(f"{name}: its function raised {error!r} on {shown}") from error
    if isinstance(result, np.generic):
        result = result.item()
    if not isinstance(result, (bool, int, float, str, tuple, type(None))):
        raise ProgramError(
            f"{name}: expected a number, boolean, string, tuple or None, got {result!r} for {args}"
        )
    if isinstance(result, float) and np.isnan(result):
        raise ProgramError(f"{name}: its function gave NaN on {', '.join(map(repr, args))}")
    return result


def try_call(f: Callable[..., Any], name: str, *args: Value) -> tuple[bool, Value]:
    """Whether a function has a value there, and which; raises as `call` for other errors.

    Arithmetic errors are no errors yet: the arguments may never occur together.
    """
    try:
        return True, call(f, name, *args)
    except ProgramError as error:
        if isinstance(error.__cause__, (ArithmeticError, ValueError)):
            return False, None
        raise
