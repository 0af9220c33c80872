"""Models from tracr: twelve recorded ones and, where tracr is installed, live ones."""

import dataclasses
import importlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from knowncircuits.cases import load_case
from knowncircuits.circuit import Circuit, Label
from knowncircuits.compiler import Compiled, compile_program
from knowncircuits.errors import ModelError
from knowncircuits.models.interop.tracr import from_tracr
from knowncircuits.rasp.interpreter import interpret
from knowncircuits.rasp.vocabulary import Vocabulary

FOLDER = Path(__file__).parents[2] / "data" / "tracr"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
CONSTANTS = {"one", "tokens:BOS", "tokens:PAD"}


@cache
def recording(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return json.loads((FOLDER / f"{name}.json").read_text()), dict(arrays)


def stand_in(name: str) -> SimpleNamespace:
    """What `from_tracr` reads of a tracr model."""
    meta, arrays = recording(name)
    params: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        module, _, parameter = key.rpartition("/")
        params.setdefault(module, {})[parameter] = array
    typed = {str(token): token for token in load_case(name).vocab}  # JSON keys are strings
    config = {**meta["model_config"], "activation_function": torch.relu}
    outputs = dict(meta["output_encoding"] or ())
    return SimpleNamespace(
        params=params,
        model_config=SimpleNamespace(**config),
        residual_labels=meta["residual_labels"],
        input_encoder=SimpleNamespace(
            encoding_map={typed.get(text, text): i for text, i in meta["input_encoding"].items()},
            bos_token=meta["bos_token"],
            pad_token=meta["pad_token"],
        ),
        output_encoder=SimpleNamespace(**({"encoding_map": outputs} if outputs else {})),
    )


@cache
def loaded(name: str) -> Compiled:
    return from_tracr(stand_in(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_residual_stream_is_tracrs(name: str) -> None:
    meta, arrays = recording(name)
    compiled = loaded(name)
    ids = compiled.encode([example["input"] for example in meta["examples"]])
    residual = compiled.model.run(ids).outputs.sum(1)
    wanted = torch.tensor(arrays["examples/residual_final"])
    torch.testing.assert_close(residual, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_tracrs_and_the_programs(name: str) -> None:
    examples = recording(name)[0]["examples"]
    compiled = loaded(name)
    answers = compiled.decode(compiled.model(compiled.encode([e["input"] for e in examples])))
    for example, answer in zip(examples, answers, strict=True):
        for got, tracrs, program in zip(
            answer, example["compiled_output"][1:], example["program_output"], strict=True
        ):
            if program is None:  # tracr then answers with the largest rounding error
                assert got is None
            elif compiled.output.numerical:
                assert got == pytest.approx(tracrs, abs=1e-5) == pytest.approx(program, abs=1e-5)
            else:
                assert got == tracrs == program


@pytest.mark.parametrize("name", NAMES)
def test_the_circuit_is_that_of_our_compiler(name: str) -> None:
    tracrs, ours = loaded(name).circuit, load_case(name).compile().circuit
    assert tracrs.graph == ours.graph

    def informing(circuit: Circuit) -> set[str]:
        return {edge for edge, names in circuit.carries.items() if set(names) - CONSTANTS}

    assert informing(tracrs) == informing(ours)
    for edge in tracrs.graph.edges:
        if tracrs.label(edge) != ours.label(edge):
            # Our heads say that v reads BOS, to set the default; tracr's only default is zero.
            assert set(ours.carries[edge]) == {"tokens:BOS"}
            assert (tracrs.label(edge), ours.label(edge)) == (Label.OUT, Label.UNDETERMINED)


@pytest.mark.parametrize("name", NAMES)
def test_interchanges_agree_with_the_labels(name: str) -> None:
    compiled, case = loaded(name), load_case(name)
    graph, labels = compiled.circuit.graph, compiled.circuit.labels
    clean, corrupted = (compiled.encode(case.sample(100, seed)) for seed in (0, 1))
    logits, _ = compiled.model.run(clean)
    alternative = compiled.model.run(corrupted).outputs

    def changes(*edges: str) -> bool:
        mask = torch.zeros(len(clean), graph.n_edges)
        mask[:, [graph.index(edge) for edge in edges]] = 1.0
        difference = compiled.model.run(clean, alternative, mask).logits - logits
        return bool(difference.abs().max() > 1e-3)

    for edge in compiled.circuit.edges():
        assert changes(edge), edge
    assert not changes(*(graph.edges[i] for i in np.flatnonzero(labels != Label.IN)))


def test_tokens_keep_their_order_and_types() -> None:
    vocabulary = loaded("count_greater").vocabulary
    assert vocabulary == Vocabulary(tuple(range(11)), 9, pad=True)
    assert loaded("balanced_parentheses").vocabulary.tokens == ("(", ")", "x", "{", "}")
    model = stand_in("histogram")
    digits = {"a": "1", "b": "2", "c": "3"}  # strings that look like numbers stay strings
    encoder = model.input_encoder
    encoder.encoding_map = {digits.get(t, t): i for t, i in encoder.encoding_map.items()}
    model.residual_labels = [
        label if label[-1] not in digits else label[:-1] + digits[label[-1]]
        for label in model.residual_labels
    ]
    compiled = from_tracr(model)
    assert compiled.vocabulary.tokens == compiled.variables["tokens"].values == ("1", "2", "3")
    assert compiled(["2", "1", "2"]) == [2, 1, 2]


def test_other_precision() -> None:
    compiled = from_tracr(stand_in("histogram"), dtype=torch.float64)
    assert compiled.model.dtype is torch.float64
    assert compiled(["b", "a", "b"]) == [2, 1, 2]


def test_models_without_pad() -> None:
    model = stand_in("histogram")
    pad = model.input_encoder.encoding_map.pop("PAD")
    model.input_encoder.encoding_map = {
        token: i - (i > pad) for token, i in model.input_encoder.encoding_map.items()
    }
    model.input_encoder.pad_token = None
    labels = model.residual_labels
    model.residual_labels = ["spare" if label == "tokens:PAD" else label for label in labels]
    table = model.params["token_embed"]
    table["embeddings"] = np.delete(table["embeddings"], pad, axis=0)
    compiled = from_tracr(model)
    assert not compiled.vocabulary.pad
    assert compiled(["b", "a", "b"]) == [2, 1, 2]


def test_variables_have_places_and_typed_values() -> None:
    variables = loaded("double_minus_index").variables
    assert variables["sequence_map_3"].values[:2] == ((0, 0), (0, 1))
    assert variables["map_1"].values == tuple(range(-3, 9))
    assert (variables["indices"].node, variables["map_1"].node) == ("pos", "m2")
    shifted = loaded("contains_abc").variables["shift_by(1)_5"]
    assert (shifted.values, shifted.nullable, shifted.varies) == ((False, True), True, True)
    assert not loaded("reverse").variables["length_5"].varies
    assert variables["one"].at_bos == variables["tokens:BOS"].at_bos == 1.0
    assert variables["tokens"].at_bos is None


def test_widths_that_tracr_blurs_do_not_keep_it_from_answering() -> None:
    compiled = loaded("reverse")
    assert compiled(list("abcdefghi")) == list("ihgfedcba")
    run = compiled.model.run(compiled.encode(["abcdefghi"]))
    strict = dataclasses.replace(compiled, tolerance=0.01).unmixed(run.outputs)[:, 0]
    blurred = [name for name, clean in zip(compiled.variables, strict, strict=True) if not clean]
    assert "length_5" in blurred


def test_the_output_can_be_named() -> None:
    other = from_tracr(stand_in("balanced_parentheses"), output_label="map_21")
    assert (other.output.name, other.output.node) == ("map_21", "m3")
    with pytest.raises(ModelError, match="named length_12, got none; output_label may be one of"):
        from_tracr(stand_in("balanced_parentheses"), output_label="length_12")


def test_an_output_that_cannot_be_told() -> None:
    model = stand_in("fraction_of_x")
    value = model.params["transformer/layer_1/attn/value"]
    value["w"] = np.zeros_like(value["w"])  # then nothing reads is_x_3 any more
    with pytest.raises(ModelError, match=r"expected one output .* got is_x_3, frac_prevs_1"):
        from_tracr(model)
    assert from_tracr(model, output_label="frac_prevs_1").output.numerical


def without_residual_labels(model: SimpleNamespace) -> None:
    del model.residual_labels


def with_gelu(model: SimpleNamespace) -> None:
    model.model_config.activation_function = torch.nn.functional.gelu


def with_layer_norm(model: SimpleNamespace) -> None:
    model.model_config.layer_norm = True


def without_a_size(model: SimpleNamespace) -> None:
    del model.model_config.key_size


def without_a_parameter(model: SimpleNamespace) -> None:
    del model.params["transformer/layer_0/mlp/linear_1"]["b"]


def with_a_wide_parameter(model: SimpleNamespace) -> None:
    model.params["transformer/layer_0/attn/key"]["b"] = np.zeros(7)


def without_a_token(model: SimpleNamespace) -> None:
    model.residual_labels = [label.replace("tokens:a", "a") for label in model.residual_labels]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            without_residual_labels,
            "expected a tracr model with .*; got one without residual_labels",
        ),
        (without_a_size, "expected a tracr model_config with .*; got one without key_size"),
        (with_gelu, "expected activation_function relu, got gelu"),
        (with_layer_norm, "expected layer_norm False, got True"),
        (without_a_parameter, "expected a parameter transformer/layer_0/mlp/linear_1/b, got"),
        (with_a_wide_parameter, r"attn/key/b of shape \[5\], got \[7\]"),
        (without_a_token, "expected residual_labels for tokens a, b, c, got b, c"),
    ],
)
def test_what_is_no_such_model(spoil: Callable[[SimpleNamespace], None], message: str) -> None:
    model = stand_in("histogram")
    spoil(model)
    with pytest.raises(ModelError, match=message):
        from_tracr(model)


# The same text in either language: only the import that gives `rasp` differs.


def share_of_a(rasp: ModuleType) -> Any:
    is_a = rasp.numerical(rasp.Map(lambda token: float(token == "a"), rasp.tokens))
    so_far = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.LEQ)
    return rasp.numerical(rasp.Aggregate(so_far, is_a, default=0))


