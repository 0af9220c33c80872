"""Faithfulness of finished runs: against single results, and as a table, a figure and commands."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.errors import InputError, ResultError, UnknownNameError
from knowncircuits.evaluation.faithfulness.growth import SHARES, faithfulness
from knowncircuits.evaluation.faithfulness.runs import by_suite, faithfulness_table, macro_means
from knowncircuits.evaluation.figures import faithfulness_figure
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.runs.results import Result
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.evaluation.task import make_task
from knowncircuits.exchange import graph_file, write_graph_file
from knowncircuits.models.zoo import load_model, shipped
from knowncircuits.work.processes import Processes

MODELS = [("fraction_of_x", "seed0"), ("fraction_of_x", "shuffled"), ("histogram", "seed0")]
runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def results(folder: Path) -> list[Result]:
    settings = [Settings(method, 10) for method in ("eap", "random")]
    return run(settings, MODELS, folder, seeds=(0, 1), zoo=1)


@pytest.fixture(scope="module")
def table(results: list[Result]) -> pd.DataFrame:
    return faithfulness_table(results, construction="greedy")


def test_the_table_is_made_of_single_results(results: list[Result], table: pd.DataFrame) -> None:
    assert len(table) == (len(results) + 6) * len(SHARES)
    assert list(table["method"].unique()) == ["eap", "random", "truth"]
    rows = table.groupby(["method", "case", "variant", "seed"])
    for result in results:
        trained = load_model(result.case, result.variant, zoo=1)
        task = make_task(trained, 10, result.seed)
        found = faithfulness(task, result.scores, trained.circuit, construction="greedy")
        row = rows.get_group((result.label, result.case, result.variant, result.seed))
        assert row["f"].tolist() == pytest.approx(found.f, abs=1e-6)
        assert row["cpr"].unique() == pytest.approx([found.cpr], abs=1e-6)
        assert row["nominal"].tolist() == list(found.nominal)
    trained = load_model("histogram", zoo=1)
    task = make_task(trained, 10, 1)
    scores = discover("truth", task, circuit=trained.circuit)
    expected = faithfulness(task, scores, construction="greedy", rank_by="signed")
    row = rows.get_group(("truth", "histogram", "seed0", 1))
    assert row["f"].tolist() == pytest.approx(expected.f, abs=1e-6)


def test_means_over_models_and_then_over_cases(table: pd.DataFrame) -> None:
    means = macro_means(table)
    assert list(means.index) == ["eap", "random", "truth"]
    random = table[(table["method"] == "random") & (table["share"] == 0.5)]
    one, other = (random.loc[random["case"] == c, "f"] for c in ("fraction_of_x", "histogram"))
    assert (len(one), len(other)) == (4, 2)
    assert means.loc["random", 0.5] == pytest.approx((one.mean() + other.mean()) / 2)
    assert means.loc["truth", "cmd"] < means.loc["random", "cmd"]


@pytest.mark.long
def test_several_processes_measure_the_same(results: list[Result], table: pd.DataFrame) -> None:
    done: list[str] = []
    again = faithfulness_table(
        results, construction="greedy", executor=Processes(2), on_task=done.append
    )
    assert sorted(done) == ["fraction_of_x"] * 4 + ["histogram"] * 2
    pd.testing.assert_frame_equal(again, table)


def test_a_model_of_ones_own(tmp_path: Path, table: pd.DataFrame) -> None:
    own = shipped(1).place("fraction_of_x", "seed0")
    results = run([Settings("eap", 10)], [("fraction_of_x", own)], tmp_path, zoo=1)
    found = faithfulness_table(results, model=own, construction="greedy")
    kept = table.query("case == 'fraction_of_x' and variant == 'seed0' and seed == 0")
    for method in ("eap", "truth"):
        expected = kept.loc[kept["method"] == method, "f"].tolist()
        assert found.loc[found["method"] == method, "f"].tolist() == expected
    with pytest.raises(ResultError, match="the folder of your own model of fraction_of_x"):
        faithfulness_table(results)


def test_figure_and_headline_are_about_the_same_cases(table: pd.DataFrame, tmp_path: Path) -> None:
    """Degenerate ones are printed below, and move no line of the figure."""
    other = table[table["case"] == "histogram"].assign(case="identity", f=-0.9, cpr=-0.9)
    both = pd.concat([other, table])
    assert list(by_suite(both)) == ["2 structural cases", "1 other cases"]
    figure, headline = faithfulness_figure(both), by_suite(both)["2 structural cases"]
    assert "mean of 2 structural cases" in figure.layout.title.text
    means = macro_means(headline)
    for trace in figure.data:
        assert list(trace.y) == pytest.approx(means.loc[trace.name, list(SHARES)].tolist())
    assert "mean of 1 other cases" in faithfulness_figure(other).layout.title.text
    results = run(
        [Settings("eap", 5)], [("histogram", "seed0"), ("identity", "seed0")], tmp_path, zoo=1
    )
    assert len(results) == 2
    page = tmp_path / "f.html"
    done = runner.invoke(app, ["faithfulness", str(tmp_path), "--save", str(page)])
    assert done.exit_code == 0, done.output
    assert "mean of 1 structural cases" in done.output
    assert "mean of 1 structural cases" in page.read_text()


def test_the_figure_has_a_line_for_each_method(table: pd.DataFrame) -> None:
    figure = faithfulness_figure(table)
    assert [trace.name for trace in figure.data] == ["eap", "random", "truth"]
    assert figure.layout.xaxis.type == "log"
    assert len({(t.line.color, t.line.dash, t.marker.symbol) for t in figure.data}) == 3
    means = macro_means(table)
    for trace in figure.data:
        assert list(trace.x) == pytest.approx([100 * share for share in SHARES])
        assert list(trace.y) == pytest.approx(means.loc[trace.name, list(SHARES)].tolist())
    far = table.assign(f=table["f"] - 30 * (table["method"] == "random"))
    low, _ = faithfulness_figure(far).layout.yaxis.range
    assert low > -2
    assert "f goes from -30" in faithfulness_figure(far).layout.title.text
    actual = table.assign(axis=table["actual"] / table["n_edges"])
    assert min(faithfulness_figure(actual).data[0].x) > 0  # what has no edges is not on the axis
    with pytest.raises(ResultError, match="expected a frame of faithfulness_table with method"):
        faithfulness_figure(table.drop(columns="axis"))
    with pytest.raises(ResultError, match="got 0 rows"):
        faithfulness_figure(table[:0])
    with pytest.raises(UnknownNameError, match="theme"):
        faithfulness_figure(table, theme="dark")


def test_what_is_refused(results: list[Result]) -> None:
    other = replace(results[0], settings={**results[0].settings, "zoo": 2})
    with pytest.raises(ResultError, match="of one zoo, got 11 of zoo 1, 1 of zoo 2"):
        faithfulness_table([other, *results[1:]])
    with pytest.raises(ResultError, match="at least one result"):
        faithfulness_table([])
    with pytest.raises(ResultError, match="one result of each label .*, got eap, eap"):
        faithfulness_table([results[0], results[0]])
    apart = {**results[0].settings, "ablation": "mean"}
    with pytest.raises(ResultError, match="one result of eap fraction_of_x seed0 0, got several"):
        faithfulness_table([results[0], dataclasses.replace(results[0], settings=apart)])
    stale = {**results[0].settings, "model": "abcdef"}
    with pytest.raises(ResultError, match="scores of the model fraction_of_x .* got some of anoth"):
        faithfulness_table([dataclasses.replace(results[0], settings=stale)])


def test_the_command(results: list[Result], folder: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.csv", "a.json", "a.html")]
    options = [part for path in files for part in ("--save", str(path))]
    done = runner.invoke(app, ["faithfulness", str(folder / "eap"), *options])
    assert done.exit_code == 0, done.output
    how = "ranked by absolute scores at a resolution of 1e-06, pruned, nominal size"
    assert f"circuits: top-n, {how}" in done.output
    assert "mean of 2 structural cases" in done.output
    assert "true circuit's f is at least 0.99" in done.output
    means = macro_means(faithfulness_table([r for r in results if r.label == "eap"]))
    rows = {line.split()[0]: line.split() for line in done.output.splitlines() if line.split()}
    shares = ["0.1%", "0.2%", "0.5%", "1%", "2%", "5%", "10%", "20%", "50%", "100%"]
    assert rows["method"] == ["method", "CPR", "CMD", *shares]
    assert rows["eap"][1:] == [f"{round(value, 3) + 0.0:.3f}" for value in means.loc["eap"]]
    table = pd.read_csv(files[0])
    assert len(json.loads(files[1].read_text())) == len(table) == 2 * 6 * len(SHARES)
    assert "Faithfulness of circuits by size" in files[2].read_text()
    one = folder / "eap" / "histogram" / "seed0" / "0.json"
    conventions = ["--construction", "greedy", "--rank-by", "signed", "--size", "actual"]
    other = runner.invoke(app, ["faithfulness", str(one), *conventions, "--no-prune"])
    how = "signed scores at a resolution of 1e-06, not pruned, actual size; metric kl"
    assert f"greedy, ranked by {how}" in other.output


def test_the_command_over_merged_inputs(
    results: list[Result], folder: Path, tmp_path: Path
) -> None:
    one, file = folder / "eap" / "histogram" / "seed0" / "0.json", tmp_path / "a.csv"
    done = runner.invoke(app, ["faithfulness", str(one), "--merged", "--save", str(file)])
    assert done.exit_code == 0, done.output
    assert "pruned, nominal size, merged inputs; metric kl" in done.output
    table = pd.read_csv(file)
    (result,) = (r for r in results if (r.label, r.case, r.seed) == ("eap", "histogram", 0))
    trained = load_model("histogram", zoo=1)
    task = make_task(trained, 10, 0)
    at_positions = dataclasses.replace(result.scores, by_position=result.scores.values[:, None])
    found = faithfulness(task, at_positions, trained.circuit, merged=True)
    rows = table[table["method"] == "eap"]
    assert table["merged"].all()
    assert set(table["n_edges"]) == {task.graph.merge_inputs().n_edges}
    assert rows["f"].tolist() == pytest.approx(found.f, abs=1e-6)
    assert rows["cpr"].unique() == pytest.approx([found.cpr], abs=1e-6)


def test_the_command_for_diagrams(results: list[Result], folder: Path, tmp_path: Path) -> None:
    one, page = folder / "eap" / "histogram" / "seed0" / "0.json", tmp_path / "a.html"
    done = runner.invoke(
        app, ["sankey", str(one), "--truth", "--edges", "6", "--vertical", "--save", str(page)]
    )
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Scores of eap on histogram (seed0): 6 edges")
    rows = [line.split() for line in done.output.splitlines()]
    assert ["edge", "score", "truth"] in rows
    edge, score = results[4].scores.top(1)[0]
    assert [edge, f"{score:.4g}", "in"] in rows
    assert "true positive" in page.read_text()
    few = runner.invoke(app, ["sankey", str(one), "--threshold", "1e9"])
    assert few.output == "Scores of eap on histogram (seed0): 0 edges\n"
    truth = runner.invoke(app, ["sankey", "histogram", "--zoo", "1"])
    assert truth.output.startswith("The circuit of histogram (seed0): 4 edges")
    assert ["m0->logits", "hist"] in [line.split() for line in truth.output.splitlines()]
    compiled = runner.invoke(app, ["sankey", "histogram", "--compiled"])
    assert "(compiled)" in compiled.output
    theirs = tmp_path / "theirs.json"
    scores = results[0].scores
    write_graph_file(graph_file(scores.graph, scores=scores.values), theirs)
    plain = runner.invoke(app, ["sankey", str(theirs), "--edges", "2"])
    assert plain.output.startswith("Scores of theirs: 2 edges")
    for args, message in (
        (["histogram", "--truth"], "a file of scores for --truth, got the case histogram"),
        ([str(theirs), "--truth"], "expected labels of edges for --truth"),
        ([str(theirs), "--compiled"], "with a case, got a file"),
    ):
        refused = runner.invoke(app, ["sankey", *args])
        assert isinstance(refused.exception, InputError)
        assert message in str(refused.exception)
    wrong = runner.invoke(
        app, ["sankey", "histogram", "--zoo", "1", "--save", str(tmp_path / "a.csv")]
    )
    assert isinstance(wrong.exception, ResultError)
