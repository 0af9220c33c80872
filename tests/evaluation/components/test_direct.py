"""Direct effects against weights multiplied by hand, and backups against ablated twins."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits import rasp
from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.evaluation import Answers, Task
from knowncircuits.transformer import Transformer
from strategies import random_model, random_task


@pytest.fixture(scope="module")
def task() -> Task:
    """Biases and gains are none of them zero; each pair has two right answers."""
    config = TransformerConfig(2, 2, 8, 3, 12, n_ctx=5, d_vocab=6, d_vocab_out=4, norm="layer")
    model = random_model(config).requires_grad_(False)
    clean, corrupted = torch.randint(6, (2, 3, 5), generator=torch.Generator().manual_seed(0))
    counts = torch.zeros(3, 5, dtype=torch.bool)
    counts[:, 4] = True
    labels = Answers(torch.tensor([[0, 1], [1, 2], [3, 0]]), torch.tensor([2, 0, 1]))
    return Task("random", model, clean, corrupted, counts, "logit_diff", labels=labels)


def by_hand(task: Task, outputs: torch.Tensor) -> np.ndarray:
    """Each source's vector at the last position, through the frozen norm and the unembedding."""
    model = task.model
    assert isinstance(model, Transformer)
    assert task.labels is not None
    final = (outputs.sum(1) + model.b_O.sum(0))[:, 4]
    scale = (final.var(1, correction=0) + model.config.norm_eps).sqrt()
    written = outputs[:, :, 4]
    normed = (written - written.mean(-1, keepdim=True)) / scale[:, None, None] * model.ln_w[-1]
    right, wrong = model.W_U.T[task.labels.right].mean(1), model.W_U.T[task.labels.wrong].mean(1)
    return torch.einsum("psd,pd->s", normed, right - wrong).numpy() / task.n_pairs


def test_attributions_by_hand(task: Task) -> None:
    frame = kc.direct_logits(task)
    assert frame["node"].tolist() == [*task.graph.sources]
    assert np.allclose(frame["attribution"], by_hand(task, task.clean_run.outputs), atol=1e-12)
    lead = task.lead(task.clean_run.logits, torch.arange(3)).mean().item()
    assert frame.attrs["lead"] == pytest.approx(lead)
    assert frame["attribution"].sum() + frame.attrs["bias"] == pytest.approx(lead)
    assert abs(frame.attrs["bias"]) > 1e-3
    twin = kc.direct_logits(replace(task, model=task.to_hooked()))
    assert np.allclose(frame["attribution"], twin["attribution"], atol=1e-12)


def test_own_answers_are_the_labels_by_default(task: Task) -> None:
    without = replace(task, labels=None, metric="kl")
    right, wrong = (run.logits[:, 4].argmax(-1) for run in (task.clean_run, task.corrupted_run))
    labelled = replace(task, labels=Answers(right, wrong))
    found = [kc.direct_logits(each)["attribution"] for each in (without, labelled)]
    assert np.allclose(*found)


def test_of_a_number_it_is_the_number() -> None:
    """A compiled model without norms: the head that averages writes all of the answer."""
    compiled = kc.load_case("fraction_of_x").compile()
    task = kc.make_task(compiled, 20)
    frame = kc.direct_logits(task).set_index("node")["attribution"]
    every = task.clean_run.logits[..., 0][task.counts].reshape(20, -1).mean()
    assert frame["a1.h0"] == pytest.approx(every.item())
    assert frame.drop("a1.h0").abs().max() < 1e-12


@pytest.mark.parametrize("ablation", ["resample", "mean", "zero"])
def test_backups(task: Task, ablation: str) -> None:
    """Against a model in which the ablated head's output is replaced by a hook."""
    task = replace(task, ablation=ablation)  # type: ignore[arg-type]
    frame = kc.backup(task, ["a0.h1", "m0"])
    twin = task.to_hooked()
    put = {"blocks.0.attn.hook_result": ("a0.h1", 1), "blocks.0.hook_mlp_out": ("m0", None)}
    names = [*task.graph.sources]

    def patch(x: torch.Tensor, hook: object) -> torch.Tensor:
        node, head = put[hook.name]  # type: ignore[attr-defined]
        value = task.alternative[:, names.index(node)]
        if head is None:
            return value
        return torch.cat([x[:, :, :head], value[:, :, None], x[:, :, head + 1 :]], 2)

    hooks = [(name, patch) for name in put]
    with torch.no_grad(), twin.hooks(fwd_hooks=hooks):
        outputs = twin.run(task.clean).outputs
        logits = twin(task.clean)
    for node, _ in put.values():
        outputs[:, names.index(node)] = task.alternative[:, names.index(node)]
    assert np.allclose(frame["after"], by_hand(task, outputs), atol=1e-12)
    assert np.allclose(frame["before"], by_hand(task, task.clean_run.outputs), atol=1e-12)
    assert np.allclose(frame["change"], frame["after"] - frame["before"])
    assert frame.attrs["after"] == pytest.approx(task.lead(logits, torch.arange(3)).mean().item())
    assert frame["change"].abs().max() > 1e-3