def a_less_half_b(rasp: ModuleType) -> Any:
    everywhere = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.TRUE)

    def share(wanted: str) -> Any:
        is_wanted = rasp.numerical(rasp.Map(lambda token: float(token == wanted), rasp.tokens))
        return rasp.numerical(rasp.Aggregate(everywhere, is_wanted, default=0))

    return rasp.numerical(rasp.LinearSequenceMap(share("a"), share("b"), 1, -0.5))


def count_and_place(rasp: ModuleType) -> Any:
    same = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ)
    count = rasp.SelectorWidth(same).named("count")
    return rasp.SequenceMap(lambda n, i: 10 * n + i, count, rasp.indices).named("count_and_place")


def rises(rasp: ModuleType) -> Any:
    previous = rasp.Select(rasp.indices, rasp.indices, lambda key, query: query == key + 1)
    before = rasp.Aggregate(previous, rasp.tokens).named("before")
    return rasp.SequenceMap(lambda x, y: x < y, before, rasp.tokens).named("rises")


def reverse(rasp: ModuleType) -> Any:
    every = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.TRUE)
    length = rasp.SelectorWidth(every).named("length")
    mirrored = (length - rasp.indices - 1).named("mirrored")
    opposite = rasp.Select(rasp.indices, mirrored, rasp.Comparison.EQ)
    return rasp.Aggregate(opposite, rasp.tokens).named("reverse")


