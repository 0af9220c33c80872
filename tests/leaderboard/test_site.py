"""The site as files: complete, always the same bytes, and a stranger's text is only text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from knowncircuits.errors import ResultError
from knowncircuits.leaderboard.site.build import Built, build_site
from knowncircuits.leaderboard.site.drawing import interval_svg, level, strip_svg
from knowncircuits.leaderboard.site.render import POLICY, script_json
from knowncircuits.leaderboard.submission import Submission, write_submission
from knowncircuits.leaderboard.truth import Certified

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
    assert set(pages) == texts | methods | cases
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
    assert built.n_pages == 7 + len({model.case for model in models.values()})


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
