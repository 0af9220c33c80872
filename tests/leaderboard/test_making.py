"""Submissions of runs, of EAP-IG's files and of tables are the scores that went in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowncircuits.errors import GraphError, ResultError, SubmissionError
from knowncircuits.evaluation.runs.results import read_results
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.exchange import graph_file, write_graph_file
from knowncircuits.leaderboard.making import command_of, from_results, make_submission
from knowncircuits.leaderboard.submission import read_submission, write_submission
from knowncircuits.leaderboard.truth import Certified

Models = Mapping[str, Certified]
KEYS = ("fraction_of_x/seed0", "fraction_of_x/shuffled")
GIVEN: dict[str, Any] = {
    "id": "mine",
    "title": "Mine",
    "version": "2",
    "authors": [{"name": "Ada"}],
    "command": "mine.sh",
    "rank_by": "signed",
    "conventions": {"n_pairs": 7},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on two models with two draws of pairs."""
    folder = tmp_path_factory.mktemp("results")
    models = [tuple(key.split("/")) for key in KEYS]
    settings = [
        Settings("eap-ig-inputs", n_pairs=10, metric="l2", options={"steps": 3}, label="ig3"),
        Settings("random", n_pairs=10),
    ]
    run(settings, models, folder, zoo=1, seeds=(0, 1))  # type: ignore[arg-type]
    return folder


def test_a_run_becomes_a_submission(results: Path, models: Models, tmp_path: Path) -> None:
    made = make_submission(results / "ig3", models=models)
    read = read_submission(write_submission(made, tmp_path, models), models)
    for result in read_results(results / "ig3"):
        column = read.scores[f"{result.case}/{result.variant}"][result.seed]
        np.testing.assert_array_equal(column, result.scores.values)
        cost = read.description.costs[f"{result.case}/{result.variant}"][result.seed]
        assert cost.forward_passes == result.scores.forward_passes
        assert cost.seconds == pytest.approx(result.scores.seconds, abs=1e-6)
    description = read.description
    assert (description.id, description.title, description.kind) == ("ig3", "ig3", "method")
    assert description.rank_by == "absolute"
    assert description.options["steps"] == 3
    assert (description.division, description.budget) == ("closed", 1_000)
    assert description.conventions.model_dump() == {
        "n_pairs": 10,
        "seeds": (0, 1),
        "metric": "l2",
        "ablation": "resample",
        "corruption": "resample",
    }
    assert description.models == {key: models[key].weights for key in KEYS}
    assert description.description.startswith("EAP's scores averaged over runs")


def test_its_command_is_that_of_the_run(results: Path, models: Models) -> None:
    """As the command line reads it, it has the settings of the run."""
    command = make_submission(results / "ig3", models=models).description.command
    words = shlex.split(command)
    assert words[:3] == ["knowncircuits", "score", "eap-ig-inputs"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options == {
        "--zoo": "1",
        "--variant": "all",
        "--pairs": "10",
        "--seeds": "2",
        "--metric": "l2",
        "-x": "steps=3",
        "--label": "ig3",
    }


def test_commands_for_other_seeds(results: Path) -> None:
    result = read_results(results / "random")[0]
    start = "knowncircuits score random --zoo 1 --variant all --pairs 10"
    assert command_of(result, [0]) == f"{start} --seeds 1"
    assert command_of(result, [3, 4]) == f"{start} --seed 3 --seeds 2"
    assert command_of(result, [0, 1, 5]) == f"{start} --seeds 2 && {start} --seed 5 --seeds 1"


def test_controls_are_known_and_chance_has_no_option(results: Path, models: Models) -> None:
    """Each run of `random` has a seed of its own, which is no option of the whole."""
    description = make_submission(results / "random", models=models).description
    assert description.kind == "control"
    assert description.options == {}
    assert description.costs[KEYS[0]][0].forward_passes == 0


def test_fields_that_are_given_count(results: Path, models: Models) -> None:
    fields = {"id": "other", "title": "Other", "links": [{"title": "Paper", "url": "https://a.b"}]}
    description = make_submission(results / "ig3", fields, models).description
    assert (description.id, description.title) == ("other", "Other")
    assert description.links[0].url == "https://a.b"


def test_runs_that_do_not_go_together(results: Path, models: Models) -> None:
    first, *others = read_results(results / "ig3")
    changed = [
        replace(first, settings={**first.settings, "n_pairs": 11, "model": "0" * 64}),
        *others,
    ]
    with pytest.raises(SubmissionError) as caught:
        from_results(changed, models=models)
    assert caught.value.problems == (
        "expected runs that have the same n_pairs, got 11, 10",
        "fraction_of_x/seed0: expected weights dd78c3ccd249, got 000000000000",
        "fraction_of_x/seed0: expected scores of one model, got runs of several",
    )
    both = [first, *read_results(results / "random")]
    with pytest.raises(SubmissionError, match="same method, got 'eap-ig-inputs', 'random'"):
        from_results(both, models=models)
    with pytest.raises(SubmissionError, match=r"expected seeds \[0, 1\] of every model"):
        from_results(others, models=models)
    for zoo, said in ((2, None), (1, 2)):
        mixed = [replace(first, settings={**first.settings, "zoo": zoo}), *others]
        with pytest.raises(SubmissionError, match="on models of one zoo, got (2, 1|1, 2)"):
            from_results(mixed, {} if said is None else {"zoo": said}, models)
    edited = [replace(first, settings={**first.settings, "code": "0" * 64}), *others]
    with pytest.raises(SubmissionError, match="expected runs that have the same code"):
        from_results(edited, models=models)


@pytest.mark.parametrize("variant", ["own-mine-01234567", "compiled"])
def test_other_models_are_left_out_with_a_word(results: Path, models: Models, variant: str) -> None:
    found = read_results(results / "ig3")
    other = [replace(r, variant=variant) for r in found if r.variant == "seed0"]
    told: list[str] = []
    submission = from_results([*other, *found], models=models, on_left_out=told.append)
    assert told == [f"fraction_of_x/{variant}"]
    assert list(submission.scores) == list(from_results(found, models=models).scores)
    with pytest.raises(ResultError, match="certified models, got those of other models only"):
        from_results(other, models=models)


def test_older_results_say_nothing_of_code_threads_and_zoo(results: Path, models: Models) -> None:
    found = []
    for result in read_results(results / "ig3"):
        unsaid = ("code", "threads", "zoo")
        settings = {k: v for k, v in result.settings.items() if k not in unsaid}
        found.append(replace(result, settings=settings))
    description = from_results(found, models=models).description
    command = description.command
    assert description.zoo == 1
    assert "--zoo 1" in command
    assert "--threads" not in command
    threaded = replace(found[0], settings={**found[0].settings, "threads": 2})
    assert "--threads 2" in command_of(threaded, [0])


def test_files_of_eap_ig_and_tables(models: Models, tmp_path: Path) -> None:
    """Files of scores in all their places: a draw each, or one only, in both formats."""
    graph = models[KEYS[0]].circuit.graph
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, graph.n_edges))
    for seed, values in enumerate((a, b)):
        write_graph_file(graph_file(graph, scores=values), tmp_path / f"{KEYS[0]}/{seed}.json")
    rows = [
        f"{edge},{x!r},{y!r}"
        for edge, x, y in zip(graph.edges, a.tolist(), b.tolist(), strict=True)
    ]
    table = tmp_path / f"{KEYS[1]}.csv"
    table.write_text("\n".join(["edge,0,1", *rows[::-1]]))
    made = make_submission(tmp_path, GIVEN, models)
    assert list(made.scores) == list(KEYS)
    for values in made.scores.values():
        np.testing.assert_array_equal(values, [a, b])
    assert made.description.conventions.n_pairs == 7
    assert made.description.models[KEYS[0]] == models[KEYS[0]].weights


