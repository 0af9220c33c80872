"""Loops report to whoever listens, the outermost one alone; commands show it in bars or lines."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import knowncircuits as kc
from jobs import count_to
from knowncircuits.evaluation.effects import realism
from knowncircuits.leaderboard import rank_submissions, read_submissions
from knowncircuits.models.zoo import check_model, shipped
from knowncircuits.models.zoo.produce import with_certificate
from knowncircuits.work.executor import run_jobs
from knowncircuits.work.lines import BETWEEN, FIRST, Lines, duration
from knowncircuits.work.processes import Processes
from knowncircuits.work.progress import Report, heard_by, part, reported
from knowncircuits.work.showing import Bars


def test_a_loop_reports_each_item_when_it_is_done() -> None:
    heard: list[tuple[int, int]] = []
    with heard_by(lambda told: heard.append((told.done, told.total))):
        for item in reported("abc"):
            assert len(heard) == "abc".index(item)
            for _ in reported(range(5)):  # within another: not heard
                pass
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert list(reported("ab")) == ["a", "b"]  # nobody listens any more
    assert len(heard) == 3


def test_a_loop_that_is_left_early_leaves_no_trace() -> None:
    heard: list[int] = []
    with heard_by(lambda told: heard.append(told.done)):
        for _ in reported("abc"):
            break
        list(reported("ab"))
    assert heard == [1, 2]


def test_a_part_has_a_name_a_beginning_and_an_end() -> None:
    heard: list[Report] = []
    with heard_by(heard.append), part("outer"), part("eap on sort"):
        list(reported("a"))
    assert heard[1:4] == [Report("eap on sort"), Report("eap on sort", 1, 1), Report("outer")]
    assert heard[-1] == Report("")


@pytest.mark.parametrize("method", ["exact", "eap", "acdc", "sp"])
def test_methods_say_how_far_they_are(method: str) -> None:
    heard: list[tuple[int, int]] = []
    task = kc.make_task(kc.load_model("fraction_of_x", zoo=1), n_pairs=20)
    options = {"eap": {"batch_size": 5}, "exact": {"batch_size": 64}, "sp": {"steps": 4}}
    with heard_by(lambda told: heard.append((told.done, told.total))):
        kc.discover(method, task, **options.get(method, {}))
    assert len(heard) > 1
    assert heard[-1][0] == heard[-1][1]


def test_effects_say_how_far_they_are() -> None:
    """They once stood at 0 of 1 until all was done."""
    heard: list[tuple[int, int]] = []
    with heard_by(lambda told: heard.append((told.done, told.total))):
        table = kc.causal_effects(kc.load_model("fraction_of_x", zoo=1), n_inputs=5, scales=[1])
    n = table["node"].nunique()
    assert heard == [(i, n) for i in range(1, n + 1)]


@pytest.mark.parametrize(
    ("work", "parts"),
    [
        (
            lambda: with_certificate(kc.load_model("fraction_of_x", zoo=1), n_pairs=60, zoo=1),
            ["certificate"],
        ),
        (
            lambda: realism(
                kc.load_model("fraction_of_x", zoo=1),
                kc.load_model("fraction_of_x", "seed1", zoo=1),
                scales=[1],
                n_inputs=5,
                n_pairs=20,
            ),
            ["effects in the trained model", "effects in the natural model"],
        ),
        (
            lambda: rank_submissions(read_submissions("leaderboard/submissions/zoo1")[0][:2]),
            ["reading submissions", "scoring"],
        ),
    ],
)
def test_long_work_says_how_far_it_is(
    work: Callable[[], object], parts: list[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part from its beginning to its end, one after the other."""
    monkeypatch.chdir(root)
    heard: list[Report] = []
    with heard_by(heard.append):
        work()
    for name in parts:
        told = [told for told in heard if told.what.startswith(name)]
        assert told[0].total == 0
        assert told[-1].done == told[-1].total > 0
        assert [t.done for t in told] == sorted(t.done for t in told)


