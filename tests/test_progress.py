"""Loops report to whoever listens, the outermost one alone."""

from __future__ import annotations

import pytest

import knowncircuits as kc
from knowncircuits.progress import heard_by, part, reported


def test_a_loop_reports_each_item_when_it_is_done() -> None:
    heard: list[tuple[int, int]] = []
    with heard_by(lambda what, done, total: heard.append((done, total))):
        for item in reported("abc"):
            assert len(heard) == "abc".index(item)
            for _ in reported(range(5)):  # within another: not heard
                pass
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert list(reported("ab")) == ["a", "b"]  # nobody listens any more
    assert len(heard) == 3


def test_a_loop_that_is_left_early_leaves_no_trace() -> None:
    heard: list[int] = []
    with heard_by(lambda what, done, total: heard.append(done)):
        for _ in reported("abc"):
            break
        list(reported("ab"))
    assert heard == [1, 2]


def test_a_part_has_a_name_and_a_beginning() -> None:
    heard: list[tuple[str, int, int]] = []
    with heard_by(lambda *told: heard.append(told)), part("eap: sort"):
        list(reported("a"))
    assert heard == [("eap: sort", 0, 0), ("eap: sort", 1, 1)]


@pytest.mark.parametrize("method", ["exact", "eap", "acdc", "sp"])
def test_methods_say_how_far_they_are(method: str) -> None:
    heard: list[tuple[int, int]] = []
    task = kc.make_task(kc.load_model("fraction_of_x"), n_pairs=20)
    options = {"eap": {"batch_size": 5}, "exact": {"batch_size": 64}, "sp": {"steps": 4}}
    with heard_by(lambda what, done, total: heard.append((done, total))):
        kc.discover(method, task, **options.get(method, {}))
    assert len(heard) > 1
    assert heard[-1][0] == heard[-1][1]


def test_effects_say_how_far_they_are() -> None:
    """They once stood at 0 of 1 until all was done."""
    heard: list[tuple[int, int]] = []
    with heard_by(lambda what, done, total: heard.append((done, total))):
        table = kc.causal_effects(kc.load_model("fraction_of_x"), n_inputs=5, scales=[1])
    n = table["node"].nunique()
    assert heard == [(i, n) for i in range(1, n + 1)]
