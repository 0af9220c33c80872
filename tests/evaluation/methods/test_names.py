"""Scores of names against counts by hand."""

from dataclasses import replace

import numpy as np

from knowncircuits.cases.registry import list_cases, load_case
from knowncircuits.circuit import circuit_from_edges
from knowncircuits.evaluation.methods.names import name_prior, name_scores
from knowncircuits.evaluation.task import make_task
from knowncircuits.graph import Graph


def test_names_count_where_they_are_determined() -> None:
    small, large = Graph(1, 1), Graph(2, 2)
    others = [
        circuit_from_edges(small, ["embed->m0", "m0->logits"]),
        circuit_from_edges(large, ["embed->m0"], ["m0->logits"]),
        circuit_from_edges(large, ["embed->a1.h1<q>"]),
    ]
    scores = dict(zip(large.edges, name_scores(large, others), strict=True))
    found = {edge: score for edge, score in scores.items() if score}
    assert found == {"embed->m0": 2 / 4, "m0->logits": 1 / 3, "embed->a1.h1<q>": 1 / 3}
    assert not name_scores(small, []).any()


def test_prior_is_learnt_from_other_families() -> None:
    case = load_case("histogram")
    task = make_task(case.compile(), 4)
    others = [
        load_case(name).compile().circuit
        for name in list_cases()
        if load_case(name).family != case.family
    ]
    assert np.array_equal(name_prior(task), name_scores(task.graph, others))
    assert not np.array_equal(name_prior(task), name_prior(replace(task, name="mine")))


def test_prior_of_the_hard_suite_is_of_other_experiments() -> None:
    task = make_task(load_case("faint_100").compile(), 4)
    graph, scores = task.graph, name_prior(task)
    # All others ask for a property of the whole input, whose heads read their keys from `m0`.
    assert scores[graph.index("embed->m0")] > scores[graph.index("embed->a3.h3<v>")]