def test_checks_of_models_have_no_loop_of_their_own() -> None:
    """They are short: what is shown is the model's name."""
    heard: list[Report] = []
    with heard_by(heard.append), part("a"):
        assert check_model(shipped(1), "fraction_of_x", "seed0", 16) == ()
    assert heard == [Report("a"), Report("")]


def test_processes_are_heard() -> None:
    """Of each job at least its beginning; and when it is done, that nothing runs there any more."""
    heard: list[Report] = []
    with heard_by(heard.append):
        pids = list(run_jobs(count_to, [3, 4, 5], Processes(2)))
    assert os.getpid() not in pids
    assert {told.worker for told in heard} <= {0, 1}
    assert {told.what for told in heard if told.what} == {"to 3", "to 4", "to 5"}
    for worker in {told.worker for told in heard}:
        assert [told.what for told in heard if told.worker == worker][-1] == ""
    assert len(heard) < 20  # reports come now and then


def test_processes_that_nobody_hears_say_nothing() -> None:
    assert len(set(run_jobs(count_to, [3, 4], Processes(2)))) >= 1


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_are_few_and_say_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """None of what is short; then one, and others after so many seconds."""
    clock = Clock()
    lines = Lines("score", 94, clock)
    lines.advance(n=3)
    clock.now = FIRST - 6
    lines.hear(Report("edge-sp on sort seed0"))
    clock.now = FIRST - 1
    lines.hear(Report("edge-sp on sort seed0", 1, 10))
    lines.print_if_due()
    assert capsys.readouterr().err == ""
    clock.now = FIRST + 2
    lines.hear(Report("edge-sp on sort seed0", 4, 10))
    for _ in range(3):
        lines.print_if_due()
    told = "score: 3 of 94, edge-sp on sort seed0, 40% of this one, about 12 s left\n"
    assert capsys.readouterr().err == told
    clock.now += BETWEEN - 1
    lines.print_if_due()
    assert capsys.readouterr().err == ""
    clock.now += 1
    lines.hear(Report("mine.fit on sort seed0", worker=1))
    clock.now += 100
    lines.print_if_due()
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("score: 3 of 94, edge-sp on sort seed0, 40% of this one, about ")
    assert told[1] == "score: 3 of 94, mine.fit on sort seed0, 2 min so far"


def test_lines_of_one_piece_of_work() -> None:
    clock = Clock()
    lines = Lines("certify", clock=clock)
    assert lines.text() == ""
    lines.hear(Report("certify"))
    clock.now = 7.0
    assert lines.text() == "certify, 7 s so far"
    lines.hear(Report("certificate of sort", 1, 2))
    lines.hear(Report("certificate of sort", 1, 2, "fine"))
    clock.now = 17.0
    assert lines.text() == "certify: certificate of sort: fine, 50% of this one, about 10 s left"
    lines.hear(Report(""))
    assert lines.text() == ""


def test_durations() -> None:
    texts = {0.4: "0 s", 99.0: "99 s", 100.0: "2 min", 5900.0: "98 min", 6000.0: "1.7 h"}
    assert {seconds: duration(seconds) for seconds in texts} == texts


def test_bars_have_a_line_for_each_process() -> None:
    bars = Bars("score", 94)
    bars.advance(n=3)
    bars.hear(Report("edge-sp on [sort] seed0", 4, 10, worker=0))
    bars.hear(Report("eap on sort seed0", 1, 2, worker=1))
    bars.hear(Report("mine.fit on sort seed0", worker=1))  # of which nobody knows how much it is
    bars.hear(Report("eap on add seed0", 1, 2, worker=2))
    bars.hear(Report("", worker=2))
    console = Console(file=io.StringIO(), width=100)
    console.print(bars.progress.get_renderable())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 3
    for line, texts in zip(
        lines,
        [("score", "3/94"), ("edge-sp on [sort] seed0", "4/10"), ("mine.fit", "0/?")],
        strict=True,
    ):
        assert all(text in line for text in texts), line
