"""The site as files: complete, always the same bytes, and a stranger's text is only text."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from html import unescape
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.cases.registry import load_case
from knowncircuits.circuit import Label
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.catalogue.worked import worked_example
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.leaderboard.site.build import Built, build_site
from knowncircuits.leaderboard.site.drawing import interval_svg, level, strip_svg
from knowncircuits.leaderboard.site.labels import HEIGHT, WIDE, label_box, overlap, place_labels
from knowncircuits.leaderboard.site.overview import _first_pair
from knowncircuits.leaderboard.site.render import POLICY, script_json
from knowncircuits.leaderboard.submission import Submission, write_submission
from knowncircuits.leaderboard.truth import Certified
from knowncircuits.models.trained import FILES
from knowncircuits.models.zoo.shelf import shipped

Models = Mapping[str, Certified]
Make = Callable[..., Submission]

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}&amp;"
HOSTILE: dict[str, Any] = {
    "title": EVIL,
    "version": EVIL,
    "description": EVIL + "\n</pre>",
    "command": EVIL,
    "benchmark": EVIL,
    "options": {EVIL: EVIL, "list": [EVIL]},
}


class Page(HTMLParser):
    """What a browser would find in a page: elements with their attributes, scripts, texts."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self._open = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self._open == "script" else self.texts).append(data)

    def all(self, tag: str) -> Iterator[dict[str, str]]:
        return (attributes for name, attributes in self.elements if name == tag)


