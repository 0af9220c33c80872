"""Where a result is from: the code of its method, and the machine that ran it."""

from __future__ import annotations

import ast
import importlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

import torch

from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.evaluation.methods.discovery import GROUP, load_method
from knowncircuits.evaluation.methods.registry import METHODS
from knowncircuits.files.importing import named_module

OURS = "knowncircuits.evaluation.methods"
# What every method is given: the pairs, the task, the metric and the model's one primitive.
GIVEN = (
    "knowncircuits.cases.pairs",
    "knowncircuits.evaluation.metrics",
    "knowncircuits.evaluation.task",
    "knowncircuits.transformer",
)


def code_hash(method: str) -> str:
    """A hash of the source that a method's scores come of, as far as imports tell.

    It covers the method's module, the modules beside it that it imports and those that they import,
    and the package's own that give a method its task. Beside it means in the same folder or below;
    of an installed package, in that package, whose version counts too. What is loaded in other
    ways, data for instance, is not seen.

    Args:
        method: a name of ours or of an entry point, or `module:function` or `file.py:function`.

    Raises UnknownNameError and MethodError as `load_method` does.
    """
    module, installed = _module_of(method)
    parts = {"installed": installed.encode()}
    parts |= {name: path.read_bytes() for name, path in _sources(module).items()}
    for given in GIVEN:
        parts[given] = _file_of(given).read_bytes()
    found = sha256()
    for name, content in sorted(parts.items()):
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def machine() -> dict[str, str]:
    """What may change a score's last digits beside the settings."""
    return {
        "torch": version("torch"),
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
    }


def _module_of(method: str) -> tuple[str, str]:
    """The module that a method is in, and what it was installed with."""
    found = load_method(method)  # and so its module is imported
    if method in METHODS or method in CONTROLS:
        return found.run.__module__, ""
    if ":" in method:
        return named_module(method).__name__, ""
    (entry, *_) = entry_points(group=GROUP, name=method)
    return entry.module, _distribution(entry)


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else ""


def _file_of(module: str) -> Path:
    """The file of a module; an empty one of what is built in."""
    return Path(importlib.import_module(module).__file__ or os.devnull)


@dataclass(frozen=True)
class _Folder:
    """Where a method's own modules are."""

    path: Path
    package: str  # that it is the folder of; "" where names begin in it
    only: str = ""  # a package in it; others there are not the method's own

    @classmethod
    def of(cls, module: str, path: Path) -> _Folder:
        """The folder of one of our methods, or the one in which a name like `a.b` begins."""
        package = module.rpartition(".")[0]
        if package == OURS:
            return cls(path.parent, package)
        n_names = module.count(".") + (path.name == "__init__.py")
        top = path.parents[n_names]
        installed = {"site-packages", "dist-packages"} & set(top.parts)
        return cls(top, "", module.partition(".")[0] if installed else "")

    def modules(self, name: str) -> Iterator[tuple[str, Path]]:
        """The files that importing a name runs: its packages' and its own."""
        if self.package:
            if not name.startswith(f"{self.package}."):
                return
            name = name.removeprefix(f"{self.package}.")
        names = name.split(".")
        if self.only not in ("", names[0]):
            return
        for n in range(1, len(names) + 1):
            place = self.path.joinpath(*names[:n])
            for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
                if path.is_file():
                    yield ".".join(filter(None, (self.package, *names[:n]))), path


def _sources(module: str) -> dict[str, Path]:
    """A module's file, and those beside it that it imports, by their names."""
    start = _file_of(module)
    folder = _Folder.of(module, start)
    found, waiting = {module: start}, [(module, start), *folder.modules(module)]
    while waiting:
        name, path = waiting.pop()
        found[name] = path
        for imported in _imports(name, path):
            waiting += [entry for entry in folder.modules(imported) if entry[0] not in found]
    return found


def _imports(module: str, path: Path) -> Iterator[str]:
    """The names that a file imports, anywhere in it; of `from a import b` both `a` and `a.b`."""
    if path.suffix != ".py":
        return
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # which the method has not met, or it would not run
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, (node.module,))])
            if origin:
                yield origin
            yield from (f"{origin}.{alias.name}".lstrip(".") for alias in node.names)
