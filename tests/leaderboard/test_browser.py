"""The site in a real browser, opened as files: what can be clicked, and that nothing leaves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.site.build import build_site
from knowncircuits.leaderboard.submission import Submission, write_submission
from knowncircuits.leaderboard.truth import Certified

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("browser")]

Models = Mapping[str, Certified]
Make = Callable[..., Submission]
EVIL = '<img src=x onerror=alert(1)> <b>Bold</b> "quoted"'


@pytest.fixture(scope="module")
def board(models: Models, make: Make) -> Board:
    submissions = [
        make("best", noise=0.2),
        make("middle", noise=0.7, seed=1, division="closed"),
        make("worst", noise=2.0, seed=2),
        make("part", noise=0.1, keys=("fraction_of_x/seed0", "identity/seed0")),
        make("blind", noise=3.0, kind="control"),
        make("evil", noise=1.5, seed=3, title=EVIL, description=EVIL, options={"a": EVIL}),
    ]
    return Board.of(submissions, models)


@pytest.fixture(scope="module")
def site(board: Board, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    for submission in board.submissions:
        write_submission(submission, folder / "submissions", models)
    build_site(folder / "submissions", folder / "site", models=models)
    return folder / "site"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("needs a Chrome or Chromium browser, in PATH or named by BROWSER_PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """A tab, and what went wrong in it or left the machine."""

    page: Any
    site: Path
    wrong: list[str] = field(default_factory=list)

    def open(self, name: str) -> Any:
        self.page.goto(f"file://{self.site}/{name}")
        return self.page

    def names(self) -> list[str]:
        """The methods in the table, from top to bottom, as far as they are shown."""
        rows = self.page.locator("#board tbody tr:visible")
        return [str(row.get_attribute("data-id")) for row in rows.all()]


@pytest.fixture
def visit(chromium: Any, site: Path) -> Iterator[Callable[..., Visit]]:
    contexts, visits = [], []

    def start(**options: Any) -> Visit:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(20_000)
        visit = Visit(context.new_page(), site)
        visit.page.on("console", lambda m: visit.wrong.append(f"{m.type}: {m.text}"))
        visit.page.on("pageerror", lambda error: visit.wrong.append(str(error)))
        visit.page.on("dialog", lambda dialog: (visit.wrong.append("dialog"), dialog.dismiss()))
        visit.page.on(
            "request", lambda request: _stays(request.url) or visit.wrong.append(request.url)
        )
        contexts.append(context)
        visits.append(visit)
        return visit

    yield start
    for context in contexts:
        context.close()
    assert [wrong for visit in visits for wrong in visit.wrong] == []


def _stays(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


@pytest.mark.parametrize("width", [1280, 360])
def test_every_page_opens_draws_and_fits(
    visit: Callable[..., Visit], site: Path, width: int
) -> None:
    opened = visit(viewport={"width": width, "height": 800})
    for path in sorted(site.rglob("*.html")):
        page = opened.open(path.relative_to(site).as_posix())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name
        for figure in page.locator(".figure:visible").all():
            figure.locator("svg.main-svg").first.wait_for()
        # Nothing that one can press is too small to be pressed.
        for element in page.locator("select:visible, input[type=search]:visible").all():
            assert element.bounding_box()["height"] >= 32


def test_sorting_with_mouse_and_keyboard(visit: Callable[..., Visit], board: Board) -> None:
    opened = visit()
    page = opened.open("index.html")
    order = list(board.standings()["method"])
    assert opened.names() == order
    head = page.locator("#board thead th", has_text="AUROC").first
    button = head.get_by_role("button")
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    values = board.standings().set_index("method")["auroc"].dropna().sort_values(ascending=False)
    assert opened.names()[:-1] == list(values.index)
    assert opened.names()[-1] == "part"  # has none, and stays last
    button.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert opened.names() == [*values.index[::-1], "part"]
    name = page.locator("#board thead th", has_text="Method")
    name.get_by_role("button").press("Space")
    assert page.locator("#board [aria-sort]").count() == 1
    assert name.get_attribute("aria-sort") == "ascending"
    assert opened.names()[1:] == ["best", "blind", "middle", "part", "worst"]


def test_filtering(visit: Callable[..., Visit], board: Board) -> None:
    opened = visit()
    page = opened.open("index.html")
    page.get_by_label("controls").uncheck()
    page.get_by_label("partial").uncheck()
    assert sorted(opened.names()) == ["best", "evil", "middle", "worst"]
    assert page.locator("#shown").text_content() == "4 of 6 submissions"
    page.get_by_label("Find").fill("lovelace WOR")
    assert opened.names() == ["worst"]
    page.get_by_label("Find").fill("nobody")
    assert opened.names() == []
    page.get_by_label("Find").fill("")
    page.get_by_label("controls").check()
    page.get_by_label("partial").check()
    assert opened.names() == list(board.standings()["method"])


def test_a_division_is_chosen(visit: Callable[..., Visit]) -> None:
    """The closed one up to a budget, or the open one; controls stay beside."""
    opened = visit()
    page = opened.open("index.html")
    page.get_by_label("controls").uncheck()
    every = opened.names()
    page.get_by_label("Division").select_option("open")
    assert opened.names() == [name for name in every if name != "middle"]
    page.get_by_label("Division").select_option("10")
    assert opened.names() == ["middle"]
    assert "division=10" in page.url
    page.get_by_label("controls").check()
    assert len(opened.names()) > 1


def test_what_is_chosen_is_in_the_address(visit: Callable[..., Visit]) -> None:
    opened = visit()
    page = opened.open("index.html")
    assert "#" not in page.url
    page.get_by_label("Find").fill("a")
    page.get_by_label("controls").uncheck()
    page.get_by_label("Averaged over").select_option("all")
    page.get_by_label("Items").select_option("head")
    page.locator("#board thead button", has_text="AP").click()
    address, names = page.url, opened.names()
    assert address.partition("#")[2] == "find=a&control=0&slice=all&view=head&sort=-ap"
    again = visit()
    again.page.goto(address)
    assert again.names() == names
    assert again.page.locator("#averaged").text_content() == "Means over 5 all cases"
    again.page.get_by_label("Averaged over").select_option("structural")  # in its own order
    assert "sort" not in again.page.url
    page.evaluate("location.hash = ''")
    page.wait_for_function("document.querySelector('[name=find]').value === ''")
    assert opened.names()[0] == "best"
    page = opened.open("breakdown.html#sort=method&sort1=-deep")
    heads = page.locator("[aria-sort]")
    assert [head.get_attribute("aria-sort") for head in heads.all()] == ["ascending", "descending"]


def test_a_search_that_finds_nothing_says_so(visit: Callable[..., Visit]) -> None:
    page = visit().open("cases.html#find=nobody")
    assert page.get_by_text("No case fits.").is_visible()
    page.get_by_role("button", name="Show all").click()
    assert not page.get_by_text("No case fits.").is_visible()
    assert page.locator("#cases tbody tr:visible").count() == 5
    assert "#" not in page.url


def test_wide_tables_say_that_they_scroll(visit: Callable[..., Visit]) -> None:
    page = visit(viewport={"width": 390, "height": 800}).open("breakdown.html")
    hint = page.locator(".hint button").first
    assert hint.text_content() == "More columns →"
    region = page.locator(".scroll").first
    region.evaluate("e => e.scrollTo({ left: e.scrollWidth, behavior: 'instant' })")
    page.wait_for_function("!document.querySelector('.scroll').classList.contains('more')")
    assert region.locator("th[scope=row]").first.bounding_box()["x"] < 30  # still in sight
    hint.click()
    page.wait_for_function("document.querySelector('.scroll').scrollLeft === 0")
    page = visit().open("index.html")
    assert page.locator(".hint:visible").count() == 0


def test_a_line_that_is_pointed_at_stands_out(visit: Callable[..., Visit]) -> None:
    page = visit().open("cases/fraction_of_x.html")
    figure = page.locator("[data-figure=effects]")
    figure.locator(".scatterlayer .trace").nth(11).wait_for(state="attached")
    lines = "[...e.querySelectorAll('.scatterlayer .trace')]"
    bright = f"e => {lines}.filter((line) => line.style.opacity !== '0.12').length"
    n = figure.evaluate(bright)
    assert n == 12
    figure.scroll_into_view_if_needed()
    box = figure.locator(".scatterlayer .trace").last.locator(".point").nth(1).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(f"({bright})(document.querySelector('[data-figure=effects]')) === 1")
    page.mouse.move(0, 0)
    page.wait_for_function(f"({bright})(document.querySelector('[data-figure=effects]')) === {n}")


@pytest.mark.parametrize(
    ("slice_key", "view"),
    [("all", "node"), ("family:counting", "no-embed"), ("structural", "edge")],
)
def test_other_averages_are_those_of_the_board(
    slice_key: str, view: str, visit: Callable[..., Visit], board: Board
) -> None:
    opened = visit()
    page = opened.open("index.html")
    page.get_by_label("Averaged over").select_option("all")
    page.get_by_label("Averaged over").select_option(slice_key)
    page.get_by_label("Items").select_option(view)
    standings = board.standings(slice_key, view)
    assert opened.names() == list(standings["method"])
    for expected in standings.to_dict("records"):
        row = page.locator(f"#board tr[data-id={expected['method']}]")
        for cell, value in (("auroc", "auroc"), ("ap", "average_precision")):
            text = row.locator(f".{cell} span.value").text_content()
            number = expected[value]
            assert text == ("–" if number != number else f"{number:.3f}")
        low, high = expected["rank_low"], expected["rank_high"]
        ranks = "–" if low != low else f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"
        assert row.locator(".rank").text_content() == ranks


def test_from_the_board_to_a_method_to_a_case_and_back(visit: Callable[..., Visit]) -> None:
    page = visit().open("index.html")
    page.get_by_role("link", name="Best", exact=True).click()
    assert page.locator("h1").text_content() == "Best"
    page.get_by_role("link", name="zero_duplicates").click()
    assert page.locator("h1").text_content() == "zero_duplicates"
    assert page.locator("svg.circuit .edge").count() > 3
    page.get_by_role("link", name="Middle").click()
    page.get_by_role("link", name="compare", exact=True).first.click()
    assert page.locator("h1").text_content() == "Compare two methods"
    assert "#a=middle&b=best" in page.url
    page.get_by_role("link", name="knowncircuits", exact=True).click()
    assert page.locator("#board").is_visible()


def test_comparing_any_two(visit: Callable[..., Visit], board: Board) -> None:
    opened = visit()
    page = opened.open("compare.html#a=worst&b=best")
    standings = board.standings().set_index("method")["auroc"]
    facts = page.locator("#facts dd")

    def numbers() -> list[str]:
        return [fact.evaluate("e => e.firstChild.textContent") for fact in facts.all()]

    assert numbers()[:2] == [f"{standings['worst']:.3f}", f"{standings['best']:.3f}"]
    tests = board.tests()
    test = tests[(tests["a"] == "best") & (tests["b"] == "worst")].iloc[0]
    assert numbers()[2] == f"−{test['difference']:.3f}"
    assert float(numbers()[3]) == pytest.approx(test["p_holm"], abs=6e-4)
    assert float(numbers()[4]) == pytest.approx(1 - test["a12"], abs=6e-4)
    page.get_by_role("button", name="Swap").click()
    assert numbers()[2] == f"+{test['difference']:.3f}"
    assert page.url.endswith("#a=best&b=worst")
    page.locator("[name=b]").select_option("part")
    assert page.locator("#differences tbody tr").count() == 1
    assert "–" in numbers()[3]
    page.locator("[name=value]").select_option("average_precision")
    assert "value=average_precision" in page.url
    page.evaluate("location.hash = '#a=blind&b=evil'")
    page.wait_for_function("document.querySelector('[name=a]').value === 'blind'")
    case = page.locator("#differences tbody tr").first
    name = case.locator("th").text_content()
    value = board.means["edge", "auroc"].loc[name, "blind"]
    assert case.locator("td").first.text_content() == f"{value:.3f}"


def test_names_of_strangers_are_text(visit: Callable[..., Visit]) -> None:
    opened = visit()
    page = opened.open("index.html")
    assert EVIL in page.locator("tr[data-id=evil] .name").text_content()
    page.get_by_label("Averaged over").select_option("all")
    page.locator("[data-figure=cost-AUROC] text", has_text="<img src=x").first.wait_for()
    page = opened.open("methods/evil.html")
    assert page.locator("h1").text_content() == EVIL
    page = opened.open("compare.html#a=evil&b=best")
    assert EVIL in page.locator("#facts dt").first.text_content()
    page.locator("#scatter text", has_text="<img src=x").first.wait_for()
    assert page.locator("main img, main b").count() == 0


def test_dark_and_light(visit: Callable[..., Visit]) -> None:
    shades = []
    for scheme in ("light", "dark"):
        page = visit(color_scheme=scheme).open("methods/best.html")
        page.locator("[data-figure=roc] svg.main-svg").first.wait_for()
        script = "e => getComputedStyle(e).backgroundColor"
        text = page.locator("[data-figure=roc] .xtitle").evaluate("e => getComputedStyle(e).fill")
        shades.append((page.locator("html").evaluate(script), text))
    assert shades[0][0] != shades[1][0]
    assert shades[0][1] == "rgb(29, 33, 38)"
    assert shades[1][1] == "rgb(231, 230, 226)"


def test_without_scripts_everything_reads(visit: Callable[..., Visit], board: Board) -> None:
    opened = visit(java_script_enabled=False)
    page = opened.open("index.html")
    assert page.locator("#board tbody tr").count() == len(board.submissions)
    assert not page.get_by_label("Find").is_visible()
    assert page.get_by_text("Figures need scripts").first.is_visible()
    page = opened.open("compare.html")
    assert page.get_by_text("This page needs scripts").is_visible()
    page = opened.open("cases/frequency.html")
    assert page.locator("svg.circuit").is_visible()


def test_one_can_skip_to_the_content(visit: Callable[..., Visit]) -> None:
    page = visit().open("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
