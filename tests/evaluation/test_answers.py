"""Tasks with labels of their own: what they are, and that metrics and methods read them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.errors import TaskError
from knowncircuits.evaluation import Answers


@pytest.fixture(scope="module")
def compiled() -> kc.Compiled:
    return kc.load_case("histogram").compile()


def test_labels_of_every_kind(compiled: kc.Compiled) -> None:
    values = list(compiled.output.values)
    task = kc.make_task(compiled, 4, labels=(1, {2, 3}))
    assert task.metric == "logit_diff"
    assert task.labels is not None
    assert task.labels.right.tolist() == [[values.index(1)]] * 4
    assert task.labels.wrong.tolist() == [sorted([values.index(2), values.index(3)])] * 4
    names = compiled.vocabulary.tokens
    first = [[names[i - 1] for i in row[1:]] for row in task.clean.tolist()]
    counted = kc.make_task(
        compiled, 4, labels=(lambda tokens: tokens.count(tokens[0]), [1, {1, 2}, 3, 2])
    )
    assert counted.labels is not None
    wanted = [values.index(tokens.count(tokens[0])) for tokens in first]
    assert counted.labels.right[:, 0].tolist() == wanted
    one, two, three = (values.index(i) for i in (1, 2, 3))
    assert counted.labels.wrong.tolist() == [[one, -1], sorted([one, two]), [three, -1], [two, -1]]


def test_metrics_by_hand(compiled: kc.Compiled) -> None:
    task = kc.make_task(compiled, 5, labels=(1, {2, 3}))
    pairs, out = torch.arange(5), [list(compiled.output.values).index(i) for i in (1, 2, 3)]
    for metric in ("logit_diff", "prob_diff"):
        task = replace(task, metric=metric)
        values = {"logit_diff": lambda x: x, "prob_diff": lambda x: x.softmax(-1)}[metric]
        weights = torch.tensor([0.5, 0.5]) if metric == "logit_diff" else torch.ones(2)

        def lead(logits: torch.Tensor) -> torch.Tensor:
            of = values(logits)[..., out]  # noqa: B023
            difference = of[..., 0] - (of[..., 1:] * weights).sum(-1)  # noqa: B023
            return (difference * task.counts).sum(1) / task.counts.sum(1)  # noqa: B023

        clean, corrupted = lead(task.clean_run.logits), lead(task.corrupted_run.logits)
        assert torch.allclose(task.measure(task.corrupted_run.logits, pairs), clean - corrupted)
        assert torch.allclose(task.value(task.corrupted_run.logits, pairs), corrupted)
        assert task.measure(task.clean_run.logits, pairs).abs().max() == 0


def test_methods_read_them(compiled: kc.Compiled) -> None:
    """Effects of labels that are swapped have the other sign."""
    task = kc.make_task(compiled, 5, labels=(1, 2))
    assert task.labels is not None
    swapped = replace(task, labels=task.labels.swapped)
    for method in ("exact", "eap"):
        ours, theirs = (kc.discover(method, each).values for each in (task, swapped))
        assert np.allclose(ours, -theirs)
        assert np.abs(ours).max() > 0.1


def test_the_other_way_round(compiled: kc.Compiled) -> None:
    task = kc.make_task(compiled, 5, labels=(1, 2))
    back = task.reversed
    assert torch.equal(back.clean, task.corrupted)
    pairs = torch.arange(5)
    forward, backward = (each.measure(each.corrupted_run.logits, pairs) for each in (task, back))
    assert torch.allclose(forward, backward)


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_labels(compiled: kc.Compiled) -> None:
    with pytest.raises(TaskError, match=r"expected labels among 0, 1, .*; got \[99\]"):
        kc.make_task(compiled, 3, labels=(99, 1))
    with pytest.raises(TaskError, match="expected labels of 3 pairs, got 2"):
        kc.make_task(compiled, 3, labels=([1, 2], 1))
    with pytest.raises(TaskError, match=r"expected labels \(right, wrong\)"):
        kc.make_task(compiled, 3, labels=(1,))  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="categories, fraction_of_x has numbers"):
        kc.make_task(kc.load_case("fraction_of_x").compile(), 3, labels=(1, 2))
    with pytest.raises(TaskError, match=r"metric of labels \(logit_diff, prob_diff\), got 'kl'"):
        kc.make_task(compiled, 3, metric="kl", labels=(1, 2))
    task = kc.make_task(compiled, 3, labels=(1, 2))
    ids = torch.tensor([0, 1])
    with pytest.raises(TaskError, match="expected labels of 3 pairs, got those of 2"):
        replace(task, labels=Answers(ids, 1 - ids))
    with pytest.raises(TaskError, match="right answer of each pair"):
        Answers(torch.tensor([[-1], [0]]), ids)
    with pytest.raises(TaskError, match=r"\[pair\] or \[pair, answer\], got torch.float32"):
        Answers(torch.tensor([1.0, 2.0]), ids)
    with pytest.raises(TaskError, match="those of 2 and of 3 pairs"):
        Answers(ids, torch.tensor([0, 1, 2]))
    with pytest.raises(TaskError, match="differ from the right ones, got the same for all 2"):
        Answers(torch.tensor([[2, 1], [1, -1]]), torch.tensor([[1, 2], [1, -1]]))
    with pytest.raises(TaskError, match="differ from the right ones, got the same for all 3"):
        kc.make_task(compiled, 3, labels=(1, 1))
    assert len(Answers(ids, torch.tensor([1, 1]))) == 2  # one pair of two differs
    for strange in (torch.zeros(0, dtype=torch.long), torch.tensor([True, False])):
        with pytest.raises(TaskError, match=r"\[pair\] or \[pair, answer\], got torch"):
            Answers(strange, strange)
    outside = replace(task, labels=Answers(torch.tensor([0, 1, 99]), torch.tensor([1, 2, 3])))
    with pytest.raises(TaskError, match=r"expected answers among \d+ outputs, got 99"):
        kc.act_patch(outside)
