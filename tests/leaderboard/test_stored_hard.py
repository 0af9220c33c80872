"""What is stored of the hard suite: read back as it was written, and shown by its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knowncircuits.cases.experiments.registry import EXPERIMENTS, hard_cases
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.comparison.radar import Radar, radar
from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.leaderboard.site.hard import hard_page, radar_data
from knowncircuits.leaderboard.site.render import render
from knowncircuits.leaderboard.stored_hard import beside, read_hard, write_hard

SHARED = {"zoo": 1, "other_zoos": {}, "version": "0", "n_models": 1, "n_cases": 1, "has_hard": True}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Radar:
    folder = tmp_path_factory.mktemp("results")
    settings = [Settings(method, 4, corruption="on-off") for method in ("random", "exact", "truth")]
    gates = run(settings, [("gate_or_2", "compiled"), ("gate_or_3", "compiled")], folder / "on-off")
    others = [Settings(method, 4) for method in ("random", "exact", "truth")]
    return radar([*gates, *run(others, [("deep_2", "compiled")], folder / "random")])


def test_what_is_stored_is_read_back(found: Radar, tmp_path: Path) -> None:
    path = tmp_path / "hard.json"
    write_hard(found, path)
    again = read_hard(path)
    assert again is not None
    assert list(again.means.index) == list(found.means.index)
    numbers = ["score", "least", "most", "average_precision", "economy"]
    for name in (*found.levels.columns,):
        ours, theirs = again.levels[name], found.levels[name]
        if name in numbers:
            assert np.allclose(ours, theirs.astype(float), atol=5e-5, equal_nan=True)
        else:
            assert ours.tolist() == theirs.tolist()
    assert np.isnan(again.levels.set_index("experiment")["economy"]["deep"]).all()


def test_methods_that_are_run_again_replace_what_is_stored(found: Radar) -> None:
    """All levels of all methods are those of one run of everything."""
    of = found.levels["method"]
    old = Radar(found.levels[of.isin(["random", "truth"])].assign(score=0.25), ())
    new = Radar(found.levels[of.isin(["exact", "truth"])], ())
    both = beside(old, new).levels
    assert (both.loc[both["method"] == "random", "score"] == 0.25).all()
    rerun = found.levels[of != "random"]
    pd.testing.assert_frame_equal(both[both["method"] != "random"], rerun, check_like=True)
    assert beside(old, found) is found
    more = found.levels[found.levels["method"] == "exact"]
    pd.testing.assert_frame_equal(
        beside(Radar(old.levels[old.levels["experiment"] != "deep"], ()), Radar(more, ())).levels,
        pd.concat([more, old.levels])
        .query("experiment != 'deep'")
        .sort_values(["pairs", "method"], kind="stable"),
    )
    less = Radar(more[more["experiment"] != "deep"], ())
    with pytest.raises(ResultError, match="stored of other methods, got none on deep_2"):
        beside(old, less)


def test_broken_files_are_told(tmp_path: Path) -> None:
    assert read_hard(tmp_path / "none.json") is None
    (tmp_path / "hard.json").write_text('[{"experiment": 1}]')
    with pytest.raises(ResultError, match="hard.json"):
        read_hard(tmp_path / "hard.json")


def test_the_page_has_every_level(found: Radar) -> None:
    text = render(hard_page(found), SHARED)
    for row in found.levels.to_dict("records"):
        assert f">{row['score']:.3f}</td>" in text
    for name in found.experiments:
        assert EXPERIMENTS[name].question in text
    assert text.count('<tr class="control">') == 2 * text.count("<table")  # random and truth


def test_the_radar_shows_methods_before_controls(found: Radar) -> None:
    drawn = {trace["name"]: trace for trace in radar_data(found.tags)["data"]}
    assert {name for name, trace in drawn.items() if trace["visible"] is True} == {"exact"}
    for name, trace in drawn.items():
        assert trace["r"][:-1] == pytest.approx(found.tags.loc[name].tolist(), abs=1e-4)
        assert trace["r"][-1] == trace["r"][0]


def test_what_is_shipped_is_of_levels_that_there_are() -> None:
    """Each method on each level and kind of pairs once, with the truth at 1."""
    found = read_hard()
    assert found is not None
    levels = found.levels
    known = {case.removeprefix(f"{c.family}_"): c for case, c in hard_cases().items()}
    assert set(levels["level"]) <= set(known)
    assert not levels.duplicated(["experiment", "pairs", "level", "method"]).any()
    counts = levels.groupby("method").size()
    assert counts.nunique() == 1
    assert set(levels["experiment"]) <= set(EXPERIMENTS)
    assert (levels.loc[levels["method"] == "truth", "score"] == 1).all()
    assert found.means["random"] < 0.1
    cheap = [name for name in found.means.index if name in CONTROLS and name != "truth"]
    assert found.means[cheap].max() < 0.4
