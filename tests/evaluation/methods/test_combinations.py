"""Methods that run, join and filter others, against plain computations and hand-worked values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.bases import BASES, base_scores
from knowncircuits.evaluation.methods.bootstrap import places
from knowncircuits.evaluation.methods.coax import effects_beside
from knowncircuits.evaluation.methods.integrated import integrate_inputs_by_pair
from knowncircuits.evaluation.methods.vote import inside
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.models.interop.hooked import to_hooked
from strategies import random_task


def compiled_task(name: str, n_pairs: int = 20) -> Task:
    return make_task(kc.load_case(name).compile(), n_pairs, direction="on-off")


def of_pairs(task: Task, rows: np.ndarray) -> Task:
    """The task on these pairs, any of them as often as it is given."""
    return replace(
        task, clean=task.clean[rows], corrupted=task.corrupted[rows], counts=task.counts[rows]
    )


def plain_ranks(scores: kc.evaluation.scoring.Scores) -> list[float]:
    """By counting: the edges below, and half of the tied ones, itself among them."""
    steps, n = scores.ranks(), scores.graph.n_edges
    return [(sum(steps < mine) + (sum(steps == mine) + 1) / 2) / n for mine in steps]


@pytest.mark.parametrize("join", ["mean", "min", "max"])
def test_an_ensemble_joins_ranks(join: str) -> None:
    task = compiled_task("gate_or_2", 4)  # where many edges are tied
    single = [kc.discover(name, task) for name in ("exact", "eap-ig-inputs", "acdc")]
    found = kc.discover("ensemble", task, of=["exact", "eap-ig-inputs", "acdc"], join=join)
    ranks = np.array([plain_ranks(scores) for scores in single])
    assert np.allclose(found.values, getattr(np, join)(ranks, axis=0), atol=1e-12)
    assert found.forward_passes == sum(s.forward_passes or 0 for s in single)
    assert found.backward_passes == sum(s.backward_passes or 0 for s in single) > 0
    alone = kc.discover("ensemble", task, of=["exact"])
    circuit = kc.load_case("gate_or_2").compile().circuit
    assert kc.score(alone, circuit).auroc == kc.score(single[0], circuit).auroc


def test_an_ensemble_of_scores_takes_what_each_ranks_by() -> None:
    task = random_task("logit_diff")
    signed = kc.discover("acdc", task).values
    sizes = np.abs(kc.discover("eap", task).values)
    found = kc.discover("ensemble", task, of=["acdc", "eap"], by="scores")
    assert np.allclose(found.values, (signed + sizes) / 2, atol=1e-12)


def test_seeds_reach_those_that_draw() -> None:
    task = random_task(n_pairs=2)
    drawn = [kc.discover("ensemble", task, of=["shapley"], seed=seed).values for seed in (0, 1)]
    assert not np.allclose(*drawn)
    assert base_scores("shapley", task, 1).options == {"seed": 1}
    assert np.array_equal(base_scores("eap", task, 0).values, base_scores("eap", task, 1).values)


def test_other_methods_are_refused_by_name() -> None:
    task = random_task()
    named = "expected of to be one of exact, shapley, eap, .*, got "
    with pytest.raises(MethodError, match=f"{named}'eap,exat'"):
        kc.discover("ensemble", task, of="eap,exat")
    with pytest.raises(MethodError, match=f"{named}'ensemble'"):
        kc.discover("vote", task, of="ensemble")
    with pytest.raises(MethodError, match="at least one method to join, got none"):
        kc.discover("ensemble", task, of=[])
    assert {"ensemble", "vote", "coax"}.isdisjoint(BASES)


def test_scores_of_pairs_are_those_of_each_pair_alone() -> None:
    task = random_task()
    found = integrate_inputs_by_pair(task, 3, "midpoint", 5)
    for pair in range(task.n_pairs):
        alone = kc.discover(
            "eap-ig-inputs", of_pairs(task, np.array([pair])), steps=3, rule="midpoint"
        )
        assert np.allclose(found[pair], alone.values, atol=1e-12)


def test_the_bootstrap_keeps_edges_of_stable_sign() -> None:
    """Each resample is a task of its own, on which EAP-IG runs anew."""
    task, n = random_task(), 25
    whole = kc.discover("eap-ig-inputs", task, steps=3)
    counts = np.random.default_rng(4).multinomial(6, [1 / 6] * 6, size=n)
    agree = np.zeros(task.graph.n_edges)
    for drawn in counts:
        again = kc.discover(
            "eap-ig-inputs", of_pairs(task, np.repeat(np.arange(6), drawn)), steps=3
        )
        agree += np.sign(again.values) == np.sign(whole.values)
    wanted = np.where(agree / n >= 0.9, whole.values, 0)
    found = kc.discover("bootstrap", task, resamples=n, consistency=0.9, steps=3, seed=4)
    live = whole.values != 0
    assert 0 < (wanted[live] == 0).sum() < live.sum()  # some are filtered out, not all
    assert np.allclose(found.values, wanted, atol=1e-12)
    assert (found.forward_passes, found.backward_passes) == (
        whole.forward_passes,
        whole.backward_passes,
    )


def test_places_by_hand() -> None:
    """Half of each circuit are the highest positive edges; two of 2 are tied."""
    found = places(np.array([3.0, -4, 2, -1, 0, 2]), 0.5)
    assert np.allclose(found, [0.8, 1.0, 0.5, 0.2, 0.0, 0.5])
    # All positive edges first, then the others by size.
    assert np.argsort(-places(np.array([3.0, -4, 2, -1]), 1)).tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize("positive", [0.25, 1 / 3, 0.7])
def test_circuits_are_those_of_their_size(positive: float) -> None:
    values = np.random.default_rng(3).normal(size=20)
    order = np.argsort(-places(values, positive))
    for size in range(1, 21):
        highest = [e for e in np.argsort(-values) if values[e] > 0][: int(positive * size + 1e-9)]
        rest = [e for e in np.argsort(-np.abs(values)) if e not in highest]
        assert set(order[:size]) == {*highest, *rest[: size - len(highest)]}


def test_votes_are_shares_of_subsets() -> None:
    task, n = random_task(n_pairs=5), 12
    rng = np.random.default_rng(7)
    kept = rng.uniform(size=(n, 5)) >= 0.6
    spare = rng.integers(5, size=n)
    n_inside = round(0.2 * task.graph.n_edges)
    votes, passes = np.zeros(task.graph.n_edges), 0
    for pairs, one in zip(kept, spare, strict=True):
        rows = np.flatnonzero(pairs) if pairs.any() else np.array([one])
        scores = kc.discover("eap", of_pairs(task, rows))
        votes[[task.graph.index(edge) for edge, _ in scores.top(n_inside)]] += 1
        passes += scores.forward_passes or 0
    assert not kept.any(1).all()  # one subset was empty
    options = {"of": "eap", "size": 0.2, "subsets": n, "deletion": 0.6, "seed": 7}
    found = kc.discover("vote", task, **options)
    assert np.allclose(found.values, votes / n, atol=1e-12)
    assert found.forward_passes == passes
    sure = kc.discover("vote", task, sure=0.75, **options)
    assert np.allclose(sure.values, np.where(votes / n < 0.75, 0, votes / n), atol=1e-12)
    assert 0 < (sure.values > 0).sum() < (found.values > 0).sum()


def test_ties_at_the_border_share_their_places() -> None:
    assert np.allclose(inside(np.array([3.0, 1, 1, 1, 0]), 2), [1, 1 / 3, 1 / 3, 1 / 3, 0])
    assert np.allclose(inside(np.array([3.0, 2, 1]), 2), [1, 1, 0])


def test_effects_beside_a_seed_are_those_of_hooks() -> None:
    task = random_task()
    twin, graph = to_hooked(task.model), task.graph
    seeds = np.random.default_rng(0).uniform(size=graph.n_edges) < 0.2
    pairs = torch.arange(task.n_pairs)

    def metric(mask: np.ndarray) -> float:
        masks = torch.from_numpy(mask).double().expand(task.n_pairs, -1)
        with torch.no_grad():
            logits = twin.run(task.clean, task.alternative, masks).logits
        return task.measure(logits, pairs).mean().item()

    wanted = np.zeros(graph.n_edges)
    for edge in range(graph.n_edges):
        without, beside = seeds.copy(), seeds.copy()
        without[edge], beside[edge] = False, True
        wanted[edge] = metric(beside) - metric(without)
    found, n_runs = effects_beside(task, seeds, 17)
    assert np.allclose(found, wanted, atol=1e-12)
    assert n_runs <= (graph.n_edges + 1) * task.n_pairs


def test_the_other_flag_of_an_or_grows() -> None:
    """Alone neither flag matters; beside one the other is worth what both are worth."""
    task = compiled_task("gate_or_2")
    alone = dict(zip(task.graph.edges, kc.discover("exact", task).values, strict=True))
    found = kc.discover("coax", task, size=1, by="growth")
    grown = dict(zip(task.graph.edges, found.values, strict=True))
    (seed,) = found.details["seed"]
    other = {"a1.h0->m1": "a1.h1", "a1.h1->m1": "a1.h0"}[seed]
    assert alone["m1->logits"] == pytest.approx(0.4621, abs=1e-4)
    for edge in (f"m0->{other}<k>", f"{other}->m1"):
        assert abs(alone[edge]) < 1e-9
        assert grown[edge] == pytest.approx(alone["m1->logits"], abs=1e-6)
    assert abs(grown["m1->logits"]) < 1e-9  # worth everything with and without the flag
    assert sum(value > 1e-3 for value in grown.values()) == 2


def test_a_backup_grows_once_the_first_head_is_gone() -> None:
    """The backup knows three of four letters, each as likely."""
    task = compiled_task("backup_3", 40)
    found = kc.discover("coax", task)
    assert found.details["seed"] == ["m0->a1.h0<k>"]
    values = dict(zip(task.graph.edges, found.values, strict=True))
    alone = dict(zip(task.graph.edges, kc.discover("exact", task).values, strict=True))
    # What the first head loses alone are the letters that the backup lacks; it saves the others.
    for edge in ("m0->a2.h0<k>", "a2.h0->m2"):
        assert abs(alone[edge]) < 1e-9
        saved = alone["m2->logits"] - alone["m0->a1.h0<k>"]
        assert values[edge] == pytest.approx(saved, rel=1e-6)
        assert values[edge] > 3 * values["m0->a1.h0<k>"] / 2
    assert values["m2->logits"] == pytest.approx(alone["m2->logits"])


def test_what_loses_everything_is_no_seed() -> None:
    task = compiled_task("gate_or_2", 5)
    found = kc.discover("coax", task, of="exact")
    assert found.details["seed"] == []  # what `exact` sees are edges that everything passes
    assert np.allclose(found.values, np.abs(kc.discover("exact", task).values), atol=1e-12)
    everything = kc.discover("coax", task, of="exact", dispensable=1)
    assert everything.details["seed"] == ["embed->m0", "m1->logits"]
