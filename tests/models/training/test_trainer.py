"""Interchange training: it finds the circuit, is reproducible, and survives being killed."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import torch

from knowncircuits import rasp
from knowncircuits.cases import Case, load_case
from knowncircuits.cases.sampling import in_split
from knowncircuits.choices import Norm
from knowncircuits.compiler import Compiled
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError, ResultError
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.scoring.scores import score
from knowncircuits.evaluation.task import make_task
from knowncircuits.models.certificates.certifying import certify
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.trained import as_trained, load_trained, save_trained
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.models.training.start import start_from
from knowncircuits.models.training.trainer import Trainer, train
from knowncircuits.models.zoo import load_model
from knowncircuits.transformer import Transformer, weights_hash

SHORT = TrainingConfig(steps=30, n_inputs=500, n_validation=50, validate_every=10)


def trainer(
    config: TrainingConfig, name: str = "fraction_of_x", seed: int | None = None
) -> Trainer:
    compiled = load_case(name).compile()
    low = low_level_config(compiled)
    if seed is None:
        placement = Correspondence.same_names(compiled.circuit, low.graph)
    else:
        placement = Correspondence.shuffled(compiled.circuit, low.graph, seed)
    return Trainer(compiled, placement, low, config)


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.placed.model.parameters()]


def test_weights_do_not_depend_on_the_compiled_dtype() -> None:
    compiled = load_case("fraction_of_x").compile()
    low = low_level_config(compiled)
    placement = Correspondence.same_names(compiled.circuit, low.graph)
    found = []
    for followed in (compiled, load_case("fraction_of_x").compile(dtype=torch.float32)):
        trainer = Trainer(followed, placement, low, SHORT)
        assert trainer.placed.compiled.model.dtype == trainer.placed.model.dtype == torch.float32
        train(trainer)
        found.append(weights_hash(trainer.placed.model))
    assert found[0] == found[1]


def test_weights_of_any_dtype_are_saved_and_loaded(tmp_path: Path) -> None:
    compiled = load_case("fraction_of_x").compile()
    placement = Correspondence.same_names(compiled.circuit, compiled.model.graph)
    certificate = certify(Placed(compiled.model, compiled, placement), n_pairs=100)
    trained = as_trained(Placed(compiled.model, compiled, placement))
    save_trained(dataclasses.replace(trained, certificate=certificate), tmp_path)
    assert load_trained(tmp_path).model.dtype == torch.float64


@pytest.mark.long
def test_a_model_is_trained_certified_saved_and_scored(tmp_path: Path) -> None:
    """The whole way, at a shuffled place, with the certificate of a smaller number of pairs."""
    done = trainer(TrainingConfig(steps=1000), seed=3)
    agreement = train(done)
    assert agreement.passed, agreement.failures
    trained = as_trained(done.placed)
    certificate = certify(trained.placed, n_pairs=1000)
    assert certificate.passed, certificate.failures
    save_trained(dataclasses.replace(trained, certificate=certificate), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "certificate.json",
        "circuit.json",
        "config.json",
        "model.safetensors",
    ]
    loaded = load_trained(tmp_path)
    assert loaded.certificate == certificate
    assert loaded.circuit == trained.circuit
    assert loaded.case.name == "fraction_of_x"
    ids = loaded.compiled.draw(20, 0)
    assert torch.equal(loaded.model(ids), trained.model(ids))
    assert torch.allclose(loaded.to_hooked()(ids), trained.model(ids), atol=1e-5)
    assert torch.allclose(loaded.to_transformer_lens()(ids), trained.model(ids), atol=1e-5)
    scores = discover("exact", make_task(loaded, n_pairs=20))
    assert score(scores, loaded.circuit).auroc == 1.0


def test_equal_seeds_give_equal_weights() -> None:
    first, second, other = (trainer(dataclasses.replace(SHORT, seed=s)) for s in (1, 1, 2))
    for each in (first, second, other):
        train(each)
    assert all(map(torch.equal, weights(first), weights(second)))
    assert not all(map(torch.equal, weights(first), weights(other)))


@pytest.mark.parametrize("average", [0.9, pytest.param(0.0, marks=pytest.mark.long)])
def test_training_that_was_killed_goes_on_where_it_was(tmp_path: Path, average: float) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    # Draws by what it saw in validation, and what went worst in steps.
    config = dataclasses.replace(SHORT, lagging=0.5, average=average, again=0.25)
    if average:  # and what nodes wrote when inputs had another length
        config = dataclasses.replace(config, objective="guided", strata=True, other_lengths=8)
        config = dataclasses.replace(config, dwell=0.5)
    killed, whole = trainer(config), trainer(config)
    for each in (killed, whole):
        each.go_on(missed="length:2")

    def kill(step: int, losses: object) -> None:
        if step == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, checkpoint=checkpoint, on_step=kill)
    resumed, steps = trainer(config), []
    train(resumed, checkpoint=checkpoint, on_step=lambda step, losses: steps.append(step))
    assert steps[0] == 11
    train(whole)
    assert all(map(torch.equal, weights(resumed), weights(whole)))


def test_the_model_is_the_average_of_the_weights_that_are_stepped() -> None:
    """These are stepped as without an average; the first few steps count for more."""
    averaged, plain = (trainer(dataclasses.replace(SHORT, average=a)) for a in (0.7, 0.0))
    mean = weights(plain)
    for step in range(1, 31):
        averaged.step()
        plain.step()
        kept = min(0.7, step / (step + 9))
        mean = [kept * m + (1 - kept) * w for m, w in zip(mean, weights(plain), strict=True)]
    assert all(
        map(torch.equal, averaged.stepper.moving.parameters(), plain.placed.model.parameters())
    )
    assert all(map(torch.allclose, weights(averaged), mean))
    assert not any(map(torch.equal, weights(averaged), weights(plain)))


def test_a_model_that_starts_from_another_has_its_first_layers() -> None:
    """Of four layers that start from three, the last is as it would have been, and so the readout
    for another number of answers than the other gives."""
    compiled = load_case("median").compile()
    other = load_model("sort", zoo=1)
    low = low_level_config(compiled, n_heads=2, d_model=96, d_head=96)
    placement = Correspondence.same_names(compiled.circuit, low.graph)
    drawn = Trainer(compiled, placement, low, SHORT).placed.model
    started = Trainer(compiled, placement, low, SHORT, start=other).placed.model
    assert torch.equal(started.W_E, other.model.W_E)
    assert torch.equal(started.W_QKV[:3], other.model.W_QKV)
    assert torch.equal(started.W_in[3], drawn.W_in[3])
    assert not torch.equal(started.W_in[2], drawn.W_in[2])
    assert torch.equal(started.W_U, drawn.W_U)


def test_tokens_have_the_embeddings_that_they_had() -> None:
    """Also where the other model knows more of them."""
    compiled, other = load_case("sort_unique_numbers").compile(), load_model("sort", zoo=1)
    low = low_level_config(compiled, n_heads=2, d_model=96, d_head=96)
    placement = Correspondence.same_names(compiled.circuit, low.graph)
    model = Trainer(compiled, placement, low, SHORT, start=other).placed.model
    for tokens in ([0], [9, 3, 1]):
        (ids,), (known,) = (c.encode([tokens]) for c in (compiled, other.compiled))
        assert torch.equal(model.W_E[ids], other.model.W_E[known])


def test_a_model_that_starts_from_a_certified_one_passes_at_once() -> None:
    trained = load_model("fraction_of_x", zoo=1)
    parts = trained.compiled, trained.correspondence, trained.model.config, SHORT
    started = Trainer(*parts, start=trained)
    assert started.ending.validate().passed
    assert not Trainer(*parts).ending.validate().passed
    assert all(p.requires_grad for p in started.placed.model.parameters())


@pytest.mark.parametrize("cooldown", [0, 100])
def test_training_ends_where_validation_passes_or_cools_down_first(cooldown: int) -> None:
    trained = load_model("fraction_of_x", zoo=1)
    config = dataclasses.replace(SHORT, cooldown=cooldown)
    parts = trained.compiled, trained.correspondence, trained.model.config, config
    started = Trainer(*parts, start=trained)
    started.ending.judge(started.ending.validate(), started.n_steps)
    assert started.done == (cooldown == 0)
    assert (started.ending.cooling_since is None) == (cooldown == 0)
    drawn = Trainer(*parts)
    drawn.ending.judge(drawn.ending.validate(), drawn.n_steps)
    assert not drawn.done
    assert drawn.ending.cooling_since is None


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("fraction_of_x", {"d_model": 11}, "'d_model': 11.*got one with {'d_model': 12"),
        ("fraction_of_x", {"norm": "layer"}, "'norm': 'layer'"),
        ("fraction_of_x", {"n_layers": 1}, "at most 1 layers to start from, got 2"),
        ("fraction_of_x", {"n_ctx": 10}, "'n_ctx': 10"),
        pytest.param("sort", {}, "knows the tokens", marks=pytest.mark.long),
    ],
)
def test_models_that_are_no_start(name: str, sizes: dict[str, int], message: str) -> None:
    start = load_model("fraction_of_x", zoo=1)
    compiled = load_case(name).compile()
    low = dataclasses.replace(
        start.model.config,
        d_vocab=compiled.model.config.d_vocab,
        d_vocab_out=compiled.model.config.d_vocab_out,
        **sizes,
    )
    with pytest.raises(ModelError, match=message):
        start_from(Transformer(low), compiled, start)


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_norms_are_those_of_the_same_place(norm: Norm) -> None:
    """Gains are stacked over all layers' norms, and the model that starts has a layer more."""
    first = trainer(SHORT).placed
    small = dataclasses.replace(first.model.config, norm=norm, gated=True)
    model = Transformer(small)
    with torch.no_grad():
        for i, name in enumerate(small.norms):
            model.ln_w[i] = sum(map(ord, name))
    start = as_trained(Placed(model, first.compiled, first.correspondence))
    large = Transformer(dataclasses.replace(small, n_layers=small.n_layers + 1))
    start_from(large, first.compiled, start)
    for gains, name in zip(large.ln_w, large.config.norms, strict=True):
        known = name in small.norms
        assert gains.unique().tolist() == [sum(map(ord, name)) if known else 1]


