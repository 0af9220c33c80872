"""Tasks: seeded, never equal pairs, and metrics that are what they say."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from knowncircuits import rasp
from knowncircuits.cases import draw_pairs, load_case
from knowncircuits.compiler import compile_program
from knowncircuits.errors import ModelError, TaskError, UnknownNameError
from knowncircuits.evaluation import task as tasks
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.metrics import METRICS
from knowncircuits.evaluation.scoring.scores import score
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.models.interop.bridge import BridgedModel
from knowncircuits.models.zoo import load_model
from knowncircuits.primitive import Run
from knowncircuits.rasp.vocabulary import Vocabulary
from strategies import random_task


def test_equal_seeds_give_equal_tasks() -> None:
    compiled = load_case("histogram").compile()
    first, second, other = (make_task(compiled, 50, seed) for seed in (3, 3, 4))
    assert torch.equal(first.clean, second.clean)
    assert torch.equal(first.corrupted, second.corrupted)
    assert not torch.equal(first.clean, other.clean)
    assert first.n_pairs == 50


def test_corrupted_inputs_differ_even_where_few_are_to_be_had() -> None:
    compiled = compile_program(rasp.tokens + 1, Vocabulary((0, 1), 1))
    task = make_task(compiled, 200, 0)
    assert (task.clean != task.corrupted).any(1).all()


def test_no_pairs_to_be_had() -> None:
    compiled = compile_program(rasp.tokens + 1, Vocabulary((0,), 2))
    with pytest.raises(TaskError, match="5 equal pairs of 5"):
        make_task(compiled, 5)
    with pytest.raises(TaskError, match="at least one pair"):
        make_task(compiled, 0)


def test_corruptions_are_those_of_the_case() -> None:
    case = load_case("fraction_of_x")
    compiled = case.compile()
    for corruption in ("resample", "minimal", "variable:is_x"):
        pairs = draw_pairs(case, 20, 5, corruption, split="test")
        task = make_task(compiled, 20, 5, corruption=corruption, split="test")
        assert torch.equal(task.clean, compiled.to_ids(pairs.clean))
        assert torch.equal(task.corrupted, compiled.to_ids(pairs.corrupted))
    with pytest.raises(UnknownNameError, match="did you mean minimal"):
        make_task(compiled, 5, corruption="minimum")


def test_minimal_pairs_move_the_model() -> None:
    task = make_task(load_case("histogram").compile(), 50, corruption="minimal")
    assert task.measure(task.corrupted_run.logits, torch.arange(50)).min() > 0.01


def test_a_model_without_a_case_has_resampled_pairs_only() -> None:
    compiled = compile_program(rasp.tokens + 1, Vocabulary((0, 1), 2))
    with pytest.raises(TaskError, match="compiled from a Case for 'minimal' pairs, got 'program'"):
        make_task(compiled, 5, corruption="minimal")
    with pytest.raises(TaskError, match="'resample' pairs of the test split"):
        make_task(compiled, 5, split="test")


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_tasks() -> None:
    task = make_task(load_case("histogram").compile(), 5)
    with pytest.raises(TaskError, match="first at 0"):
        dataclasses.replace(task, corrupted=task.clean)
    with pytest.raises(TaskError, match="one shape"):
        dataclasses.replace(task, corrupted=task.corrupted[:, :3])
    with pytest.raises(TaskError, match="position that counts"):
        dataclasses.replace(task, counts=torch.zeros_like(task.counts))
    with pytest.raises(UnknownNameError, match="did you mean kl"):
        dataclasses.replace(task, metric="klm")
    with pytest.raises(UnknownNameError, match="did you mean mean"):
        dataclasses.replace(task, ablation="means")  # type: ignore[arg-type]


def test_only_defined_positions_count() -> None:
    case = load_case("unique_tokens_first")
    task = make_task(case.compile(), 20)
    inputs = [[case.vocab[i - 1] for i in row[1:]] for row in task.clean.tolist()]
    for row, answers in zip(task.counts.tolist(), case.interpret(inputs), strict=True):
        assert row == [False, *(answer is not None for answer in answers)]


def test_metrics() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b, c = torch.randn(3, 4, 3, 5, generator=generator, dtype=torch.float64)
    p, q = b.softmax(-1).numpy(), a.softmax(-1).numpy()
    found = {name: metric.distance(a, b, c).numpy() for name, metric in METRICS.items()}
    assert np.allclose(found["kl"], (p * np.log(p / q)).sum(-1))
    assert np.allclose(found["l2"], ((a - b).numpy() ** 2).sum(-1))
    for i, j in np.ndindex(4, 3):
        right, wrong = int(b[i, j].argmax()), int(c[i, j].argmax())
        fall = [(x[i, j, right] - x[i, j, wrong]).item() for x in (b, a)]
        assert found["logit_diff"][i, j] == pytest.approx(fall[0] - fall[1])
        fall = [x[i, j, right] - x[i, j, wrong] for x in (p, q)]
        assert found["prob_diff"][i, j] == pytest.approx(fall[0] - fall[1])
        assert found["label_loss"][i, j] == pytest.approx(-np.log(q[i, j, right] / p[i, j, right]))


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_zero_at_the_clean_run(name: str) -> None:
    task = make_task(load_case("histogram").compile(), 9, metric=name)
    pairs = torch.arange(9)
    assert task.measure(task.clean_run.logits, pairs).abs().max() < 1e-6
    assert task.measure(task.corrupted_run.logits, pairs).min() > -1e-6
    assert task.measure(task.corrupted_run.logits, pairs).max() > 0.1


def test_a_metric_must_fit_the_outputs() -> None:
    with pytest.raises(TaskError, match=r"numbers of fraction_of_x \(l2\), got 'logit_diff'"):
        make_task(load_case("fraction_of_x").compile(), 5, metric="logit_diff")


def test_what_patched_edges_read() -> None:
    compiled = load_case("histogram").compile()
    resample, mean, zero = (
        make_task(compiled, 6, ablation=ablation) for ablation in ("resample", "mean", "zero")
    )
    outputs = resample.corrupted_run.outputs
    assert torch.equal(resample.alternative, outputs)
    assert torch.allclose(mean.alternative[3], outputs.mean(0))
    assert zero.alternative.shape == outputs.shape
    assert not zero.alternative.any()
    assert torch.equal(zero.differences, -zero.clean_run.outputs)


def test_the_model_for_transformer_lens() -> None:
    task = make_task(load_case("histogram").compile(), 4)
    for other in (task.to_transformer_lens(), task.to_hooked()):
        assert torch.allclose(other(task.clean), task.clean_run.logits, atol=1e-5)
    hooked = dataclasses.replace(task, model=task.to_hooked())
    assert hooked.to_hooked() is hooked.model
    with pytest.raises(ModelError, match="expected a Transformer .* got a HookedTwin"):
        hooked.to_transformer_lens()


@pytest.mark.parametrize("name", ["histogram", "fraction_of_x"])
def test_measure_is_a_mean_over_what_counts(name: str) -> None:
    task: Task = make_task(load_case(name).compile(), 7)
    logits = task.corrupted_run.logits
    pairs = torch.tensor([4, 2])
    measured = task.measure(logits[pairs], pairs)
    distance = METRICS[task.metric].distance
    for value, pair in zip(measured, pairs, strict=True):
        one = [int(pair)]
        (each,) = distance(logits[one], task.clean_run.logits[one], logits[one])
        assert value == pytest.approx(each[task.counts[pair]].mean().item())
    assert task.measure(task.clean_run.logits, torch.arange(7)).abs().max() < 1e-6


def test_where_none_is_an_answer_all_positions_count() -> None:
    """Of a model that can say it; else edges that only decide None would seem without effect."""
    trained = load_model("drop_repeated_neighbour", zoo=1)
    task = make_task(trained, 20)
    assert task.counts[:, 1:].all()
    assert not task.counts[:, 0].any()
    compiled = make_task(trained.compiled, 20)
    assert torch.equal(task.clean, compiled.clean)
    assert not compiled.counts[:, 1:].all()
    assert score(discover("exact", task), trained.circuit).average_precision == 1.0


def bridged_task(model: Any, dtype: torch.dtype) -> Task:
    """Random pairs for a bridge over a model in a dtype."""
    model = model.to(dtype).eval()
    bridge = build_bridge_from_module(
        model, type(model).__name__, hf_config=model.config, dtype=dtype
    )
    generator = torch.Generator().manual_seed(1)
    clean = torch.randint(1, 11, (10, 6), generator=generator)
    corrupted = (clean + torch.randint(1, 11, (10, 6), generator=generator)) % 11
    return Task("bridge", BridgedModel(bridge), clean, corrupted, torch.ones(10, 6).bool())


def serial_gpt_neox() -> GPTNeoXForCausalLM:
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            num_hidden_layers=2,
            num_attention_heads=4,
            hidden_size=16,
            intermediate_size=24,
            max_position_embeddings=8,
            vocab_size=11,
            use_parallel_residual=False,
        )
    )


def gpt2() -> GPT2LMHeadModel:
    config = GPT2Config(n_layer=2, n_head=4, n_embd=16, n_positions=8, vocab_size=11)
    return GPT2LMHeadModel(config)


@pytest.mark.parametrize("make", [serial_gpt_neox, gpt2])
def test_the_metric_of_a_bfloat16_model_is_computed_in_float32(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16 the divergence of logits that are right is mostly its own rounding."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
    wanted = discover("exact", bridged_task(model, torch.float32)).values
    task = bridged_task(model, torch.bfloat16)
    assert task.clean_run.logits.dtype == torch.bfloat16
    found = discover("exact", task).values
    assert np.corrcoef(found, wanted)[0, 1] > 0.999
    monkeypatch.setattr(tasks, "at_least_float32", lambda dtype: dtype)
    before = discover("exact", task).values
    assert np.corrcoef(before, wanted)[0, 1] < 0.95


@pytest.mark.parametrize("name", METRICS)
def test_metrics_keep_float64_and_widen_what_is_shorter(name: str) -> None:
    """Gradients come back in the dtype of the logits."""
    for dtype, wide in ((torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
        task = dataclasses.replace(random_task(name))
        vars(task)["clean_run"] = Run(task.clean_run.logits.to(dtype), [])
        logits = task.corrupted_run.logits.to(dtype).requires_grad_()
        measured = task.measure(logits, torch.arange(task.n_pairs))
        assert measured.dtype == wide
        (gradient,) = torch.autograd.grad(measured.sum(), logits)
        assert gradient.dtype == dtype
