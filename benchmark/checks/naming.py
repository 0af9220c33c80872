"""Numbers that have names, and numbers that have an order: which is which, and how each is read."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from knowncircuits.errors import GraphError


def named_values(data: Any, what: str) -> dict[str, Any] | None:
    """Values by name, of data that has names of its own; None for data that has an order alone.

    Where there are names they are read, so that a pandas Series says the same in any order. Named
    are mappings; a Series, by its index; and a frame with the column `score`, or with one column,
    by its column `edge`, or its index. A Series that pandas numbers from 0 in order has no names.

    Args:
        data: anything.
        what: what messages call it.

    Raises GraphError for a name that is there twice, and for named data of any other kind.
    """
    if isinstance(data, Mapping):
        return {str(name): value for name, value in data.items()}
    pandas: Any = sys.modules.get("pandas")  # nothing can be its before it is imported
    if pandas and isinstance(data, pandas.DataFrame):
        data = _scores_of_frame(data, what)
    if pandas and isinstance(data, pandas.Series):
        return _by_index(data, what)
    if hasattr(data, "coords"):  # xarray's
        raise GraphError(f"expected {what} as a dict or a Series, got a {type(data).__name__}")
    return None


def as_floats(values: Any) -> Float64[np.ndarray, "*shape"]:
    """An array, a tensor of any dtype on any device, or a sequence of numbers, as float64.

    Raises TypeError, ValueError or RuntimeError for what is no numbers.
    """
    if isinstance(values, list | tuple):
        values = [as_floats(value) if hasattr(value, "detach") else value for value in values]
    elif hasattr(values, "detach"):  # a tensor; numpy has no bfloat16
        values = values.detach().cpu()
        values = (values if values.is_complex() else values.double()).numpy()
    if np.iscomplexobj(values):
        raise TypeError("expected real numbers, got complex ones")
    return np.asarray(values, dtype=np.float64)


def _scores_of_frame(frame: Any, what: str) -> Any:
    """The one column of a pandas frame that holds scores, with their names as its index."""
    named = frame.set_index("edge") if "edge" in frame.columns else frame
    columns = list(named.columns)
    if "score" not in columns and len(columns) != 1:
        raise GraphError(
            f"expected {what} in a column `score` of the frame, got the columns "
            f"{', '.join(map(str, columns))}"
        )
    return named["score" if "score" in columns else columns[0]]


def _by_index(series: Any, what: str) -> dict[str, Any] | None:
    names = series.index
    if len(twice := names[names.duplicated()]):
        raise GraphError(f"expected every name once in {what}, got {twice[0]!r} several times")
    if list(names) == list(range(len(names))):
        return None
    return dict(zip(map(str, names), series.tolist(), strict=True))
