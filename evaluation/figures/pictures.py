"""A figure as a file: a page that works offline, or a picture drawn by a browser that is there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knowncircuits.checks.arguments import expect
from knowncircuits.errors import ResultError
from knowncircuits.extras import install_line
from knowncircuits.files.writing import check_writable, write_bytes, write_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

PICTURES = (".png", ".pdf", ".svg")
FIGURES = (".html", *PICTURES)
WIDTH = 900  # of pictures of figures that have none of their own
PLOTLY = "plotly.min.js"  # beside pages that share it

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>body {{ margin: 0 }}</style></head>
<body>{figure}</body>
</html>
"""


# What a page does with its figure. It fills a window that is higher than the figure, whose title
# and legend keep their distance from the top. And where a figure's `meta` says so, a line that is
# hovered over stands out from the others.
FILL = """
const figure = document.getElementById("figure"), own = figure.layout.height || 450;
const above = (part) => part && part.yref === "container" ? (1 - part.y) * own : null;
const places = ["title", "legend"].map((name) => [name, above(figure.layout[name])]);
function fill() {
  const height = Math.max(own, window.innerHeight - 4), changes = {height};
  for (const [name, y] of places) if (y !== null) changes[name + ".y"] = 1 - y / height;
  Plotly.relayout(figure, changes);
}
if (!figure.layout.width) { fill(); window.addEventListener("resize", fill); }
"""
LIGHT = """
const dim = (name) => {
  for (const line of figure.querySelectorAll(".scatterlayer .trace")) {
    const of = line.__data__ && line.__data__[0].trace.name;
    line.style.opacity = name === undefined || of === name ? "" : 0.12;
  }
};
figure.on("plotly_hover", ({points}) => dim(points[0].data.name));
figure.on("plotly_unhover", () => dim());
"""
HOVER_LIGHTS = {"hover": "lights"}  # the `meta` of a figure of lines with names


def save_figure(
    figure: go.Figure, path: str | Path, *, resolution: float = 2, shared: bool = False
) -> None:
    """Write a figure, whole or not at all: .html, or .png, .pdf or .svg.

    A page is interactive and holds all that it needs. Pictures are drawn by kaleido and a Chrome or
    Chromium browser on this machine; nothing is downloaded.

    Args:
        figure: what to write.
        path: where to; its ending says as what.
        resolution: a .png's pixels for each of the figure's.
        shared: whether a page reads plotly's 5 MB from `plotly.min.js` beside it, which is written
            too, and may be shared by many pages.

    Raises:
        ResultError: for another ending, a file that cannot be written, or a picture where there is
            nothing to draw it with.
    """
    import plotly.graph_objects as go

    expect(figure, go.Figure, "figure")
    path = Path(path)
    check_ending(path, FIGURES)
    if path.suffix == ".html":
        if shared:
            from plotly.offline import get_plotlyjs

            write_text(path.parent / PLOTLY, get_plotlyjs())
        write_text(path, _page(figure, shared=shared))
    else:
        write_bytes(path, _picture(figure, path, resolution))


@dataclass(frozen=True, eq=False)
class InNotebook:
    """A figure that a notebook shows without a network, nbformat or a renderer of plotly's."""

    figure: go.Figure

    def _repr_html_(self) -> str:
        """The whole page in a frame, as large as the figure; some 5 MB."""
        layout = self.figure.layout
        width, height = layout.width or WIDTH, layout.height or WIDTH * 2 // 3
        return (
            f'<iframe srcdoc="{escape(_page(self.figure))}" width="{width}" height="{height}" '
            'style="border: 0; max-width: 100%"></iframe>'
        )


def in_notebook(figure: go.Figure) -> InNotebook:
    """Show a figure as the last expression of a notebook's cell, offline; see `InNotebook`.

    A figure of plotly's shows itself where nbformat is there, most often by a script from the web.

    Raises ArgumentError for what is no figure.
    """
    import plotly.graph_objects as go

    expect(figure, go.Figure, "figure")
    return InNotebook(figure)


def check_ending(path: Path, known: Iterable[str]) -> None:
    """Raise ResultError for a file whose ending is not among these."""
    if path.suffix not in known:
        raise ResultError(f"expected a file ending in {', '.join(known)}, got {path.name!r}")


def check_targets(paths: Iterable[Path], known: Iterable[str] = FIGURES) -> None:
    """Raise ResultError for files that could not be written after the work: see `save_figure`.

    That is for another ending, a folder that cannot be written to, and pictures without kaleido.
    """
    for path in paths:
        check_ending(path, known)
        check_writable(path.parent)
        if path.suffix in PICTURES:
            _load_kaleido(path)


def _load_kaleido(path: Path) -> Any:
    try:
        import kaleido
    except ImportError as error:
        raise ResultError(
            f"drawing {path.name} needs kaleido: {install_line('kaleido')} (.html needs nothing)"
        ) from error
    return kaleido


def _page(figure: go.Figure, *, shared: bool = False) -> str:
    # A browser's tab takes the title's first line, without its styles.
    title = re.sub("<.*?>", "", (figure.layout.title.text or "").partition("<br>")[0])
    body = figure.to_html(
        full_html=False,
        include_plotlyjs=PLOTLY if shared else True,
        post_script=FILL + (LIGHT if figure.layout.meta == HOVER_LIGHTS else ""),
        div_id="figure",  # the same page for the same figure
        # No button that sends the data to plotly's servers.
        config={"displaylogo": False, "responsive": True, "showSendToCloud": False},
    )
    return PAGE.format(title=escape(title or "knowncircuits", quote=False), figure=body)


def _picture(figure: go.Figure, path: Path, resolution: float) -> bytes:
    kaleido = _load_kaleido(path)
    from kaleido.errors import ChromeNotFoundError

    for name in ("choreographer", "kaleido"):  # what fails is raised; what they log are tracebacks
        logging.getLogger(name).addHandler(logging.NullHandler())
    options = {
        "format": path.suffix[1:],
        "width": figure.layout.width or WIDTH,
        "height": figure.layout.height or WIDTH * 2 / 3,
        "scale": resolution if path.suffix == ".png" else 1,
    }
    try:
        # Not by way of plotly, which would have the browser ask a server for MathJax.
        drawn: bytes = kaleido.calc_fig_sync(
            figure.to_plotly_json(), opts=options, kopts={"mathjax": False}
        )
    except ChromeNotFoundError as error:
        raise ResultError(
            f"drawing {path.name} needs a Chrome or Chromium browser, such as Debian's package "
            "chromium, in PATH or named by BROWSER_PATH (.html needs nothing)"
        ) from error
    except Exception as error:  # a browser can fail in any way
        raise ResultError(
            f"drawing {path.name}: the browser failed: {' '.join(map(str, error.args))[:200]} "
            "(.html needs none)"
        ) from error
    return drawn