def test_checkpoints_of_another_start_are_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    trainer(SHORT).save(checkpoint)
    trained = load_model("fraction_of_x", zoo=1)
    parts = trained.compiled, trained.correspondence, trained.model.config, SHORT
    with pytest.raises(ResultError, match="from "):
        Trainer(*parts, start=trained).load(checkpoint)


def test_checkpoints_of_other_settings_are_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    trainer(SHORT).save(checkpoint)
    with pytest.raises(ResultError, match="seed=5"):
        train(trainer(dataclasses.replace(SHORT, seed=5)), checkpoint=checkpoint)
    checkpoint.write_bytes(b"nothing")
    with pytest.raises(ResultError, match="expected a checkpoint"):
        train(trainer(SHORT), checkpoint=checkpoint)


def test_a_cosine_begins_where_the_one_before_has_ended() -> None:
    """So that a run may be taken further: until then it is the same as one that ends there."""
    rates: list[list[float]] = []
    for steps, restarts in ((10, ()), (10, (10, 16)), (16, (10,)), (22, (10, 16))):
        each = trainer(dataclasses.replace(SHORT, warmup=2, steps=steps, restarts=restarts))
        rates.append([])
        for _ in range(steps):
            rates[-1].append(each.rate)
            each.n_steps += 1
    one, not_reached, two, three = rates
    assert one == not_reached == two[:10] == three[:10]
    assert two == three[:16]
    assert [two[10], three[16]] == pytest.approx([0.3, 0.09])  # there is no second warm-up
    for cosine in (one[2:], two[10:], three[16:]):
        assert cosine == sorted(cosine, reverse=True)
        assert cosine[-1] < 0.1 * cosine[0]