def test_wrong_nodes() -> None:
    task = random_task()
    with pytest.raises(UnknownNameError, match=r"unknown node 'a4\.h0'"):
        kc.backup(task, "a4.h0")
    with pytest.raises(TaskError, match="at least one node"):
        kc.backup(task, [])


@pytest.fixture(scope="module")
def compiled() -> kc.Compiled:
    """A head that copies the token before."""
    before = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key == query - 1)
    return kc.compile_program(rasp.Aggregate(before, rasp.tokens), kc.Vocabulary(tuple("abcd"), 4))


class TestCopying:
    """A compiled head that copies, and the same with its output turned over."""

    def test_a_copying_head(self, compiled: kc.Compiled) -> None:
        task = kc.make_task(compiled, 10, metric="logit_diff")
        scores = kc.copy_scores(task, after=None)
        assert scores[["positive", "negative"]].to_numpy().tolist() == [[1.0, 0.0]]
        assert scores["n"].tolist() == [40]
        b = compiled.vocabulary.encode([["b"]])[0, 1].item()
        assert kc.copy_scores(task, [b])["n"].tolist() == [int((task.clean == b).sum())]
        turned = replace(compiled, model=compiled.to(dtype=torch.float32).model)
        turned.model.W_O *= -1
        other = replace(task, model=turned.model.double())
        scores = kc.copy_scores(other)
        assert scores[["positive", "negative"]].to_numpy().tolist() == [[0.0, 1.0]]

    def test_its_attention(self, compiled: kc.Compiled) -> None:
        task = kc.make_task(compiled, 10, metric="logit_diff")
        looked = kc.attention(task)
        frame = looked.to_frame()
        one = frame[(frame["query"] == frame["key"] + 1) & (frame["key"] > 0)]
        assert one["attention"].min() == pytest.approx(1)
        assert len(one) == 3
        seen = looked.between(torch.arange(10) % 3 + 2, torch.arange(10) % 3 + 1)
        assert torch.allclose(seen, torch.ones_like(seen))
        written = kc.attention_output(task, 3, {"before": 2, "here": 3})
        assert written.loc[written["key"] == "before", "attention"].min() == pytest.approx(1)
        assert written.loc[written["key"] == "before", "output"].min() == pytest.approx(1)
        here = written[written["key"] == "here"]
        assert here["attention"].max() < 1e-6
        assert set(here["output"].round(6)) == {0.0, 1.0}  # 1 where the token is the same

    def test_patterns_of_the_twin(self) -> None:
        task = random_task(norm="rms", positions="rotary")
        twin = replace(task, model=task.to_hooked())
        for corrupted in (False, True):
            ours, theirs = (kc.attention(each, corrupted=corrupted) for each in (task, twin))
            assert torch.allclose(ours.patterns, theirs.patterns)
        _, cache = task.to_hooked().run_with_cache(task.clean)
        assert torch.allclose(
            kc.attention(task).patterns[:, 2:], cache["blocks.1.attn.hook_pattern"]
        )
        only = kc.attention(task, ["a1.h1"])
        assert torch.equal(only.patterns[:, 0], kc.attention(task).patterns[:, 3])

    @pytest.mark.usefixtures("no_shape_checks")
    def test_wrong_arguments(self) -> None:
        task = random_task()
        with pytest.raises(TaskError, match="a layer of 0 to 1, got 2"):
            kc.copy_scores(task, after=2)
        with pytest.raises(TaskError, match="expected ids of tokens, got"):
            kc.copy_scores(task, ["a"])  # type: ignore[list-item]
        with pytest.raises(TaskError, match="a top of 1 to 3 of 4 outputs, got 4"):
            kc.copy_scores(task, top=4)
        with pytest.raises(TaskError, match="a top of 1 to 3 of 4 outputs, got 0"):
            kc.copy_scores(task, top=0)
        with pytest.raises(TaskError, match="expected a token in the clean inputs"):
            kc.copy_scores(task, [5])
        with pytest.raises(UnknownNameError, match=r"unknown head 'm0'"):
            kc.attention(task, ["m0"])
        with pytest.raises(TaskError, match="at least one head, got none"):
            kc.attention(task, [])
        for strange in (None, ["a"], True, -1):
            with pytest.raises(kc.KnownCircuitsError, match="a position of 0 to 4 of each of 6"):
                kc.attention(task).between(0, strange)  # type: ignore[arg-type]
        with pytest.raises(kc.KnownCircuitsError, match="a position of 0 to 4 of each of 6 pairs"):
            kc.attention(task).between(5, 0)
        with pytest.raises(TaskError, match="tokens at here that an output says"):
            kc.attention_output(task, 1, {"here": 0})