@pytest.mark.tracr
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("build", [share_of_a, a_less_half_b, count_and_place, rises, reverse])
def test_live_models_and_both_languages(build: Callable[[ModuleType], Any], causal: bool) -> None:
    compiling = pytest.importorskip("tracr.compiler.compiling")
    causal_eval = importlib.import_module("tracr.rasp.causal_eval")
    theirs, ours = (
        build(importlib.import_module(name)) for name in ("tracr.rasp.rasp", "knowncircuits.rasp")
    )
    vocabulary = Vocabulary(("a", "b", "c"), 5, pad=True)
    model = compiling.compile_rasp_to_model(
        theirs, set(vocabulary.tokens), vocabulary.max_len, causal=causal
    )
    read = from_tracr(model)
    assert read.vocabulary == vocabulary
    compiled = compile_program(ours, vocabulary, causal=causal)
    rng = np.random.default_rng(0)
    for length in (1, 5, 5, 5):
        tokens = rng.choice(vocabulary.tokens, length).tolist()
        output = model.apply([model.input_encoder.bos_token, *tokens])
        residual = read.model.run(read.encode([tokens])).outputs.sum(1)
        wanted = torch.tensor(np.asarray(output.transformer_output))
        torch.testing.assert_close(residual, wanted, atol=1e-4, rtol=0)
        program = causal_eval.evaluate(theirs, tokens) if causal else theirs(tokens)
        answers = (read(tokens), compiled(tokens), interpret(ours, [tokens], causal=causal)[0])
        for expected, decoded, *got in zip(program, output.decoded[1:], *answers, strict=True):
            if expected is None:
                assert got == [None] * 3
            else:
                assert [decoded, *got] == pytest.approx([expected] * 4, abs=1e-4)