def test_inputs_are_split() -> None:
    drawn = trainer(SHORT)
    n_tokens = len(drawn.placed.compiled.vocabulary.tokens)
    for inputs, split in (
        (drawn.inputs.train, "train"),
        (torch.cat(drawn.inputs.validation), "test"),
    ):
        assert in_split(inputs[:, 1:].numpy() - 1, n_tokens, split).all()


def test_training_dwells_on_strata_that_were_missed() -> None:
    config = dataclasses.replace(SHORT, strata=True, shorter=0.0, shorter_alone=0.0, dwell=0.5)
    inputs = trainer(config).inputs
    generator = torch.Generator().manual_seed(0)

    def lengths(*missed: str) -> Counter[int]:
        draws = (inputs.draw_pairs(generator, missed=missed) for _ in range(400))
        return Counter(base.shape[1] - 1 for base, _ in draws)

    (longest,) = lengths()
    found = lengths("length:2", "length:3")
    assert found.keys() == {2, 3, longest}
    assert all(abs(found[n] - 100) < 40 for n in (2, 3))
    base, source = inputs.draw_pairs(generator, missed=["minimal"] * 2)
    while not ((base != source).sum(1) == 1).all():  # half of the draws are others
        base, source = inputs.draw_pairs(generator, missed=["minimal"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps to be greater than 0, got 0"),
        ({"learning_rate": -1.0}, "learning_rate to be greater than 0"),
        ({"lagging": 1.5}, "lagging to be less than or equal to 1"),
        ({"quiet": -1}, "quiet to be greater than or equal to 0"),
        ({"restarts": (9, 9)}, "restarts at rising steps"),
    ],
)
def test_wrong_settings(change: dict[str, float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TrainingConfig(**change)  # type: ignore[arg-type]


def test_sizes_that_do_not_fit() -> None:
    compiled: Compiled = load_case("fraction_of_x").compile()
    low = low_level_config(compiled, n_layers=3, n_heads=5, d_model=20, norm="layer")
    sizes = low.n_layers, low.n_heads, low.d_model, low.d_head, low.norm
    assert sizes == (3, 5, 20, 4, "layer")
    placement = Correspondence.same_names(compiled.circuit, low.graph)
    with pytest.raises(ModelError, match="expected a correspondence into the model's graph"):
        Trainer(compiled, placement, low_level_config(compiled), SHORT)
    longer = dataclasses.replace(low, n_ctx=low.n_ctx + 1)
    with pytest.raises(ModelError, match=r"expected n_ctx and causality \(5, True\), got \(6, "):
        Trainer(compiled, placement, longer, SHORT)


def test_divergence_is_an_error() -> None:
    with pytest.raises(ModelError, match="diverged at step"):
        train(trainer(dataclasses.replace(SHORT, steps=400, learning_rate=1e9, warmup=0)))


def test_broken_folders(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="folder of a trained model"):
        load_trained(tmp_path)
    done = trainer(SHORT)
    trained = as_trained(done.placed)
    certificate = certify(
        trained.placed,
        n_pairs=20,
        edges=["embed->m0"],
        ablations=("resample",),
    )
    save_trained(dataclasses.replace(trained, certificate=certificate), tmp_path)
    assert load_trained(tmp_path).certificate == certificate
    train(done)
    other = as_trained(done.placed)
    save_trained(other, tmp_path)
    assert load_trained(tmp_path).certificate is None  # the old one is not of these weights
    certificate.write(tmp_path / "certificate.json")
    with pytest.raises(ResultError, match="certificate of weights"):
        load_trained(tmp_path)


def test_a_circuit_without_edges_is_no_circuit_to_train() -> None:
    same = Case("same", "none", "x everywhere", rasp.Full("x"), ("x", "y"), 3)
    compiled = same.compile()
    low = low_level_config(compiled)
    placement = Correspondence.same_names(compiled.circuit, low.graph)
    with pytest.raises(ModelError, match="expected an edge inside the circuit of same, got none"):
        Trainer(compiled, placement, low, SHORT)


@pytest.mark.parametrize("sizes", [{"n_layers": 0}, {"n_heads": 0}, {"d_model": 0}, {"d_head": 0}])
def test_no_size_is_nothing(sizes: dict[str, int]) -> None:
    ((name, _),) = sizes.items()
    with pytest.raises(ModelError, match=f"expected {name} of at least 1, got 0"):
        low_level_config(load_case("fraction_of_x").compile(), **sizes)


@pytest.mark.parametrize("sizes", [{"n_heads": 100_000}, {"n_layers": 20_000}, {"d_model": 60_000}])
def test_models_beyond_all_bounds_are_not_begun(sizes: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="at most"):
        low_level_config(load_case("fraction_of_x").compile(), **sizes)
