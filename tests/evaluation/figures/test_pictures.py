"""Figures as files: pages that need no network, pictures, and what is said where there are none."""

from __future__ import annotations

import importlib.util
import sys
from html import unescape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from knowncircuits.errors import ArgumentError, ResultError
from knowncircuits.evaluation.figures.pictures import in_notebook, save_figure

FIGURE = go.Figure(go.Scatter(x=[1, 2], y=[3, 4])).update_layout(title="<b>a & b</b><br>small")


def browser() -> bool:
    """Whether pictures can be drawn here."""
    if importlib.util.find_spec("kaleido") is None:
        return False
    from choreographer.browsers.chromium import ChromeNotFoundError, Chromium

    try:
        return Chromium.find_browser(skip_local=False) is not None
    except (ChromeNotFoundError, AttributeError):
        return False


def test_a_page_holds_all_that_it_needs(tmp_path: Path) -> None:
    save_figure(FIGURE, tmp_path / "a.html")
    save_figure(FIGURE, str(tmp_path / "b.html"))
    page = (tmp_path / "a.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<title>a &amp; b</title>" in page
    assert "<script src=" not in page
    assert '"showSendToCloud": false' in page
    assert page == (tmp_path / "b.html").read_text()  # the same page for the same figure


def test_pages_share_a_file_where_asked_to(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_figure(FIGURE, tmp_path / f"{name}.html", shared=True)
        assert 'src="plotly.min.js"' in (tmp_path / f"{name}.html").read_text()
        assert (tmp_path / f"{name}.html").stat().st_size < 20_000
    assert {path.name for path in tmp_path.iterdir()} == {"a.html", "b.html", "plotly.min.js"}
    assert "plotly.js v" in (tmp_path / "plotly.min.js").read_text()[:1000]


def test_a_notebook_shows_the_page_without_a_network() -> None:
    shown = in_notebook(go.Figure(FIGURE).update_layout(width=300, height=200))._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    frame = shown.rpartition('" width=')
    assert frame[2].startswith('"300" height="200"')
    page = unescape(frame[0].removeprefix('<iframe srcdoc="'))
    assert '"' not in frame[0].removeprefix('<iframe srcdoc="')
    assert "<script src=" not in page
    assert "<title>a &amp; b</title>" in page
    with pytest.raises(ArgumentError, match="expected figure to be Figure, got dict"):
        in_notebook({})


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_pictures(ending: str, tmp_path: Path) -> None:
    if not browser():
        pytest.skip("needs kaleido and a Chrome or Chromium browser")
    path = tmp_path / "deep" / f"figure.{ending}"
    save_figure(FIGURE, path)
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<svg"}
    assert path.read_bytes().startswith(starts[ending])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_without_kaleido(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(ResultError, match=r"^drawing a.png needs kaleido: pip install .*$"):
        save_figure(FIGURE, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def stand_in(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    """Another kaleido: it gives the result, or raises it."""

    class ChromeNotFoundError(RuntimeError):
        pass

    def draw(figure: Any, opts: Any, kopts: Any) -> bytes:
        assert kopts == {"mathjax": False}  # which would be fetched
        if result == "no browser":
            raise ChromeNotFoundError("several\nlines")
        if isinstance(result, Exception):
            raise result
        return bytes(result)

    from types import ModuleType

    kaleido, errors = ModuleType("kaleido"), ModuleType("kaleido.errors")
    kaleido.calc_fig_sync = draw  # type: ignore[attr-defined]
    errors.ChromeNotFoundError = ChromeNotFoundError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kaleido", kaleido)
    monkeypatch.setitem(sys.modules, "kaleido.errors", errors)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("no browser", "needs a Chrome or Chromium browser, such as Debian's package chromium"),
        (RuntimeError("closed", "early"), "the browser failed: closed early"),
    ],
)
def test_what_to_install_is_said_in_one_line(
    result: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, result)
    with pytest.raises(ResultError, match=message) as caught:
        save_figure(FIGURE, tmp_path / "a.pdf")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_files_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, b"picture")
    stands_in_the_way = tmp_path / "file"
    stands_in_the_way.write_text("kept")
    for ending in ("html", "png"):
        with pytest.raises(ResultError, match="cannot write"):
            save_figure(FIGURE, stands_in_the_way / f"a.{ending}")
    with pytest.raises(ResultError, match=r"ending in .html, .png, .pdf, .svg, got 'a.gif'"):
        save_figure(FIGURE, tmp_path / "a.gif")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    save_figure(FIGURE, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"picture"