def contents(site: Path) -> dict[str, bytes]:
    return {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def submissions(make: Make, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submissions")
    for submission in (
        make("best", noise=0.1),
        make("worse", noise=1.0, seed=1, costs={}),
        make("part", noise=0.3, keys=("fraction_of_x/seed0", "identity/seed0")),
        make("control", noise=0, kind="control"),
        make("evil", noise=2.0, seed=2, **HOSTILE),
    ):
        write_submission(submission, folder, models)
    broken = write_submission(make("broken"), folder, models)
    (broken / "<img src=x onerror=alert(1)>").touch()
    return folder


@pytest.fixture(scope="module")
def built(
    submissions: Path, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Built]:
    site = tmp_path_factory.mktemp("site")
    return site, build_site(submissions, site, models=models)


@pytest.fixture(scope="module")
def site(built: tuple[Path, Built]) -> Path:
    return built[0]


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}


def test_there_is_a_page_for_everything(
    built: tuple[Path, Built], pages: dict[str, Page], models: Models
) -> None:
    texts = {
        f"{n}.html" for n in ("index", "breakdown", "hard", "cases", "compare", "submit", "about")
    }
    methods = {f"methods/{n}.html" for n in ("best", "worse", "part", "control", "evil")}
    cases = {f"cases/{model.case}.html" for model in models.values()}
    edges = {f"edges/{model.case}.html" for model in models.values()}
    assert set(pages) == texts | methods | cases | edges
    assert built[1].n_pages == len(pages)


def test_what_is_refused_is_said_and_the_rest_is_built(
    built: tuple[Path, Built], pages: dict[str, Page]
) -> None:
    (error,) = built[1].refused
    assert error.name == "broken"
    assert any("onerror" in text for text in pages["about.html"].texts)
    assert [s.id for s in built[1].boards[0].submissions] == [
        "best",
        "control",
        "evil",
        "part",
        "worse",
    ]


def test_every_link_leads_somewhere(site: Path, pages: dict[str, Page]) -> None:
    n = 0
    for name, page in pages.items():
        for tag, attribute in (("a", "href"), ("link", "href"), ("script", "src"), ("img", "src")):
            for attributes in page.all(tag):
                target = urlsplit(attributes.get(attribute, ""))
                if not target.scheme and target.path:
                    path = ((site / name).parent / unquote(target.path)).resolve()
                    assert path.is_file(), (name, target.path)
                    assert path.is_relative_to(site.resolve())
                    n += 1
    assert n > 300


def test_nothing_is_asked_of_another_server(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        (policy,) = [
            m["content"]
            for m in page.all("meta")
            if m.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy == POLICY
        for tag, attributes in page.elements:
            if tag not in ("a", "svg"):
                assert not any("//" in str(attributes.get(n, "")) for n in ("src", "href")), name
        for link in page.all("a"):
            assert urlsplit(link["href"]).scheme in ("", "https", "http")


def test_hostile_text_is_text(pages: dict[str, Page]) -> None:
    """In every page, scripts are ours or data, and no element has an event's attribute."""
    for name, page in pages.items():
        for attributes in page.all("script"):
            assert set(attributes) in ({"src", "defer"}, {"type", "id"}), name
        for text in filter(None, map(str.strip, page.scripts)):
            json.loads(text)
        for tag, attributes in page.elements:
            assert not [n for n in attributes if n.startswith("on")], (name, tag)
            assert attributes.get("src") != "x"
    page = pages["methods/evil.html"]
    shown = "".join(page.texts)
    assert shown.count(EVIL) >= 6
    assert EVIL in "".join(pages["index.html"].texts)


def test_hostile_text_stays_in_its_string_in_scripts(site: Path) -> None:
    for name in ("standings.js", "comparison.js"):
        text = (site / "assets" / name).read_text()
        assert "<" not in text
        data = re.fullmatch(
            r"window\.knowncircuits = Object\.assign\(window\.knowncircuits \?\? \{\}, (.*)\);\n",
            text,
        )
        assert data
        json.loads(data[1])
    comparison = json.loads(data[1])["comparison"]
    assert EVIL in [method["title"] for method in comparison["methods"]]
    assert script_json({"a": "</script>\u2028"}) == r'{"a":"\u003c/script\u003e\u2028"}'


def test_markdown_and_json_hold_hostile_text_too(site: Path) -> None:
    assert EVIL in [row["title"] for row in json.loads((site / "board.json").read_text())]
    assert "<script" not in (site / "board.md").read_text()


def test_the_same_submissions_give_the_same_bytes(
    site: Path, submissions: Path, models: Models, tmp_path: Path
) -> None:
    build_site(submissions, tmp_path / "again", models=models)
    assert contents(tmp_path / "again") == contents(site)


def test_a_forged_claim_changes_no_byte_and_a_score_does(
    make: Make, models: Models, tmp_path: Path, rehash: Callable[[Path], None]
) -> None:
    honest = make("a", noise=1.0)
    built = []
    for claims in ({}, {"auroc": 1.0}):
        write_submission(make("a", noise=1.0, claims=claims), tmp_path / "in", models)
        build_site(tmp_path / "in", tmp_path / "site", models=models)
        built.append(contents(tmp_path / "site"))
    assert built[0] == built[1]
    path = tmp_path / "in/a/scores/frequency/seed0.csv"
    edge = models["frequency/seed0"].circuit.edges()[0]
    line = next(x for x in path.read_text().splitlines() if x.startswith(f"{edge},"))
    path.write_text(path.read_text().replace(line, f"{edge},-99,-99"))
    rehash(tmp_path / "in" / "a")
    build_site(tmp_path / "in", tmp_path / "site", models=models)
    changed = {n for n, data in contents(tmp_path / "site").items() if data != built[0][n]}
    assert {"index.html", "methods/a.html", "cases/frequency.html", "board.csv"} <= changed
    assert "cases/identity.html" not in changed
    assert honest.id == "a"


def test_an_old_site_is_replaced_and_other_folders_are_not(
    make: Make, models: Models, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    for name in ("old", "new"):
        write_submission(make(name, keys=("identity/seed0",)), tmp_path / name, models)
        build_site(tmp_path / name, site, models=models)
    assert (site / "methods" / "new.html").exists()
    assert not (site / "methods" / "old.html").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").touch()
    with pytest.raises(ResultError, match="expected a new folder, or that of a site"):
        build_site(tmp_path / "new", mine, models=models)
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]


def test_a_board_without_submissions(models: Models, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    built = build_site(tmp_path / "none", tmp_path / "site", models=models)
    assert built.n_pages == 7 + 2 * len({model.case for model in models.values()})


def test_pages_can_be_read_without_seeing_them(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert [a.get("lang") for a in page.all("html")] == ["en"]
        assert len(list(page.all("h1"))) == 1, name
        assert len(list(page.all("main"))) == 1
        for figure in page.all("div"):
            if figure.get("class") == "figure":
                assert figure["role"] == "img"
                assert len(figure["aria-label"]) > 30
        for drawing in page.all("svg"):
            assert drawing.get("aria-hidden") == "true" or drawing["aria-label"]
        for region in page.all("div"):
            if "scroll" in region.get("class", ""):
                assert region["tabindex"] == "0"
                assert "aria-label" in region or "aria-labelledby" in region
        for head in page.all("th"):
            assert head.get("scope") in ("col", "row", "colgroup"), name


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_colours_have_contrast(site: Path) -> None:
    """WCAG's 4.5 for text on what is behind it, in light and in dark."""
    style = (site / "assets" / "style.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    schemes = [dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in (light, dark)]
    pairs = [(text, "page") for text in ("ink", "soft", "accent", "q", "k", "v", "m", "dot")]
    pairs += [(text, "shade") for text in ("ink", "soft", "accent")]
    pairs += [(text, "card") for text in ("ink", "soft")]
    pairs += [(f"t{i}", f"l{i}") for i in range(7)]
    for scheme in schemes:
        for text, behind in pairs:
            a, b = sorted((luminance(scheme[text]), luminance(scheme[behind])), reverse=True)
            assert (a + 0.05) / (b + 0.05) >= 4.5, (text, behind)


def test_drawings() -> None:
    assert [level(x) for x in (0.0, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0, float("nan"))] == [
        0, 1, 2, 3, 4, 5, 6, -1,
    ]  # fmt: skip
    assert interval_svg(float("nan"), 0, 1) == ""
    assert 'x="2.0"' in interval_svg(0.5, 0.0, 1.0)
    strip = strip_svg([1.0, 0.96, 0.2])
    assert "AP of 3 cases: 1 of 1, 2 from 0.9 on" in strip
    assert strip.count("<path") == 3
    assert strip_svg([]) == ""


def cells(path: Path, table: str) -> list[list[str]]:
    """The texts of a table's rows, head first, as a browser reads them: cells need no end."""
    text = path.read_text()
    body = text[text.index(f'id="{table}"') :].partition("</table>")[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    split = [re.split(r"<t[hd][^>]*>", row)[1:] for row in rows]
    return [[unescape(re.sub("<.*?>", "", cell)).strip() for cell in row] for row in split]


def test_the_page_of_edges_has_the_ranks_of_scores(
    site: Path, built: tuple[Path, Built], models: Models
) -> None:
    """Ranks computed again by counting, edge by edge."""
    model = models["zero_duplicates/seed0"]
    head, *rows = cells(site / "edges" / "zero_duplicates.html", "edges")
    board = built[1].boards[0]
    methods = [s for s in board.submissions if s.id in ("best", "worse", "evil")]
    assert len(head) == 3 + len(methods)
    determined = np.flatnonzero(model.circuit.determined)
    for title in ("Best", "Worse"):
        (method,) = [s for s in methods if s.description.title == title]
        scores = method.ranking(model.key)
        scores = np.rint(scores / np.abs(scores).max(-1, keepdims=True) / RESOLUTION)
        place = head.index(title)
        for row in rows:
            edge = model.circuit.graph.edges.index(row[0])
            assert row[1] == Label(model.circuit.labels[edge]).name.lower()
            if edge in determined:
                others, own = scores[:, determined], scores[:, [edge]]
                above = (others > own).sum(1) + ((others == own).sum(1) + 1) / 2
                assert float(row[place]) == pytest.approx(above.mean(), abs=0.051)
            else:
                assert row[place] == "–"
    assert len(rows) == model.circuit.graph.n_edges
    assert [row[1] for row in rows[:6]] == ["in"] * 6


def test_files_of_models_are_those_of_the_zoo(site: Path, models: Models) -> None:
    for model in models.values():
        folder = shipped(1).place(model.case, model.variant)
        copied = {path.name: path.read_bytes() for path in (site / "models" / model.key).iterdir()}
        assert copied == {name: (folder / name).read_bytes() for name in FILES}


def test_a_case_is_shown_step_by_step(pages: dict[str, Page]) -> None:
    worked = worked_example(load_case("zero_duplicates"))
    assert list(worked.answer) == load_case("zero_duplicates").interpret([worked.tokens])[0]
    assert len({*worked.answer}) > 2  # what is kept, and zeros
    text = "".join(pages["cases/zero_duplicates.html"].texts)
    assert "once = Map(carried == 1)" in text
    assert 'kc.load_model("zero_duplicates", variant="seed0", zoo=1)' in text


def test_every_page_says_what_it_is(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        named = {m.get("name") or m.get("property"): m.get("content", "") for m in page.all("meta")}
        assert named["og:description"] == named["description"]
        assert 40 < len(named["description"]) < 400, name
        assert named["og:title"]
    titles = "".join(pages["methods/best.html"].texts)
    assert f"Best 1.0 · zoo 1 · knowncircuits {version('knowncircuits')}" in titles


def test_curves_are_those_of_the_scores(pages: dict[str, Page], built: tuple[Path, Built]) -> None:
    """The area under a line of precision is the average precision, as far as 51 places go."""
    board = built[1].boards[0]
    figures = [json.loads(text) for text in pages["methods/worse.html"].scripts if text.strip()]
    (precision,) = [f for f in figures if f["layout"]["xaxis"]["title"]["text"] == "recall"]
    for line in precision["data"][:-1]:
        case = line["hovertemplate"].partition("<br>")[0]
        expected = board.means["edge", "average_precision"].loc[case, "worse"]
        assert np.mean(line["y"][1:]) == pytest.approx(expected, abs=0.03)
    mean = np.mean([line["y"] for line in precision["data"][:-1]], axis=0)
    assert precision["data"][-1]["y"] == pytest.approx(mean, abs=1e-3)


def test_the_comparison_opens_on_methods_that_differ(site: Path) -> None:
    text = (site / "assets" / "comparison.js").read_text()
    comparison = json.loads(text[text.index("?? {}, ") + 7 : -3])["comparison"]
    assert comparison["first"][0] == 0
    a, b = (comparison["auroc"][i] for i in comparison["first"])
    assert a != b
    assert len(comparison["cases"]) == len(a) == comparison["n_structural"] + 1


def test_the_comparison_prefers_what_tests_tell_apart() -> None:
    rows = [{"method": name} for name in "abcd"]
    place = {name: i for i, name in enumerate("abcd")}
    tests = [
        {"a": "a", "b": "b", "p_holm": 1.0, "difference": 0.0},
        {"a": "c", "b": "a", "p_holm": 0.01, "difference": -0.1},
        {"a": "a", "b": "d", "p_holm": 0.001, "difference": 0.5},
        {"a": "b", "b": "d", "p_holm": 0.001, "difference": 0.5},
    ]
    assert _first_pair(rows, tests, place) == [0, 2]
    unclear = [{**test, "p_holm": 1.0} for test in tests]
    assert _first_pair(rows, unclear, place) == [0, 3]
    assert _first_pair(rows[:1], [], place) == [0, 0]
    assert _first_pair([], [], {}) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12), st.integers(3, 20))
def test_names_of_points_do_not_overlap(points: list[tuple[float, float]], length: int) -> None:
    texts = ["x" * (length + i) for i in range(len(points))]
    places = place_labels(points, texts, WIDE)
    centres = [(x * WIDE, y * HEIGHT) for x, y in points]
    boxes = [
        label_box(centre, text, place)
        for centre, text, place in zip(centres, texts, places, strict=True)
        if place
    ]
    assert not any(overlap(one, other) for one, other in itertools.combinations(boxes, 2))
    if len(points) == 1 and 0.2 < points[0][0] < 0.8:
        assert boxes


def test_methods_without_counted_passes_are_named(pages: dict[str, Page]) -> None:
    assert "Without counted passes: Worse (" in "".join(pages["index.html"].texts)
