"""Causal effects: against hooks and loops over pairs, on planted nodes, on the models we ship."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import Tensor

import knowncircuits as kc
from knowncircuits import patching as single
from knowncircuits.architecture import TransformerConfig
from knowncircuits.cases import list_cases, load_case
from knowncircuits.compiler import Compiled
from knowncircuits.errors import InputError, ModelError, TaskError, UnknownNameError
from knowncircuits.evaluation.effects import ABLATIONS, SCALES, causal_effects, wide_effects
from knowncircuits.evaluation.effects.causal import default_scales
from knowncircuits.evaluation.effects.subjects import Subject
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.interop.hooks import run_patched
from knowncircuits.models.interop.interpbench import InterpBenchModel
from knowncircuits.primitive import Run
from knowncircuits.rasp.columns import NONE
from knowncircuits.transformer import Transformer
from parts import examples
from strategies import configs, random_model, random_tokens

CONFIG = TransformerConfig(2, 2, 6, 3, 8, 4, 5, 3)
BY_DIRECTIONS = ("self-inside", "self-outside", "resample-inside", "resample-outside")
FRACTION = load_case("fraction_of_x")
Value = Callable[[Tensor, Tensor], Tensor]


def pairs_of(n: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(n) for j in range(n) if i != j]


def through_hooks(model: Transformer, ids: Tensor, item: str, value: Value) -> Tensor:
    """The logits on the base of all pairs when hooks patch a node or an edge with a value."""
    graph, pairs = model.graph, pairs_of(len(ids))
    source = graph.sources.index(item.partition("->")[0])
    edges = [graph.index(item)] if "->" in item else graph.edges_from(item)
    mask = torch.zeros(1, graph.n_edges, dtype=model.dtype)
    mask[0, edges] = 1
    with torch.no_grad():
        hooked = to_hooked(model)
        written = run_patched(hooked, ids).outputs
        alternative = torch.zeros_like(written)[[0]].repeat(len(pairs), 1, 1, 1)
        for row, (i, j) in enumerate(pairs):
            alternative[row, source] = value(written[i, source], written[j, source])
        base = ids[[i for i, _ in pairs]]
        return run_patched(hooked, base, alternative, mask).logits


def plain_effect(
    model: Transformer, ids: Tensor, item: str, value: Value, metric: str = "flips"
) -> tuple[float, int]:
    """Of a model whose labels are its own answers."""
    patched = through_hooks(model, ids, item, value)[:, 1:]
    with torch.no_grad():
        clean = model(ids)[:, 1:]
    base, source = (clean[list(i)] for i in zip(*pairs_of(len(ids)), strict=True))
    if clean.shape[-1] == 1:
        differ, changed = (base - source).abs() > 0.05, (patched - base).abs() > 0.05
        return float(changed[differ].double().mean()), int(differ.sum())
    label = base.argmax(-1)
    differ, changed = source.argmax(-1) != label, patched.argmax(-1) != label
    if metric == "flips":
        return float(changed[differ].double().mean()), int(differ.sum())
    kl, kl_clean, kl_corrupted = (
        -x.log_softmax(-1).gather(-1, label[..., None])[..., 0] for x in (patched, base, source)
    )
    return float(((kl - kl_clean) / (kl_corrupted - kl_clean))[differ].mean()), int(differ.sum())


def plain_value(
    written: Tensor, ablation: str, scale: float, n_components: int, *, centred: bool = True
) -> Value:
    """The formulas, position by position, with projections as matrices."""
    seq = written.shape[1]
    mean = written.mean(0)
    projections = []
    for p in range(seq):
        x = (written[:, p] - mean[p]).numpy()
        _, lengths, directions = np.linalg.svd(x, full_matrices=False)
        directions = directions[:n_components][lengths[:n_components] > 1e-9]
        projections.append(torch.from_numpy(directions.T @ directions))

    def value(own: Tensor, other: Tensor) -> Tensor:
        rows = []
        for p in range(seq):
            x, c, k, P, m = own[p], other[p], scale, projections[p], mean[p]
            mu = m if centred else 0 * m
            new = {
                "resample": k * c,
                "mean": k * m,
                "zero": 0 * x,
                "self-inside": x + (k - 1) * P @ (x - mu),
                "self-outside": mu + P @ (x - mu) + k * (x - mu - P @ (x - mu)),
                "resample-inside": x - P @ (x - mu) + k * P @ (c - mu),
                "resample-outside": mu + P @ (x - mu) + k * (c - mu - P @ (c - mu)),
            }[ablation]
            rows.append(x if p == 0 and ablation in BY_DIRECTIONS else new)
        return torch.stack(rows)

    return value


def some_tokens(model: Transformer, n: int, seq: int, seed: int) -> Tensor:
    """Random inputs, one of them given twice."""
    ids = random_tokens(model, n, seq, seed)
    return torch.cat([ids, ids[:1]])


def differing_tokens(model: Transformer, n: int, seq: int, seed: int) -> Tensor:
    """For hypothesis: only those whose labels differ."""
    ids = some_tokens(model, n, seq, seed)
    labels = Subject.of(model).labels(ids, model.run(ids), 0.05)
    assume(bool(labels.differ(*torch.tensor(pairs_of(len(ids))).T).any()))
    return ids


@given(configs(), st.integers(0, 2**31), st.data())
@settings(max_examples=examples(60))
def test_effects_are_what_hooks_and_loops_give(
    config: TransformerConfig, seed: int, data: st.DataObject
) -> None:
    model = random_model(replace(config, n_ctx=config.n_ctx + 1), seed)
    ids = differing_tokens(model, data.draw(st.integers(2, 5)), model.config.n_ctx, seed)
    kind = data.draw(st.sampled_from(["node", "edge"]))
    item = data.draw(st.sampled_from(model.graph.sources if kind == "node" else model.graph.edges))
    ablation = data.draw(st.sampled_from(list(ABLATIONS)))
    metric = data.draw(st.sampled_from(["flips", "kl"] if config.d_vocab_out > 1 else ["flips"]))
    centred = data.draw(st.booleans())
    n_components = data.draw(st.integers(1, 3))
    scales = data.draw(st.lists(st.sampled_from(SCALES), min_size=1, max_size=3, unique=True))
    effects = causal_effects(
        model,
        ablation=ablation,
        scales=scales,
        granularity=kind,
        nodes=[item],
        inputs=ids,
        metric=metric,
        n_components=n_components,
        centred=centred,
    )
    with torch.no_grad():
        source = model.graph.sources.index(item.partition("->")[0])
        written = model.run(ids).outputs[:, source]
    # Whether a spread near rounding is one at all, each side may judge for itself.
    spread = torch.linalg.svdvals((written - written.mean(0)).transpose(0, 1))
    assume(not bool(((spread > 1e-14) & (spread < 1e-6)).any()))
    assert effects["scale"].tolist() == [float(k) for k in scales]
    for row in effects.itertuples():
        value = plain_value(written, ablation, row.scale, n_components, centred=centred)
        effect, n = plain_effect(model, ids, item, value, metric)
        assert row.n == n
        assert row.effect == pytest.approx(effect, rel=1e-6, abs=1e-9)
        if metric == "flips":
            assert row.effect == row.n_changed / n


def test_legacy_is_what_the_notebook_does() -> None:
    model, node, scale = random_model(CONFIG, 2), "a1.h0", 2.0
    ids = some_tokens(model, 12, 4, 0)
    with torch.no_grad():
        written = model.run(ids).outputs[:, model.graph.sources.index(node)]
    directions = [PCA(n_components=2).fit(written[:, p].numpy()).components_ for p in (1, 2, 3)]
    coefficients = torch.from_numpy(np.stack([d.sum(0) for d in directions]))  # of their sum
    for ablation in BY_DIRECTIONS:

        def value(own: Tensor, other: Tensor, ablation: str = ablation) -> Tensor:
            x, patched = own[1:], other[1:] if ablation.startswith("resample") else own[1:]
            remove = (x * coefficients).sum(-1, keepdim=True)
            add = (patched * coefficients).sum(-1, keepdim=True)
            if ablation.endswith("outside"):
                remove, add = x - remove, patched - add
            return torch.cat([own[:1], x + scale * add - remove])

        got = causal_effects(
            model,
            ablation=ablation,
            scales=[scale],
            nodes=[node],
            inputs=ids,
            metric="kl",
            n_components=2,
            legacy=True,
        )
        assert got["effect"][0] == pytest.approx(plain_effect(model, ids, node, value, "kl")[0])


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("legacy", [False, True])
def test_mlps_ablated_at_their_hidden_units(ablation: str, legacy: bool, gated: bool) -> None:
    """Against a hook on `mlp.hook_post`: directions are those of hidden units."""
    model = random_model(replace(CONFIG, gated=gated), 3)
    ids, scale = some_tokens(model, 12, 4, 0), 2.0
    twin = to_hooked(model)
    with torch.no_grad():
        _, cache = twin.run_with_cache(ids)
        units = cache["blocks.0.mlp.hook_post"]
    if legacy:
        parts = [PCA(n_components=2).fit(units[:, p].numpy()).components_ for p in range(4)]
        sums = torch.from_numpy(np.stack([d.sum(0) for d in parts]))

        def inside(x: Tensor) -> Tensor:
            return (x * sums).sum(-1, keepdim=True)

        def legacy_value(x: Tensor, c: Tensor) -> Tensor:
            new = {
                "self-inside": x + (scale - 1) * inside(x),
                "self-outside": inside(x) + scale * (x - inside(x)),
                "resample-inside": x - inside(x) + scale * inside(c),
                "resample-outside": inside(x) + scale * (c - inside(c)),
                "resample": scale * c,
                "mean": scale * units.mean(0),
                "zero": 0 * x,
            }[ablation]
            return torch.cat([x[:1], new[1:]]) if ablation in BY_DIRECTIONS else new

        value: Value = legacy_value
    else:
        value = plain_value(units, ablation, scale, 2)
    pairs = pairs_of(len(ids))
    new = torch.stack([value(units[b], units[s]) for b, s in pairs])
    bases = ids[[b for b, _ in pairs]]
    hooks = [("blocks.0.mlp.hook_post", lambda x, hook: new)]
    with torch.no_grad():
        patched = twin.run_with_hooks(bases, fwd_hooks=hooks)[:, 1:]
        clean = model(ids)[:, 1:]
    base, source = (clean[[pair[i] for pair in pairs]].argmax(-1) for i in (0, 1))
    wanted = (patched.argmax(-1) != base)[base != source].double().mean().item()
    options = {"legacy": True} if legacy else {"mlp_at": "post"}
    for granularity, item in (("node", "m0"), ("head", "a1.h0")):
        got, output = (
            causal_effects(
                model,
                ablation=ablation,
                scales=[scale],
                nodes=[item],
                granularity=granularity,
                inputs=ids,
                n_components=2,
                **chosen,
            )["effect"][0]
            for chosen in (options, {**options, "mlp_at": "output"})
        )
        if item == "m0":
            assert got == pytest.approx(wanted)
        else:  # heads know no other place
            assert got == output


def test_hidden_units_are_not_everywhere() -> None:
    class Plain:
        """Another model, which has the primitive alone."""

        def __init__(self) -> None:
            self.model = random_model(CONFIG)
            self.graph, self.run = self.model.graph, self.model.run

    ids = some_tokens(random_model(CONFIG), 5, 4, 0)
    with pytest.raises(ModelError, match="expected a model that shows hidden units"):
        causal_effects(Plain(), inputs=ids, mlp_at="post")
    with pytest.raises(UnknownNameError, match="unknown mlp_at 'pre'"):
        causal_effects(random_model(CONFIG), inputs=ids, mlp_at="pre")


# Planted nodes.


def by_scale(
    model: Transformer, ids: Tensor, node: str, ablation: str, **options: object
) -> Tensor:
    effects = causal_effects(model, ablation=ablation, nodes=[node], inputs=ids, **options)
    return torch.tensor(effects["effect"])


@given(st.integers(0, 2**31), st.sampled_from(["m0", "m1", "a0.h1", "a1.h0"]))
@settings(max_examples=examples(20))
def test_a_dead_node_has_no_effect(seed: int, node: str) -> None:
    model = random_model(CONFIG, seed)
    with torch.no_grad():
        if node.startswith("m"):
            model.W_out[int(node[1])] = 0
            model.b_out[int(node[1])] = 0
        else:
            model.W_O[int(node[1]), int(node[4])] = 0
    ids = differing_tokens(model, 5, 4, seed)
    for ablation in ABLATIONS:
        assert by_scale(model, ids, node, ablation).tolist() == [0] * len(SCALES)


@given(st.integers(0, 2**31), st.integers(0, 1), st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=examples(20))
def test_a_constant_node_has_no_variance_to_patch(
    seed: int, layer: int, dtype: torch.dtype
) -> None:
    model = random_model(CONFIG, seed, dtype)
    with torch.no_grad():
        model.W_out[layer] = 0
        model.b_out[layer] = 3
    ids = differing_tokens(model, 5, 4, seed)
    for ablation in BY_DIRECTIONS:
        assert by_scale(model, ids, f"m{layer}", ablation).tolist() == [0] * len(SCALES)
    for ablation in ("resample", "mean"):
        assert by_scale(model, ids, f"m{layer}", ablation, scales=[1]).tolist() == [0]


@given(st.integers(0, 2**31), st.integers(0, 1))
@settings(max_examples=examples(20))
def test_variance_along_one_direction_is_all_inside(seed: int, layer: int) -> None:
    model, generator = random_model(CONFIG, seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        one, other = torch.randn(14, generator=generator, dtype=model.dtype).split([8, 6])
        model.W_out[layer] = torch.outer(one, other)
    ids, node = differing_tokens(model, 6, 4, seed), f"m{layer}"
    options: dict[str, object] = {"positions": "all", "metric": "kl"}
    inside, full = (
        by_scale(model, ids, node, ablation, scales=[1, 1.0], **options)
        for ablation in ("resample-inside", "resample")
    )
    # Shares of divergences that may be as small as rounding is large.
    torch.testing.assert_close(inside, full, atol=1e-5, rtol=1e-5)
    outside = by_scale(model, ids, node, "resample-outside", scales=[1], **options)
    torch.testing.assert_close(outside, torch.zeros_like(outside), atol=1e-5, rtol=0)
    flips = by_scale(model, ids, node, "resample-outside", scales=[1], positions="all")
    assert (flips == 0).all()


@given(st.integers(0, 2**31), st.booleans())
@settings(max_examples=examples(20))
def test_patching_a_node_with_itself_is_no_patch(seed: int, centred: bool) -> None:
    model = random_model(CONFIG, seed)
    ids = differing_tokens(model, 5, 4, seed)
    for ablation in ("self-inside", "self-outside"):
        effects = causal_effects(
            model, ablation=ablation, scales=[1], inputs=ids, n_components=2, centred=centred
        )
        assert (effects["effect"] == 0).all()


# Compiled and trained models.


def interchange_flips(compiled: Compiled, model: Transformer, ids: Tensor, item: str) -> float:
    """Over all pairs: of the positions whose program outputs differ, those with another answer."""
    tokens = [[compiled.vocabulary.tokens[i - 1] for i in row[1:]] for row in ids.tolist()]
    labels = compiled.case.interpret(tokens)  # type: ignore[union-attr]
    logits = through_hooks(model, ids, item, lambda own, other: other)
    if model is compiled.model or compiled.output.numerical:
        answers = compiled.decode(logits)
    else:
        best = logits[:, 1:].argmax(-1).tolist()
        answers = [[compiled.output.values[i] for i in row] for row in best]
    changed = []
    for (i, j), answer in zip(pairs_of(len(ids)), answers, strict=True):
        for base, source, got in zip(labels[i], labels[j], answer, strict=True):
            if base is None or source is None or base == source:
                continue
            numbers = isinstance(base, int | float) and isinstance(got, float)
            changed.append(abs(got - base) > 0.05 if numbers else got != base)
    return float(np.mean(changed))


@pytest.mark.parametrize(
    ("name", "length", "n"),
    [
        ("fraction_of_x", 3, 40),
        ("drop_repeated_neighbour", 3, 40),  # which often says None
        ("sum_with_previous", 3, 40),
        pytest.param("sort_unique_numbers", 3, 20, marks=pytest.mark.long),
    ],
)
def test_compiled_models_are_enumerated(name: str, length: int, n: int) -> None:
    case = load_case(name)
    compiled = case.compile()
    codes = case.enumerate(length)
    ids = compiled.to_ids(codes[np.random.default_rng(0).permutation(len(codes))[:n]])
    for kind in ("node", "edge"):
        effects = causal_effects(compiled, inputs=ids, scales=[1], granularity=kind)
        assert {type(node) for node in effects["node"]} == {str}
        for row in effects.itertuples():
            if kind == "node" or row.status == "in":
                assert row.effect == pytest.approx(
                    interchange_flips(compiled, compiled.model, ids, row.node)
                )


@pytest.mark.parametrize("name", ["fraction_of_x", "histogram", "trend", "sum_with_previous"])
def test_trained_models_have_the_compiled_ones_effects(name: str) -> None:
    trained = kc.load_model(name, zoo=1)
    low = causal_effects(trained, scales=[1]).set_index("node")
    high = causal_effects(trained.compiled, scales=[1]).set_index("node")["effect"]
    assert (low["effect"][low["status"] == "out"] < 5e-4).all()  # 0.000
    inside = low["effect"][low["status"] == "in"]
    assert inside.max() == pytest.approx(1, abs=1e-3)
    for node, effect in inside.items():
        assert effect == pytest.approx(high[node], abs=1e-3)


@pytest.mark.parametrize("name", ["fraction_of_x", "histogram"])
def test_trained_models_through_hooks(name: str) -> None:
    trained = kc.load_model(name, zoo=1)
    ids = trained.compiled.draw(8, 0)
    for row in causal_effects(trained, inputs=ids, scales=[1]).itertuples():
        flips = interchange_flips(trained.compiled, trained.model, ids, row.node)
        assert row.effect == pytest.approx(flips)


def test_labels_are_the_programs_outputs() -> None:
    for name in list_cases("structural")[::4]:
        case = load_case(name)
        compiled = case.compile()
        codes = case.draw(12, 0)
        ids = compiled.to_ids(codes)
        labels = Subject.of(compiled).labels(ids, compiled.model.run(ids), 0.05)
        wanted = case.outputs(codes).codes
        base, source = torch.tensor(pairs_of(12)).T
        differ = labels.differ(base, source)
        assert not differ[:, 0].any()
        a, b = wanted[base], wanted[source]
        assert (differ[:, 1:].numpy() == ((a != b) & (a != NONE) & (b != NONE))).all(), name


# The frame.


def test_the_frame_is_tidy() -> None:
    trained = kc.load_model("fraction_of_x", zoo=1)
    columns = ["model", "node", "kind", "layer", "status"]
    columns += ["ablation", "scale", "effect", "n", "n_changed"]
    frame = causal_effects(trained, n_inputs=10, scales=[0.5, 1])
    assert list(frame.columns) == columns
    assert frame["node"].tolist() == [n for n in trained.model.graph.sources for _ in range(2)]
    first = frame.groupby("node", sort=False).first()
    assert first["kind"].tolist() == ["embed", "pos", *(["head"] * 4 + ["mlp"]) * 2]
    assert first["layer"].tolist() == [-1, -1, *[0] * 5, *[1] * 5]
    assert first["status"][["embed", "pos", "a0.h0", "a1.h0"]].tolist() == [
        "in",
        "undetermined",
        "out",
        "in",
    ]
    assert set(frame["model"]) == {"fraction_of_x"}
    assert frame.attrs == {"metric": "flips", "n_excluded": 0, "mlp_at": "output"}
    heads = causal_effects(trained, n_inputs=10, scales=[1], granularity="head", name="mine")
    assert set(heads["kind"]) == {"head"}
    assert len(heads) == 8
    assert set(heads["model"]) == {"mine"}
    edges = causal_effects(
        trained, n_inputs=10, scales=[1], granularity="edge", nodes=["m0->a1.h0<v>", "pos->m0"]
    )
    assert edges["node"].tolist() == ["m0->a1.h0<v>", "pos->m0"]
    assert edges["kind"].tolist() == ["edge", "edge"]
    assert edges["layer"].tolist() == [0, -1]
    assert edges["status"].tolist() == ["in", "undetermined"]


def test_the_scales_that_are_usual() -> None:
    assert default_scales("node", False) == default_scales("head", False) == SCALES
    assert default_scales("edge", False) == default_scales("node", True) == (1.0,)


def test_one_position_at_a_time() -> None:
    model = random_model(CONFIG, 2)
    ids = some_tokens(model, 12, 4, 0)
    frame = causal_effects(model, inputs=ids, scales=[0.5, 1], per_position=True)
    assert list(frame.columns)[-1] == "position"
    assert frame["position"].tolist() == [
        p for _ in model.graph.sources for p in range(4) for _ in "12"
    ]
    for row in frame.itertuples():

        def value(
            own: Tensor, other: Tensor, p: int = row.position, k: float = row.scale
        ) -> Tensor:
            at = torch.arange(len(own))[:, None] == p
            return torch.where(at, k * other, own)

        assert row.effect == pytest.approx(plain_effect(model, ids, row.node, value)[0])
    inner = causal_effects(model, inputs=ids, per_position=True, ablation="self-inside")
    assert set(inner["position"]) == {1, 2, 3}
    assert len(wide_effects(inner)) == 3 * len(model.graph.sources)


def test_the_wide_form() -> None:
    trained = kc.load_model("fraction_of_x", zoo=1)
    parts = [
        causal_effects(
            trained, n_inputs=10, scales=[1, 0.5], ablation=ablation, nodes=["m0", "embed"]
        )
        for ablation in ("resample", "mean")
    ]
    wide = wide_effects(parts[0])
    assert wide.index.names == ["node", "status"]
    assert wide.index.tolist() == [("m0", "in"), ("embed", "in")]
    assert wide.columns.tolist() == [0.5, 1]
    assert wide.loc[("m0", "in"), 1] == parts[0]["effect"][0]
    both = wide_effects(pd.concat(parts))
    assert both.index.names == ["ablation", "node", "status"]
    assert len(both) == 4


# The order of inputs, batches and pairs is of no meaning.


@pytest.mark.long
def test_order_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = kc.load_model("fraction_of_x", zoo=1)
    ids = trained.compiled.draw(30, 0)
    wanted = causal_effects(trained, inputs=ids)
    shuffled = causal_effects(trained, inputs=ids[torch.randperm(30)])
    pd.testing.assert_frame_equal(shuffled, wanted, check_exact=True)
    monkeypatch.setattr(single, "NUMBERS", 5000)
    pd.testing.assert_frame_equal(causal_effects(trained, inputs=ids), wanted, check_exact=True)


def test_what_lies_on_the_border_has_not_changed() -> None:
    # A fifth of 1/4 is 0.05: just as far from 0 as is allowed.
    compiled = FRACTION.compile()
    inputs = [["a", "a", "a", "a"], ["a", "a", "a", "x"]]
    effects = causal_effects(compiled, inputs=inputs, scales=[0.2, 0.21], nodes=["a1.h0"])
    assert effects["n"].tolist() == [2, 2]
    assert effects["n_changed"].tolist() == [1, 2]  # from 1/4 to 0 is a change


def test_pairs_are_chosen_at_random() -> None:
    trained = kc.load_model("fraction_of_x", zoo=1)
    every = causal_effects(trained, n_inputs=20, scales=[1])
    for n_pairs in (380, 1000):
        got = causal_effects(trained, n_inputs=20, scales=[1], n_pairs=n_pairs)
        pd.testing.assert_frame_equal(got, every)
    some = [causal_effects(trained, n_inputs=20, scales=[1], n_pairs=50, seed=s) for s in (0, 0, 1)]
    pd.testing.assert_frame_equal(some[0], some[1])
    assert some[0]["n"][0] != some[2]["n"][0]
    assert 50 <= some[0]["n"][0] <= 200


# Other models.


class Plain:
    """The primitive and nothing else."""

    def __init__(self, model: Transformer) -> None:
        self.model, self.graph = model, model.graph

    def run(
        self, tokens: Tensor, alternative: Tensor | None = None, mask: Tensor | None = None
    ) -> Run:
        return self.model.run(tokens, alternative, mask)


@pytest.mark.parametrize("kind", ["node", "edge"])
def test_any_model_with_the_primitive(kind: str) -> None:
    model = random_model(CONFIG, 2)
    ids = some_tokens(model, 12, 4, 0)
    wanted, got = (
        causal_effects(m, inputs=ids, granularity=kind, scales=[0.5, 2], ablation="resample-inside")
        for m in (model, Plain(model))
    )
    pd.testing.assert_frame_equal(got, wanted)
    assert set(got["status"]) == {"unknown"}
    with pytest.raises(
        ModelError, match="inputs as ids for a model without a vocabulary, got none"
    ):
        causal_effects(model)


def test_interpbenchs_models_have_our_labels() -> None:
    trained = kc.load_model("fraction_of_x", zoo=1)
    theirs = InterpBenchModel(trained.model, trained.circuit, FRACTION, {})
    wanted = causal_effects(trained, n_inputs=20, scales=[1, 2])
    pd.testing.assert_frame_equal(causal_effects(theirs, n_inputs=20, scales=[1, 2]), wanted)
    unknown = replace(theirs, case=None)
    ids = trained.compiled.draw(5, 0)
    assert set(causal_effects(unknown, inputs=ids, scales=[1])["status"]) == set(wanted["status"])


# Bad input.


@dataclass(frozen=True)
class Bad:
    options: dict[str, object]
    error: type[Exception]
    match: str


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    "bad",
    [
        Bad({"n_inputs": 1}, InputError, "at least two inputs, got 1"),
        Bad({"inputs": [["a", "x"]]}, InputError, "at least two inputs, got 1"),
        Bad({"inputs": [["a"], ["a", "x"]]}, InputError, "one length"),
        Bad({"inputs": [["a"], ["?"]]}, InputError, "got '\\?'"),
        Bad({"inputs": torch.tensor([[0, 1], [0, 9]])}, InputError, "ids from 0 to 4, got 9"),
        Bad({"inputs": torch.tensor([0, 1])}, InputError, "shape \\[input, pos\\], got \\[2\\]"),
        Bad({"inputs": [["a"], ["b"]]}, TaskError, "labels that differ"),
        Bad({"scales": [1, "2"]}, TaskError, "finite numbers, got '2'"),
        Bad({"scales": [float("nan")]}, TaskError, "finite numbers, got nan"),
        Bad({"scales": [True]}, TaskError, "finite numbers, got True"),
        Bad({"scales": []}, TaskError, "scales that are numbers, got \\[\\]"),
        Bad({"scales": "1"}, TaskError, "scales that are numbers, got '1'"),
        Bad({"atol": -1.0}, TaskError, "atol of at least 0"),
        Bad({"n_components": 0}, TaskError, "at least one component"),
        Bad({"n_pairs": 0}, TaskError, "at least one pair, got 0"),
        Bad({"metric": "kl"}, TaskError, "categorical outputs for kl"),
        Bad({"metric": "klx"}, UnknownNameError, "unknown metric 'klx'"),
        Bad({"ablation": "resampel"}, UnknownNameError, "did you mean resample"),
        Bad({"granularity": "layer"}, UnknownNameError, "unknown granularity 'layer'"),
        Bad({"positions": "last"}, UnknownNameError, "unknown positions 'last'"),
        Bad({"nodes": ["m7"]}, UnknownNameError, "unknown node 'm7'"),
        Bad({"nodes": ["m0"], "granularity": "head"}, UnknownNameError, "unknown head 'm0'"),
        Bad({"nodes": ["m0->m0"], "granularity": "edge"}, UnknownNameError, "unknown edge"),
    ],
    ids=lambda bad: str(bad.options),
)
def test_bad_input(bad: Bad) -> None:
    with pytest.raises(bad.error, match=bad.match):
        causal_effects(FRACTION.compile(), **bad.options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_shape_checks")
def test_something_that_is_no_model() -> None:
    with pytest.raises(ModelError, match="compiled, trained or wired model.*got str"):
        causal_effects("fraction_of_x")  # type: ignore[arg-type]


def test_inputs_of_one_length_only() -> None:
    compiled = FRACTION.compile(pad=True)
    with pytest.raises(InputError, match="one length, got 1 with PAD"):
        causal_effects(compiled, inputs=[["a"], ["a", "x"]])
