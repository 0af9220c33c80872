"""What users name in modules and files of their own. Naming it runs that code, which may fail."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from knowncircuits.errors import KnownCircuitsError


def load_named(text: str) -> Any:
    """What a module or a file holds under a name.

    Args:
        text: `module:name` or `path/to/file.py:name`; the name may have dots.

    Raises whatever the code raises; see `imported`.
    """
    return _attribute(named_module(text), text.rpartition(":")[2])


def named_module(text: str) -> ModuleType:
    """The module of `module:name`, or that of the file of `path/to/file.py:name`.

    Modules are looked for where Python looks, and last in the current folder, so that no file there
    stands in for something installed. What a file imports may lie beside it.
    """
    module, _, name = text.rpartition(":")
    if not (module and name):
        raise ValueError("expected MODULE:NAME or FILE.py:NAME")
    if module.endswith(".py"):
        return _module_of(Path(module))
    if "" not in sys.path:
        sys.path.append("")
    return importlib.import_module(module)


def imported(load: Callable[[], Any], what: str, error: type[KnownCircuitsError]) -> Any:
    """What `load` imports. A module runs as it is imported, so it may fail in any way, or exit.

    Args:
        load: imports it.
        what: what messages call it.
        error: that is raised, of one line, for whatever is raised there.
    """
    try:
        return load()
    except KeyboardInterrupt:
        raise
    except BaseException as raised:
        why = f"{type(raised).__name__}: {raised}".partition("\n")[0]
        raise error(f"cannot load {what}: {why}{_place(raised)}") from raised


def _module_of(path: Path) -> ModuleType:
    """A file's module: run once, by whatever path the file is named, or as what it is imported."""
    path = path.resolve()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    importlib.invalidate_caches()  # it may have been written just now
    if _found_at(path.stem) == path:
        return importlib.import_module(path.stem)
    # Another module has its name, such as `json`.
    name = f"{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    assert spec is not None  # of a file that ends in .py
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # before it runs: its dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _found_at(name: str) -> Path | None:
    """The file that importing a name runs."""
    with suppress(ValueError, ImportError):  # for what was not imported, and for parts of a name
        spec = find_spec(name)
        return Path(spec.origin).resolve() if spec and spec.origin else None
    return None


def _attribute(module: ModuleType, path: str) -> Any:
    """What a module holds under names with dots."""
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            where = f" ({module.__file__})" if getattr(module, "__file__", None) else ""
            raise AttributeError(f"module {module.__name__}{where} has no {path}")
        found = getattr(found, name)
    return found


def _place(raised: BaseException) -> str:
    """Where in a user's code an error was raised; nothing where that is in finding the code."""
    frames = traceback.extract_tb(raised.__traceback__)
    last = frames[-1] if frames else None
    if last is None or last.filename == __file__ or last.filename.startswith("<frozen importlib"):
        return ""
    return f" ({last.filename}, line {last.lineno})"
