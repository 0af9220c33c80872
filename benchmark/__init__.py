"""knowncircuits: circuit discovery scored against circuits that are known.

Here are the names that most work begins with; each room has more, `from knowncircuits.leaderboard
import rank_submissions`. A room's names are written once, in the stub beside its `__init__`, and
loaded when first used, so that importing the package, or asking for help, is instant.
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Load a name of the stub; the error for another says which room has it."""
    if name == "__version__":
        return version(__name__)
    if name in __all__:
        return _load(name)
    homes = [room for room, names in _rooms(__name__) if name in names]
    where = f"; it is in {' and '.join(homes)}" if homes else ""
    raise AttributeError(f"No {__name__} attribute {name}{where}")


def _rooms(within: str) -> Iterator[tuple[str, list[str]]]:
    """All rooms within one, with their names."""
    for name in getattr(import_module(within), "__all__", ()):
        spec = find_spec(f"{within}.{name}")
        if spec and spec.submodule_search_locations:  # a folder
            yield spec.name, getattr(import_module(spec.name), "__all__", [])
            yield from _rooms(spec.name)
