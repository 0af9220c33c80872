"""What every transformation is: a change of a wired model by parameters, and what it must keep."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from knowncircuits.checks.arguments import expect
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ArgumentError, ModelError
from knowncircuits.files.reading import first_problem
from knowncircuits.models.wired.wired import Step, Wired

P = ParamSpec("P")
# What only comes last, in this order: others know no norms, and lose what `confine` leaves out.
LAST = ("normalise", "confine")
# Before and after: what is measured, or ModelError where something is lost that must stay.
Check = Callable[[Wired, Wired], Mapping[str, float]]


class Transformation(Generic[P]):
    """A function from wired models to wired models that writes itself into their recipe.

    It takes a compiled model too. A model that its check refuses never comes to be.
    """

    def __init__(self, change: Callable[Concatenate[Wired, P], Wired], check: Check | None) -> None:
        """`change` makes the model, without its recipe; its parameters are plain data."""
        self._change, self._check = change, check
        self.name = change.__name__
        update_wrapper(self, change)
        self._signature = inspect.signature(change)
        hints = get_type_hints(change, include_extras=True)
        _, *parameters = self._signature.parameters.values()
        fields: dict[str, Any] = {
            p.name: (hints[p.name], ... if p.default is p.empty else p.default) for p in parameters
        }
        strict = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
        self._schema: type[BaseModel] = create_model(self.name, __config__=strict, **fields)

    def __call__(self, wired: Wired | Compiled, /, *args: P.args, **kwargs: P.kwargs) -> Wired:
        """The transformed model.

        Raises:
            ArgumentError: for parameters of another kind.
            ModelError: for those that do not fit the model, where the check refuses it, and after
                what only comes last.
        """
        try:
            given = self._signature.bind(wired, *args, **kwargs).arguments
        except TypeError as error:
            raise ArgumentError(f"expected other parameters of {self.name}: {error}") from None
        _, *names = given
        return self.apply(wired, {name: given[name] for name in names})

    def apply(
        self, wired: Wired | Compiled, parameters: Mapping[str, Any], *, checked: bool = True
    ) -> Wired:
        """As a call; a recipe that was checked before need not be checked again."""
        expect(wired, Wired | Compiled, "wired")
        before = Wired.of(wired) if isinstance(wired, Compiled) else wired
        last = next((step.transformation for step in before.recipe[::-1]), "")
        if last in LAST and self.name not in LAST[LAST.index(last) + 1 :]:
            raise ModelError(f"expected {last} as the last step, got {self.name} after it")
        try:
            known = self._schema.model_validate(dict(parameters))
        except ValidationError as error:
            problem = first_problem(error)
            raise ArgumentError(
                f"expected parameters of {self.name} ({', '.join(self._schema.model_fields)}), "
                f"got {problem}"
            ) from None
        said = {name: getattr(known, name) for name in self._schema.model_fields}
        after: Wired = self._change(before, **said)  # type: ignore[call-arg]
        found = self._check(before, after) if self._check and checked else {}
        step = Step(self.name, known.model_dump(mode="json"), found)
        return replace(after, recipe=(*before.recipe, step))


def transformation(
    check: Check | None = None,
) -> Callable[[Callable[Concatenate[Wired, P], Wired]], Transformation[P]]:
    """Make a function a transformation; one without a check changes nothing but by rounding."""
    return lambda change: Transformation(change, check)
