"""Types and shapes checked at every call, by jaxtyping's import hook, with a cheaper decorator.

jaxtyping's own binds arguments to names, opens a scope of axis names and checks arguments twice, at
every call. Most functions have no array among their types: beartype alone checks as much of them.
The others are checked in a scope, and once.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import AbstractArray, TypeCheckError, jaxtyped

Decorator = Callable[[Any], Any]

# As for mypy, an int serves as a float; Self is not checked, as beartype cannot method by method.
# jaxtyping takes an expression.
BEARTYPE = (
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True, "
    "hint_overrides=beartype.FrozenDict({beartype.typing.Self: object})))"
)


def install(package: str) -> None:
    """Check all calls of the package's functions; before it is imported."""
    jaxtyping.install_import_hook(package, BEARTYPE)
    # What the hook writes before every function and class, by this name.
    jaxtyping.jaxtyped = checked  # type: ignore[assignment]


def checked(what: Any = None, *, typechecker: Decorator) -> Any:
    """A function with its checks; a dataclass whose `__init__` has them, any other class as it is.

    They raise `TypeCheckError`, unless `jaxtyping_disable` is set.
    """
    if what is None:
        return functools.partial(checked, typechecker=typechecker)
    if inspect.isclass(what):
        if dataclasses.is_dataclass(what) and not hasattr(what.__init__, "__wrapped__"):
            what.__init__ = checked(what.__init__, typechecker=typechecker)
        return what
    if not isinstance(what, FunctionType) or inspect.isgeneratorfunction(what):
        return jaxtyped(what, typechecker=typechecker)  # which leaves alone what is yielded
    return _with_checks(what, typechecker)


def _with_checks(function: FunctionType, typechecker: Decorator) -> Callable[..., Any]:
    hints = {
        name: _resolved(hint, function.__globals__)
        for name, hint in function.__annotations__.items()
    }
    typed = typechecker(_copy(function, hints))

    @functools.wraps(function)
    def without_arrays(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        try:
            return typed(*args, **kwargs)
        except BeartypeCallHintViolation as error:
            raise TypeCheckError(str(error)) from error

    @functools.wraps(function)
    def with_arrays(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        try:
            with jaxtyped("context"):
                return typed(*args, **kwargs)
        except BeartypeCallHintViolation as error:
            raise TypeCheckError(str(error)) from error

    return with_arrays if any(map(_has_array, hints.values())) else without_arrays


def _copy(function: FunctionType, hints: dict[str, Any]) -> FunctionType:
    """The same function under other annotations."""
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__, copy.__qualname__ = function.__kwdefaults__, function.__qualname__
    copy.__module__, copy.__annotations__ = function.__module__, hints
    return copy


def _resolved(hint: Any, names: dict[str, Any]) -> Any:
    """A hint that may be written as text; Any where it names what is not there yet."""
    holder = FunctionType((lambda: None).__code__, names)
    holder.__annotations__ = {"hint": hint}
    try:
        return get_type_hints(holder, names, include_extras=True)["hint"]
    except Exception:  # not only NameError: shapes that cannot be are for readers alone
        return Any


def _has_array(hint: Any) -> bool:
    if isinstance(hint, list):  # the parameters of a callable
        return any(map(_has_array, hint))
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(map(_has_array, get_args(hint)))
