"""A value that a user gave, made what the annotation of its place says, or refused in one line."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, get_type_hints

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from knowncircuits.errors import KnownCircuitsError

# No setting of ours means anything at NaN or infinity.
CONFIG = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True, coerce_numbers_to_str=True)


def annotations_of(owner: Callable[..., Any]) -> dict[str, Any]:
    """What a function's parameters, or a dataclass's fields, are annotated with, ranges included.

    Without those that have no annotation, or one of names that cannot be looked up, such as names
    that are imported for type checkers alone.
    """
    module = sys.modules.get(getattr(owner, "__module__", ""))
    found: dict[str, Any] = {}
    for parameter in inspect.signature(owner).parameters.values():
        holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
        with suppress(NameError, AttributeError, TypeError, SyntaxError):
            found |= get_type_hints(holder, globalns=vars(module or {}), include_extras=True)
    empty = inspect.Parameter.empty
    return {name: annotation for name, annotation in found.items() if annotation is not empty}


def fit(value: Any, annotation: Any, what: str, error: type[KnownCircuitsError]) -> Any:
    """The value as the annotation has it: 1e3 is a whole number, and 0.1,1 a sequence of two.

    Args:
        value: as it was given, in Python or as text.
        annotation: a type, or an `Annotated` one with its range; what pydantic does not know is
            not checked.
        what: it is called in messages.
        error: what is raised for a value that does not fit.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=CONFIG)
    except PydanticUserError:
        return value
    refusals = []
    for candidate in _readings(value):
        try:
            return adapter.validate_python(candidate)
        except ValidationError as refusal:
            refusals.append(refusal.errors(include_url=False)[0])
    # What was refused inside a sequence says more than that a sequence was expected.
    told = max(refusals, key=lambda refusal: len(refusal["loc"]))
    wanted = told["msg"].removeprefix("Input should be ").partition(", unable")[0]
    wanted = wanted.partition(", got")[0]
    raise error(f"expected {what} to be {wanted}, got {short(value)}")


def short(value: object, length: int = 80) -> str:
    """A value as code, cut where it is long."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."


def fit_all(
    values: Mapping[str, Any], owner: Callable[..., Any], error: type[KnownCircuitsError]
) -> dict[str, Any]:
    """Every value as the owner's annotation of its name has it; see `fit`."""
    known = annotations_of(owner)
    return {name: fit(value, known.get(name, Any), name, error) for name, value in values.items()}


def _readings(value: Any) -> list[Any]:
    """What a value may stand for: itself, or a sequence that was written without brackets."""
    if isinstance(value, (np.ndarray, np.generic)):
        return [value, value.tolist()]
    if isinstance(value, str):
        return [value, value.split(",")]
    return [value, [value]] if isinstance(value, (int, float)) else [value]
