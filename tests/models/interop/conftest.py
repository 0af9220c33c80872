"""Classes of packages that are not installed, for pickles that name them."""

import sys
from collections.abc import Callable
from types import ModuleType

import pytest

StandIn = Callable[[str, str], type]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """`stand_in(module, name)` makes an empty class that pickle finds there, during the test."""

    def make(module: str, name: str) -> type:
        made = type(name, (), {"__module__": module})
        parts = module.split(".")
        for n in range(1, len(parts) + 1):
            parent = ".".join(parts[:n])
            if parent not in sys.modules or n == len(parts):
                monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        monkeypatch.setattr(sys.modules[module], name, made, raising=False)
        return made

    return make