def test_one_input_node_stands_for_both(models: Models, tmp_path: Path) -> None:
    """As MIB's files have it; a file in the folder itself is of seed0."""
    graph = models[KEYS[0]].circuit.graph
    merged = graph.merge_inputs()
    values = np.arange(merged.n_edges, dtype=float)
    write_graph_file(graph_file(merged, scores=values), tmp_path / "fraction_of_x.json")
    made = make_submission(tmp_path, GIVEN, models)
    scores = made.scores[KEYS[0]][0]
    assert scores[graph.index("pos->m0")] == values[merged.index("input->m0")]
    assert scores[graph.index("a0.h1->m0")] == values[merged.index("a0.h1->m0")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fraction_of_x/seed0.csv", "edge,score\nembed->m0,1", "missing edges"),
        ("fraction_of_x/seed0.csv", "edge,score\nx->y,1", "unknown edges"),
        ("fraction_of_x/seed0.csv", "edge,score\na,1\na,1", "duplicated edges: a"),
        ("fraction_of_x/seed0.csv", "node,score", "expected the header edge,score"),
        ("fraction_of_x/seed0.csv", "edge,score\na,1,2", "expected 2 fields"),
        ("fraction_of_x/seed0.csv", "edge,score\nembed->m0,x", "a number, got 'x'"),
        ("fraction_of_x/seed0.csv", "", "expected the header"),
        ("nothing/seed0.csv", "edge,score", "nothing/seed0 is no certified model"),
        ("a/b/c.csv", "edge,score", "expected CASE/VARIANT"),
    ],
)
def test_files_that_are_refused(
    name: str, text: str, message: str, models: Models, tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(SubmissionError, match=message) as caught:
        make_submission(tmp_path, GIVEN, models)
    assert caught.value.problems[0].startswith(f"{name}: ")


def test_fields_that_are_missing_are_all_named(models: Models, tmp_path: Path) -> None:
    graph = models[KEYS[0]].circuit.graph
    write_graph_file(
        graph_file(graph, scores=np.zeros(graph.n_edges)), tmp_path / f"{KEYS[0]}.json"
    )
    with pytest.raises(SubmissionError) as caught:
        make_submission(tmp_path, {}, models)
    missing = {problem.partition(":")[0] for problem in caught.value.problems}
    assert missing >= {"title", "version", "authors", "command", "rank_by", "conventions.n_pairs"}


def test_folders_without_scores(models: Models, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="expected files of scores"):
        make_submission(tmp_path, GIVEN, models)
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    with pytest.raises((ResultError, GraphError), match="expected cfg, nodes and edges"):
        make_submission(tmp_path, GIVEN, models)
