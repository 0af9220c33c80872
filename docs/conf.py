"""Sphinx: the docs as a site, `sphinx-build -W --keep-going docs site-docs`.

Every warning ends the build with an error: a link that leads nowhere, a page that no other names, a
docstring that cannot be read. The site opens without a server and without a network.
"""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Mapping
from importlib import import_module, metadata
from itertools import chain
from pathlib import Path
from types import FunctionType

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
# As `pyproject.toml` maps them: `benchmark` is the package itself, the others are subpackages.
SUBPACKAGES = ("cases", "models", "evaluation", "leaderboard")

project = "knowncircuits"
author = "The knowncircuits authors"
copyright = author  # noqa: A001
release = metadata.version(project)
html_title = f"{project} {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["images"]
html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0f766e", "color-brand-content": "#0f766e"},
    "dark_css_variables": {"color-brand-primary": "#5eead4", "color-brand-content": "#5eead4"},
}
html_show_sphinx = False
html_copy_source = False

myst_heading_anchors = 4
# Notebooks are stored without outputs, and run when the site is built.
nb_execution_mode = os.environ.get("EXECUTE_NOTEBOOKS", "force")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

add_module_names = False
default_role = "code"  # docstrings put names in single backticks
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_use_rtype = False


def setup(app: Sphinx) -> None:
    """Write the reference before any page is read."""
    app.connect("builder-inited", lambda app: write_reference(Path(app.srcdir) / "reference"))


def write_reference(folder: Path) -> None:
    """A page for each subpackage with a stub, `__init__.pyi`, which lists what is public.

    A name that several stubs list is shown on the page of the innermost.
    """
    folder.mkdir(exist_ok=True)
    stubs = {name: listed(name, stub) for name, stub in sorted(public().items())}
    for name, homes in stubs.items():
        deeper = {
            home
            for inner, others in stubs.items()
            if inner.startswith(f"{name}.")
            for home in others
        }
        lines = [f"# {name}", "", inspect.getdoc(import_module(name)) or "", ""]
        lines += [f"- {{py:obj}}`{home.rpartition('.')[2]} <{home}>`" for home in homes]
        own = [home for home in homes if home not in deeper]
        lines += ["", *chain.from_iterable(directive(home) for home in own)]
        write(folder / f"{name}.md", "\n".join(lines))


def public() -> dict[str, Path]:
    """The stub of each subpackage by its name in Python."""
    found = {project: ROOT / "benchmark" / "__init__.pyi"}
    for folder in ("benchmark", *SUBPACKAGES):
        for stub in (ROOT / folder).rglob("__init__.pyi"):
            inner = stub.parent.relative_to(ROOT).parts[folder == "benchmark" :]
            found[".".join((project, *inner))] = stub
    return found


def listed(name: str, stub: Path) -> list[str]:
    """Where the names of a stub are defined."""
    return [
        f"{name}.{statement.module}.{alias.name}"
        for statement in ast.parse(stub.read_text()).body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
    ]


def directive(home: str) -> list[str]:
    """How autodoc shows what is there: a class with its members, a function, or a value."""
    module, _, name = home.rpartition(".")
    thing = getattr(import_module(module), name)
    if inspect.isclass(thing):
        return rst(f".. autoclass:: {home}", "   :members:")
    if isinstance(thing, FunctionType):
        return rst(f".. autofunction:: {home}")
    said = f"A {type(thing).__name__}"
    if isinstance(thing, Mapping):
        said += f" of {', '.join(f'``{key}``' for key in thing)}"
    return rst(f".. py:data:: {home}", "", f"   {said}.")


def rst(*lines: str) -> list[str]:
    """Lines of reStructuredText, which is what docstrings are read as, in Markdown."""
    return ["```{eval-rst}", *lines, "```", ""]


def write(path: Path, text: str) -> None:
    """Leave a file that says the same as it is, so that its page is not made anew."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
