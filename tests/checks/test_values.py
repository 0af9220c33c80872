"""Values that users give are made what annotations say, or refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import Field

from knowncircuits.checks.values import annotations_of, fit
from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from fractions import Fraction

Count = Annotated[int, Field(ge=1)]


@pytest.mark.parametrize(
    ("given", "annotation", "wanted"),
    [
        (1e3, Count, 1000),
        ("1000", int, 1000),
        (np.int64(5), Count, 5),
        (1, float, 1.0),
        (np.float32(0.5), float, 0.5),
        ("0.1,1", Sequence[float], [0.1, 1.0]),
        ([0.1, 1], Sequence[float], [0.1, 1.0]),
        ((0.1, 1), Sequence[float], (0.1, 1.0)),
        (0.1, Sequence[float], [0.1]),
        (np.array([0.1, 1]), Sequence[float], [0.1, 1.0]),
        ("0.9,0.98", tuple[float, float], (0.9, 0.98)),
        ("clean", Literal["clean", "corrupted"] | None, "clean"),
        (None, Literal["clean", "corrupted"] | None, None),
        (5, str, "5"),
        ("a,b", str, "a,b"),
        (math.nan, Any, math.nan),
    ],
)
def test_what_fits(given: Any, annotation: Any, wanted: Any) -> None:
    found = fit(given, annotation, "it", InputError)
    assert repr(found) == repr(wanted)


@pytest.mark.parametrize(
    ("given", "annotation", "message"),
    [
        ("abc", int, "expected it to be a valid integer, got 'abc'"),
        (1.5, int, "expected it to be a valid integer, got 1.5"),
        (math.nan, Count, "expected it to be a finite number, got nan"),
        (math.inf, float, "expected it to be a finite number, got inf"),
        (0, Count, "expected it to be greater than or equal to 1, got 0"),
        ("0.1,x", Sequence[float], "expected it to be a valid number, got '0.1,x'"),
        ("dirty", Literal["clean", "corrupted"], "expected it to be 'clean' or 'corrupted', got"),
        ("[" * 3000, int, r"expected it to be a valid integer, got '\[{79}\.\.\.$"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(given: Any, annotation: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        fit(given, annotation, "it", InputError)
    assert "\n" not in str(caught.value)


def test_annotations_that_cannot_be_looked_up_are_left_out() -> None:
    def method(task: Any, *, steps: Count = 1, share: Fraction | None = None, free=2) -> None:  # type: ignore[no-untyped-def]
        pass

    assert annotations_of(method) == {"task": Any, "steps": Count}
