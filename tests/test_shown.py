"""What objects say of themselves: a line in a terminal, a small page in a notebook."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import Enum
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from bridges import bridged

import knowncircuits as kc
from knowncircuits.evaluation.comparison import Comparison, compare_results
from knowncircuits.evaluation.faithfulness import Faithfulness, faithfulness
from knowncircuits.evaluation.runs import Result, Settings, run
from knowncircuits.evaluation.scoring import Score, Scores
from knowncircuits.leaderboard import Board, Submission, read_submission
from knowncircuits.models.certificates import Certificate
from knowncircuits.models.wired import model_of
from knowncircuits.shown import BLANK, ROWS, Card, Shown, Table, counted, percent, shortened

# A line of Python that makes them again says more of these than any summary.
VALUES = {kc.TransformerConfig, kc.BackwardRules, kc.Graph, kc.Vocabulary}
# Not among the first names.
ELSEWHERE = {Scores, Score, Result, Comparison, Faithfulness, Certificate, Board, Submission}


@pytest.fixture(scope="module")
def shown(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[type, Shown]:
    """One object of each class."""
    compiled, trained = kc.load_case("fraction_of_x").compile(), kc.load_model("fraction_of_x")
    task = kc.make_task(compiled, n_pairs=5, seed=0)
    scores = kc.discover("exact", task)
    prompts = kc.modality_prompts(model_of(kc.load_case("modalities_shared")), 5)
    folder = tmp_path_factory.mktemp("results")
    (result,) = run([Settings("exact", n_pairs=5)], [("fraction_of_x", "seed0")], folder)
    submission = read_submission(next((root / "leaderboard/submissions/zoo1").iterdir()))
    found = (
        trained.case,
        compiled,
        compiled.circuit,
        compiled.model,
        kc.wire(compiled, [("rotate", {"seed": 1})]),
        trained,
        trained.placed,
        trained.correspondence,
        trained.certificate,
        bridged("GPT-2").model,
        task,
        kc.Answers(torch.tensor([1, 2]), torch.tensor([[3, 0], [1, -1]])),
        next(iter(prompts.values())),
        scores,
        kc.score(scores, compiled.circuit),
        result,
        compare_results([result]),
        faithfulness(task, scores, compiled.circuit),
        submission,
        Board.of([submission]),
    )
    return {type(item): item for item in found}


class Tags(HTMLParser):
    """Checks that tags are closed in turn, and collects the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_every_public_class_shows_itself(shown: Mapping[type, Shown]) -> None:
    public = {kind for name in kc.__all__ if inspect.isclass(kind := getattr(kc, name))}
    objects = {kind for kind in public if not issubclass(kind, (Enum, Exception))}
    assert shown.keys() == (objects - VALUES) | ELSEWHERE


def test_a_value_is_a_line_of_python() -> None:
    for value in (kc.Graph(2, 4), kc.Vocabulary(("a", "b"), 5), kc.BackwardRules()):
        made = eval(repr(value), {**vars(kc.names), **{k.__name__: k for k in VALUES}})
        assert made == value


def test_a_line_is_short_and_says_whose_it_is(shown: Mapping[type, Shown]) -> None:
    for kind, item in shown.items():
        assert repr(item).startswith(f"<{kind.__name__}")
        assert len(repr(item)) < 160
        assert "\n" not in repr(item)


def test_a_page_is_whole_and_small(shown: Mapping[type, Shown]) -> None:
    for kind, item in shown.items():
        page = item._repr_html_()
        words = Tags(page).words
        assert kind.__name__ in words
        assert len(page) < 10_000


def test_lines_say_what_counts(shown: Mapping[type, Shown]) -> None:
    edges = "2 layers, 1 head, 32 edges; 3 in, 18 undetermined, 11 out"
    assert repr(shown[kc.Compiled]) == f"<Compiled fraction_of_x: {edges}>"
    assert repr(shown[kc.Circuit]) == f"<Circuit: {edges}>"
    assert repr(shown[kc.Trained]).endswith("105 out; certified>")
    assert repr(shown[Result]) == "<Result exact: fraction_of_x seed0 of zoo 1; 5 pairs of seed 0>"
    assert repr(shown[Comparison]) == "<Comparison: 1 method; 1 result; 1 structural>"
    line = "<Score: AUROC 1.0000; average precision 1.0000; 3 of 14 true>"
    assert repr(shown[Score]) == line
    assert repr(shown[kc.Answers]) == "<Answers: 2 pairs; up to 1 right and 2 wrong of each>"


def test_tables_say_what_counts(shown: Mapping[type, Shown]) -> None:
    assert "a1.h0->logits" in Tags(shown[kc.Circuit]._repr_html_()).words
    assert "frac_prevs" in Tags(shown[kc.Case]._repr_html_()).words
    task = Tags(shown[kc.Task]._repr_html_()).words
    clean = shown[kc.Task].clean[0].tolist()  # type: ignore[attr-defined]
    assert " ".join(map(str, clean)) in task
    assert "and 2 more" in task
    (submission,) = shown[Board].submissions  # type: ignore[attr-defined]
    assert submission.id in Tags(shown[Board]._repr_html_()).words


class Named(Shown):
    def __init__(self, name: str, table: Table) -> None:
        self.name, self.table = name, table

    def _card(self) -> Card:
        return Card(self.name, ("<b>", "x" * 100), lambda: [self.table])


def test_nothing_is_taken_for_html_and_long_text_is_cut() -> None:
    rows = [("<i>", None), ("a", float("nan")), ("b", 0.123456)] + [("c", 1)] * ROWS
    page = Named("<script>", Table("a < b", ("x&y", ""), rows))._repr_html_()
    words = Tags(page).words
    assert "<script>" not in page
    assert {"<i>", "a < b", "x&y", "0.1235", BLANK, "and 3 more"} <= {*words}
    assert words.count(BLANK) == 2
    assert len(repr(Named("n" * 100, Table("", (), [])))) < 200
    assert "<details" not in Named("", Table("empty", ("x",), []))._repr_html_()


def test_words_for_numbers() -> None:
    assert [counted(n, "head") for n in (0, 1, 1200)] == ["0 heads", "1 head", "1,200 heads"]
    assert [percent(x) for x in (1.0, 0.99999, 0.5, None)] == ["100%", "99.99%", "50.00%", BLANK]
    assert shortened(" a\n b ") == "a b"
    assert shortened("abcdef", 4) == "abc…"
